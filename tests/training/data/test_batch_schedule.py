"""The schedule of a run: segments drawn when they are needed, their tiers by the curriculum, the wanted mix."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from corpora import Example, examples_of

from triptych.errors import UserError
from triptych.training.data.batch_schedule import DrawnSchedule, FixedSchedule, shift_mix
from triptych.triplets.negatives import TIERS, Negative
from triptych.triplets.sampling.epoch_sampler import AnchorSampler, EpochSampler, epoch_of_run
from triptych.triplets.views import VIEWS

PASSAGES = np.arange(500, 5000)  # text id of each chunk
BATCHES, SEGMENT, SIZE = 21, 3, 10


def example(number, category="api", tiers=TIERS):
    negatives = [
        Negative(20 * number + 4 * place + one, tier, "random", 0.0)
        for place, tier in enumerate(tiers)
        for one in range(4)
    ]
    return Example(number, 500 + 20 * number + 19, 20 * number + 19, "lead", category, tuple(negatives))


EXAMPLES = examples_of(example(number, "guide" if number % 4 == 3 else "api") for number in range(100))


@pytest.fixture
def drawn_schedule(params_with):
    def make(examples=EXAMPLES, batches=BATCHES, seed=5, tight=False, stored=True, phases=(), **changes):
        views = dict.fromkeys(VIEWS, 0.0) | {"lead": 1.0}
        caps = {"triplets.cap_per_anchor": 1 if tight else 10**6, "triplets.cap_per_negative": 10**6}
        settings = {"train.resample_every": SEGMENT, "train.batch_size": SIZE, "triplets.views": views} | caps
        params = params_with(**(settings | changes))
        epoch = epoch_of_run(batches * SIZE, examples)
        anchors = AnchorSampler(examples, params.triplets, seed, epoch)
        drawing = EpochSampler(examples, params.triplets, "embedder", seed, epoch) if stored else anchors
        return DrawnSchedule(examples, drawing, PASSAGES, params.train, batches, seed, phases=phases)

    return make


def rows_of(schedule, batch):
    """Return the rows of a batch as dicts."""
    columns = {name: column.tolist() for name, column in schedule.rows(batch).items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def all_rows(schedule):
    return [row for batch in range(len(schedule)) for row in rows_of(schedule, batch)]


def shares(rows):
    counts = Counter(TIERS[row["tier"]] for row in rows)
    return {tier: counts[tier] / counts.total() for tier in TIERS}


def test_a_fixed_schedule_has_whole_batches_in_order():
    columns = {"anchor": np.arange(5, 10), "positive": np.arange(1, 6)}
    schedule = FixedSchedule.from_columns(columns, 2)
    assert schedule.known() == 2
    assert [rows_of(schedule, batch) for batch in range(len(schedule))] == [
        [{"anchor": 5, "positive": 1}, {"anchor": 6, "positive": 2}],
        [{"anchor": 7, "positive": 3}, {"anchor": 8, "positive": 4}],
    ]


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_run_as_a_whole_has_the_promised_mix_within_a_point(drawn_schedule, shift):
    made = drawn_schedule(**{"train.curriculum": shift})
    assert shares(all_rows(made)) == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.01)
    assert made.mix().keys() == {"api", "guide"}
    for found in made.mix().values():
        assert found == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.01)


def test_the_curriculum_goes_from_easy_to_hard_and_keeps_every_tier(drawn_schedule):
    made = drawn_schedule(**{"train.curriculum": 0.8})
    segments = [
        shares([row for batch in range(first, first + SEGMENT) for row in rows_of(made, batch)])
        for first in range(0, BATCHES, SEGMENT)
    ]
    assert segments[0] == pytest.approx(made.weights(0), abs=0.05)
    assert segments[0]["easy"] > 0.45 > 0.15 > segments[-1]["easy"] > 0
    assert segments[-1]["hard"] > 0.45 > 0.15 > segments[0]["hard"] > 0
    easy = [one["easy"] for one in segments]
    assert easy == sorted(easy, reverse=True)


def test_without_a_curriculum_every_segment_has_the_mix(drawn_schedule):
    made = drawn_schedule(**{"train.curriculum": 0.0})
    for first in range(0, BATCHES, SEGMENT):
        assert made.weights(first) == {"easy": 0.3, "medium": 0.4, "hard": 0.3}
        rows = [row for batch in range(first, first + SEGMENT) for row in rows_of(made, batch)]
        assert shares(rows) == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.07)


def test_a_shifted_mix_is_a_mix_and_moves_between_the_tiers_that_are_there():
    mix = {"easy": 0.0, "medium": 0.25, "hard": 0.75}
    assert shift_mix(mix, 0.8) == pytest.approx({"easy": 0.0, "medium": 0.45, "hard": 0.55})
    assert shift_mix(mix, -0.8) == pytest.approx({"easy": 0.0, "medium": 0.05, "hard": 0.95})
    assert shift_mix({"easy": 0.0, "medium": 0.0, "hard": 1.0}, 0.8) == {"easy": 0.0, "medium": 0.0, "hard": 1.0}


@pytest.mark.parametrize("every", [3, 5, 100])
def test_phases_are_thirds_of_the_run_with_one_tier_each(drawn_schedule, every):
    made = drawn_schedule(batches=20, phases=TIERS, **{"train.resample_every": every})
    tiers = [{TIERS[row["tier"]] for row in rows_of(made, batch)} for batch in range(20)]
    assert tiers == [{"easy"}] * 7 + [{"medium"}] * 6 + [{"hard"}] * 7
    assert [made.weights(batch)["medium"] for batch in (6, 7, 12, 13)] == [0.0, 1.0, 1.0, 0.0]


def test_phases_come_in_their_order_and_the_mix_is_one_without_a_curriculum(drawn_schedule):
    made = drawn_schedule(batches=40, phases=["hard", "mix"], **{"train.resample_every": 100, "train.curriculum": 0.8})
    assert shares([row for batch in range(20) for row in rows_of(made, batch)])["hard"] == 1.0
    mix = {"easy": 0.3, "medium": 0.4, "hard": 0.3}
    assert shares([row for batch in range(20, 40) for row in rows_of(made, batch)]) == pytest.approx(mix, abs=0.01)


def test_phases_end_after_whole_steps(drawn_schedule):
    made = drawn_schedule(batches=10, phases=["easy", "hard"], **{"train.gradient_accumulation_steps": 2})
    assert made.segment_ends == [4, 10]


def test_a_phase_without_negatives_of_its_tier_is_refused_before_training(drawn_schedule):
    lacking = examples_of(example(number, tiers=("easy", "hard")) for number in range(100))
    with pytest.raises(UserError, match=r"phases: no anchor has a negative of tier medium; leave it out"):
        drawn_schedule(lacking, phases=TIERS)


def test_rows_are_drawn_often_enough_for_evaluations_that_rebalance(drawn_schedule):
    often = {"train.resample_every": 10, "train.eval_every": 4}
    assert drawn_schedule(**often).segment_ends == [10, 20, 21]
    assert drawn_schedule(**often, **{"train.rebalance": True}).segment_ends == [4, 8, 12, 16, 20, 21]


def test_rows_hold_a_triplet_of_the_examples(drawn_schedule):
    for row in all_rows(drawn_schedule()):
        assert set(row) == {"anchor", "positive", "positive_chunk", "negative", "negative_chunk", "tier"}
        number = row["anchor"]
        assert (row["positive"], row["positive_chunk"]) == (500 + 20 * number + 19, 20 * number + 19)
        negatives = {one.chunk: one.tier for one in EXAMPLES.pool[number]}
        assert negatives[row["negative_chunk"]] == TIERS[row["tier"]]
        assert row["negative"] == 500 + row["negative_chunk"]


def test_without_stored_negatives_rows_are_anchors_with_their_positives_without_a_mix(drawn_schedule):
    made = drawn_schedule(stored=False)
    rows = all_rows(made)
    assert len(rows) == BATCHES * SIZE
    for row in rows:
        number = row["anchor"]
        assert row == {"anchor": number, "positive": 500 + 20 * number + 19, "positive_chunk": 20 * number + 19}
    assert (made.weights(0), made.mix()) == ({}, {})


def test_an_anchor_may_have_several_stored_negatives_each_another_and_in_the_mix(drawn_schedule):
    one, three = drawn_schedule(), drawn_schedule(**{"train.stored_negatives": 3})
    for batch in range(BATCHES):
        first, rows = rows_of(one, batch), rows_of(three, batch)
        assert len(rows) == 3 * SIZE
        of_anchors = [rows[start : start + 3] for start in range(0, len(rows), 3)]
        for of_anchor in of_anchors:
            assert len({row["anchor"] for row in of_anchor}) == 1
            assert len({row["negative_chunk"] for row in of_anchor}) == 3
            negatives = {negative.chunk: negative.tier for negative in EXAMPLES.pool[of_anchor[0]["anchor"]]}
            assert all(negatives[row["negative_chunk"]] == TIERS[row["tier"]] for row in of_anchor)
        if batch < SEGMENT:
            assert [of_anchor[0]["anchor"] for of_anchor in of_anchors] == [row["anchor"] for row in first]
    assert shares(all_rows(three)) == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.02)
    assert set(three.mix()) == {"api", "guide"}


def test_an_anchor_with_fewer_negatives_than_wanted_counts_as_much_as_the_others(drawn_schedule):
    few = [example(number, tiers=("easy",)) if number % 2 else example(number) for number in range(100)]
    made = drawn_schedule(examples_of(few), tight=True, **{"train.stored_negatives": 8})
    for batch in range(BATCHES):
        rows = rows_of(made, batch)
        assert len(rows) == 8 * SIZE
        for start in range(0, len(rows), 8):
            of_anchor = rows[start : start + 8]
            assert len({row["anchor"] for row in of_anchor}) == 1
            pool = {negative.chunk for negative in examples_of(few).pool[of_anchor[0]["anchor"]]}
            assert {row["negative_chunk"] for row in of_anchor} <= pool


@pytest.mark.parametrize("stored", [True, False])
def test_a_segment_is_the_same_whatever_was_drawn_before(drawn_schedule, stored):
    assert rows_of(drawn_schedule(stored=stored), BATCHES - 1) == all_rows(drawn_schedule(stored=stored))[-SIZE:]


def test_negatives_repeat_only_after_their_tier_of_the_pool_is_used_up_over_segments(drawn_schedule):
    met = Counter((row["anchor"], row["tier"], row["negative_chunk"]) for row in all_rows(drawn_schedule(batches=120)))
    assert max(met.values()) > 1
    of_pool = defaultdict(list)
    for number in range(len(EXAMPLES)):
        for negative in EXAMPLES.pool[number]:
            tier = TIERS.index(negative.tier)
            of_pool[number, tier].append(met[number, tier, negative.chunk])
    assert all(max(times) - min(times) <= 1 for times in of_pool.values())


@pytest.mark.parametrize("stored", [True, False])
def test_examples_repeat_only_after_all_of_their_category_were_drawn_over_segments(drawn_schedule, stored):
    times = Counter(row["anchor"] for row in all_rows(drawn_schedule(stored=stored)))
    for category in (0, 1):
        rows = [times[anchor] for anchor in np.flatnonzero(EXAMPLES.category == category).tolist()]
        assert max(rows) - min(rows) <= 1


def test_batches_are_the_same_in_whatever_order_they_are_asked_for_and_with_another_seed_others(drawn_schedule):
    forward, backward, other = drawn_schedule(), drawn_schedule(), drawn_schedule(seed=6)
    before = [rows_of(backward, batch) for batch in reversed(range(BATCHES))][::-1]
    assert [rows_of(forward, batch) for batch in range(BATCHES)] == before
    assert all_rows(other) != all_rows(forward)


def test_the_last_segment_is_as_long_as_what_is_left(drawn_schedule):
    made = drawn_schedule(batches=8)
    assert [len(rows_of(made, batch)) for batch in range(8)] == [SIZE] * 8
    assert len(made) == made.known() == 8


def test_caps_hold_for_each_epoch_of_a_run_and_not_for_all_of_it(drawn_schedule):
    # Each example may come once with each tier; 100 examples, 210 rows in three epochs of 70.
    rows = all_rows(drawn_schedule(tight=True))
    assert len(rows) == BATCHES * SIZE
    times = Counter((row["anchor"], row["tier"]) for row in rows)
    assert max(times.values()) <= 3


def test_rows_missing_for_lack_of_a_tier_are_filled_up(drawn_schedule):
    lacking = examples_of(example(number, tiers=("easy", "hard")) for number in range(100))
    rows = all_rows(drawn_schedule(lacking))
    assert len(rows) == BATCHES * SIZE
    assert shares(rows) == pytest.approx({"easy": 0.5, "medium": 0.0, "hard": 0.5}, abs=0.02)


def test_examples_without_a_negative_stop_the_run_with_a_reason(drawn_schedule):
    with pytest.raises(UserError, match="no triplet can be sampled"):
        drawn_schedule(examples_of(example(number, tiers=()) for number in range(20))).rows(0)


def test_batches_after_a_decision_are_unknown_until_it_is_made(drawn_schedule):
    made = drawn_schedule()
    made.decide_at([6, 15])
    assert made.known() == 6
    made.category_factors.append({"guide": 3.0})
    assert made.known() == 15
    with pytest.raises(IndexError):
        made.rows(15)


def test_a_category_whose_weight_is_raised_gets_more_rows_from_then_on(drawn_schedule):
    made = drawn_schedule()
    made.decide_at([6, 15])
    made.category_factors += [{"guide": 3.0}, {}]
    guide = [np.mean([EXAMPLES.category[row["anchor"]] for row in rows_of(made, batch)]) for batch in range(BATCHES)]
    assert np.mean(guide[:6]) == pytest.approx(0.5)
    assert np.mean(guide[6:15]) == pytest.approx(0.75, abs=0.01)
    assert np.mean(guide[15:]) == pytest.approx(0.5)


def test_a_run_rebuilt_from_its_decisions_has_the_same_rows(drawn_schedule):
    first, again = drawn_schedule(), drawn_schedule()
    for made in (first, again):
        made.decide_at([6, 15])
    before = [rows_of(first, batch) for batch in range(6)]
    first.category_factors += [{"guide": 2.0}, {"guide": 4.0}]
    again.category_factors = list(first.category_factors)
    assert [rows_of(again, batch) for batch in range(20, 5, -1)][::-1] == [
        rows_of(first, batch) for batch in range(6, 21)
    ]
    assert [rows_of(again, batch) for batch in range(6)] == before


def mined_again(add):
    """Return the examples with pools of other chunks, and a text id for each of their negatives."""
    pool = replace(EXAMPLES.pool, chunk=EXAMPLES.pool.chunk + add)
    return replace(EXAMPLES, pool=pool), 10_000 + pool.chunk


def test_batches_after_a_mining_wait_for_it_and_take_its_negatives(drawn_schedule):
    made = drawn_schedule()
    made.mine_at([6, 15])
    before = [rows_of(made, batch) for batch in range(6)]
    assert made.known() == 6
    with pytest.raises(IndexError):
        made.rows(6)
    made.use_pools(*mined_again(2000))
    assert made.known() == 15
    made.use_pools(mined_again(2500)[0], None)
    assert made.known() == BATCHES
    rows = [row for batch in range(6, 15) for row in rows_of(made, batch)]
    assert {row["negative"] - row["negative_chunk"] for row in rows} == {10_000}
    assert {row["negative_chunk"] - 2000 - 20 * row["anchor"] for row in rows} <= set(range(12))
    last = [row for batch in range(15, BATCHES) for row in rows_of(made, batch)]
    assert {row["negative"] - row["negative_chunk"] for row in last} == {500}
    assert {row["negative_chunk"] - 2500 - 20 * row["anchor"] for row in last} <= set(range(12))
    assert made.examples.pool.chunk[0] == EXAMPLES.pool.chunk[0] + 2500
    assert before == [rows_of(drawn_schedule(), batch) for batch in range(6)]
    assert shares(all_rows(made)) == pytest.approx({"easy": 0.3, "medium": 0.4, "hard": 0.3}, abs=0.02)
    again = drawn_schedule()  # as a resumed run
    again.mine_at([6, 15])
    again.use_pools(*mined_again(2000))
    again.use_pools(mined_again(2500)[0], None)
    assert all_rows(again) == all_rows(made)
    assert again.mix() == made.mix()


def test_mining_and_decisions_both_keep_batches_unknown(drawn_schedule):
    made = drawn_schedule()
    made.decide_at([9])
    made.mine_at([6, 12])
    assert made.known() == 6
    made.use_pools(*mined_again(2000))
    assert made.known() == 9
    made.category_factors.append({})
    assert made.known() == 12
