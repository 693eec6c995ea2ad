"""Ordering the best hits of a first stage anew, as far as dev trusts what scores them: token vectors, or a reranker."""

from collections.abc import Callable, Sequence

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer

from triptych.corpus.records import Qrels, Run, best
from triptych.encoding.encode_tokens import encode_tokens
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.reranker.cross_encoder import pair_scores
from triptych.retrieval.late_interaction import TokenVectors, late_scores
from triptych.retrieval.reranking import Reranking, choose_reranking
from triptych.tokens.pair_store import PairStore

# Scores of the best hits of each query of a run, so many of them; the last is what they are for.
Scorer = Callable[[Run, int, str], Run]


def rerank(
    first: Run, dev: Qrels, candidates: Sequence[Reranking], measure: Callable[[Qrels, Run], float], score: Scorer
) -> tuple[Run, Reranking]:
    """Return the runs of a first stage with their best hits in the order of the candidate that is best on ``dev``.

    Queries of other splits are scored as deep as that one asks, and not at all where it leaves the order as it is; nor
    are those of dev where there is no other candidate.
    """
    on_dev = {query: first[query] for query in dev}
    asked = any(one.weight for one in candidates)
    scores = score(on_dev, max(one.depth for one in candidates), "dev") if asked else {query: {} for query in dev}
    chosen, _ = choose_reranking(on_dev, scores, candidates, dev, measure)
    if not chosen.weight:
        return first, chosen
    others = {query: hits for query, hits in first.items() if query not in dev}
    return chosen.rerank(first, scores | score(others, chosen.depth, "test")), chosen


def by_pairs(model: CrossEncoder, store: PairStore, evaluator: RetrievalEvaluator) -> Scorer:
    """Return the scores of a cross-encoder."""

    def score(run: Run, depth: int, split: str) -> Run:
        names = [(query, chunk) for query, hits in run.items() for chunk in best(hits, depth)]
        query_text, passage = evaluator.text_of_query(), evaluator.text_of_chunk()
        pairs = np.array([(query_text[query], passage[chunk]) for query, chunk in names], np.int64).reshape(-1, 2)
        found: Run = {query: {} for query in run}
        scores = pair_scores(model, store, pairs, evaluator.precision, f"rerank: {split}")
        for (query, chunk), value in zip(names, scores.tolist(), strict=True):
            found[query][chunk] = value
        return found

    return score


def by_tokens(model: SentenceTransformer, evaluator: RetrievalEvaluator, label: str) -> Scorer:
    """Return the scores of late interaction between the token vectors of an embedder; a chunk is encoded once."""
    query_text, passage = evaluator.text_of_query(), evaluator.text_of_chunk()
    rows: dict[str, int] = {}
    blocks: list[TokenVectors] = []

    def encoded(texts: list[int], split: str) -> TokenVectors:
        what = f"{label}, tokens of {split}"
        return encode_tokens(model, evaluator.store, np.array(texts, np.int64), evaluator.precision, what)

    def score(run: Run, depth: int, split: str) -> Run:
        found = {chunk for hits in run.values() for chunk in best(hits, depth)}
        if new := sorted(found - rows.keys()):
            rows.update({chunk: len(rows) + place for place, chunk in enumerate(new)})
            blocks[:] = [TokenVectors.join([*blocks, encoded([passage[chunk] for chunk in new], split)])]
        if not found:
            return {query: {} for query in run}
        questions = encoded([query_text[query] for query in run], split)
        asked = {query: questions.vectors([row]) for row, query in enumerate(run)}
        return late_scores(run, asked, blocks[0], rows, depth)

    return score
