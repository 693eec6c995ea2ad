"""The schedule of a run: stretches drawn when their time comes, their tiers by the curriculum, the promised mix."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from corpora import Example, examples_of

from triptych.errors import UserError
from triptych.training.data.batch_schedule import DrawnSchedule, FixedSchedule, tilted
from triptych.triplets.negatives import TIERS, Negative
from triptych.triplets.sampling.epoch_sampler import AnchorSampler, EpochSampler, epoch_of_run
from triptych.triplets.views import VIEWS

PASSAGES = np.arange(500, 5000)  # text id of each chunk
BATCHES, STRETCH, SIZE = 21, 3, 10


def example(number, category="api", tiers=TIERS):
    negatives = [
        Negative(20 * number + 4 * place + one, tier, "random", 0.0)
        for place, tier in enumerate(tiers)
        for one in range(4)
    ]
    return Example(number, 500 + 20 * number + 19, 20 * number + 19, "lead", category, tuple(negatives))


EXAMPLES = examples_of(example(number, "guide" if number % 4 == 3 else "api") for number in range(100))


@pytest.fixture
def course(params_with):
    def make(examples=EXAMPLES, batches=BATCHES, seed=5, tight=False, stored=True, **changes):
        views = dict.fromkeys(VIEWS, 0.0) | {"lead": 1.0}
        caps = {"triplets.cap_per_anchor": 1 if tight else 10**6, "triplets.cap_per_negative": 10**6}
        settings = {"train.resample_every": STRETCH, "train.batch_size": SIZE, "triplets.views": views} | caps
        params = params_with(**(settings | changes))
        epoch = epoch_of_run(batches * SIZE, examples)
        anchors = AnchorSampler(examples, params.triplets, seed, epoch)
        drawing = EpochSampler(examples, params.triplets, "embedder", seed, epoch) if stored else anchors
        return DrawnSchedule(examples, drawing, PASSAGES, params.train, batches, seed)

    return make


def all_rows(course):
    return [row for batch in range(len(course)) for row in course.rows(batch)]


def shares(rows):
    counts = Counter(TIERS[row["tier"]] for row in rows)
    return {tier: counts[tier] / counts.total() for tier in TIERS}


def test_a_schedule_deals_whole_batches_in_order():
    schedule = FixedSchedule({"anchor": [5, 6, 7, 8, 9], "positive": [1, 2, 3, 4, 5]}, 2)
    assert schedule.known() == 2
    assert [schedule.rows(batch) for batch in range(len(schedule))] == [
        [{"anchor": 5, "positive": 1}, {"anchor": 6, "positive": 2}],
        [{"anchor": 7, "positive": 3}, {"anchor": 8, "positive": 4}],
    ]


@pytest.mark.parametrize("tilt", [0.0, 0.8])
def test_the_run_as_a_whole_has_the_promised_mix_within_a_point(course, tilt):
    made = course(**{"train.curriculum": tilt})
    assert shares(all_rows(made)) == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.01)
    assert made.mix().keys() == {"api", "guide"}
    for found in made.mix().values():
        assert found == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.01)


def test_the_curriculum_goes_from_easy_to_hard_and_leaves_none_out(course):
    made = course(**{"train.curriculum": 0.8})
    stretches = [
        shares([row for batch in range(first, first + STRETCH) for row in made.rows(batch)])
        for first in range(0, BATCHES, STRETCH)
    ]
    assert stretches[0] == pytest.approx(made.weights(0), abs=0.05)
    assert stretches[0]["easy"] > 0.45 > 0.15 > stretches[-1]["easy"] > 0
    assert stretches[-1]["hard"] > 0.45 > 0.15 > stretches[0]["hard"] > 0
    easy = [one["easy"] for one in stretches]
    assert easy == sorted(easy, reverse=True)


def test_without_a_curriculum_every_stretch_has_the_mix(course):
    made = course(**{"train.curriculum": 0.0})
    for first in range(0, BATCHES, STRETCH):
        assert made.weights(first) == {"easy": 0.3, "medium": 0.4, "hard": 0.3}
        rows = [row for batch in range(first, first + STRETCH) for row in made.rows(batch)]
        assert shares(rows) == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.07)


def test_a_tilted_mix_is_a_mix_and_moves_between_the_tiers_that_are_there():
    mix = {"easy": 0.0, "medium": 0.25, "hard": 0.75}
    assert tilted(mix, 0.8) == pytest.approx({"easy": 0.0, "medium": 0.45, "hard": 0.55})
    assert tilted(mix, -0.8) == pytest.approx({"easy": 0.0, "medium": 0.05, "hard": 0.95})
    assert tilted({"easy": 0.0, "medium": 0.0, "hard": 1.0}, 0.8) == {"easy": 0.0, "medium": 0.0, "hard": 1.0}


def test_rows_hold_a_triplet_of_the_examples(course):
    for row in all_rows(course()):
        assert set(row) == {"anchor", "positive", "positive_chunk", "negative", "negative_chunk", "tier"}
        number = row["anchor"]
        assert (row["positive"], row["positive_chunk"]) == (500 + 20 * number + 19, 20 * number + 19)
        negatives = {one.chunk: one.tier for one in EXAMPLES.pool[number]}
        assert negatives[row["negative_chunk"]] == TIERS[row["tier"]]
        assert row["negative"] == 500 + row["negative_chunk"]


def test_without_stored_negatives_rows_are_anchors_with_their_positives_and_there_is_no_mix(course):
    made = course(stored=False)
    rows = all_rows(made)
    assert len(rows) == BATCHES * SIZE
    for row in rows:
        number = row["anchor"]
        assert row == {"anchor": number, "positive": 500 + 20 * number + 19, "positive_chunk": 20 * number + 19}
    assert (made.weights(0), made.mix()) == ({}, {})


@pytest.mark.parametrize("stored", [True, False])
def test_a_stretch_is_the_same_whatever_was_drawn_before(course, stored):
    assert course(stored=stored).rows(BATCHES - 1) == all_rows(course(stored=stored))[-SIZE:]


def test_no_negative_comes_back_before_its_tier_of_the_pool_is_used_up_over_stretches(course):
    met = Counter((row["anchor"], row["tier"], row["negative_chunk"]) for row in all_rows(course(batches=120)))
    assert max(met.values()) > 1
    of_pool = defaultdict(list)
    for number in range(len(EXAMPLES)):
        for negative in EXAMPLES.pool[number]:
            tier = TIERS.index(negative.tier)
            of_pool[number, tier].append(met[number, tier, negative.chunk])
    assert all(max(times) - min(times) <= 1 for times in of_pool.values())


@pytest.mark.parametrize("stored", [True, False])
def test_no_example_comes_back_before_all_of_its_category_were_drawn_over_stretches(course, stored):
    times = Counter(row["anchor"] for row in all_rows(course(stored=stored)))
    for category in (0, 1):
        rows = [times[anchor] for anchor in np.flatnonzero(EXAMPLES.category == category).tolist()]
        assert max(rows) - min(rows) <= 1


def test_batches_are_the_same_in_whatever_order_they_are_asked_for_and_with_another_seed_others(course):
    forward, backward, other = course(), course(), course(seed=6)
    before = [backward.rows(batch) for batch in reversed(range(BATCHES))][::-1]
    assert [forward.rows(batch) for batch in range(BATCHES)] == before
    assert all_rows(other) != all_rows(forward)


def test_the_last_stretch_is_as_long_as_what_is_left(course):
    made = course(batches=8)
    assert [len(made.rows(batch)) for batch in range(8)] == [SIZE] * 8
    assert len(made) == made.known() == 8


def test_caps_hold_for_each_epoch_of_a_run_and_not_for_all_of_it(course):
    # Each example may come once with each tier; 100 examples, 210 rows in three epochs of 70.
    rows = all_rows(course(tight=True))
    assert len(rows) == BATCHES * SIZE
    times = Counter((row["anchor"], row["tier"]) for row in rows)
    assert max(times.values()) <= 3


def test_rows_that_a_lacking_tier_leaves_out_are_filled_up(course):
    lacking = examples_of(example(number, tiers=("easy", "hard")) for number in range(100))
    rows = all_rows(course(lacking))
    assert len(rows) == BATCHES * SIZE
    assert shares(rows) == pytest.approx({"easy": 0.5, "medium": 0.0, "hard": 0.5}, abs=0.02)


def test_examples_without_a_negative_stop_the_run_with_a_reason(course):
    with pytest.raises(UserError, match="no triplet can be sampled"):
        course(examples_of(example(number, tiers=()) for number in range(20))).rows(0)


def test_what_follows_a_decision_is_unknown_until_it_is_made(course):
    made = course()
    made.decide_at([6, 15])
    assert made.known() == 6
    made.raised.append({"guide": 3.0})
    assert made.known() == 15
    with pytest.raises(IndexError):
        made.rows(15)


def test_a_category_whose_weight_is_raised_gets_more_rows_from_then_on(course):
    made = course()
    made.decide_at([6, 15])
    made.raised += [{"guide": 3.0}, {}]
    guide = [np.mean([EXAMPLES.category[row["anchor"]] for row in made.rows(batch)]) for batch in range(BATCHES)]
    assert np.mean(guide[:6]) == pytest.approx(0.5)
    assert np.mean(guide[6:15]) == pytest.approx(0.75, abs=0.01)
    assert np.mean(guide[15:]) == pytest.approx(0.5)


def test_a_run_rebuilt_from_its_decisions_has_the_same_rows(course):
    first, again = course(), course()
    for made in (first, again):
        made.decide_at([6, 15])
    before = [first.rows(batch) for batch in range(6)]
    first.raised += [{"guide": 2.0}, {"guide": 4.0}]
    again.raised = list(first.raised)
    assert [again.rows(batch) for batch in range(20, 5, -1)][::-1] == [first.rows(batch) for batch in range(6, 21)]
    assert [again.rows(batch) for batch in range(6)] == before
