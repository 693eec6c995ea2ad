"""Near-duplicate clusters: exact similarity decides, whatever the order of the texts."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from triptych.corpus.near_duplicates import cluster, renumber
from triptych.params import NearDuplicates

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
def test_look_alikes_that_differ_in_the_decisive_word_are_told_apart_by_the_threshold(threshold, number):
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


def test_near_duplicates_among_many_look_alikes_are_found_in_any_order():
    words = [f"w{number}" for number in range(4000)]
    base = random.Random(1).sample(words, 60)
    texts = []
    for seed in range(200):
        draw, text = random.Random(seed), list(base)
        for place in draw.sample(range(60), 2):
            text[place] = draw.choice(words)
        texts.append(" ".join(text))
    params = NearDuplicates(shingle_words=3, threshold=0.8, permutations=128)
    order = random.Random(0).sample(range(200), 200)
    found = clusters(texts, params)
    shuffled = clusters([texts[row] for row in order], params)
    assert np.array_equal(renumber(found[order]), renumber(shuffled))
