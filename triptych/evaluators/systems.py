"""The systems that are compared: BM25, embedders, their hybrids with BM25, late interaction and the reranker."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Qrels, Query, Run
from triptych.evaluation.comparison import NamedInterval, compare
from triptych.evaluators.rerank_runs import Scorer, late_interaction_scorer, rerank
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.params.sections import Evaluate
from triptych.retrieval.fusion import Fusion, choose_fusion
from triptych.retrieval.reranking import Reranking

# Pairs of system and baseline: each system that reranks is also compared with the same search without this step.
ABLATIONS = [
    ("base_late", "base_hybrid"),
    ("tuned_late", "tuned_hybrid"),
    ("reranked", "tuned_late"),
    ("reranked", "tuned_hybrid"),
]


class Systems:
    """Runs of each system for the queries of dev and test; the settings of each are chosen on dev.

    If dev prefers the order of the first stage, the system that reranks is left out: it would be the first stage under
    another name, and would count in Holm's correction.
    """

    def __init__(
        self,
        evaluator: RetrievalEvaluator,
        passage_texts: list[str],
        dev: Qrels,
        metric: Callable[[Qrels, Run], float],
        params: Evaluate,
    ) -> None:
        """Rank by BM25. ``passage_texts`` are those of the evaluator's chunks, ``metric`` is what choices maximize."""
        self.runs: dict[str, Run] = {"bm25": evaluator.lexical_run(passage_texts, params.depth)}
        self.chosen: dict[str, dict[str, Any]] = {}  # by system: the settings that are best on dev
        self._evaluator, self._dev, self._metric, self._params = evaluator, dev, metric, params

    def add_embedder(self, name: str, model: SentenceTransformer) -> None:
        """Rank by an embedder, by its hybrid with BM25, and by the hybrid reranked by late interaction."""
        params, hybrid, bm25 = self._params, f"{name}_hybrid", self.runs["bm25"]
        dense = self._evaluator.dense_run(model, params.depth, f"evaluate: {name}")
        candidates = [Fusion(method, weight) for method in params.fusions for weight in params.dense_weights]
        on_dev = (queries_of(dense, self._dev), queries_of(bm25, self._dev))
        fusion, _ = choose_fusion(*on_dev, candidates, self._dev, self._metric)
        self.runs[name], self.runs[hybrid] = dense, fusion.fuse(dense, bm25, params.depth)
        self.chosen[hybrid] = asdict(fusion)
        scorer = late_interaction_scorer(model, self._evaluator, f"evaluate: {name}")
        self._add_reranked(f"{name}_late", self.runs[hybrid], params.late_weights, scorer)

    def add_reranker(self, scorer: Scorer) -> None:
        """Rerank the tuned hybrid, after late interaction if dev prefers that."""
        first = self.runs.get("tuned_late", self.runs["tuned_hybrid"])
        self._add_reranked("reranked", first, self._params.rerank_weights, scorer)

    def _add_reranked(self, name: str, first: Run, weights: list[float], scorer: Scorer) -> None:
        candidates = [Reranking(depth, weight) for depth in self._params.rerank_depths for weight in weights]
        run, reranking = rerank(first, self._dev, candidates, self._metric, scorer)
        self.chosen[name] = asdict(reranking)
        if reranking.weight:
            self.runs[name] = run


def queries_of(run: Run, qrels: Qrels) -> Run:
    """Return the hits of the queries in ``qrels``; a query without hits has none."""
    return {query: run.get(query, {}) for query in qrels}


def ablation_intervals(
    runs: Mapping[str, Run],
    qrels: Qrels,
    queries: Mapping[str, Query],
    document_of: Mapping[str, int],
    params: Evaluate,
) -> list[NamedInterval]:
    """Compare the pairs of `ABLATIONS` of which both systems are in ``runs``, as `compare` does."""
    intervals: list[NamedInterval] = []
    for system, baseline in ABLATIONS:
        if {system, baseline} <= runs.keys():
            pair = {name: runs[name] for name in (baseline, system)}
            intervals += compare(pair, qrels, queries, document_of, baseline, params).intervals
    return intervals
