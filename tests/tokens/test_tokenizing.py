"""Token ids equal those of the model's own tokenizer, and are truncated correctly."""

import pytest
from transformers import AutoTokenizer

from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.tokens.length_statistics import statistics
from triptych.tokens.token_rows import TokenRows
from triptych.tokens.tokenizing import tokenize, truncate

TEXTS = ["Compute the inverse of a matrix.", "", "Return the discrete Fourier transform of a real array", "sort"]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return AutoTokenizer.from_pretrained(tiny_model)


def lists(rows):
    return [row.tolist() for row in rows]


def rows_of(*lengths):
    return [[0] * length for length in lengths]


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_ids_are_those_of_the_tokenizer_in_order(tokenizer, params_with, batch_size):
    settings = params_with(**{"tokenize.batch_size": batch_size}).tokenize
    assert lists(tokenize(tokenizer, TEXTS, settings)) == [tokenizer(text)["input_ids"] for text in TEXTS]


def test_a_batch_is_one_call_of_the_tokenizer(tokenizer, params_with, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "triptych.tokens.tokenizing.token_ids",
        lambda tokenizer, texts, special: calls.append(len(texts)) or tokenizer(texts)["input_ids"],
    )
    tokenize(tokenizer, TEXTS, params_with(**{"tokenize.batch_size": 3}).tokenize)
    assert calls == [3, 1]


def test_long_texts_are_not_cut_before_they_are_measured(tokenizer, params_with):
    (row,) = tokenize(tokenizer, ["matrix " * 300], params_with().tokenize)
    assert len(row) == 302


def test_text_that_is_cut_keeps_its_first_tokens_and_the_special_one_that_closes_it(tokenizer):
    row = tokenizer("compute the inverse of a matrix and its norm")["input_ids"]
    (cut,) = truncate(tokenizer, TokenRows.of([row]), 8)
    assert cut.tolist() == [*row[:7], tokenizer.sep_token_id]


def test_cut_is_that_of_the_tokenizer_itself(tokenizer):
    rows = [tokenizer(text)["input_ids"] for text in TEXTS]
    own = [tokenizer(text, truncation=True, max_length=8)["input_ids"] for text in TEXTS]
    assert lists(truncate(tokenizer, TokenRows.of(rows), 8)) == own
    assert own != rows


def test_text_of_the_very_length_is_not_cut(tokenizer):
    row = tokenizer("compute the inverse of a matrix")["input_ids"]
    assert lists(truncate(tokenizer, TokenRows.of([row]), len(row))) == [row]


def test_tokenizer_without_special_tokens_is_cut_plainly(tokenizer):
    class Bare:
        def __call__(self, text, add_special_tokens):
            return tokenizer(text, add_special_tokens=False)

    assert lists(truncate(Bare(), TokenRows.of([[5, 6, 7, 8, 9]]), 3)) == [[5, 6, 7]]


def test_statistics_by_hand():
    figures = statistics(rows_of(4, 6, 10, 20), anchors=[0, 0, 1], max_length=10)
    assert figures["share_truncated"] == 0.25
    assert (figures["avg_length"], figures["p90_length"], figures["p95_length"]) == (10.0, 20, 20)
    assert (figures["avg_anchor_length"], figures["p95_anchor_length"]) == (pytest.approx(14 / 3), 6)
    assert figures["lengths"] == [{"up_to": 16, "texts": 3}, {"up_to": 32, "texts": 1}]


def test_the_last_bar_of_the_histogram_holds_all_that_are_longer():
    bars = statistics(rows_of(16, 17, 1008, 1009, 5000), anchors=[0], max_length=10)["lengths"]
    assert [bar["up_to"] for bar in bars] == list(range(16, 1040, 16))
    assert [bar["texts"] for bar in bars if bar["texts"]] == [1, 1, 1, 2]


def test_fingerprint_does_not_change_with_use_but_with_the_vocabulary(tiny_model, params_with):
    model = load_base(params_with(**{"model.base": str(tiny_model)}).model)
    before = tokenizer_fingerprint(model)
    model.encode(["a long text " * 20, "short"])
    assert tokenizer_fingerprint(model) == before
    model.tokenizer.add_tokens(["ndarray"])
    assert tokenizer_fingerprint(model) != before
