"""Reranking: the best hits of a first stage, ordered anew by another model's scores as far as dev trusts them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from triptych.corpus.records import Qrels, Run, best, ranked
from triptych.retrieval.fusion import Fusion


@dataclass(frozen=True, slots=True)
class Reranking:
    """The best ``depth`` hits are ranked by both scores, standardized; ``weight`` is the reranker's, 0 is not to."""

    depth: int
    weight: float

    def __str__(self) -> str:
        return f"the best {self.depth} with weight {self.weight:g}" if self.weight else "nothing"

    def rerank(self, first: Run, scores: Run) -> Run:
        """Return the hits of a first stage in their new order, those behind the best ``depth`` as they were.

        ``scores`` are the reranker's, of the best ``depth`` hits of each query at least. The scores returned descend
        with the order; equal ones follow by chunk id, as everywhere.
        """
        return {query: self._one(hits, scores[query]) for query, hits in first.items()}

    def _one(self, hits: dict[str, float], scores: dict[str, float]) -> dict[str, float]:
        top = best(hits, self.depth)
        if not self.weight or not top:
            return hits
        fused = Fusion("zscore", self.weight).fuse({"": {one: scores[one] for one in top}}, {"": top}, len(top))[""]
        lowest = min(fused.values())
        behind = [one for one in ranked(hits) if one not in top]
        return fused | {chunk: lowest - place for place, chunk in enumerate(behind, start=1)}


def choose_reranking(
    first: Run,
    scores: Run,
    candidates: Iterable[Reranking],
    qrels: Qrels,
    measure: Callable[[Qrels, Run], float],
) -> tuple[Reranking, dict[Reranking, float]]:
    """Return the candidate that is best by ``measure`` on ``qrels``, which must be dev's, and the mean of each.

    Of equal means the smaller weight wins, then the smaller depth: what does not help is not done. Raise ValueError
    without a candidate.
    """
    means = {one: measure(qrels, one.rerank(first, scores)) for one in candidates}
    return max(means, key=lambda one: (means[one], -one.weight, -one.depth)), means
