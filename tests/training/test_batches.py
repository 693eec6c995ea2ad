"""The schedule of a run and its batches."""

from collections import Counter
from itertools import combinations_with_replacement

import numpy as np
import pytest

from triptych.corpus.records import Chunk, Link
from triptych.tokens.store import open_store, write_store
from triptych.training.batches import GROUPS, Collator, like_length
from triptych.training.schedule import COLUMNS, Schedule, easy_first
from triptych.triplets.examples import Example, Examples
from triptych.triplets.negatives import TIERS, Negative
from triptych.triplets.relations import Answers, Relations
from triptych.triplets.sampling import Draw, draw_for_run

PASSAGES = [100, 101, 102, 103, 104, 105]  # text id of each chunk
ROWS = [
    {"anchor": 1, "positive": 100, "negative": 101, "positive_chunk": 0, "negative_chunk": 1},
    {"anchor": 1, "positive": 100, "negative": 102, "positive_chunk": 0, "negative_chunk": 2},
    {"anchor": 0, "positive": 102, "negative": 100, "positive_chunk": 2, "negative_chunk": 0},
    {"anchor": 2, "positive": 50, "negative": 103, "positive_chunk": 3, "negative_chunk": 3},
]


def triplets_of(examples):
    """Return examples with a draw that takes the first negative of each, in the order they have."""
    return examples, Draw(np.arange(len(examples)), examples.pool.offsets[:-1], {})


def example(number, tier, *more):
    negative = Negative(number % len(PASSAGES), tier, "random", 0.0)
    return Example(number, 200 + number, 0, "lead", "api", (negative, *more))


@pytest.fixture
def triplets():
    return triplets_of(Examples.of(example(number, TIERS[number % 3]) for number in range(90)))


@pytest.fixture
def tiers_of(params_with):
    def order(triplets, **changes):
        settings = params_with(**{f"train.{key}": value for key, value in changes.items()}).train
        return [TIERS[anchor % 3] for anchor in easy_first(*triplets, PASSAGES, settings)["anchor"]]

    return order


@pytest.fixture
def collate(tmp_path):
    def make(links=(), fixed=False, answers=((), ())):
        metadata = {"max_length": 16, "padding_side": "right", "pad_token_id": 0, "tokenizer_sha256": "abc"}
        write_store(tmp_path, [[7] * (number % 5) + [1000 + number] for number in range(110)], metadata)
        chunks = [
            Chunk(f"c{row}", "api", f"{row}.md", (str(row),), f"title{row}", "", "", cluster_id=row) for row in range(6)
        ]
        relations = Relations(chunks, [Link(*pair, "", "") for pair in links])
        return Collator(open_store(tmp_path, "abc"), relations, Answers(*map(np.array, answers)), fixed)

    return make


def text_ids(batch, role):
    """Read the text ids of ``queries`` or ``passages`` back: each text's last token is 1000 + its id."""
    found = []
    for group in batch["features"]:
        last = group["attention_mask"].sum(dim=1) - 1
        found += (group["input_ids"].gather(1, last[:, None])[:, 0] - 1000).tolist()
    return [found[place] for place in batch["rows"][role].tolist()]


def test_curriculum_without_overlap_goes_from_easy_to_hard(triplets, tiers_of):
    order = tiers_of(triplets, curriculum="easy_first", curriculum_overlap=0.0)
    assert order == ["easy"] * 30 + ["medium"] * 30 + ["hard"] * 30


def test_overlap_blurs_the_curriculum_but_keeps_its_direction(triplets, tiers_of):
    order = tiers_of(triplets, curriculum="easy_first", curriculum_overlap=1.0)
    place = {tier: np.mean([row for row, one in enumerate(order) if one == tier]) for tier in TIERS}
    assert place["easy"] < place["medium"] < place["hard"]
    assert order != sorted(order, key=TIERS.index)


def test_shuffled_curriculum_mixes_the_tiers(triplets, tiers_of):
    order = tiers_of(triplets, curriculum="shuffled")
    assert {len(set(order[start : start + 30])) for start in (0, 30, 60)} == {3}
    halves = Counter(order[:45])
    assert max(halves.values()) <= 22


@pytest.mark.parametrize(("curriculum", "overlap"), [("shuffled", 0.0), ("easy_first", 0.0), ("easy_first", 5.0)])
def test_order_changes_nothing_of_the_mix(triplets, params_with, curriculum, overlap):
    params = params_with(**{"train.curriculum": curriculum, "train.curriculum_overlap": overlap})
    rows = easy_first(*triplets, PASSAGES, params.train)
    assert Counter(zip(rows["anchor"], rows["negative_chunk"], strict=True)) == Counter(
        (one.anchor, one.negatives[0].chunk) for one in triplets[0]
    )


def test_columns_keep_each_triplet_together(triplets, params_with):
    rows = easy_first(*triplets, PASSAGES, params_with().train)
    assert set(rows) == set(COLUMNS)
    for row in zip(*(rows[name] for name in COLUMNS), strict=True):
        anchor, positive, negative, positive_chunk, negative_chunk = row
        assert (positive, positive_chunk) == (200 + anchor, 0)
        assert (negative_chunk, negative) == (anchor % 6, PASSAGES[anchor % 6])


def test_order_depends_on_the_seed_alone(triplets, tiers_of):
    assert tiers_of(triplets, seed=1) == tiers_of(triplets, seed=1) != tiers_of(triplets, seed=2)


def test_each_distinct_text_stands_once_in_a_batch(collate):
    batch = collate()(ROWS)
    assert sorted(text_ids(batch, "queries")) == [0, 1, 2]
    assert sorted(text_ids(batch, "passages")) == [50, 100, 101, 102, 103]


def test_places_point_at_the_texts_of_each_row(collate):
    batch = collate()(ROWS)
    for column, role in (("anchor", "queries"), ("positive", "passages"), ("negative", "passages")):
        found = [text_ids(batch, role)[place] for place in batch["rows"][column].tolist()]
        assert found == [row[column] for row in ROWS]


def test_related_passages_of_a_batch_are_marked(collate):
    batch = collate(links=[("c0", "c1")])(ROWS)
    texts = text_ids(batch, "passages")
    marked = [{texts[place] for place in np.flatnonzero(row)} for row in batch["rows"]["related"].numpy()]
    assert marked == [{100, 101}, {100, 101}, {102}, {50, 103}]


def test_a_text_that_is_query_and_passage_is_there_once(collate):
    batch = collate()([ROWS[0] | {"anchor": 100}])
    assert sum(len(group["input_ids"]) for group in batch["features"]) == 2
    assert (text_ids(batch, "queries"), text_ids(batch, "passages")) == ([100], [100, 101])


@pytest.mark.parametrize(("fixed", "width"), [(False, 8), (True, 16)])
def test_padding_is_as_params_say(collate, fixed, width):
    batch = collate(fixed=fixed)(ROWS)
    assert [group["input_ids"].shape for group in batch["features"]] == [(8, width)]


def test_groups_of_like_length_need_the_least_padding():
    random = np.random.default_rng(5)
    for _ in range(50):
        lengths = random.integers(1, 65, random.integers(1, 16))
        groups = like_length(lengths)
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
        assert [lengths[group].max() for group in groups] == sorted({lengths[g].max() for g in groups}, reverse=True)
        widths = -(-np.sort(lengths) // 8) * 8
        best = min(
            sum(len(part) * part[-1] for part in np.split(widths, cuts) if len(part))
            for cuts in combinations_with_replacement(range(len(widths) + 1), GROUPS - 1)
        )
        assert sum(len(group) * (-(-lengths[group].max() // 8) * 8) for group in groups) == best


def test_a_schedule_deals_whole_batches_in_order():
    schedule = Schedule({"anchor": [5, 6, 7, 8, 9], "positive": [1, 2, 3, 4, 5]}, 2)
    assert [schedule.rows(batch) for batch in range(len(schedule))] == [
        [{"anchor": 5, "positive": 1}, {"anchor": 6, "positive": 2}],
        [{"anchor": 7, "positive": 3}, {"anchor": 8, "positive": 4}],
    ]


def test_mix_that_was_drawn_is_the_mix_that_is_trained(params_with):
    pool = tuple(Negative(row, tier, "random", 0.0) for row, tier in enumerate(TIERS))
    examples = Examples.of(Example(number, number, 5, "lead", "api", pool) for number in range(20))
    shares = dict.fromkeys(params_with().triplets.views.model_dump(), 0.0) | {"lead": 1.0}
    changes = {"triplets.views": shares, "triplets.cap_per_anchor": 100, "triplets.cap_per_negative": 100}
    params = params_with(**changes)
    rows = easy_first(examples, draw_for_run(examples, params.triplets, "embedder", 100, 5), PASSAGES, params.train)
    assert Counter(rows["negative_chunk"]) == {0: 30, 1: 40, 2: 30}


def test_stored_negative_is_the_one_that_was_drawn_not_the_first_of_the_pool(params_with):
    examples = Examples.of([example(2, "easy"), example(4, "hard", Negative(1, "hard", "random", 0.0))])
    rows = easy_first(examples, Draw(np.array([1]), np.array([2]), {}), PASSAGES, params_with().train)
    assert (rows["anchor"], rows["negative"], rows["negative_chunk"]) == ([4], [101], [1])


def test_schedule_of_an_empty_draw_is_empty(params_with):
    none = np.empty(0, np.int64)
    rows = easy_first(Examples.of([example(2, "easy")]), Draw(none, none, {}), PASSAGES, params_with().train)
    assert rows == {name: [] for name in COLUMNS}


def test_other_answers_of_an_anchor_and_what_is_related_to_them_leave_its_denominator(collate):
    answers = [1, 1, 0], [0, 2, 2]  # words 1 are answered by chunks 0 and 2
    batch = collate([("c2", "c1")], answers=answers)(ROWS)
    column = {chunk: place for place, chunk in enumerate([50, 100, 101, 102, 103])}
    related = batch["rows"]["related"]
    assert related[0, [column[100], column[101], column[102]]].all()
    assert not related[2, column[100]]  # words 0 have one answer, chunk 2
