"""The systems that are compared: BM25, embedders, their hybrids with BM25, late interaction and the reranker."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from typing import Any

from sentence_transformers import SentenceTransformer

from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.records import Qrels, Query, Run
from triptych.encoding.frozen_passages import FrozenPassages
from triptych.evaluation.chosen_on_dev import FreeSystem
from triptych.evaluation.comparison import NamedInterval, compare
from triptych.evaluators.chunk_vectors import ChunkVectors
from triptych.evaluators.dev_queries import DevQueries, queries_of
from triptych.evaluators.rerank_runs import PassageModel, Scorer, late_interaction_scorer, rerank
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator
from triptych.params.sections import Evaluate
from triptych.retrieval.fusion import PRIOR, PRIOR_WITH_QUESTIONS, Fusion
from triptych.retrieval.reranking import Reranking

# Pairs of system and baseline: what each step adds to the same search without it.
ABLATIONS = [
    ("base", "base_cut"),
    ("base_unasked", "base_cut"),
    ("base", "base_unasked"),
    ("base_hybrid", "base_hybrid_unasked"),
    ("tuned_unasked", "base_unasked"),
    ("base_hybrid", "base"),
    ("tuned", "base"),
    ("tuned", "tuned_queries"),
    ("tuned_hybrid", "tuned_queries_hybrid"),
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
        dev: DevQueries,
        params: Evaluate,
        questions: ChunkQuestions,
    ) -> None:
        """Rank by BM25. ``passage_texts`` are those of the evaluator's chunks, ``questions`` were written for them."""
        self._lexical = evaluator.lexical_run(passage_texts, params.depth)  # what hybrids are fused with
        self._prior = PRIOR  # how, where dev does not surely prefer another fusion
        self.runs: dict[str, Run] = {"bm25": self._lexical}
        self.chosen: dict[str, dict[str, Any]] = {}  # by system: the settings that are best on dev
        self.windows = False  # whether windows of the passages are searched
        self.questions = False  # whether the written questions are searched
        self._passage_texts, self._written = passage_texts, questions
        self._evaluator, self._dev, self._params = evaluator, dev, params

    def add_base(self, model: SentenceTransformer) -> None:
        """Add the systems of the base model, and choose whether windows and written questions are searched.

        Where windows are, ``base_cut`` is the base model by the beginnings of the passages alone. Where questions are,
        ``base_unasked`` and ``base_hybrid_unasked`` are the systems without them.
        """
        with_windows, with_questions = self._evaluator.has_windows, len(self._written) > 0
        vectors = self._evaluator.vectors(model, "evaluate: base", windows=with_windows, questions=with_questions)
        dense = self._run_of(vectors.beginnings().without_questions())
        if with_windows:
            of_windows = self._run_of(vectors.without_questions())
            self.windows = self._dev.prefers_windows(*(self._hybrid(one)[1] for one in (of_windows, dense)))
            if self.windows:
                self.runs["base_cut"], dense = dense, of_windows
        if with_questions:
            dense = self._with_questions(dense, vectors if self.windows else vectors.beginnings())
        self._add("base", model, dense)

    def _with_questions(self, unasked: Run, vectors: ChunkVectors) -> Run:
        """Choose whether the written questions are searched; return the run of the base model's vectors that is."""
        asked, without = self._run_of(vectors), (self._lexical, self._prior)
        fusion, unasked_hybrid = self._hybrid(unasked)
        self._lexical = self._evaluator.lexical_run(self._written.added_to(self._passage_texts), self._params.depth)
        self._prior = PRIOR_WITH_QUESTIONS
        coverage = self._written.coverage(self._evaluator.chunks)
        self.questions = self._dev.prefers_questions(self._hybrid(asked)[1], unasked_hybrid, coverage)
        if not self.questions:
            self._lexical, self._prior = without
            return unasked
        self.runs |= {"base_unasked": unasked, "base_hybrid_unasked": unasked_hybrid}
        self.chosen["base_hybrid_unasked"] = asdict(fusion)
        return asked

    def add_tuned(
        self, model: SentenceTransformer, frozen: FrozenPassages | None = None, base: PassageModel | None = None
    ) -> None:
        """Add the systems of the tuned embedder, which searches windows and questions where the base model does.

        Where it searches questions, ``tuned_unasked`` is its vectors without them. Where queries alone are tuned,
        passages have ``frozen`` vectors, and ``base`` the model that encodes their tokens.
        """
        evaluator = replace(self._evaluator, frozen=frozen)
        vectors = evaluator.vectors(model, "evaluate: tuned", windows=self.windows, questions=self.questions)
        if self.questions:
            self.runs["tuned_unasked"] = self._run_of(vectors.without_questions())
        self._add("tuned", model, self._run_of(vectors), base)

    def add_tuned_queries(self, model: SentenceTransformer, of_base: FrozenPassages) -> None:
        """Add the tuned embedder for queries alone, over the base model's vectors of passages, and its hybrid.

        It is what an index of the base model gives that is not built again. Written questions are encoded as queries.
        """
        self._add_with_hybrid("tuned_queries", model, of_base)

    def add_previous(self, model: SentenceTransformer, frozen: FrozenPassages | None = None) -> None:
        """Add the embedder of the last publication and its hybrid; it searches windows and questions likewise."""
        self._add_with_hybrid("previous", model, frozen)

    def _add_with_hybrid(self, name: str, model: SentenceTransformer, frozen: FrozenPassages | None) -> None:
        evaluator = replace(self._evaluator, frozen=frozen)
        vectors = evaluator.vectors(model, f"evaluate: {name}", windows=self.windows, questions=self.questions)
        fusion, fused = self._hybrid(dense := self._run_of(vectors))
        self.runs |= {name: dense, f"{name}_hybrid": fused}
        self.chosen[f"{name}_hybrid"] = asdict(fusion)

    def _run_of(self, vectors: ChunkVectors) -> Run:
        return self._evaluator.run_of(vectors, self._params.depth)

    def add_candidate(self, name: str, dense: Run) -> Fusion:
        """Add another embedder that needs no training, and its hybrid with BM25; return the fusion of that."""
        fusion, fused = self._hybrid(dense)
        self.runs |= {f"candidate:{name}": dense, f"candidate:{name}_hybrid": fused}
        return fusion

    def _hybrid(self, dense: Run) -> tuple[Fusion, Run]:
        params, bm25 = self._params, self._lexical
        candidates = [Fusion(method, weight) for method in params.fusions for weight in params.dense_weights]
        fusion = self._dev.fusion(dense, bm25, candidates, self._prior)
        return fusion, fusion.fuse(dense, bm25, params.depth)

    def _add(self, name: str, model: SentenceTransformer, dense: Run, of_passages: PassageModel | None = None) -> None:
        """Add an embedder, its hybrid with BM25, and the hybrid reranked by late interaction."""
        params, hybrid = self._params, f"{name}_hybrid"
        fusion, fused = self._hybrid(dense)
        self.runs[name], self.runs[hybrid] = dense, fused
        self.chosen[hybrid] = asdict(fusion)
        scorer = late_interaction_scorer(
            model, self._evaluator, f"evaluate: {name}", windows=self.windows, of_passages=of_passages
        )
        self._add_reranked(f"{name}_late", self.runs[hybrid], params.late_weights, scorer)

    def free(self, worthwhile: float) -> FreeSystem:
        """Return the best of the systems that need no training, once the base model was added.

        Late interaction needs some fifty times the memory, so it must surely gain ``worthwhile`` on dev.
        """
        dev, runs = self._dev, self.runs
        known = ("bm25", "base_cut", "base_unasked", "base_hybrid_unasked", "base", "base_hybrid", "base_late")
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
    taught: Collection[str],
) -> list[NamedInterval]:
    """Compare the pairs of `ABLATIONS` of which both systems are in ``runs``, as `compare` does."""
    intervals: list[NamedInterval] = []
    for system, baseline in ABLATIONS:
        if {system, baseline} <= runs.keys():
            pair = {name: runs[name] for name in (baseline, system)}
            intervals += compare(pair, qrels, queries, document_of, baseline, params, taught).intervals
    return intervals
