"""Hard negatives from a model's neighbors: what is taken, what is refused, and what fills the rest."""

from dataclasses import replace

import numpy as np
import pytest

from triptych.corpus.records import Chunk, Link
from triptych.triplets.examples import Example, Examples
from triptych.triplets.mining import Neighbors, remine
from triptych.triplets.negatives import Negative
from triptych.triplets.relations import Relations

SCORES = [1.0, 0.97, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
CHUNKS = [
    Chunk(
        f"c{row}",
        "lists" if row < 8 else "tables",
        f"c{row}.md",
        (f"head{row}",),
        f"title{row}",
        f"Text {row}.",
        "",
        cluster_id=row,
        document_id=row,
        split="train",
    )
    for row in range(12)
]
POOL = (
    Negative(10, "easy", "other_domain", 0.0),
    Negative(6, "medium", "sibling_section", 0.3),
    Negative(4, "hard", "overlap", 0.6),
    Negative(5, "hard", "overlap", 0.5),
)
EXAMPLE = Example(0, 1, 0, "lead", "lists", POOL)


@pytest.fixture
def mined(params_with):
    """Re-mine one example whose neighbors are chunks 0, 1, 2, … with falling scores; 0 is the positive."""

    def run(size=3, rows=None, scores=None, pooled=None, positive=1.0, links=(), chunks=CHUNKS, pool=POOL, **changes):
        rows = list(range(10)) if rows is None else rows
        settings = {"mine.prefer_other_category": 0.0} | {f"mine.{key}": value for key, value in changes.items()}
        neighbors = Neighbors(
            chunks=np.array([rows]),
            scores=np.array([SCORES[: len(rows)] if scores is None else scores], dtype=np.float32),
            positive=np.array([positive], dtype=np.float32),
            pooled=np.array([0.1] * len(pool) if pooled is None else pooled, dtype=np.float32),
        )
        example = Example(0, 1, 0, "lead", "lists", pool)
        relations = Relations(chunks, [Link(*pair, "", "") for pair in links])
        (new,), figures = remine(
            Examples.of([example]),
            neighbors,
            chunks,
            relations,
            size,
            params_with(**({"mine.relative_margin": 0.95} | settings)).mine,
        )
        return new, figures

    return run


def hard(example):
    return [one.chunk for one in example.negatives if one.tier == "hard"]


def test_closest_unrelated_candidates_below_the_margin_become_hard_negatives(mined):
    new, _ = mined()
    assert hard(new) == [2, 3, 4]  # 0 is the positive, 1 scores 0.97 of it
    assert [one.score for one in new.negatives[:3]] == pytest.approx([0.9, 0.8, 0.7])


def test_margin_is_relative_to_the_score_of_the_positive(mined):
    assert hard(mined(positive=0.8)[0]) == [4, 5, 6]  # below 0.76


def test_margin_of_params_is_used(mined):
    assert hard(mined(relative_margin=0.75)[0]) == [4, 5, 6]


def test_related_candidates_are_never_taken(mined):
    assert hard(mined(links=[("c0", "c2"), ("c3", "c0")])[0]) == [4, 5, 6]


def test_top_can_be_skipped(mined):
    assert hard(mined(skip_top=4)[0]) == [4, 5, 6]


def test_other_category_is_preferred_up_to_its_share(mined):
    new, _ = mined(prefer_other_category=1 / 3)
    assert hard(new) == [8, 2, 3]
    assert [one.strategy for one in new.negatives[:3]] == ["mined_cross_category", "mined", "mined"]


def test_share_of_the_other_category_holds_over_all_anchors(params_with):
    rows = np.tile([1, 2, 3, 4, 8, 9, 10, 11], (10, 1))
    neighbors = Neighbors(
        chunks=rows,
        scores=np.tile(np.linspace(0.8, 0.1, 8, dtype=np.float32), (10, 1)),
        positive=np.ones(10, dtype=np.float32),
        pooled=np.full(40, 0.1, dtype=np.float32),
    )
    params = params_with(**{"mine.prefer_other_category": 0.3}).mine
    new, _ = remine(Examples.of([EXAMPLE] * 10), neighbors, CHUNKS, Relations(CHUNKS, []), 4, params)
    taken = [CHUNKS[chunk].category for one in new for chunk in hard(one)]
    assert (len(taken), taken.count("tables")) == (40, 12)


def test_old_hard_negatives_fill_what_mining_leaves_short(mined):
    new, figures = mined(rows=[0, 1, 2], size=3)
    assert hard(new)[0] == 2
    assert set(hard(new)[1:]) == {4, 5}
    assert figures["churn"] == pytest.approx(1 / 3)


def test_tiers_that_are_not_hard_stay(mined):
    new, _ = mined()
    rest = [one for one in new.negatives if one.tier != "hard"]
    assert [(one.chunk, one.tier, one.strategy) for one in rest] == [
        (one.chunk, one.tier, one.strategy) for one in POOL[:2]
    ]
    assert [one.score for one in rest] == pytest.approx([one.score for one in POOL[:2]])


def test_chunk_mined_from_another_tier_is_not_in_the_pool_twice(mined):
    new, _ = mined(size=6)
    chunks = [one.chunk for one in new.negatives]
    assert len(chunks) == len(set(chunks))
    assert (6, "hard") in [(one.chunk, one.tier) for one in new.negatives]


def test_margin_clears_the_old_pool_too(mined):
    new, figures = mined(rows=[0], pooled=[0.1, 0.99, 0.96, 0.94])
    assert [one.chunk for one in new.negatives] == [5, 10]
    assert figures["rejected"]["pool_above_relative_margin"] == 2


def test_only_ids_change(mined):
    new, _ = mined()
    same = ("anchor", "positive", "positive_chunk", "view", "category")
    assert [getattr(new, name) for name in same] == [getattr(EXAMPLE, name) for name in same]


def test_figures_add_up(mined):
    new, figures = mined(size=2, links=[("c0", "c2")], skip_top=4)
    rejected = {"related_to_positive": 2, "above_relative_margin": 1, "skipped_top": 1, "pool_above_relative_margin": 0}
    assert figures["rejected"] == rejected
    assert hard(new) == [4, 5]
    assert (figures["hard_negatives"], figures["churn"], figures["examples_short"]) == (2, 0.0, 0)


def test_anchor_without_enough_hard_negatives_is_counted(mined):
    new, figures = mined(rows=[0, 1], pool=POOL[:2], size=3)
    assert hard(new) == []
    assert figures["examples_short"] == 1
    assert (figures["hard_negatives"], figures["churn"]) == (0, 1.0)


def test_score_ratio_leaves_the_positive_itself_out(mined):
    _, figures = mined(rows=[0, 3, 4, 5], scores=[2.0, 0.5, 0.5, 0.5], positive=2.0)
    assert figures["score_ratio"] == pytest.approx({"p10": 0.25, "p50": 0.25, "p90": 0.25, "p99": 0.25})


@pytest.mark.parametrize("split", ["dev", "test", ""])
def test_candidate_outside_train_stops_the_stage(mined, split):
    strange = [*CHUNKS[:7], replace(CHUNKS[7], split=split), *CHUNKS[8:]]
    with pytest.raises(AssertionError, match="only train may be searched"):
        mined(chunks=strange)


def test_each_anchor_is_mined_by_its_own_neighbors_and_pool(params_with):
    examples = Examples.of(
        [EXAMPLE, replace(EXAMPLE, positive_chunk=7, negatives=POOL[2:]), replace(EXAMPLE, negatives=())]
    )
    neighbors = Neighbors(
        chunks=np.array([[1], [2], [3]]),
        scores=np.full((3, 1), 0.5, dtype=np.float32),
        positive=np.ones(3, dtype=np.float32),
        pooled=np.array([0.1, 0.99, 0.1, 0.99, 0.99, 0.1], dtype=np.float32),
    )
    new, figures = remine(examples, neighbors, CHUNKS, Relations(CHUNKS, []), 2, params_with().mine)
    assert [[one.chunk for one in new.pool[row]] for row in range(3)] == [[1, 4, 10], [2, 5], [3]]
    assert figures["rejected"]["pool_above_relative_margin"] == 3


def test_candidate_closer_than_a_positive_of_negative_similarity_is_not_mined(params_with):
    chunks = [
        Chunk(f"c{row}", "api", f"{row}.md", (str(row),), f"t{row}", "", "", cluster_id=row, split="train")
        for row in range(3)
    ]
    neighbors = Neighbors(
        chunks=np.array([[1, 0, 2]]),
        scores=np.array([[-0.49, -0.5, -0.9]], dtype=np.float32),
        positive=np.array([-0.5], dtype=np.float32),
        pooled=np.empty(0, dtype=np.float32),
    )
    (new,), _ = remine(
        Examples.of([Example(0, 1, 0, "lead", "api", ())]),
        neighbors,
        chunks,
        Relations(chunks, []),
        2,
        params_with().mine,
    )
    assert [one.chunk for one in new.negatives] == [2]
