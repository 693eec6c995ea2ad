"""The token store: a folder that ``datasets`` opens, padding on the tokenizer's side, refusal of another tokenizer."""

import datasets
import numpy as np
import pyarrow as pa
import pytest

from triptych.errors import UserError
from triptych.tokens.token_rows import TokenRows
from triptych.tokens.token_store import ExampleTexts, FurtherWindows, open_store, read_windows, write_store

ROWS = [[2, 7, 3], [2, *range(10, 20), 3], [2, 3], [2, *range(30, 48), 3]]
WINDOWS = [[2, 5, 3], [2, 6, 3], [2, 8, 9, 3]]  # one of the second text, two of the fourth
FURTHER = FurtherWindows(TokenRows.of(WINDOWS), np.array([0, 1, 0, 2]))
EXAMPLES = ExampleTexts(np.array([0, 2]), np.array([1, 3]), np.array([3, 1, 1]), np.array([0, 1, 3]))


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
        (tmp_path / "tokens").mkdir(exist_ok=True)
        write_store(tmp_path / "tokens", ROWS, metadata | changes, FURTHER, EXAMPLES)
        return open_store(tmp_path / "tokens", "abc")

    return make


def test_each_text_comes_back_as_it_was_written(store):
    found = store()
    assert [found[row].tolist() for row in range(len(ROWS))] == ROWS
    assert found.lengths.tolist() == [3, 12, 2, 20, 3, 3, 4]
    assert found.windows_of(np.array([0, 1, 3]))[0].tolist() == [0, 1, 4, 3, 5, 6]
    assert [found[row].tolist() for row in (4, 5, 6)] == [[2, 5, 3], [2, 6, 3], [2, 8, 9, 3]]


def test_further_windows_know_their_tokens_by_text():
    assert FURTHER.lengths.tolist() == [0, 3, 0, 7]


def test_tokens_are_mapped_from_the_file_as_int32_without_a_copy(store):
    store()
    before = pa.total_allocated_bytes()
    found = store()
    assert pa.total_allocated_bytes() == before  # bytes of mapped files are not allocated
    for array, dtype in ((found.ids, np.int32), (found.offsets, np.int64), (found[1], np.int32)):
        assert array.dtype == dtype
        assert not array.flags.owndata
        assert not array.flags.writeable
    assert np.shares_memory(found[1], found.ids)


def test_datasets_opens_the_texts_and_what_makes_an_example_without_our_code(store, tmp_path):
    store()
    opened = datasets.load_from_disk(str(tmp_path / "tokens"))
    texts, examples = opened["texts"], opened["examples"]
    assert texts["input_ids"][:] == [*ROWS, *WINDOWS]
    assert texts["length"][:] == [3, 12, 2, 20, 3, 3, 4]
    assert texts["text_id"][:] == [0, 1, 2, 3, 1, 3, 3]  # the last three are further windows
    assert examples[:] == {"anchor": [0, 2], "positive": [1, 3], "negatives": [[3], [1, 1]]}
    assert texts[examples[1]["anchor"]]["input_ids"] == ROWS[2]
    assert texts.with_format("numpy")[1]["input_ids"].tolist() == ROWS[1]


def test_ids_are_stored_once(tmp_path):
    rows = [list(range(2, 502))] * 2000
    write_store(tmp_path, rows, {}, None, ExampleTexts(*np.zeros((3, 5), int), np.arange(6)))
    size = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 4 * 500 * 2000 < size < 1.02 * 4 * 500 * 2000


def test_data_set_without_examples_or_windows_opens_too(tmp_path):
    nothing = ExampleTexts(*np.empty((3, 0), int), np.zeros(1, int))
    write_store(tmp_path, ROWS, {"tokenizer_sha256": "abc"}, None, nothing)
    assert len(datasets.load_from_disk(str(tmp_path))["examples"]) == 0
    assert read_windows(tmp_path).tolist() == [0, 0, 0, 0, 0]
    assert open_store(tmp_path, "abc").windows_of(np.array([2]))[0].tolist() == [2]
    assert read_windows(tmp_path / "none") is None


def test_fingerprint_under_which_datasets_caches_changes_with_the_ids(tmp_path):
    fingerprints = set()
    for number, rows in enumerate((ROWS, ROWS, ROWS[::-1])):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_store(folder, rows, {})
        fingerprints.add(datasets.load_from_disk(str(folder))["texts"]._fingerprint)
    assert len(fingerprints) == 2


def test_damaged_ids_are_named(store, tmp_path):
    store()
    path = tmp_path / "tokens/texts/data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged"):
        open_store(tmp_path / "tokens", "abc")


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
        open_store(tmp_path / "tokens", "def")


def test_missing_store_is_named(tmp_path):
    with pytest.raises(UserError, match="contains no tokens"):
        open_store(tmp_path / "tokens", "abc")


def test_equal_rows_are_equal_bytes(store, tmp_path):
    store()
    before = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    store()
    assert before == {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert len(before) == 8
