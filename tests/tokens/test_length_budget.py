"""`tokenize.max_length: auto` and `max_windows: auto`, by lengths, model and machine."""

import pytest

from triptych.params.sections import Tokenize
from triptych.tokens.length_budget import BUDGETS, choose_lengths
from triptych.tokens.token_store import with_lengths, write_store

SMALL = 11_000_000  # parameters, as all-MiniLM-L6-v2 has outside the embeddings


def chosen(lengths, settings, limit=512, machine="cpu with bf16", parameters=SMALL):
    rows = [range(length) for length in lengths]
    lengths = choose_lengths(
        rows, range(len(rows)), Tokenize(**{"max_length": 64, "max_windows": 1} | settings), limit, machine, parameters
    )
    return lengths.max_length, lengths.max_windows


@pytest.mark.parametrize(
    ("lengths", "expected"), [([10] * 94 + [33] * 6, 40), ([10] * 96 + [500] * 4, 16), ([16] * 100, 16)]
)
def test_auto_is_the_95th_percentile_rounded_up_to_eight(lengths, expected):
    assert chosen(lengths, {"max_length": "auto"}) == (expected, 1)


@pytest.mark.parametrize(("machine", "expected"), [("cpu", 64), ("cpu with bf16", 128), ("gpu", 256)])
def test_auto_is_at_most_what_the_machine_trains_on(machine, expected):
    assert chosen([400] * 9, {"max_length": "auto"}, machine=machine) == (expected, 1)


def test_length_is_never_more_than_the_model_takes():
    assert chosen([400], {"max_length": "auto"}, limit=96) == (96, 1)
    assert chosen([400], {"max_length": 512}, limit=256) == (256, 1)
    assert chosen([400], {"max_length": 512}, limit=None) == (512, 1)


def test_what_is_given_is_taken():
    rows, passages = [range(10), range(400)], [0, 1]
    lengths = choose_lengths(rows, passages, Tokenize(max_length=64, max_windows=3), 512, "cpu", SMALL)
    assert (lengths.max_length, lengths.max_windows, lengths.reason) == (64, 3, "")


def test_windows_see_everything_where_the_machine_can_afford_it():
    assert chosen([60] * 99 + [1000], {"max_windows": "auto"}) == (64, 16)
    assert chosen([60] * 99, {"max_windows": "auto"}) == (64, 1)
    # a text of a million tokens among short ones is no reason for thousands of windows
    assert chosen([60] * 99 + [1_000_000], {"max_windows": "auto"}) == (64, 256)


@pytest.mark.parametrize(("machine", "windows"), [("cpu", 2), ("cpu with bf16", 8), ("gpu", 64)])
def test_windows_stay_within_the_budget(machine, windows):
    lengths = [4000] * 6000
    assert chosen(lengths, {"max_windows": "auto"}, machine=machine)[1] == windows
    budget = BUDGETS[machine].operations / (2 * SMALL)
    assert 6000 * min(64 * windows, 4000) <= budget
    assert windows == 64 or 6000 * 64 * windows * 2 > budget


def test_a_larger_model_has_fewer_windows():
    assert chosen([4000] * 6000, {"max_windows": "auto"}, parameters=8 * SMALL)[1] == 1


def test_a_corpus_without_passages_or_beyond_the_budget_has_one_window():
    assert chosen([4000] * 100_000, {"max_windows": "auto"}, machine="cpu")[1] == 1
    assert choose_lengths([range(9)], [], Tokenize(max_windows="auto"), 512, "cpu", SMALL).max_windows == 1


def test_the_reason_has_what_was_chosen_and_what_it_costs():
    rows = [range(60)] * 99 + [range(1000)]
    settings = Tokenize(max_length="auto", max_windows="auto")
    reason = choose_lengths(rows, range(100), settings, 512, "cpu", SMALL).reason
    assert "max_length 64 and max_windows 16" in reason
    assert "6,940 tokens, 100% of their text, and 1.5e+11 operations of at most 2e+13" in reason


def test_auto_is_read_from_the_store(tmp_path):
    auto, given = Tokenize(max_length="auto", max_windows="auto"), Tokenize(max_length=32)
    assert (auto.known_windows, with_lengths(auto, tmp_path)) == (1, auto)
    write_store(tmp_path, [[1]], {"max_length": 128, "max_windows": 4})
    assert with_lengths(auto, tmp_path).known_windows == 4
    assert with_lengths(auto, tmp_path).max_length == 128
    assert with_lengths(given, tmp_path) == given
