"""The corpus of the scale benchmark holds what the benchmark says it planted."""

import re

import numpy as np
import pytest

from benchmarks.corpus_scale import Maker

SIZE = 10_000


@pytest.fixture(scope="module")
def planted():
    """Return the maker, the texts, and for each chunk that was made from another one how similar the two are."""
    maker = Maker(SIZE)
    texts = [record["content"] for record in maker.records()]

    def shingles(row):
        words = re.findall(r"\w+", texts[row])
        return {tuple(words[start : start + 3]) for start in range(len(words) - 2)}

    similarity = {
        row: len(shingles(row) & shingles(maker.original(row))) / len(shingles(row) | shingles(maker.original(row)))
        for row in range(SIZE)
        if maker.original(row) != row
    }
    return maker, texts, similarity


def test_copies_are_near_duplicates_and_look_alikes_are_none(planted):
    maker, _, similarity = planted
    assert min(value for row, value in similarity.items() if maker.copied(row)) >= 0.8
    assert max(value for row, value in similarity.items() if not maker.copied(row)) < 0.8


def test_shares_of_copies_and_look_alikes_are_those_promised(planted):
    maker, _, similarity = planted
    copied = np.mean([maker.copied(row) and row in similarity for row in range(SIZE)])
    assert copied == pytest.approx(0.15, abs=0.01)
    assert len(similarity) / SIZE - copied == pytest.approx(0.05, abs=0.01)


def test_a_copy_is_made_of_the_text_that_its_original_has(planted):
    maker, texts, similarity = planted
    row = min(similarity)
    assert " ".join(maker.text(maker.original(row))) == texts[maker.original(row)]
    assert " ".join(maker.text(row)) == texts[row]


def test_every_chunk_is_of_60_to_140_words_and_has_an_id_of_its_own(planted):
    maker, texts, _ = planted
    assert {60 <= len(text.split()) <= 140 for text in texts} == {True}
    ids = [record["chunk_id"] for record in maker.records()]
    assert len(set(ids)) == SIZE
