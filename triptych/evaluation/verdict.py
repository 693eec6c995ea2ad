"""The verdicts of a run: what the search without training is, and whether tuning and reranking add to it.

``metrics/verdict.json`` is written and read here only. This module imports nothing heavy, because a search reads it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from triptych.artifacts import intact, read_json, write_json
from triptych.errors import ArtifactError
from triptych.evaluation.chosen_on_dev import FusionChoice, RerankingChoice

_COMPARED = "against the best search without training, "
_TAUGHT = "measured on the kind of question it was taught with"

_QUERIES_ALONE = " for queries, over the base model's vectors of passages, which stay as they are"

Basis = Literal["untaught", "taught"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over the test queries that decide, with its confidence interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AgainstFree(Difference):
    """The difference between a system and the best one that needs no training."""

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
    against_free: AgainstFree | None  # None where the system was not compared


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankingVerdict(SystemVerdict):
    """The verdict on late interaction or on the reranker."""

    reranking: RerankingChoice | None  # None where there is no reranker
    added: Difference | None  # to the same search without it; None where it was not compared


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeBaseline:
    """The best search without training, which everything is compared with, and which is published without proof."""

    system: str  # base_hybrid, or base_late
    reason: str  # why it is this one
    added: Difference | None  # what the hybrid adds to the base model's vectors alone


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousVerdict:
    """Whether what the last publication had won is kept, and whether its embedder stays published."""

    kept: bool  # whether the new embedder surely falls nowhere on the last exam
    published: bool  # the embedder of the last publication is published again
    reasons: list[str]
    last_exam: Difference | None  # of the new embedder to the last publication; None without such queries
    new_questions: Difference | None


@dataclass(frozen=True, slots=True)
class Verdicts:
    """All verdicts of a run."""

    measure: str  # the metric that decided
    strength: float  # of the tuned embedder; 0 is the base model
    free: FreeBaseline
    windows: bool  # whether windows of the passages are searched, or their beginnings alone
    questions: bool  # whether the questions written for the chunks are searched too
    embedder: SystemVerdict  # of the search with the tuned embedder; used: that embedder is published
    fusion: FusionChoice  # of the published embedder's vectors with BM25
    late_interaction: RerankingVerdict
    reranker: RerankingVerdict
    taught: list[str] = field(default_factory=list)  # kinds of query that training learned
    basis: Basis = "untaught"  # whether kinds that were not taught decided, or all, which may be taught
    sides: Literal["both", "query"] = "both"  # what was tuned: queries and passages, or queries alone
    previous: PreviousVerdict | None = None  # where a publication was before (`split.previous`)

    @property
    def published(self) -> Literal["tuned", "previous", "base"]:
        """The embedder that is published."""
        if self.previous is not None and self.previous.published:
            return "previous"
        return "tuned" if self.embedder.used else "base"

    @property
    def kinds(self) -> set[str]:
        """The kinds of the test queries: user, what authors judged (crossref, sentence, ...), pseudo."""
        return set(self.embedder.against_free.kinds.split("+")) if self.embedder.against_free else set()

    @property
    def deployed(self) -> str:
        """The last system that is used."""
        used = [one.system for one in (self.late_interaction, self.reranker) if one.used]
        return used[-1] if used else f"{self.published}_hybrid"

    @property
    def advice(self) -> str:
        """What to do about the embedder."""
        if self.published == "previous":
            return "keep the embedder that was published before"
        if not self.embedder.used:
            return "keep your base model"
        return "use the tuned embedder" + (_QUERIES_ALONE if self.sides == "query" else "")

    @property
    def search(self) -> str:
        """How the published embedder is searched with."""
        if self.fusion.dense_weight == 1.0:
            return "its vectors alone"
        if self.fusion.dense_weight == 0.0:
            return "BM25 alone"
        return f"its vectors and BM25 ({self.fusion})"

    @property
    def sentence(self) -> str:
        """The advice, marked where it is unproven, with how to search."""
        advice = f"unproven, {self.advice}" if self.embedder.decision == "unproven" else self.advice
        return f"{advice}, and search with {self.search}{self._marked}"

    @property
    def caveat(self) -> str:
        """That the queries are of kinds that were taught; empty where others decided, or where nothing is proved."""
        return _TAUGHT if self.basis == "taught" and self.embedder.decision != "unproven" else ""

    @property
    def _marked(self) -> str:
        return f", {self.caveat}" if self.caveat else ""

    @property
    def headline(self) -> str:
        """The advice with its reason, as a sentence; where it is unproven, without `missing`."""
        advice, reason = f"{self.advice[:1].upper()}{self.advice[1:]}", self.embedder.reason
        if self.embedder.decision == "unproven":
            return f"{advice}: unproven, for {reason.partition('; ')[0]}."
        return f"{advice}: {_COMPARED if self.embedder.reason.startswith(self.measure) else ''}{reason}{self._marked}."

    @property
    def missing(self) -> str:
        """What would prove an unproven verdict, as a sentence; empty where nothing is missing."""
        missing = self.embedder.reason.partition("; ")[2] if self.embedder.decision == "unproven" else ""
        return f"{missing[:1].upper()}{missing[1:]}." if missing else ""

    def write(self, path: Path) -> None:
        """Write ``metrics/verdict.json``: the embedder's entries at the top level, an object for each other part."""
        embedder = _record(self.embedder)
        del embedder["used"]
        run = {
            "promoted": self.embedder.decision == "promoted",
            "measure": self.measure,
            "strength": self.strength,
            "published": self.published,
            "fusion": asdict(self.fusion),
            "windows": self.windows,
            "questions": self.questions,
            "taught": self.taught,
            "basis": self.basis,
        }
        added = {"added": asdict(self.free.added)} if self.free.added else {}
        parts = {
            "free": {"system": self.free.system, "reason": self.free.reason} | added,
            "late_interaction": _reranking_record(self.late_interaction),
            "reranker": _reranking_record(self.reranker),
        }
        sides = {"sides": self.sides} if self.sides != "both" else {}
        previous = {"previous": asdict(self.previous)} if self.previous else {}
        write_json(path, embedder | run | sides | parts | previous)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; raise `ArtifactError` where it is missing, damaged, or of an older version."""
        record = read_json(path)
        with intact(path):
            if isinstance(record, dict) and not {"free", "late_interaction", "basis"} <= record.keys():
                raise ArtifactError(path, "was written by an older version")
            free = record["free"]
            return cls(
                measure=record["measure"],
                strength=record["strength"],
                free=FreeBaseline(system=free["system"], reason=free["reason"], added=_difference(free)),
                windows=record["windows"],
                questions=record.get("questions", False),
                embedder=SystemVerdict(**_verdict(record | {"used": record["published"] == "tuned"})),
                fusion=FusionChoice(**record["fusion"]),
                late_interaction=_reranking_verdict(record["late_interaction"]),
                reranker=_reranking_verdict(record["reranker"]),
                taught=record["taught"],
                basis=record["basis"],
                sides=record.get("sides", "both"),
                previous=_previous(record.get("previous")),
            )


def _record(verdict: SystemVerdict) -> dict[str, Any]:
    common = {name: getattr(verdict, name) for name in ("reason", "reasons", "system", "used")}
    against_free = asdict(verdict.against_free) if verdict.against_free else {}
    return common | {"verdict": verdict.decision} | against_free


def _reranking_record(verdict: RerankingVerdict) -> dict[str, Any]:
    # The key is "way" so that older verdict files load.
    reranking = {"way": asdict(verdict.reranking)} if verdict.reranking else {}
    added = {"added": asdict(verdict.added)} if verdict.added else {}
    return _record(verdict) | reranking | added


def _verdict(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `SystemVerdict`."""
    against_free = None
    if "difference" in record:
        against_free = AgainstFree(**{field.name: record[field.name] for field in fields(AgainstFree)})
    return {name: record[name] for name in ("reason", "reasons", "system", "used")} | {
        "decision": record["verdict"],
        "against_free": against_free,
    }


def _reranking_verdict(record: Mapping[str, Any]) -> RerankingVerdict:
    reranking = RerankingChoice(**record["way"]) if "way" in record or record["used"] else None
    return RerankingVerdict(**_verdict(record), reranking=reranking, added=_difference(record))


def _previous(record: Mapping[str, Any] | None) -> PreviousVerdict | None:
    if record is None:
        return None
    exams = {name: Difference(**record[name]) if record[name] else None for name in ("last_exam", "new_questions")}
    return PreviousVerdict(**{**record, **exams})


def _difference(record: Mapping[str, Any]) -> Difference | None:
    return Difference(**record["added"]) if "added" in record else None
