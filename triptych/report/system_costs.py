"""What each system costs: bytes of its index for a chunk, and the time of a question."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.artifacts import read_json
from triptych.serving.costs import Costs

COSTS = "costs.json"  # in the folder of metrics, where `triptych costs` was run


@dataclass(frozen=True, slots=True)
class SystemCost:
    """What a system needs; None where it is not known."""

    bytes_per_chunk: float | None  # of vectors, words and tokens, without the texts, which every search shows
    milliseconds: float | None  # of a question, on the machine where `triptych costs` was run


@dataclass(frozen=True, slots=True)
class SystemCosts:
    """The costs of all systems of a run."""

    index: Mapping[str, Any]  # ``metrics/index.json``
    measured: Costs | None  # of that index; None where `triptych costs` was not run
    reranks_late: bool  # whether the reranker comes after late interaction
    candidates: Mapping[str, Any]  # ``candidates`` of ``metrics/evaluate.json``

    @classmethod
    def read(cls, metrics: Path, evaluation: Mapping[str, Any]) -> "SystemCosts | None":
        """Read what the stages and `triptych costs` wrote; None where stage index has not run."""
        if not (metrics / "index.json").exists():
            return None
        index, path = read_json(metrics / "index.json"), metrics / COSTS
        measured = Costs.read(path) if path.exists() else None
        if measured is not None and not _is_of(measured, index):
            measured = None
        reranks_late = "tuned_late" in next(iter(evaluation["measures"].values()))
        return cls(index, measured, reranks_late, evaluation.get("candidates", {}))

    @property
    def note(self) -> str:
        """What the costs are, as a sentence."""
        size = "Bytes a chunk are those of vectors and words, as the index stores them; texts come on top"
        if self.measured is None:
            return f"{size}. `triptych costs` measures the milliseconds of a question on this machine."
        return f"{size}. Milliseconds are the median of a question by itself ({self.measured.machine})."

    def of(self, system: str) -> SystemCost:
        """Return the cost of a system in ``metrics/evaluate.json``."""
        if system.startswith("candidate:"):
            return self._of_candidate(system)
        steps = _steps(system, reranks_late=self.reranks_late)
        sizes = [self._bytes(step, system) for step in steps if step in ("vectors", "words", "tokens")]
        size = None if None in sizes else sum(filter(None, sizes))
        times = self.measured.milliseconds if self.measured else {}
        known = all(step in times for step in steps)
        return SystemCost(size, sum(times[step] for step in steps) if known else None)

    def _bytes(self, step: str, system: str) -> float | None:
        if step == "tokens" and "tokens" not in self.index["bytes_per_chunk"]:
            return self.measured.bytes_per_chunk["tokens"] if self.measured else None
        size = float(self.index["bytes_per_chunk"][step])
        if step != "vectors":
            return size
        chunks, windows, questions = (int(self.index[name]) for name in ("chunks", "windows", "questions"))
        vectors = {"_cut": chunks, "_unasked": windows}
        searched = next((number for end, number in vectors.items() if system.endswith(end)), windows + questions)
        return size * searched / max(windows + questions, 1)

    def _of_candidate(self, system: str) -> SystemCost:
        hybrid = system.endswith("_hybrid")
        name = system.removeprefix("candidate:").removesuffix("_hybrid")
        if name not in self.candidates:
            return SystemCost(None, None)
        size = self.candidates[name]["bytes_per_chunk"] * self.index["share_of_float32"]  # as this index stores vectors
        return SystemCost(size + (self.index["bytes_per_chunk"]["words"] if hybrid else 0.0), None)


def _steps(system: str, *, reranks_late: bool) -> list[str]:
    """Return the steps of a search, by what they read."""
    if system == "bm25":
        return ["words"]
    steps = ["encode", "vectors"]
    if "_hybrid" in system or system.endswith("_late") or system == "reranked":
        steps.append("words")
    if system.endswith("_late") or (system == "reranked" and reranks_late):
        steps.append("tokens")
    return [*steps, "reranker"] if system == "reranked" else steps


def _is_of(measured: Costs, index: Mapping[str, Any]) -> bool:
    sizes = index["bytes_per_chunk"]
    same = all(abs(measured.bytes_per_chunk[name] - sizes[name]) < 0.01 for name in ("vectors", "words"))
    return same and measured.chunks == index["chunks"]
