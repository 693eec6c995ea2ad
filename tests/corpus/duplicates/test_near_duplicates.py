"""Near-duplicate clusters: exact similarity decides, in any order of the texts."""

import random
import re
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from triptych.corpus.duplicates.near_duplicates import cluster, renumber
from triptych.corpus.duplicates.shingles import ShingleSets, shingle_sets
from triptych.corpus.texts import normalized
from triptych.params.sections import NearDuplicates

PARAMS = NearDuplicates(shingle_words=3, threshold=0.8, permutations=128)
SENTENCE = (
    "Return the element-wise maximum of two arrays and propagate missing values where either holds one unless"
    " the caller asks that they are skipped in which case the other value is taken as it stands in the input"
)


def jaccard(left, right, words=3):
    """Similarity by the definition: of the texts' word n-grams, as sets of strings."""
    one, other = (ngrams(re.findall(r"\w+", text.casefold()), words) for text in (left, right))
    return len(one & other) / len(one | other)


def ngrams(tokens, words):
    return {" ".join(tokens[start : start + words]) for start in range(max(1, len(tokens) - words + 1))}


def clusters(texts, params=PARAMS):
    return cluster([texts], params).cluster


def same_groups(left, right):
    return np.array_equal(renumber(np.asarray(left)), renumber(np.asarray(right)))


def test_equal_and_near_copies_are_one_cluster():
    near = SENTENCE.replace("input", "array")
    assert jaccard(SENTENCE, near) >= 0.8
    texts = [SENTENCE, "Sort a list in place.", near, SENTENCE.upper() + "!"]
    assert clusters(texts).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_real_documentation_is_clustered_as_by_comparing_all_pairs(tiny_corpus, threshold):
    texts = [chunk.content for chunk in tiny_corpus.chunks]
    near = np.array([[jaccard(left, right) >= threshold for right in texts] for left in texts])
    expected = connected_components(near, directed=False)[1]
    assert same_groups(clusters(texts, PARAMS.model_copy(update={"threshold": threshold})), expected)


@pytest.mark.parametrize(("threshold", "number"), [(0.60, 1), (0.80, 2)])
def test_threshold_separates_texts_that_differ_in_the_decisive_word(threshold, number):
    minimum = SENTENCE.replace("maximum", "minimum").replace("skipped", "ignored")
    assert 0.6 < jaccard(SENTENCE, minimum) < 0.8
    found = clusters([SENTENCE, minimum], PARAMS.model_copy(update={"threshold": threshold}))
    assert len(set(found.tolist())) == number


def test_similarity_equal_to_the_threshold_joins():
    left, right = "a b c d e f g h i", "a b c d e f g h z"  # 7 shingles each, 6 shared of 8
    assert jaccard(left, right) == 0.75
    assert clusters([left, right], PARAMS.model_copy(update={"threshold": 0.75})).tolist() == [0, 0]
    assert clusters([left, right], PARAMS.model_copy(update={"threshold": 0.76})).tolist() == [0, 1]


def test_short_texts_are_compared_whole():
    assert clusters(["Sort it", "sort it.", "Sort", "", "..."]).tolist() == [0, 0, 1, 2, 2]


def test_clusters_are_numbered_by_first_member():
    found = clusters(["sort a list in place", "find a value in it", "sort a list in place", "join two"])
    assert (found.tolist(), found.dtype) == ([0, 1, 0, 2], np.int32)


def test_clusters_are_transitive():
    words = SENTENCE.split()
    texts = [" ".join([*words[start:], *(f"new{n}" for n in range(start))]) for start in (0, 3, 6)]
    assert jaccard(texts[0], texts[2]) < 0.8 <= min(jaccard(texts[0], texts[1]), jaccard(texts[1], texts[2]))
    assert clusters(texts).tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_order_of_the_texts_does_not_matter(seed):
    draw = random.Random(seed)
    words = [f"word{number}" for number in range(500)]
    texts = []
    for _ in range(40):
        text = draw.sample(words, 40)
        copy = [*text]
        copy[draw.randrange(40)] = "changed"
        texts += [" ".join(text), " ".join(copy)]
    order = draw.sample(range(len(texts)), len(texts))
    assert same_groups(clusters(texts)[order], clusters([texts[row] for row in order]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.text(alphabet="ab c", max_size=12), min_size=1, max_size=8))
def test_equal_texts_always_share_a_cluster(texts):
    found = clusters(texts * 2)
    assert found[: len(texts)].tolist() == found[len(texts) :].tolist()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.text(alphabet="aB .!\n", max_size=12), max_size=12), st.integers(1, 4))
def test_texts_equal_except_case_and_space_have_one_number_in_any_batches(texts, size):
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    found = cluster([*batches, [], texts], PARAMS)
    folded = [normalized(text) for text in texts] * 2
    assert found.text.tolist() == renumber(np.unique(folded, return_inverse=True)[1]).tolist()
    whole = cluster([texts * 2], PARAMS)
    assert found.cluster.tolist() == whole.cluster.tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.text(alphabet="abé_ .-", max_size=20), min_size=2, max_size=6), st.integers(1, 3))
def test_hashed_sets_are_as_similar_as_sets_of_strings(texts, words):
    sets = shingle_sets(texts, words)
    left, right = (np.array(ends) for ends in zip(*combinations(range(len(texts)), 2), strict=True))
    expected = [jaccard(texts[one], texts[other], words) for one, other in zip(left, right, strict=True)]
    assert sets.jaccard(left, right).tolist() == pytest.approx(expected, abs=0)
    assert len(sets) == len(texts)


def family(number, changed=3, positions=12):
    """Return look-alikes of one text of 100 words, and the changed positions of each.

    Two texts that were changed at the same three positions are 0.83 similar, all others less than 0.8.
    """
    words = [f"w{number}" for number in range(4000)]
    base = random.Random(1).sample(words, 100)
    texts, kinds = [], []
    for seed in range(number):
        draw, text = random.Random(seed), list(base)
        kinds.append(tuple(sorted(draw.sample(range(positions), changed))))
        for position in kinds[-1]:
            text[4 * position + 2] = f"{draw.choice(words)}x{seed}"
        texts.append(" ".join(text))
    return texts, np.unique(kinds, axis=0, return_inverse=True)[1]


def pairs(groups):
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def test_near_duplicates_in_a_large_family_of_look_alikes_are_found_and_separated():
    texts, kinds = family(1500)
    found = cluster([texts], PARAMS)
    both = pairs(found.cluster * 1500 + kinds)
    assert both == pairs(found.cluster)
    assert both >= 0.98 * pairs(kinds)
    assert found.partly_compared > 1000


def test_order_does_not_matter_in_a_large_family_either():
    texts, _ = family(1000)
    order = random.Random(0).sample(range(len(texts)), len(texts))
    forward, shuffled = (cluster([some], PARAMS) for some in (texts, [texts[row] for row in order]))
    assert forward.partly_compared == shuffled.partly_compared > 0
    assert same_groups(forward.cluster[order], shuffled.cluster)


def test_comparisons_grow_with_the_family_not_with_its_square(monkeypatch):
    compared = []
    jaccard_of = ShingleSets.jaccard
    monkeypatch.setattr(ShingleSets, "jaccard", lambda self, a, b: compared.append(len(a)) or jaccard_of(self, a, b))

    def cost(number):
        compared.clear()
        clusters(family(number, changed=5, positions=24)[0])
        return sum(compared)

    assert cost(2000) < 2.6 * cost(1000)


def test_a_large_family_of_copies_is_one_cluster_and_nothing_of_it_is_left_uncompared():
    texts, _ = family(500, changed=1, positions=24)
    found = cluster([texts], PARAMS)
    assert (len(set(found.cluster.tolist())), found.partly_compared) == (1, 0)
