"""Difficulty of negatives for a model: metrics computed by hand, sentences with advice, sampled triplets."""

import numpy as np
import pytest
from corpora import LEAD_ROWS, Example, examples_of

from triptych.params.triplets import PROFILES
from triptych.triplets.difficulty import (
    Similarities,
    rate_triplet,
    sample_with_texts,
    tier_difficulty,
    tier_sentences,
)
from triptych.triplets.negatives import TIERS, Negative

# One anchor of each category. Similarity of the positive: 0.8 for lists, -0.4 for tables.
POOLS = (
    ("lists", [("easy", 0.1), ("easy", 0.59), ("medium", 0.6), ("medium", 0.75), ("hard", 0.77), ("hard", 0.9)]),
    ("tables", [("easy", -0.7), ("medium", -0.5), ("hard", -0.41), ("hard", -0.4)]),
)
EXAMPLES = examples_of(
    Example(
        row,
        10 + row,
        row,
        "lead",
        name,
        tuple(Negative(5 + n, tier, "random", 0.0) for n, (tier, _) in enumerate(pool)),
    )
    for row, (name, pool) in enumerate(POOLS)
)
FOUND = Similarities(
    np.array([0.8, -0.4], np.float32), np.array([one for _, pool in POOLS for _, one in pool], np.float32)
)


@pytest.fixture(scope="module")
def rated():
    """Return the row of each category and tier: a margin of 0.2, suspected from 0.95 of the positive."""
    rows = tier_difficulty(EXAMPLES, FOUND, 0.2, 0.95)
    return {(row["category"], row["tier"]): row for row in rows}


def shares(row):
    return tuple(round(row[name], 4) for name in ("easy", "semi_hard", "hard", "active", "suspected_false"))


@pytest.mark.parametrize(
    ("category", "tier", "expected"),
    [
        ("lists", "easy", (1.0, 0.0, 0.0, 0.0, 0.0)),  # below 0.6
        ("lists", "medium", (0.0, 1.0, 0.0, 1.0, 0.0)),  # from 0.6, suspected only from 0.76
        ("lists", "hard", (0.0, 0.5, 0.5, 1.0, 1.0)),  # 0.77 is suspected although it is below 0.8
        ("tables", "easy", (1.0, 0.0, 0.0, 0.0, 0.0)),
        ("tables", "medium", (0.0, 1.0, 0.0, 1.0, 0.0)),
        ("tables", "hard", (0.0, 0.5, 0.5, 1.0, 1.0)),  # suspected from -0.42; -0.4 is as near as the positive
        ("all", "easy", (1.0, 0.0, 0.0, 0.0, 0.0)),
        ("lists", "all", (0.3333, 0.5, 0.1667, 0.6667, 0.3333)),
        ("all", "all", (0.3, 0.5, 0.2, 0.7, 0.4)),
    ],
)
def test_shares_are_those_computed_by_hand(rated, category, tier, expected):
    assert shares(rated[category, tier]) == expected


def test_every_category_and_tier_has_a_row_with_its_number(rated):
    assert set(rated) == {(name, tier) for name in ("all", "lists", "tables") for tier in ("all", *TIERS)}
    assert [rated["all", tier]["negatives"] for tier in ("all", *TIERS)] == [10, 3, 3, 4]


def test_means_are_those_of_the_negatives_and_their_positives(rated):
    row = rated["all", "hard"]
    assert row["mean_negative_similarity"] == pytest.approx((0.77 + 0.9 - 0.41 - 0.4) / 4, abs=1e-6)
    assert row["mean_positive_similarity"] == pytest.approx((0.8 + 0.8 - 0.4 - 0.4) / 4, abs=1e-6)


def test_tier_without_negatives_has_no_row():
    examples = examples_of([Example(0, 1, 2, "lead", "lists", (Negative(5, "easy", "random", 0.0),))])
    rows = tier_difficulty(examples, Similarities(np.array([0.8]), np.array([0.1])), 0.2, 0.95)
    assert [(row["category"], row["tier"]) for row in rows] == [
        ("all", "all"), ("all", "easy"), ("lists", "all"), ("lists", "easy")
    ]  # fmt: skip


def row_of(tier, suspected, active):
    return {"category": "all", "tier": tier, "suspected_false": suspected, "active": active}


def test_tier_sentences_report_the_shares_of_each_tier_of_all_categories_together(rated):
    assert tier_sentences(list(rated.values()), "embedder")[:2] == [
        "easy tier: 0% suspected false negatives, 0% active",
        "medium tier: 0% suspected false negatives, 100% active",
    ]
    assert len(tier_sentences(list(rated.values()), "embedder")) == 3


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("tier", TIERS)
def test_many_suspected_bring_a_remedy_among_the_params_there_are(profile, tier, params_with):
    quiet, loud = (tier_sentences([row_of(tier, share, 0.5)], profile)[0] for share in (0.149, 0.15))
    assert ";" not in quiet
    named = [word.strip(".,") for word in loud.split() if word.startswith("triplets.")]
    assert named
    for key in named:
        section = params_with()
        for part in key.split("."):
            section = getattr(section, part)


def test_hard_tier_that_teaches_nothing_brings_a_remedy():
    assert "lexical_min" in tier_sentences([row_of("hard", 0.0, 0.04)], "embedder")[0]
    assert ";" not in tier_sentences([row_of("hard", 0.0, 0.06)], "embedder")[0]
    assert ";" not in tier_sentences([row_of("easy", 0.0, 0.0)], "embedder")[0]  # easy is allowed to be easy


TEXTS = [f"text {number}" for number in range(20_000)]
PASSAGES = list(range(20_000))[::-1]
SHOWN = examples_of(LEAD_ROWS)
LIKE = Similarities(
    np.linspace(0, 1, len(SHOWN), dtype=np.float32), np.linspace(-1, 1, len(SHOWN.pool.chunk), dtype=np.float32)
)


def test_the_given_number_of_triplets_of_each_tier_is_sampled_with_texts_and_scores():
    rows = sample_with_texts(SHOWN, LIKE, TEXTS, PASSAGES, 12, 3)
    assert [row["tier"] for row in rows] == [tier for tier in TIERS for _ in range(12)]
    pool = SHOWN.pool
    for row in rows:
        anchor = int(row["anchor"].split()[1])
        chunk = PASSAGES[int(row["negative"].split()[1])]
        (place,) = np.flatnonzero((pool.anchors == anchor) & (pool.chunk == chunk))
        assert row["positive"] == f"text {SHOWN.positive[anchor]}"
        assert TIERS[pool.tier[place]] == row["tier"]
        assert row["negative_similarity"] == pytest.approx(float(LIKE.negative[place]))
        assert row["positive_similarity"] == pytest.approx(float(LIKE.positive[anchor]))
        assert (row["strategy"], row["view"], row["category"]) == ("random", "lead", "lists")


def test_seed_chooses_what_is_shown():
    one, same, other = (sample_with_texts(SHOWN, LIKE, TEXTS, PASSAGES, 12, seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_tier_with_fewer_triplets_is_shown_whole():
    found = sample_with_texts(EXAMPLES, FOUND, TEXTS, PASSAGES, 12, 1)
    assert [row["tier"] for row in found] == ["easy"] * 3 + ["medium"] * 3 + ["hard"] * 4


@pytest.mark.parametrize(
    ("positive", "negative", "rating", "why"),
    [
        (0.8, 0.1, "easy", "the negative is 0.70 less similar than the positive, more than the margin of 0.2; it"),
        (0.8, 0.75, "semi-hard", "the negative is only 0.05 less similar than the positive, within the margin of 0.2"),
        (0.8, 0.9, "hard", "as similar as the positive or more, by 0.10; so similar that it may be a right answer"),
        (0.8, 0.8, "hard", "as similar as the positive or more, by 0.00"),
        (0.8, 0.77, "semi-hard", "within the margin of 0.2; so similar that it may be a right answer"),
        (-0.4, -0.7, "easy", "the negative is 0.30 less similar"),
    ],
)
def test_each_triplet_has_its_own_rating_with_the_reason(positive, negative, rating, why):
    found, sentence = rate_triplet(positive, negative, 0.2, 0.95)
    assert found == rating
    assert why in sentence


def test_ratings_of_triplets_add_up_to_the_shares_of_their_tiers(rated):
    pool = EXAMPLES.pool
    of_tier = {tier: [] for tier in TIERS}
    for tier, anchor, negative in zip(pool.tier, pool.anchors, FOUND.negative, strict=True):
        rating, _ = rate_triplet(float(FOUND.positive[anchor]), float(negative), 0.2, 0.95)
        of_tier[TIERS[tier]].append(rating)
    for tier, ratings in of_tier.items():
        for name, key in (("easy", "easy"), ("semi-hard", "semi_hard"), ("hard", "hard")):
            assert ratings.count(name) / len(ratings) == pytest.approx(rated["all", tier][key])
