"""Rounds whose passages keep their vectors: anchors alone are encoded, and true negatives stay true."""

import numpy as np
import pytest
import torch

from triptych.corpus.records import Chunk, Link
from triptych.errors import UserError
from triptych.tokens.store import TokenStore, pack
from triptych.training.bank import Bank, BankCollator, beside
from triptych.training.losses import SoftmaxLoss
from triptych.triplets.relations import Answers, Relations

VECTORS = np.eye(6, dtype=np.float32)[[0, 1, 2, 4, 5]]  # of all chunks but 3, which is no train chunk
ROWS = [{"anchor": 1, "positive_chunk": 0}, {"anchor": 0, "positive_chunk": 2}, {"anchor": 1, "positive_chunk": 0}]


def store() -> TokenStore:
    return pack(
        [[7, 1000 + number] for number in range(9)], {"max_length": 8, "padding_side": "right", "pad_token_id": 0}
    )


@pytest.fixture
def collate():
    def make(most=9, links=(), answers=((), ())):
        chunks = [
            Chunk(f"c{row}", "api", f"{row}.md", (str(row),), f"title{row}", "", "", cluster_id=row) for row in range(6)
        ]
        relations = Relations(chunks, [Link(*pair, "", "") for pair in links])
        bank = Bank(np.array([0, 1, 2, 4, 5]), VECTORS)
        return BankCollator(store(), relations, Answers(*map(np.array, answers)), False, bank, most)

    return make


def test_anchors_alone_are_encoded_each_once(collate):
    batch = collate()(ROWS)
    assert [group["input_ids"][:, 1].tolist() for group in batch["features"]] == [[1000, 1001]]
    assert batch["rows"]["queries"][batch["rows"]["anchor"]].tolist() == [1, 0, 1]


def test_positives_point_at_their_vectors(collate):
    rows = collate()(ROWS)["rows"]
    assert rows["passage_vectors"][rows["positive"]].tolist() == VECTORS[[0, 2, 0]].tolist()


def test_all_of_the_bank_are_negatives_but_what_is_related_or_another_answer(collate):
    batch = collate(links=[("c0", "c1")], answers=((0, 0), (2, 5)))(ROWS)
    assert len(batch["rows"]["passage_vectors"]) == 5
    assert batch["rows"]["related"].int().tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [1, 1, 0, 0, 0]]


def test_a_large_bank_gives_a_batch_its_positives_and_some_others_always_the_same(collate):
    rows = [collate(most=3)(ROWS)["rows"] for _ in range(2)]
    assert rows[0]["passage_vectors"].shape == (3, 6)
    assert rows[0]["passage_vectors"][rows[0]["positive"]].tolist() == VECTORS[[0, 2, 0]].tolist()
    assert torch.equal(rows[0]["passage_vectors"], rows[1]["passage_vectors"])


def test_what_is_wanted_is_there_even_if_it_is_more_than_asked_for():
    assert beside(np.array([4, 1, 4]), np.array([1, 2, 4, 5]), 1).tolist() == [1, 4]
    assert beside(np.array([4, 1]), np.array([1, 2, 4, 5]), 9).tolist() == [1, 2, 4, 5]


def test_the_loss_is_that_of_passages_encoded_alike(collate):
    rows = collate(links=[("c0", "c1")])(ROWS)["rows"]
    random = torch.Generator().manual_seed(3)
    queries = torch.nn.functional.normalize(torch.randn((2, 6), generator=random), dim=-1)
    given = SoftmaxLoss(0.05)(queries, rows)
    texts = torch.cat([queries, torch.from_numpy(VECTORS)])
    encoded = {name: one for name, one in rows.items() if name != "passage_vectors"}
    assert torch.equal(given, SoftmaxLoss(0.05)(texts, encoded | {"passages": torch.arange(2, 7)}))


def test_a_round_over_fixed_passages_learns(short_run):
    ran = short_run(60, passages="fixed", learning_rate=0.01)
    losses = ran.trained.losses
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])


def test_triplet_loss_is_refused_with_the_remedy(short_run):
    with pytest.raises(UserError, match=r"passages: fixed .* set train\.loss: softmax"):
        short_run(2, passages="fixed", loss="triplet")
