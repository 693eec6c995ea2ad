"""Lexical search: terms, order, determinism."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array

from triptych.retrieval import lexical
from triptych.retrieval.lexical import LexicalIndex, terms

TEXTS = [
    "Call DataFrame.set_index to choose the index of a frame.",
    "np.linalg.svd computes the singular value decomposition.",
    "The parser raises JSONDecodeError when the text is not JSON.",
    "",
    "Frames may be merged.",
]


@pytest.fixture(scope="module")
def index():
    return LexicalIndex([f"c{row}" for row in range(len(TEXTS))], TEXTS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sorting ÉCOLE Straße", ["sorting", "école", "strasse"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("camelCase", ["camelcase", "camel", "case"]),
        ("JSONDecodeError", ["jsondecodeerror", "json", "decode", "error"]),
        ("__init__", ["__init__", "init"]),
        ("np.linalg.svd", ["np.linalg.svd", "np", "linalg", "svd"]),
        ("std::sort", ["std::sort", "std", "sort"]),
        (
            "DataFrame.set_index",
            ["dataframe.set_index", "dataframe", "set_index", "data", "frame", "set", "index"],
        ),
        ("It ends. Then 3.11 begins", ["it", "ends", "then", "3.11", "3", "11", "begins"]),
        ("--- ... ***", []),
    ],
)
def test_terms(text, expected):
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("query", "row"),
    [
        ("DataFrame.set_index", 0),
        ("set_index", 0),
        ("dataframe", 0),
        ("linalg", 1),
        ("NP.LINALG.SVD", 1),
        ("decode", 2),
        ("json_decode_error", 2),
    ],
)
def test_identifiers_match_whole_and_by_parts(index, query, row):
    rows, scores = index.search([query], depth=2)
    assert rows[0, 0] == row
    assert scores[0, 0] > scores[0, 1]


def test_bm25_by_hand():
    rows, scores = LexicalIndex(["a", "b"], ["red red green", "blue"]).search(["red"], depth=2)
    idf = math.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 2 / (2 + 1.5 * (1 - 0.75 + 0.75 * 3 / 2))
    assert rows.tolist() == [[0, 1]]
    assert scores[0].tolist() == [pytest.approx(expected, rel=1e-6), 0.0]


def test_shape_and_type(index):
    rows, scores = index.search(["index", "svd"], depth=100)
    assert (rows.shape, rows.dtype) == ((2, len(TEXTS)), np.int64)
    assert (scores.shape, scores.dtype) == ((2, len(TEXTS)), np.float32)
    assert [sorted(row) for row in rows.tolist()] == [list(range(len(TEXTS)))] * 2
    assert index.search([], depth=3)[0].shape == (0, 3)
    assert index.chunk_ids[rows[1, 0]] == "c1"


@pytest.mark.parametrize("query", ["zebra", "", "the of and", "?!"])
def test_a_query_without_a_known_word_scores_zero(index, query):
    rows, scores = index.search([query], depth=3)
    assert rows.tolist() == [[0, 1, 2]]
    assert not scores.any()


def test_equal_scores_go_by_row():
    texts = ["red" if row % 3 == 1 else "red red" if row == 50 else "blue" for row in range(200)]
    rows, scores = LexicalIndex([str(row) for row in range(200)], texts).search(["red"], depth=100)
    reds = [row for row in range(200) if row % 3 == 1 and row != 50]
    blues = [row for row in range(200) if row % 3 != 1 and row != 50]
    tied = [*reds, *blues]
    assert [row for row in rows[0].tolist() if row != 50] == tied[:99]
    assert (np.diff(scores[0]) <= 0).all()


def test_a_cut_among_equal_scores_keeps_the_first_rows():
    rows, _ = LexicalIndex([str(row) for row in range(50)], ["red"] * 50).search(["red"], depth=7)
    assert rows.tolist() == [list(range(7))]


def test_stopwords_do_not_count(index):
    assert index.search(["the svd is of"], depth=5)[1].tolist() == index.search(["svd"], depth=5)[1].tolist()


def test_a_search_does_not_change_the_next(index):
    before = index.search(["index of frames"], depth=5)
    index.search(["unknown words arrive"], depth=5)
    after = index.search(["index of frames"], depth=5)
    assert [part.tobytes() for part in before] == [part.tobytes() for part in after]


def test_texts_without_a_word_can_be_indexed():
    rows, scores = LexicalIndex(["a", "b"], ["", "the ..."]).search(["red", ""], depth=5)
    assert rows.tolist() == [[0, 1], [0, 1]]
    assert not scores.any()


def test_what_cannot_be_indexed_or_searched_is_refused(index):
    for chunk_ids, texts in [([], []), (["a"], ["x", "y"])]:
        with pytest.raises(ValueError, match="one text for each chunk"):
            LexicalIndex(chunk_ids, texts)
    with pytest.raises(ValueError, match="depth"):
        index.search(["red"], depth=0)


def test_equal_bytes_under_any_hash_seed_and_no_output():
    code = (
        "import hashlib, random\n"
        "from triptych.retrieval.lexical import LexicalIndex\n"
        "draw = random.Random(1)\n"
        "texts = [' '.join(f'w{draw.randrange(90)}' for _ in range(30)) for _ in range(200)]\n"
        "found = LexicalIndex([str(row) for row in range(200)], texts).search(texts[:20], 50)\n"
        "print(hashlib.sha256(b''.join(part.tobytes() for part in found)).hexdigest())\n"
    )
    digests = set()
    for seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        digests.add(done.stdout)
    assert len(digests) == 1


def test_weights_are_the_same_in_blocks_of_any_size(monkeypatch):
    random = np.random.default_rng(1)
    counts = csr_array(random.integers(0, 3, size=(11, 20)).astype(np.float32))
    whole = lexical.bm25_weights(counts)
    monkeypatch.setattr(lexical, "_BLOCK", 4)
    in_blocks = lexical.bm25_weights(counts)
    np.testing.assert_array_equal(whole.toarray(), in_blocks.toarray())
