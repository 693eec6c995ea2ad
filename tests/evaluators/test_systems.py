"""The systems that search written questions, beside those without, on real documentation."""

from pathlib import Path

import pytest

from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import passage
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.evaluators.dev_queries import DevQueries
from triptych.evaluators.retrieval_evaluator import load_evaluator
from triptych.evaluators.systems import Systems
from triptych.models.loading import tokenizer_fingerprint
from triptych.models.round_loading import load_round
from triptych.params.load import load_params
from triptych.tokens.token_store import open_store

UNASKED = {"base_unasked", "base_hybrid_unasked", "tuned_unasked"}


@pytest.fixture
def chunk_ids(prepared):
    return [chunk.chunk_id for chunk in read_chunks(prepared / "data/corpus/chunks.parquet")]


@pytest.fixture
def helpful(prepared, chunk_ids):
    """A question for each chunk; those of chunks that dev and test ask for are what they ask."""
    corpus = prepared / "data/corpus"
    queries, asked = read_queries(corpus), {}
    for split in ("dev", "test"):
        for query, judged in read_qrels(corpus / "qrels" / f"{split}.tsv").items():
            asked.setdefault(min(judged), queries[query].text)
    return [(asked.get(one, f"what is chunk number {row}?"), one) for row, one in enumerate(chunk_ids)]


@pytest.fixture
def systems(asked_about):
    """Return the systems of the base model, twice, with some questions written."""

    def call(written):
        asked_about(written)
        params = load_params()
        blend, _ = load_round(Path("models/base"), params.model)
        store = open_store(Path("data/tokens"), tokenizer_fingerprint(blend.model))
        corpus, texts = Path("data/corpus"), Path("data/triplets/texts")
        evaluator = load_evaluator(corpus, texts, ["dev", "test"], store, "fp32")
        dev = DevQueries.of(evaluator.queries, read_qrels(corpus / "qrels/dev.tsv"), "mrr@10")
        chunk_ids = [chunk.chunk_id for chunk in evaluator.chunks]
        questions = ChunkQuestions.read(Path("data/questions"), chunk_ids)
        passages = [passage(chunk, params.triplets.text_template) for chunk in evaluator.chunks]
        made = Systems(evaluator, passages, dev, params.evaluate, questions)
        made.add_base(blend.at(0.0))
        made.add_tuned(blend.model)
        return made, dev

    return call


@pytest.mark.posix  # the first systems have data/tokens mapped while it is written again
def test_questions_that_help_are_searched_and_the_systems_without_stand_beside(systems, helpful):
    plain, dev = systems([])
    assert UNASKED.isdisjoint(plain.runs)
    assert not plain.questions
    asked, _ = systems(helpful)
    assert asked.questions
    for system in ("base", "base_hybrid"):
        assert asked.runs[f"{system}_unasked"] == plain.runs[system]
        assert asked.runs[system] != plain.runs[system]
    assert dev.value(asked.runs["base_hybrid"]) > dev.value(plain.runs["base_hybrid"]) + 0.1
    assert asked.chosen["base_hybrid_unasked"] == plain.chosen["base_hybrid"]
    assert asked.runs["tuned_unasked"] == asked.runs["base_unasked"]  # the strength is 0
    assert asked.runs["tuned"] == asked.runs["base"]
    assert asked.runs["bm25"] == plain.runs["bm25"]
    assert {"base_unasked", "base_hybrid_unasked"} <= asked.free(0.03).dev.keys()


@pytest.mark.posix  # the first systems have data/tokens mapped while it is written again
def test_where_a_few_chunks_have_questions_that_nobody_asks_nothing_changes(systems, chunk_ids):
    plain, _ = systems([])
    asked, _ = systems([("what is a chunk?", chunk_ids[0]), ("and a corpus?", chunk_ids[-1])])
    assert not asked.questions
    assert asked.runs == plain.runs
    assert asked.chosen == plain.chosen
