"""The dev queries that people asked, and what may be chosen by them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triptych.corpus.records import Qrels, Query, Run
from triptych.evaluation.metrics import mean_metric, per_query
from triptych.retrieval.fusion import PRIOR, Fusion, choose_fusion

FEWEST = 10  # with fewer queries even their standard error is unknown
COVERED = 0.5  # share of the chunks that must have written questions for them to be searched without a proof on dev


@dataclass(frozen=True, slots=True)
class DevQueries:
    """The judgments of the dev queries that people asked, and the metric that choices maximize."""

    qrels: Qrels
    measure: str

    @classmethod
    def of(cls, queries: Sequence[Query], qrels: Qrels, measure: str) -> "DevQueries":
        """Leave out the pseudo-queries of a dev set."""
        asked = {query.query_id for query in queries if query.kind != "pseudo"}
        return cls({query_id: judged for query_id, judged in qrels.items() if query_id in asked}, measure)

    @property
    def decide(self) -> bool:
        """Whether there are enough queries to choose anything by."""
        return len(self.qrels) >= FEWEST

    def metric(self, qrels: Qrels, run: Run) -> float:
        """Return the mean of the metric over the queries in ``qrels``."""
        return mean_metric(self.measure, qrels, run)

    def value(self, run: Run) -> float:
        """Return the mean of the metric over all dev queries that people asked."""
        return self.metric(self.qrels, run)

    def is_better(self, run: Run, than: Run, by: float = 0.0) -> bool:
        """Return whether a run is better than another one by ``by`` and the standard error of their mean difference."""
        ours, theirs = (per_query(self.qrels, one)[self.measure] for one in (run, than))
        differences = np.array([ours[query_id] - theirs[query_id] for query_id in self.qrels])
        return bool(differences.mean() > by + differences.std(ddof=1) / math.sqrt(len(differences)))

    def prefers_windows(self, windows: Run, cut: Run) -> bool:
        """Return whether windows are searched rather than the beginnings of passages.

        The user asked for them (tokenize.max_windows), and they were better on average, most of all for what real
        people ask (docs/experiments.md), so they are unless dev surely prefers the beginnings.
        """
        windows, cut = (queries_of(run, self.qrels) for run in (windows, cut))
        return not (self.decide and self.is_better(cut, windows))

    def prefers_questions(self, asked: Run, unasked: Run, coverage: float) -> bool:
        """Return whether the questions written for the chunks are searched too.

        Where at least half of the chunks have some (``coverage`` is the share of those that do), they are unless dev
        surely prefers to go without, as all kinds of question gained by them (docs/experiments.md). With fewer, what
        the others lose may be more than what these gain, so they are only if dev surely prefers them.
        """
        covered = coverage >= COVERED
        if not self.decide:
            return covered
        asked, unasked = (queries_of(run, self.qrels) for run in (asked, unasked))
        return not self.is_better(unasked, asked) if covered else self.is_better(asked, unasked)

    def fusion(self, dense: Run, lexical: Run, candidates: Sequence[Fusion], prior: Fusion = PRIOR) -> Fusion:
        """Return ``prior``, or the candidate that is best on dev where it is better by more than the standard error.

        Of some tens of queries the best of many candidates is the best by chance. Where the candidates do not have
        ``prior``, the best of them is returned, and without queries to choose by the one with most weight on the
        vectors.
        """
        if not self.decide:
            return prior if prior in candidates else max(candidates, key=lambda one: one.dense_weight)
        dense, lexical = (queries_of(run, self.qrels) for run in (dense, lexical))
        chosen, _ = choose_fusion(dense, lexical, candidates, self.qrels, self.metric)
        depth = _deepest(dense, lexical)
        best, usual = (one.fuse(dense, lexical, depth) for one in (chosen, prior))
        if prior not in candidates or self.is_better(best, usual):
            return chosen
        return prior


def queries_of(run: Run, qrels: Qrels) -> Run:
    """Return the hits of the queries in ``qrels``; a query without hits has none."""
    return {query: run.get(query, {}) for query in qrels}


def _deepest(*runs: Run) -> int:
    return max(1, sum(max(map(len, run.values()), default=0) for run in runs))
