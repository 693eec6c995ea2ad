"""Candidates: inverted lists and path prefixes find what comparing all pairs would, at a constant cost per anchor."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora import anchors_of, brute_force, build_pools, path_overlap, topics, words
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk
from triptych.triplets.heuristics.candidates import Buckets, PathIndex, WordIndex, _truncated_lists, rank_in_group

WORD = st.sampled_from(["sort", "find", "max", "min", "mean", "of", "a", "index", "array", "numpy", "ärger", "42"])
TEXT = st.lists(WORD, max_size=12).map(" ".join)
LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=20)


def check_hits(texts, queries, number):
    asked, chunks = WordIndex(texts, postings=10_000).hits(queries, number)
    for row, query in enumerate(queries):
        scores = brute_force(texts, query)
        found = chunks[asked == row]
        expected = np.sort(scores[scores > 0])[::-1][:number]
        assert scores[found] == pytest.approx(expected, rel=1e-4)  # equal scores may be in any order
        assert len(set(found.tolist())) == len(found)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(TEXT, min_size=1, max_size=12), st.lists(TEXT, max_size=4), st.integers(1, 6))
def test_hits_are_those_that_bm25_over_every_chunk_ranks_first(texts, queries, number):
    check_hits(texts, queries, number)


def test_hits_on_real_documentation_are_those_of_bm25(tiny_corpus):
    texts = [passage(one, "{header_path}\n{content}") for one in tiny_corpus.chunks]
    check_hits(texts, [one.title for one in tiny_corpus.chunks[:20]] + texts[:5], 10)


def test_of_equal_hits_the_first_chunk_comes_first():
    asked, chunks = WordIndex(["sort lists"] * 5 + ["find"], postings=10).hits(["sort", "find sort"], 3)
    assert (asked.tolist(), chunks.tolist()) == ([0, 0, 0, 1, 1, 1], [0, 1, 2, 5, 0, 1])


def test_truncated_lists_keep_the_chunks_with_the_highest_weight_of_a_word():
    texts = ["sort " + "filler " * length for length in (9, 1, 5)] + ["other words"]
    _, chunks = WordIndex(texts, postings=2).hits(["sort"], 10)
    assert chunks.tolist() == [1, 2]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 0.5, 1.0, 2.0]), min_size=4, max_size=4), max_size=12))
def test_truncated_lists_are_those_of_a_sort_by_weight_and_chunk(rows):
    weights = np.array(rows, np.float32).reshape(-1, 4)
    kept = np.zeros_like(weights)
    for word, column in enumerate(weights.T):
        first = sorted(np.flatnonzero(column).tolist(), key=lambda chunk: (-column[chunk], chunk))[:3]
        kept[first, word] = column[first]
    lists = _truncated_lists(csr_array(weights), 3)
    np.testing.assert_array_equal(lists.toarray(), kept.T)
    assert lists.has_sorted_indices


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(TEXT, min_size=1, max_size=8))
def test_overlap_of_words_is_the_shared_part_of_the_smaller_vocabulary(texts):
    index, rows = WordIndex(texts, postings=5), np.arange(len(texts))
    left, right = (side.ravel() for side in np.meshgrid(rows, rows))
    sets = [set(words(text)) for text in texts]
    expected = [
        len(sets[a] & sets[b]) / max(min(len(sets[a]), len(sets[b])), 1) for a, b in zip(left, right, strict=True)
    ]
    assert index.overlap(left, right) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from("ab"), max_size=8).map(tuple), min_size=1, max_size=8))
def test_overlap_of_paths_is_the_share_of_the_longer_that_both_begin_with(paths):
    index, rows = PathIndex(paths), np.arange(len(paths))
    left, right = (side.ravel() for side in np.meshgrid(rows, rows))
    chunks = [Chunk("", "", "", path, "", "", "") for path in paths]
    expected = [path_overlap(chunks[a], chunks[b]) for a, b in zip(left, right, strict=True)]
    assert index.overlap(left, right) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from("ab"), max_size=4).map(tuple), min_size=1, max_size=8), st.integers(1, 5))
def test_near_chunks_share_the_prefix_that_they_were_sampled_for(paths, number):
    rows = np.arange(len(paths))
    for depth, (place, chunk) in enumerate(PathIndex(paths).near(rows, number, np.random.default_rng(1)), start=1):
        assert np.bincount(place, minlength=len(paths)).tolist() == [number * (len(path) >= depth) for path in paths]
        assert all(paths[a][:depth] == paths[b][:depth] for a, b in zip(place, chunk, strict=True))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(LABELS, st.integers(1, 6), st.integers(0, 99))
def test_buckets_give_rows_of_the_label_and_of_any_other(labels, number, seed):
    labels = np.array(labels)
    asked = np.r_[labels, -1]
    place, row = Buckets(labels).inside(asked, number, np.random.default_rng(seed))
    assert np.bincount(place, minlength=len(asked)).tolist() == [number] * len(labels) + [0]
    assert (labels[row] == asked[place]).all()
    place, row = Buckets(labels).outside(labels, number, np.random.default_rng(seed))
    others = [number * any(labels != label) for label in labels]
    assert np.bincount(place, minlength=len(labels)).tolist() == others
    assert (labels[row] != labels[place]).all()


def test_every_row_of_and_outside_a_label_can_be_sampled():
    labels, random = np.array([0, 1, 0, 2, 1, 0]), np.random.default_rng(1)
    buckets = Buckets(labels)
    assert set(buckets.inside(np.array([0]), 200, random)[1].tolist()) == {0, 2, 5}
    assert set(buckets.outside(np.array([1]), 200, random)[1].tolist()) == {0, 2, 3, 5}


@given(st.lists(st.integers(0, 3), max_size=12).map(sorted))
def test_rank_in_a_group_counts_from_nought(groups):
    assert rank_in_group(np.array(groups, int)).tolist() == [groups[:n].count(one) for n, one in enumerate(groups)]


def test_candidates_of_an_anchor_do_not_grow_with_the_corpus(params_with):
    params = params_with().triplets
    considered = {}
    for number in (500, 5000):
        chunks = topics(number, files=number // 10)
        considered[number] = build_pools(chunks, params, found=anchors_of(chunks[:100])).considered
    sizes, depth = params.candidates, 3
    assert considered[5000].max() <= sizes.lexical + (depth + 2) * sizes.per_prefix + 2 * sizes.distant
    assert considered[5000].mean() < 1.2 * considered[500].mean()


def test_inverted_lists_do_not_grow_with_the_corpus():
    for number in (50, 500):
        asked, _ = WordIndex(["common words"] * number, postings=20).hits(["common"], 1000)
        assert len(asked) == 20


DIGEST = """
import hashlib, sys
sys.path.insert(0, "tests")
from pathlib import Path
from corpora import build_pools, topics
from triptych.params.load import load_params
for name, pool in build_pools(topics(60), load_params(Path("params.yaml")).triplets).pools.items():
    parts = (pool.offsets, pool.chunk, pool.tier, pool.strategy, pool.score, pool.path, pool.lexical)
    print(name, hashlib.sha256(b"".join(one.tobytes() for one in parts)).hexdigest())
"""


def test_pools_are_equal_under_any_hash_seed():
    root = Path(__file__).parents[3]
    printed = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert printed.pop().startswith("embedder ")
