"""Batches: each distinct text once, in groups of similar length."""

import math
from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch

from triptych.corpus.records import Chunk, Link
from triptych.tokens.token_store import open_store, write_store
from triptych.training.data.collator import GROUPS, Collator, like_length
from triptych.training.losses import SoftmaxLoss, TripletLoss
from triptych.triplets.false_negatives import PositivesByAnchor, Relations

PASSAGES = [100, 101, 102, 103, 104, 105]  # text id of each chunk
ROWS = [
    {"anchor": 1, "positive": 100, "negative": 101, "positive_chunk": 0, "negative_chunk": 1, "tier": 0},
    {"anchor": 1, "positive": 100, "negative": 102, "positive_chunk": 0, "negative_chunk": 2, "tier": 1},
    {"anchor": 0, "positive": 102, "negative": 100, "positive_chunk": 2, "negative_chunk": 0, "tier": 2},
    {"anchor": 2, "positive": 50, "negative": 103, "positive_chunk": 3, "negative_chunk": 3, "tier": 2},
]


@pytest.fixture
def collate(tmp_path):
    def make(links=(), fixed=False, answers=((), ()), same_words=None, tokens=()):
        metadata = {"max_length": 16, "padding_side": "right", "pad_token_id": 0, "tokenizer_sha256": "abc"}
        rows = [[7] * (number % 5) + [1000 + number] for number in range(110)]
        for text_id, ids in dict(tokens).items():
            rows[text_id] = ids
        write_store(tmp_path, rows, metadata)
        chunks = [
            Chunk(f"c{row}", "api", f"{row}.md", (str(row),), f"title{row}", "", "", cluster_id=row) for row in range(6)
        ]
        relations = Relations(chunks, [Link(*pair, "", "") for pair in links])
        positives = PositivesByAnchor(*map(np.array, answers))
        collator = Collator(open_store(tmp_path, "abc"), relations, positives, fixed, same_words)
        return lambda rows: collator({name: np.array([row[name] for row in rows]) for name in rows[0]})

    return make


def text_ids(batch, role):
    """Read the text ids of ``queries`` or ``passages`` back: each text's last token is 1000 + its id."""
    texts = []
    for group in batch["features"]:
        last = group["attention_mask"].sum(dim=1) - 1
        texts += (group["input_ids"].gather(1, last[:, None])[:, 0] - 1000).tolist()
    return [texts[position] for position in batch["rows"][role].tolist()]


def test_each_distinct_text_is_in_a_batch_once(collate):
    batch = collate()(ROWS)
    assert sorted(text_ids(batch, "queries")) == [0, 1, 2]
    assert sorted(text_ids(batch, "passages")) == [50, 100, 101, 102, 103]


def test_positions_point_at_the_texts_of_each_row(collate):
    batch = collate()(ROWS)
    for column, role in (("anchor", "queries"), ("positive", "passages"), ("negative", "passages")):
        found = [text_ids(batch, role)[position] for position in batch["rows"][column].tolist()]
        assert found == [row[column] for row in ROWS]


def test_related_passages_of_a_batch_are_marked(collate):
    batch = collate(links=[("c0", "c1")])(ROWS)
    texts = text_ids(batch, "passages")
    marked = [{texts[position] for position in np.flatnonzero(row)} for row in batch["rows"]["related"].numpy()]
    assert marked == [{100, 101}, {100, 101}, {102}, {50, 103}]


def test_softmax_compares_an_anchor_to_each_of_its_stored_negatives(collate):
    """Anchor 1 has three negatives, one row each; anchor 0 has one, three times."""
    of_one = [ROWS[0] | {"negative": 100 + chunk, "negative_chunk": chunk} for chunk in (1, 4, 5)]
    batch = collate()([*of_one, *[ROWS[2] | {"negative": 103, "negative_chunk": 3}] * 3])
    texts = text_ids(batch, "passages")
    assert texts == [100, 101, 102, 103, 104, 105]
    anchor = torch.nn.functional.normalize(torch.tensor([[0.2, 0.9], [0.7, 0.1]]), dim=-1)
    vectors = torch.nn.functional.normalize(torch.tensor([[0.5 + number, 1.0] for number in range(6)]), dim=-1)
    losses = SoftmaxLoss(0.5).row_losses(anchor, vectors, batch["rows"])
    for start, query, positive in ((0, 1, 0), (3, 0, 2)):
        scores = (vectors @ anchor[query] / 0.5).tolist()
        expected = math.log(sum(map(math.exp, scores))) - scores[positive]
        assert losses[start : start + 3].tolist() == pytest.approx([expected] * 3)
    triplets = TripletLoss(0.5).row_losses(anchor, vectors, batch["rows"])
    similarity = vectors @ anchor[1]
    assert triplets[:3].tolist() == pytest.approx(
        [max(0.0, 0.5 - float(similarity[0] - similarity[negative])) for negative in (1, 4, 5)], abs=1e-6
    )


def test_without_stored_negatives_the_other_positives_are_the_passages(collate):
    rows = [{name: row[name] for name in ("anchor", "positive", "positive_chunk")} for row in ROWS]
    batch = collate(links=[("c0", "c3")])(rows)
    assert text_ids(batch, "passages") == [50, 100, 102]
    assert [text_ids(batch, "passages")[position] for position in batch["rows"]["positive"].tolist()] == [
        100,
        100,
        102,
        50,
    ]
    assert batch["rows"]["related"].int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert not {"negative", "tier"} & batch["rows"].keys()


def test_a_text_that_is_query_and_passage_is_there_once(collate):
    batch = collate()([ROWS[0] | {"anchor": 100}])
    assert sum(len(group["input_ids"]) for group in batch["features"]) == 2
    assert (text_ids(batch, "queries"), text_ids(batch, "passages")) == ([100], [100, 101])


@pytest.mark.parametrize(("fixed", "width"), [(False, 8), (True, 16)])
def test_padding_follows_the_params(collate, fixed, width):
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


def test_other_answers_of_an_anchor_and_what_is_related_to_them_leave_its_denominator(collate):
    answers = [1, 1, 0], [0, 2, 2]  # words 1 are answered by chunks 0 and 2
    batch = collate([("c2", "c1")], answers=answers)(ROWS)
    column = {chunk: position for position, chunk in enumerate([50, 100, 101, 102, 103])}
    related = batch["rows"]["related"]
    assert related[0, [column[100], column[101], column[102]]].all()
    assert not related[2, column[100]]  # words 0 have one answer, chunk 2


def test_a_window_of_another_chunk_with_the_same_words_is_not_a_negative(collate):
    alike = {100: [3, 4, 5, 6, 7, 8, 9, 1100], 101: [9, 8, 7, 6, 5, 4, 3, 1101], 102: [3, 4, 20, 21, 22, 1102]}
    for same_words, marked in ((None, [False, True, False, False, False]), (0.7, [False, True, True, False, False])):
        related = collate(same_words=same_words, tokens=alike)(ROWS)["rows"]["related"]
        assert related[0].tolist() == marked  # texts 50, 100, 101, 102, 103; the positive is 100
