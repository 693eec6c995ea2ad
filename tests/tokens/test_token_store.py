"""The token store: padding on the tokenizer's side, and refusal of another tokenizer's store."""

import numpy as np
import pytest

from triptych.errors import UserError
from triptych.tokens.token_store import open_store, write_store

ROWS = [[2, 7, 3], [2, *range(10, 20), 3], [2, 3], [2, *range(30, 48), 3]]


@pytest.fixture
def store(tmp_path):
    def make(**changes):
        metadata = {
            "tokenizer": "my-model",
            "tokenizer_sha256": "abc",
            "max_length": 20,
            "padding_side": "right",
            "pad_token_id": 9,
        }
        write_store(tmp_path, ROWS, metadata | changes)
        return open_store(tmp_path, "abc")

    return make


def test_each_text_comes_back_as_it_was_written(store):
    found = store()
    assert [found[row].tolist() for row in range(len(ROWS))] == ROWS
    assert found.lengths.tolist() == [3, 12, 2, 20]


def test_tokens_lie_in_a_memory_map_as_int32(store):
    found = store()
    assert isinstance(found.ids, np.memmap)
    assert found[1].dtype == np.int32
    assert np.shares_memory(found[1], found.ids)


def test_padding_is_right_of_an_encoders_tokens(store):
    ids, mask = store().pad(np.array([0, 2]))
    assert ids.tolist() == [[2, 7, 3, 9, 9, 9, 9, 9], [2, 3, 9, 9, 9, 9, 9, 9]]
    assert mask.tolist() == [[1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]]


def test_padding_is_left_of_a_decoders_tokens(store):
    ids, mask = store(padding_side="left").pad(np.array([0, 2]))
    assert ids.tolist() == [[9, 9, 9, 9, 9, 2, 7, 3], [9, 9, 9, 9, 9, 9, 2, 3]]
    assert mask.tolist() == [[0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1]]


@pytest.mark.parametrize(("texts", "width"), [([0], 8), ([0, 1], 16), ([3, 0], 20)])
def test_bucket_width_is_the_longest_rounded_up_to_eight_and_never_above_the_limit(store, texts, width):
    ids, mask = store().pad(np.array(texts))
    assert ids.shape == mask.shape == (len(texts), width)


def test_fixed_width_is_the_limit(store):
    assert store().pad(np.array([2]), fixed=True)[0].shape == (1, 20)


def test_rows_stand_in_the_order_asked_for_and_may_repeat(store):
    ids, _ = store().pad(np.array([2, 0, 2]))
    assert ids[:, 1].tolist() == [3, 7, 3]


def test_store_of_another_tokenizer_is_refused(store, tmp_path):
    store()
    with pytest.raises(UserError, match=r"made with the tokenizer of my-model"):
        open_store(tmp_path, "def")


def test_missing_store_is_named(tmp_path):
    with pytest.raises(UserError, match="contains no tokens"):
        open_store(tmp_path / "tokens", "abc")


def test_equal_rows_are_equal_bytes(store, tmp_path):
    store()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    store()
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.keys() == {"ids.npy", "offsets.npy", "windows.npy", "metadata.json"}
