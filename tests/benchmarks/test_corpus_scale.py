"""The synthetic corpus of the scale benchmark has the near-duplicates that the benchmark counts."""

import re

import numpy as np
import pytest

from benchmarks.corpus_scale import SyntheticCorpus

SIZE = 10_000


@pytest.fixture(scope="module")
def planted():
    """Return the corpus, its texts, and the similarity of each derived chunk to its original."""
    corpus = SyntheticCorpus(SIZE)
    texts = [record["content"] for record in corpus.records()]

    def shingles(row):
        words = re.findall(r"\w+", texts[row])
        return {tuple(words[start : start + 3]) for start in range(len(words) - 2)}

    similarity = {
        row: len(shingles(row) & shingles(corpus.original(row))) / len(shingles(row) | shingles(corpus.original(row)))
        for row in range(SIZE)
        if corpus.original(row) != row
    }
    return corpus, texts, similarity


def test_copies_are_near_duplicates_and_look_alikes_are_not(planted):
    corpus, _, similarity = planted
    assert min(value for row, value in similarity.items() if corpus.is_copy(row)) >= 0.8
    assert max(value for row, value in similarity.items() if not corpus.is_copy(row)) < 0.8


def test_shares_of_copies_and_look_alikes_are_as_documented(planted):
    corpus, _, similarity = planted
    copied = np.mean([corpus.is_copy(row) and row in similarity for row in range(SIZE)])
    assert copied == pytest.approx(0.15, abs=0.01)
    assert len(similarity) / SIZE - copied == pytest.approx(0.05, abs=0.01)


def test_a_copy_is_derived_from_its_originals_text(planted):
    corpus, texts, similarity = planted
    row = min(similarity)
    assert " ".join(corpus.text(corpus.original(row))) == texts[corpus.original(row)]
    assert " ".join(corpus.text(row)) == texts[row]


def test_every_chunk_has_60_to_140_words_and_its_own_id(planted):
    corpus, texts, _ = planted
    assert {60 <= len(text.split()) <= 140 for text in texts} == {True}
    ids = [record["chunk_id"] for record in corpus.records()]
    assert len(set(ids)) == SIZE
