"""Shares as whole rows: of an epoch among views, and in general."""

from corpora import example, examples_of, views
from hypothesis import given, settings
from hypothesis import strategies as st

from triptych.triplets.sampling.epoch_sampler import apportion, view_rows


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=4),
    st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any),
    st.integers(1, 6),
    st.integers(0, 80),
)
def test_rows_of_an_epoch_go_to_views_by_share_as_far_as_repeats_allow(params_with, sizes, parts, repeats, size):
    names = ("query", "crossref", "lead", "sentence")
    wanted = {name: part / sum(parts) for name, part in zip(names, parts, strict=True)}
    params = params_with(**{"triplets.views": views(**wanted), "triplets.repeat_anchors": repeats}).triplets
    held = dict(zip(names, sizes, strict=True))
    examples = examples_of(example(n, name, tiers=()) for name in names for n in range(held[name]))
    rows = view_rows(examples, params, size)
    usable = {name: number for name, number in held.items() if number and wanted[name]}
    assert sum(rows.values()) == (size if usable else 0)
    assert rows.keys() <= usable.keys()
    if size <= repeats * sum(usable.values()) and usable:
        at_cap = [name for name in usable if rows.get(name, 0) >= repeats * usable[name]]
        free = {name: wanted[name] for name in usable if name not in at_cap}
        left = size - sum(rows.get(name, 0) for name in at_cap)
        assert all(abs(rows.get(name, 0) - left * share / sum(free.values())) < 2 for name, share in free.items())
        assert all(number <= repeats * usable[name] for name, number in rows.items())


def test_apportion_by_hand():
    assert apportion({"a": 0.5, "b": 0.25, "c": 0.25}, 7) == {"a": 3, "b": 2, "c": 2}
    assert apportion({"a": 1.0, "b": 1.0}, 3) == {"a": 2, "b": 1}
    assert apportion({"a": 0.0}, 3) == {}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.floats(0.001, 1.0), min_size=1, max_size=8),
    st.integers(0, 10_000),
)
def test_apportion_gives_whole_parts_that_sum_up_and_are_off_by_less_than_one(shares, number):
    parts = apportion(shares, number)
    total = sum(shares.values())
    assert sum(parts.values()) == number
    assert all(abs(parts[key] - number * share / total) < 1 + 1e-9 for key, share in shares.items())
