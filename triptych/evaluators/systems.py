"""The systems that are compared: BM25, embedders, their hybrids with BM25, late interaction and the reranker."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Qrels, Query, Run
from triptych.evaluation.chosen_on_dev import FreeSystem
from triptych.evaluation.comparison import NamedInterval, compare
from triptych.evaluators.dev_queries import DevQueries, queries_of
from triptych.evaluators.rerank_runs import Scorer, late_interaction_scorer, rerank
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.params.sections import Evaluate
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.reranking import Reranking

# Pairs of system and baseline: what each step adds to the same search without it.
ABLATIONS = [
    ("base", "base_cut"),
    ("base_hybrid", "base"),
    ("tuned", "base"),
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
        self, evaluator: RetrievalEvaluator, passage_texts: list[str], dev: DevQueries, params: Evaluate
    ) -> None:
        """Rank by BM25. ``passage_texts`` are those of the evaluator's chunks."""
        self.runs: dict[str, Run] = {"bm25": evaluator.lexical_run(passage_texts, params.depth)}
        self.chosen: dict[str, dict[str, Any]] = {}  # by system: the settings that are best on dev
        self.windows = False  # whether windows of the passages are searched
        self._evaluator, self._dev, self._params = evaluator, dev, params

    def add_base(self, model: SentenceTransformer) -> None:
        """Add the systems of the base model, and choose whether windows of the passages are searched.

        Where they are, ``base_cut`` is the base model by the beginnings of the passages alone.
        """
        cut = self._evaluator.dense_run(model, self._params.depth, "evaluate: base")
        if self._evaluator.has_windows:
            windows = self._evaluator.dense_run(model, self._params.depth, "evaluate: base, windows", windows=True)
            self.windows = self._dev.prefers_windows(*(self._hybrid(dense)[1] for dense in (windows, cut)))
            if self.windows:
                self.runs["base_cut"] = cut
                cut = windows
        self._add("base", model, cut)

    def add_tuned(self, model: SentenceTransformer) -> None:
        """Add the systems of the tuned embedder, which searches windows where the base model does."""
        dense = self._evaluator.dense_run(model, self._params.depth, "evaluate: tuned", windows=self.windows)
        self._add("tuned", model, dense)

    def add_candidate(self, name: str, dense: Run) -> Fusion:
        """Add another embedder that needs no training, and its hybrid with BM25; return the fusion of that."""
        fusion, fused = self._hybrid(dense)
        self.runs |= {f"candidate:{name}": dense, f"candidate:{name}_hybrid": fused}
        return fusion

    def _hybrid(self, dense: Run) -> tuple[Fusion, Run]:
        params, bm25 = self._params, self.runs["bm25"]
        candidates = [Fusion(method, weight) for method in params.fusions for weight in params.dense_weights]
        fusion = self._dev.fusion(dense, bm25, candidates)
        return fusion, fusion.fuse(dense, bm25, params.depth)

    def _add(self, name: str, model: SentenceTransformer, dense: Run) -> None:
        """Add an embedder, its hybrid with BM25, and the hybrid reranked by late interaction."""
        params, hybrid = self._params, f"{name}_hybrid"
        fusion, fused = self._hybrid(dense)
        self.runs[name], self.runs[hybrid] = dense, fused
        self.chosen[hybrid] = asdict(fusion)
        scorer = late_interaction_scorer(model, self._evaluator, f"evaluate: {name}")
        self._add_reranked(f"{name}_late", self.runs[hybrid], params.late_weights, scorer)

    def free(self, worthwhile: float) -> FreeSystem:
        """Return the best of the systems that need no training, once the base model was added.

        Late interaction needs some fifty times the memory, so it must surely gain ``worthwhile`` on dev.
        """
        dev, runs = self._dev, self.runs
        known = ("bm25", "base_cut", "base", "base_hybrid", "base_late")
        names: list[str] = [name for name in known if name in runs]
        values = {name: dev.value(queries_of(runs[name], dev.qrels)) for name in names} if dev.qrels else {}
        late = "base_late" in names and dev.is_better(runs["base_late"], runs["base_hybrid"], by=worthwhile)
        return FreeSystem("base_late" if late else "base_hybrid", len(dev.qrels), values)

    def add_reranker(self, scorer: Scorer) -> None:
        """Rerank the tuned hybrid, after late interaction if dev prefers that."""
        first = self.runs.get("tuned_late", self.runs["tuned_hybrid"])
        self._add_reranked("reranked", first, self._params.rerank_weights, scorer)

    def _add_reranked(self, name: str, first: Run, weights: list[float], scorer: Scorer) -> None:
        if not self._dev.decide:
            self.chosen[name] = asdict(Reranking(min(self._params.rerank_depths), 0.0))
            return
        candidates = [Reranking(depth, weight) for depth in self._params.rerank_depths for weight in weights]
        run, reranking = rerank(first, self._dev.qrels, candidates, self._dev.metric, scorer)
        self.chosen[name] = asdict(reranking)
        if reranking.weight:
            self.runs[name] = run


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
