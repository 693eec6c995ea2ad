"""Hard negatives from a model's neighbors: candidates taken, candidates rejected, and what fills the rest."""

from dataclasses import replace

import numpy as np
import pytest
from corpora import Example, examples_of, rows_of

from triptych.corpus.records import Chunk, Link
from triptych.errors import UserError
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.heuristics.candidates import Words
from triptych.triplets.mining import hard_negatives as mining
from triptych.triplets.mining.candidate_filter import CandidateFilter, Neighbors
from triptych.triplets.mining.hard_negatives import MiningVectors, mine_hard_negatives, neighbors
from triptych.triplets.mining.mining_metrics import advice
from triptych.triplets.negatives import Negative

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
PARAMS = {"mine.relative_margin": 0.95, "mine.hard_from": 0.0}


def filter_of(examples, relations, params, guide=None, words=None, windows=None):
    positives = PositivesByAnchor(examples.anchor, examples.positive_chunk)
    return CandidateFilter(relations, positives, params, words, guide, windows)


def mine(*arguments):
    """Return the mined examples as rows, and the metrics."""
    examples, metrics = mine_hard_negatives(*arguments)
    return rows_of(examples), metrics


@pytest.fixture
def mined(params_with):
    """Re-mine one example whose neighbors are chunks 0, 1, 2, … with falling scores; 0 is the positive."""

    def run(
        size=3,
        rows=None,
        scores=None,
        pooled=None,
        positive=1.0,
        links=(),
        chunks=CHUNKS,
        pool=POOL,
        guide=None,
        words=None,
        windows=None,
        **changes,
    ):
        rows = list(range(10)) if rows is None else rows
        settings = {"mine.prefer_other_category": 0.0} | {f"mine.{key}": value for key, value in changes.items()}
        found = Neighbors(
            chunks=np.array([rows]),
            scores=np.array([SCORES[: len(rows)] if scores is None else scores], dtype=np.float32),
            positive_scores=np.array([positive], dtype=np.float32),
            pool_scores=np.array([0.1] * len(pool) if pooled is None else pooled, dtype=np.float32),
        )
        examples = examples_of([Example(0, 1, 0, "lead", "lists", pool)])
        relations = Relations(chunks, [Link(*pair, "", "") for pair in links])
        params = params_with(**(PARAMS | settings)).mine
        candidate_filter = filter_of(examples, relations, params, guide, words, windows)
        (new,), metrics = mine(examples, [found], chunks, candidate_filter, size)
        return new, metrics["all"]

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
    found = Neighbors(
        chunks=rows,
        scores=np.tile(np.linspace(0.8, 0.1, 8, dtype=np.float32), (10, 1)),
        positive_scores=np.ones(10, dtype=np.float32),
        pool_scores=np.full(40, 0.1, dtype=np.float32),
    )
    params = params_with(**PARAMS | {"mine.prefer_other_category": 0.3}).mine
    examples = examples_of([EXAMPLE] * 10)
    new, _ = mine(examples, [found], CHUNKS, filter_of(examples, Relations(CHUNKS, []), params), 4)
    taken = [CHUNKS[chunk].category for one in new for chunk in hard(one)]
    assert (len(taken), taken.count("tables")) == (40, 12)


def test_categories_of_one_group_count_as_one(mined):
    grouped = {"prefer_other_category": 1 / 3, "category_groups": [["lists", "tables"]]}
    assert hard(mined(**grouped)[0]) == [2, 3, 4]


def test_group_of_an_unknown_category_is_refused(mined):
    with pytest.raises(UserError, match="unknown category 'tabels'; expected lists, tables"):
        mined(category_groups=[["lists", "tabels"]])


def test_old_hard_negatives_fill_what_mining_leaves_short(mined):
    new, metrics = mined(rows=[0, 1, 2], size=3)
    assert hard(new)[0] == 2
    assert set(hard(new)[1:]) == {4, 5}
    assert metrics["churn"] == pytest.approx(1 / 3)


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
    new, metrics = mined(rows=[0], pooled=[0.1, 0.99, 0.96, 0.94])
    assert [one.chunk for one in new.negatives] == [5, 10]
    assert metrics["rejected"]["pool_above_relative_margin"] == 2


def test_only_ids_change(mined):
    new, _ = mined()
    same = ("anchor", "positive", "positive_chunk", "view", "category")
    assert [getattr(new, name) for name in same] == [getattr(EXAMPLE, name) for name in same]


def test_metrics_add_up(mined):
    new, metrics = mined(size=2, links=[("c0", "c2")], skip_top=4)
    rejected = {reason: number for reason, number in metrics["rejected"].items() if number}
    assert rejected == {"linked": 1, "above_relative_margin": 1, "skipped_top": 1}  # of 1, 2 and 3; 0 is the positive
    assert metrics["candidates"] == 9
    assert hard(new) == [4, 5]
    assert (metrics["hard_negatives"], metrics["churn"], metrics["examples_short"]) == (2, 0.0, 0)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("same_text", {"content": "  TEXT 0"}),
        ("near_duplicate", {"cluster_id": 0}),
        ("same_section", {"filename": "c0.md", "header_path": ("head0",)}),
        ("equal_title", {"title": "Title0"}),
    ],
)
def test_each_rule_is_counted_by_its_name(mined, rule, changes):
    new, metrics = mined(chunks=[*CHUNKS[:3], replace(CHUNKS[3], **changes), *CHUNKS[4:]])
    assert hard(new) == [2, 4, 5]
    assert metrics["rejected"][rule] == 1


def test_another_answer_of_the_same_words_and_chunks_related_to_it_are_not_negatives(params_with):
    examples = examples_of([EXAMPLE, replace(EXAMPLE, positive_chunk=3), replace(EXAMPLE, anchor=9)])
    found = Neighbors(
        chunks=np.tile(np.arange(10), (3, 1)),
        scores=np.tile(np.array(SCORES, np.float32), (3, 1)),
        positive_scores=np.ones(3, np.float32),
        pool_scores=np.full(12, 0.1, np.float32),
    )
    params = params_with(**PARAMS | {"mine.prefer_other_category": 0.0}).mine
    relations = Relations(CHUNKS, [Link("c3", "c4", "", "")])
    new, metrics = mine(examples, [found], CHUNKS, filter_of(examples, relations, params), 3)
    assert [hard(one) for one in new] == [[2, 5, 6], [2, 5, 6], [2, 3, 4]]
    assert metrics["all"]["rejected"]["other_answer"] == 3  # 3 and 4 for the first, 0 for the second


def test_candidate_with_the_words_of_the_positive_is_not_a_negative(mined):
    texts = [
        "sort rows by one key",
        "",
        "rows sort by one other key",
        "sort columns",
        *[f"word{row}" for row in range(8)],
    ]
    new, metrics = mined(words=Words(texts), same_words=0.7)  # 2 shares 4 of 5 words of three letters and more
    assert hard(new) == [3, 4, 5]
    assert metrics["rejected"]["same_words"] == 1
    assert hard(mined(words=Words(texts), same_words=0.9)[0]) == [2, 3, 4]


def test_chunks_whose_windows_have_the_same_words_are_not_negatives(mined):
    def windows(examples, positives, candidates):
        assert (positives == 0).all()
        return np.where(candidates == 3, 0.8, 0.3)

    new, metrics = mined(words=Words([letter * 4 for letter in "abcdefghijk"]), windows=windows, same_words=0.7)
    assert hard(new) == [2, 4, 5]
    assert metrics["rejected"]["same_words"] == 1


def test_a_chunk_counts_by_its_best_window(params_with):
    unit = np.eye(4, dtype=np.float32)
    passages = np.stack([unit[0], unit[3], unit[1], 0.6 * unit[0] + 0.8 * unit[1], unit[2]])
    vectors = MiningVectors(unit[:1], passages, np.array([0, 4, 7]), np.array([0, 1, 4, 5]))  # chunk 4 has three
    pool = (Negative(4, "hard", "overlap", 0.6),)
    example = Example(0, 1, 4, "lead", "lists", pool)
    (found,) = neighbors(examples_of([example]), vectors, params_with().mine)
    assert found.chunks.tolist() == [[0, 4, 7]]
    np.testing.assert_allclose(found.scores, [[1.0, 0.6, 0.0]], atol=1e-6)
    np.testing.assert_allclose([found.positive_scores[0], found.pool_scores[0]], [0.6, 0.6], atol=1e-6)
    assert vectors.best_windows(np.array([0]), np.array([4]))[0].tolist() == [3]


def test_guide_must_agree_that_a_candidate_is_farther_than_the_positive(mined):
    asked = []

    def guide(examples, chunks):
        asked.extend(chunks.tolist())
        return np.where(np.isin(chunks, [2, 4]), 0.5, np.where(chunks == 0, 0.52, 0.1)).astype(np.float32)

    new, metrics = mined(guide=guide, guide_margin=0.9)
    assert hard(new) == [3, 5, 6]
    assert metrics["rejected"]["guide"] == 2
    assert 1 not in asked  # the guide does not score candidates that are already rejected


def test_candidates_far_down_or_far_off_are_medium_where_the_tier_has_room(mined):
    new, _ = mined(size=3, hard_ranks=4)
    assert hard(new) == [
        2,
        3,
        *sorted(set(hard(new)[2:])),
    ]  # none after rank 4; 4 or 5 stay from the old pool
    medium = [one.chunk for one in new.negatives if one.tier == "medium"]
    assert (medium[0], len(medium)) == (6, 3)
    new, _ = mined(size=3, hard_from=0.75)
    assert hard(new)[:2] == [2, 3]
    assert [one.strategy for one in new.negatives if one.tier == "medium"] == ["sibling_section", "mined", "mined"]


def test_every_candidate_refused_leaves_the_pool_of_before_and_is_reported(mined):
    new, metrics = mined(scores=[1.0] * 10, size=2)
    assert {one.chunk for one in new.negatives} == {one.chunk for one in POOL}
    assert (metrics["examples_fallback"], metrics["churn"]) == (1, 0.0)
    assert metrics["rejected"]["above_relative_margin"] == 9


def test_fallback_is_reported_with_its_category_and_reason(mined):
    _, metrics = mined(scores=[1.0] * 10, size=2)
    (line,) = advice({"all": metrics, "lists": metrics})
    assert "category lists: nothing mined for 1 of 1 anchors (most often above_relative_margin)" in line
    assert "; 1 keep hard negatives of the round before, 0 have no negative; " in line


def test_category_without_candidates_falls_back_and_the_other_does_not(params_with):
    examples = examples_of([EXAMPLE, replace(EXAMPLE, anchor=5, positive_chunk=8, category="tables")])
    found = Neighbors(
        chunks=np.array([[1, 2, 3], [9, 10, 11]]),
        scores=np.array([[0.5, 0.4, 0.3], [0.99, 0.98, 0.97]], np.float32),
        positive_scores=np.ones(2, np.float32),
        pool_scores=np.full(8, 0.1, np.float32),
    )
    params = params_with(**PARAMS).mine
    new, metrics = mine(examples, [found], CHUNKS, filter_of(examples, Relations(CHUNKS, []), params), 2)
    assert (metrics["lists"]["examples_fallback"], metrics["tables"]["examples_fallback"]) == (0, 1)
    assert set(hard(new[1])) == {4, 5}
    assert metrics["tables"]["suggested_margin"] is None  # no related candidate, so no suggestion


def test_suggested_margin_parts_what_is_related_from_what_is_not(mined):
    near = [replace(chunk, cluster_id=0) if row < 3 else chunk for row, chunk in enumerate(CHUNKS)]
    _, metrics = mined(chunks=near)
    assert 0.8 < metrics["suggested_margin"] <= 0.9  # 1 and 2 score 0.97 and 0.9, the rest 0.8 and less
    assert metrics["suspected_false_left"] == 0.0


def test_suspected_false_negatives_left_are_those_above_the_suggested_margin(mined):
    near = [replace(chunk, cluster_id=0) if row == 6 else chunk for row, chunk in enumerate(CHUNKS)]
    new, metrics = mined(chunks=near)
    assert 0.4 < metrics["suggested_margin"] <= 0.5
    above = sum(one.score >= 0.5 for one in new.negatives if one.strategy == "mined")
    assert metrics["suspected_false_left"] == pytest.approx(above / len(new.negatives))


def test_hardness_is_the_mean_share_of_the_positive(mined):
    _, metrics = mined(positive=1.0)
    assert metrics["hardness"] == pytest.approx((0.9 + 0.8 + 0.7) / 3, abs=0.006)


def test_anchor_without_enough_hard_negatives_is_counted(mined):
    new, metrics = mined(rows=[0, 1], pool=POOL[:2], size=3)
    assert hard(new) == []
    assert metrics["examples_short"] == 1
    assert (metrics["hard_negatives"], metrics["churn"]) == (0, 0.0)


def test_closeness_leaves_the_positive_itself_out(mined):
    _, metrics = mined(rows=[0, 3, 4, 5], scores=[2.0, 0.5, 0.5, 0.5], positive=2.0)
    assert metrics["closeness"] == pytest.approx(dict.fromkeys(("p10", "p50", "p90", "p99"), 0.255))


@pytest.mark.parametrize("split", ["dev", "test", ""])
def test_candidate_outside_train_stops_the_stage(mined, split):
    strange = [*CHUNKS[:7], replace(CHUNKS[7], split=split), *CHUNKS[8:]]
    with pytest.raises(AssertionError, match="only train may be searched"):
        mined(chunks=strange)


def test_each_anchor_is_mined_by_its_own_neighbors_and_pool(params_with):
    examples = examples_of(
        [EXAMPLE, replace(EXAMPLE, anchor=5, positive_chunk=7, negatives=POOL[2:]), replace(EXAMPLE, negatives=())]
    )
    found = Neighbors(
        chunks=np.array([[1], [2], [3]]),
        scores=np.full((3, 1), 0.5, dtype=np.float32),
        positive_scores=np.ones(3, dtype=np.float32),
        pool_scores=np.array([0.1, 0.99, 0.1, 0.99, 0.99, 0.1], dtype=np.float32),
    )
    chosen = filter_of(examples, Relations(CHUNKS, []), params_with(**PARAMS).mine)
    new, metrics = mine(examples, [found], CHUNKS, chosen, 2)
    assert [[one.chunk for one in row.negatives] for row in new] == [[1, 4, 10], [2, 5], [3]]
    assert metrics["all"]["rejected"]["pool_above_relative_margin"] == 3


def test_candidate_closer_than_a_positive_of_negative_similarity_is_not_mined(params_with):
    chunks = [
        Chunk(f"c{row}", "api", f"{row}.md", (str(row),), f"t{row}", "", "", cluster_id=row, split="train")
        for row in range(3)
    ]
    found = Neighbors(
        chunks=np.array([[1, 0, 2]]),
        scores=np.array([[-0.49, -0.5, -0.9]], dtype=np.float32),
        positive_scores=np.array([-0.5], dtype=np.float32),
        pool_scores=np.empty(0, dtype=np.float32),
    )
    examples = examples_of([Example(0, 1, 0, "lead", "api", ())])
    params = params_with(**PARAMS | {"mine.hard_from": -9.0}).mine
    (new,), _ = mine(examples, [found], chunks, filter_of(examples, Relations(chunks, []), params), 2)
    assert [one.chunk for one in new.negatives] == [2]


@pytest.fixture
def vectors():
    """Unit vectors of 60 anchors and the 12 chunks."""
    random = np.random.default_rng(3)
    made = [random.standard_normal((number, 8)).astype(np.float32) for number in (60, 12)]
    anchors, passages = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in made)
    return MiningVectors(anchors, passages, np.arange(12))


def test_blocks_change_nothing(vectors, params_with, monkeypatch):
    examples = examples_of([replace(EXAMPLE, anchor=row, positive_chunk=row % 12) for row in range(60)])
    params = params_with(**PARAMS).mine
    found = []
    for size in (4096, 7):
        monkeypatch.setattr(mining, "_BLOCK", size)
        blocks = neighbors(examples, vectors, params)
        found.append(mine(examples, blocks, CHUNKS, filter_of(examples, Relations(CHUNKS, []), params), 3))
    assert list(found[0][0]) == list(found[1][0])
    assert found[0][1] == found[1][1]


def test_fewer_chunks_than_depth_are_all_found(vectors, params_with):
    examples = examples_of([EXAMPLE] * 60)
    (found,) = neighbors(examples, vectors, params_with(**{"mine.depth": 50}).mine)
    assert (np.sort(found.chunks, axis=1) == np.arange(12)).all()


def test_model_that_tells_no_chunk_from_another_is_refused_with_the_remedy(vectors, params_with):
    same = replace(vectors, passages=np.tile(vectors.passages[:1], (12, 1)))
    with pytest.raises(UserError, match=r"all 12 train chunks the same vector.*learning_rate"):
        next(neighbors(examples_of([EXAMPLE] * 60), same, params_with().mine))
