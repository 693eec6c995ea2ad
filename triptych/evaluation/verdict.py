"""The verdicts of a run: whether to use the tuned embedder, the hybrid, late interaction and the reranker.

``metrics/verdict.json`` is written and read here only. This module imports nothing heavy, because a search reads it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from triptych.artifacts import intact, read_json, write_json
from triptych.errors import ArtifactError
from triptych.evaluation.chosen_on_dev import FusionChoice, RerankingChoice


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over all test queries, with its confidence interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AgainstBase(Difference):
    """The difference between a system and the base model."""

    kinds: str  # of the queries, joined by +
    p_holm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision, the sentence that gives its reason, and all sentences with the metrics that it rests on."""

    decision: Literal["promoted", "kept", "unproven"]
    reason: str
    reasons: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemVerdict(Verdict):
    """The verdict on one system."""

    system: str  # its name in ``metrics/evaluate.json``
    used: bool
    against_base: AgainstBase | None  # None where the system was not compared


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridVerdict(SystemVerdict):
    """The verdict on the published embedder fused with BM25."""

    fusion: FusionChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankingVerdict(SystemVerdict):
    """The verdict on late interaction or on the reranker."""

    reranking: RerankingChoice | None  # None where there is no reranker
    added: Difference | None  # to the same search without it; None where it was not compared


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All verdicts of a run."""

    measure: str  # the metric that decided
    strength: float  # of the tuned embedder; 0 is the base model
    embedder: SystemVerdict  # used: the tuned one is published
    hybrid: HybridVerdict
    late_interaction: RerankingVerdict
    reranker: RerankingVerdict

    @property
    def published(self) -> Literal["tuned", "base"]:
        """The embedder that is published."""
        return "tuned" if self.embedder.used else "base"

    @property
    def kinds(self) -> set[str]:
        """The kinds of the test queries: user, what authors judged (crossref, sentence, ...), pseudo."""
        return set(self.embedder.against_base.kinds.split("+")) if self.embedder.against_base else set()

    @property
    def deployed(self) -> str:
        """The last system that is used; the tuned embedder where the base model is to be used alone."""
        used = [one.system for one in (self.hybrid, self.late_interaction, self.reranker) if one.used]
        return used[-1] if used else "tuned"

    @property
    def advice(self) -> str:
        """What to do about the embedder."""
        return "use the tuned embedder" if self.embedder.used else "keep your base model"

    @property
    def sentence(self) -> str:
        """The advice, marked where it is unproven."""
        return f"unproven, {self.advice}" if self.embedder.decision == "unproven" else self.advice

    @property
    def headline(self) -> str:
        """The advice with its reason, as a sentence; where it is unproven, without `missing`."""
        advice, reason = f"{self.advice[:1].upper()}{self.advice[1:]}", self.embedder.reason
        if self.embedder.decision == "unproven":
            return f"{advice}: unproven, for {reason.partition('; ')[0]}."
        return f"{advice}: {reason}."

    @property
    def missing(self) -> str:
        """What would prove an unproven verdict, as a sentence; empty where nothing is missing."""
        missing = self.embedder.reason.partition("; ")[2] if self.embedder.decision == "unproven" else ""
        return f"{missing[:1].upper()}{missing[1:]}." if missing else ""

    def write(self, path: Path) -> None:
        """Write ``metrics/verdict.json``: the embedder's entries at the top level, an object for each other part."""
        embedder = _record(self.embedder)
        del embedder["system"], embedder["used"]
        run = {
            "promoted": self.embedder.decision == "promoted",
            "measure": self.measure,
            "strength": self.strength,
            "published": self.published,
        }
        parts = {
            "hybrid": _record(self.hybrid) | {"fusion": asdict(self.hybrid.fusion)},
            "late_interaction": _reranking_record(self.late_interaction),
            "reranker": _reranking_record(self.reranker),
        }
        write_json(path, embedder | run | parts)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raise `ArtifactError` where it is missing, damaged, or of an older version."""
        record = read_json(path)
        with intact(path):
            hybrid = record["hybrid"]
            if "late_interaction" not in record:
                raise ArtifactError(path, "was written by an older version")
            return cls(
                measure=record["measure"],
                strength=record["strength"],
                embedder=SystemVerdict(
                    **_verdict(record | {"system": "tuned", "used": record["published"] == "tuned"})
                ),
                hybrid=HybridVerdict(**_verdict(hybrid), fusion=FusionChoice(**hybrid["fusion"])),
                late_interaction=_reranking_verdict(record["late_interaction"]),
                reranker=_reranking_verdict(record["reranker"]),
            )


def _record(verdict: SystemVerdict) -> dict[str, Any]:
    common = {name: getattr(verdict, name) for name in ("reason", "reasons", "system", "used")}
    against_base = asdict(verdict.against_base) if verdict.against_base else {}
    return common | {"verdict": verdict.decision} | against_base


def _reranking_record(verdict: RerankingVerdict) -> dict[str, Any]:
    # The key is "way" so that older verdict files load.
    reranking = {"way": asdict(verdict.reranking)} if verdict.reranking else {}
    added = {"added": asdict(verdict.added)} if verdict.added else {}
    return _record(verdict) | reranking | added


def _verdict(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `SystemVerdict`."""
    against_base = None
    if "difference" in record:
        against_base = AgainstBase(**{field.name: record[field.name] for field in fields(AgainstBase)})
    return {name: record[name] for name in ("reason", "reasons", "system", "used")} | {
        "decision": record["verdict"],
        "against_base": against_base,
    }


def _reranking_verdict(record: Mapping[str, Any]) -> RerankingVerdict:
    reranking = RerankingChoice(**record["way"]) if "way" in record or record["used"] else None
    added = Difference(**record["added"]) if "added" in record else None
    return RerankingVerdict(**_verdict(record), reranking=reranking, added=added)
