"""Hand-made verdicts."""

from dataclasses import replace

from triptych.evaluation.chosen_on_dev import FusionChoice, RerankingChoice
from triptych.evaluation.verdict import (
    AgainstFree,
    Difference,
    FreeBaseline,
    RerankingVerdict,
    SystemVerdict,
    Verdicts,
)

FUSION = FusionChoice("zscore", 0.6)
_AGAINST_FREE = AgainstFree(0.1, 0.05, 0.15, "crossref", 0.001)


def _fields(system, used, reason):
    return {
        "system": system,
        "decision": "promoted" if used else "kept",
        "reason": reason,
        "reasons": [reason],
        "used": used,
        "against_free": _AGAINST_FREE,
    }


def reranking_verdict(system, used=True, reranking=(50, 0.5), **changes):
    """Return a verdict on late interaction or the reranker."""
    fields = _fields(system, used, "it rises") | {"added": Difference(0.02, 0.01, 0.03)} | changes
    return RerankingVerdict(**fields, reranking=RerankingChoice(*reranking))


def make_verdicts(tuned=True, late=False, reranked=False, fusion=FUSION, windows=False, questions=False, **changes):
    """Return the verdicts of a run; ``late`` and ``reranked`` may be (depth, weight), `changes` are of `Verdicts`."""
    published = "tuned" if tuned else "base"

    def second_stage(system, setting):
        return reranking_verdict(system, bool(setting), setting if isinstance(setting, tuple) else (50, 0.5))

    verdicts = Verdicts(
        measure="mrr@10",
        strength=1.0,
        free=FreeBaseline(system="base_hybrid", reason="the best on dev", added=Difference(0.05, 0.02, 0.08)),
        windows=windows,
        questions=questions,
        embedder=SystemVerdict(**_fields("tuned_hybrid", tuned, "mrr@10 rises by 0.100")),
        fusion=fusion,
        late_interaction=second_stage(f"{published}_late", late),
        reranker=second_stage("reranked", reranked),
    )
    return replace(verdicts, **changes)
