"""Rerank the best hits of a first stage with another model's scores, with the weight that is best on dev."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from triptych.corpus.records import Qrels, Run, best, ranked
from triptych.retrieval.fusion import Fusion


@dataclass(frozen=True, slots=True)
class Reranking:
    """Rerank the best ``depth`` hits by both standardized scores; ``weight`` is the reranker's, 0 disables it."""

    depth: int
    weight: float

    def __str__(self) -> str:
        return f"the best {self.depth} with weight {self.weight:g}" if self.weight else "nothing"

    def rerank(self, first: Run, scores: Run) -> Run:
        """Return the hits of a first stage in their new order; those after the best ``depth`` keep their order.

        ``scores`` are the reranker's, of at least the best ``depth`` hits of each query. The scores returned descend;
        equal ones are sorted by chunk id.
        """
        return {query: self._reranked(hits, scores[query]) for query, hits in first.items()}

    def _reranked(self, hits: dict[str, float], scores: dict[str, float]) -> dict[str, float]:
        top = best(hits, self.depth)
        if not self.weight or not top:
            return hits
        reranker_scores = {chunk: scores[chunk] for chunk in top}
        fused = Fusion("zscore", self.weight).fuse({"": reranker_scores}, {"": top}, len(top))[""]
        lowest = min(fused.values())
        others = [chunk for chunk in ranked(hits) if chunk not in top]
        return fused | {chunk: lowest - rank for rank, chunk in enumerate(others, start=1)}


def choose_reranking(
    first: Run,
    scores: Run,
    candidates: Iterable[Reranking],
    qrels: Qrels,
    metric: Callable[[Qrels, Run], float],
) -> tuple[Reranking, dict[Reranking, float]]:
    """Return the candidate that is best by ``metric`` on ``qrels``, which must be those of dev, and the mean of each.

    Of equal means the smaller weight wins, then the smaller depth: rerank no more than helps. Raise ValueError without
    a candidate.
    """
    means = {reranking: metric(qrels, reranking.rerank(first, scores)) for reranking in candidates}
    return max(means, key=lambda reranking: (means[reranking], -reranking.weight, -reranking.depth)), means
