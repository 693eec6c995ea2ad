"""Rerank the best hits of a first stage, with the depth and weight that are best on dev."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Qrels, Run, best
from triptych.encoding.encode_tokens import encode_tokens
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.retrieval.late_interaction import TokenVectors, late_scores
from triptych.retrieval.reranking import Reranking, choose_reranking

# Scores of the best hits of each query: from a run, how many hits of each query, and the split, for the progress bar.
Scorer = Callable[[Run, int, str], Run]
PassageModel = Callable[[], AbstractContextManager[SentenceTransformer]]  # the model of passages, while it is needed


def rerank(
    first: Run, dev: Qrels, candidates: Sequence[Reranking], metric: Callable[[Qrels, Run], float], score: Scorer
) -> tuple[Run, Reranking]:
    """Rerank the run of a first stage by the candidate with the best ``metric`` on ``dev``; return both.

    Queries of other splits are scored to the chosen depth, and not at all if the chosen weight is 0. Those of dev are
    not scored if no candidate has another weight.
    """
    on_dev = {query: first[query] for query in dev}
    needs_scores = any(one.weight for one in candidates)
    depth = max(one.depth for one in candidates)
    scores = score(on_dev, depth, "dev") if needs_scores else {query: {} for query in dev}
    chosen, _ = choose_reranking(on_dev, scores, candidates, dev, metric)
    if not chosen.weight:
        return first, chosen
    others = {query: hits for query, hits in first.items() if query not in dev}
    return chosen.rerank(first, scores | score(others, chosen.depth, "test")), chosen


def late_interaction_scorer(
    model: SentenceTransformer,
    evaluator: RetrievalEvaluator,
    label: str,
    *,
    windows: bool = False,
    of_passages: PassageModel | None = None,
) -> Scorer:
    """Return a scorer by late interaction of an embedder's token vectors; each chunk is encoded once.

    With ``windows`` a chunk has the tokens of all its windows, else of its beginning. ``of_passages`` gives the model
    that encodes passages, where that is another one.
    """
    passage_model = of_passages or (lambda: nullcontext(model))
    text_of_query, text_of_chunk = evaluator.text_of_query(), evaluator.text_of_chunk()
    rows: dict[str, int] = {}  # chunk id -> row in the token vectors
    blocks: list[TokenVectors] = []  # empty, or one: the token vectors of all chunks so far

    def encoded(encoder: SentenceTransformer, text_ids: np.ndarray, split: str) -> TokenVectors:
        return encode_tokens(encoder, evaluator.store, text_ids, evaluator.precision, f"{label}, tokens of {split}")

    def encoded_passages(text_ids: list[int], split: str) -> TokenVectors:
        with passage_model() as encoder:
            if not windows:
                return encoded(encoder, np.array(text_ids, np.int64), split)
            window_ids, position = evaluator.store.windows_of(np.array(text_ids, np.int64))
            tokens = encoded(encoder, window_ids, split)
        return tokens.merged(np.searchsorted(position, np.arange(len(text_ids) + 1)))

    def score(run: Run, depth: int, split: str) -> Run:
        chunks = {chunk for hits in run.values() for chunk in best(hits, depth)}
        if new := sorted(chunks - rows.keys()):
            rows.update({chunk: len(rows) + position for position, chunk in enumerate(new)})
            blocks[:] = [TokenVectors.join([*blocks, encoded_passages([text_of_chunk[chunk] for chunk in new], split)])]
        if not chunks:
            return {query: {} for query in run}
        query_tokens = encoded(model, np.array([text_of_query[query] for query in run], np.int64), split)
        vectors_of_query = {query: query_tokens.vectors([row]) for row, query in enumerate(run)}
        return late_scores(run, vectors_of_query, blocks[0], rows, depth)

    return score
