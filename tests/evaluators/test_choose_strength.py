"""The strength is chosen among few passages, and as if every strength had ranked all."""

from pathlib import Path

import pytest
import torch

from triptych.evaluators import retrieval_evaluator
from triptych.evaluators.retrieval_evaluator import choose_strength, load_evaluator
from triptych.models.adapter import Blend
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.sections import Model
from triptych.tokens.token_store import open_store

STRENGTHS = [0.0, 0.25, 0.5, 0.75, 1.0]
QUERIES = 6  # of dev, so that they do not have all chunks among their best


@pytest.fixture(scope="module")
def evaluator(prepared):
    store = open_store(prepared / "data/tokens", tokenizer_fingerprint(load_base(Model(base=str(prepared / "tiny")))))
    corpus, texts = prepared / "data/corpus", prepared / "data/triplets/texts"
    whole = load_evaluator(corpus, texts, ["train", "dev", "test"], store, "fp32")
    few = retrieval_evaluator.replace(
        whole, queries=whole.queries[:QUERIES], query_text_ids=whole.query_text_ids[:QUERIES], qrels={}
    )
    # The tiny model finds no answer to a real question, so the answer to each is one of its best hits.
    run = few.dense_run(load_base(Model(base=str(prepared / "tiny"))), 2 * QUERIES, "base")
    answers = {query: {list(hits)[number]: 1} for number, (query, hits) in enumerate(run.items())}
    return retrieval_evaluator.replace(few, qrels=answers)


@pytest.fixture
def blend(prepared):
    """A blend toward weights that a few steps of training could have given."""
    model = load_base(Model(base=str(prepared / "tiny")))
    generator = torch.Generator().manual_seed(13)
    change = {
        name: 0.3 * weight.std() * torch.randn(weight.shape, generator=generator)
        for name, weight in model.state_dict().items()
        if weight.is_floating_point() and weight.ndim == 2
    }
    return Blend(model, change)


def test_the_choice_is_that_of_a_search_among_all_chunks(evaluator, blend, monkeypatch, encoded_counts):
    fewest, of_fewest = choose_strength(blend, STRENGTHS, evaluator, "mrr@10")
    monkeypatch.setattr(retrieval_evaluator, "_POOL", 5)
    encoded_counts()
    found, by_strength = choose_strength(blend, STRENGTHS, evaluator, "mrr@10")
    encoded = encoded_counts()
    monkeypatch.setattr(retrieval_evaluator, "_POOL", 10_000)
    exact, exact_by_strength = choose_strength(blend, STRENGTHS, evaluator, "mrr@10")
    everything = encoded_counts()
    assert (found, by_strength) == (exact, exact_by_strength)
    assert fewest == exact
    # These random changes leave less in common than training does: an answer may have fewer rivals, never more.
    assert all(of_fewest[strength]["fft"] >= metrics["fft"] for strength, metrics in exact_by_strength.items())
    assert list(by_strength) == STRENGTHS
    assert len({str(one) for one in by_strength.values()}) > 1  # strengths differ
    chunks = len(evaluator.chunks)
    assert sorted(everything)[-5:] == [chunks] * 5
    assert sorted(encoded)[-2:] == [chunks] * 2
    assert max(sorted(encoded)[:-2]) < chunks


def test_the_pool_decides_what_is_ranked(evaluator, blend, monkeypatch):
    sizes = []
    among = type(evaluator).among
    monkeypatch.setattr(type(evaluator), "among", lambda self, ids: sizes.append(len(ids)) or among(self, ids))
    choose_strength(blend, STRENGTHS, evaluator, "recall@1")
    choose_strength(blend, STRENGTHS, evaluator, "recall@10")
    assert sizes[0] < sizes[1] < len(evaluator.chunks)


def test_vectors_are_left_for_the_stages_that_follow(evaluator, blend, tmp_path, encoded_counts):
    chosen, first = choose_strength(blend, STRENGTHS, evaluator, "mrr@10", tmp_path)
    assert sum(encoded_counts()) > 2 * len(evaluator.chunks)
    again = retrieval_evaluator.replace(evaluator, vectors_folder=tmp_path)
    again.dense_run(blend.at(1.0), 10, "later")
    again.dense_run(blend.at(0.0), 10, "later")
    assert sum(encoded_counts()) == 0
    assert choose_strength(blend, STRENGTHS, evaluator, "mrr@10", tmp_path) == (chosen, first)
    assert sum(encoded_counts()) == 0
    assert len(list(Path(tmp_path).glob("*/*.npy"))) >= len(STRENGTHS)


@pytest.mark.parametrize("strengths", [[0.0], [1.0], [0.5, 0.5]])
def test_a_few_strengths_are_enough(evaluator, blend, strengths):
    chosen, by_strength = choose_strength(blend, strengths, evaluator, "mrr@10")
    assert set(by_strength) == {0.0, *strengths}
    assert chosen in by_strength
