"""What was chosen on dev queries: the strength of tuning, how each system fuses and reranks, and the free system.

The records here are settings as files contain them. `triptych.retrieval` has the classes that apply them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True)
class FusionChoice:
    """The settings of `triptych.retrieval.fusion.Fusion`; at dense weight 1 a hybrid is the embedder alone."""

    method: Literal["zscore", "rrf"]
    dense_weight: float

    def __str__(self) -> str:
        return f"{self.method} with dense weight {self.dense_weight:g}"


@dataclass(frozen=True, slots=True)
class RerankingChoice:
    """The settings of `triptych.retrieval.reranking.Reranking`; at weight 0 nothing is reranked."""

    depth: int
    weight: float

    def __str__(self) -> str:
        return f"the best {self.depth} with weight {self.weight:g}" if self.weight else "nothing"


@dataclass(frozen=True, slots=True)
class FreeSystem:
    """The best search that needs no training: the baseline of every comparison, and what is published without proof.

    Its fusion is the one that was best over several corpora (`triptych.retrieval.fusion.PRIOR`), unless dev surely
    prefers another one.
    """

    system: str  # base_hybrid, or base_late
    dev_queries: int  # those that people asked
    dev: dict[str, float]  # the metric on them of each system without training; empty without any


@dataclass(frozen=True, slots=True)
class ChosenOnDev:
    """The entry ``chosen_on_dev`` of ``metrics/evaluate.json``."""

    free: FreeSystem
    windows: bool  # whether windows of the passages are searched, or their beginnings alone
    questions: bool  # whether the questions written for the chunks are searched too
    strength: float  # share of the tuned change in the weights; 0 is the base model
    fusions: dict[str, FusionChoice]  # by system: base_hybrid_unasked, base_hybrid, tuned_hybrid
    rerankings: dict[str, RerankingChoice]  # by system: base_late, tuned_late, and reranked where one was trained
    sides: Literal["both", "query"] = "both"  # what was tuned: queries and passages, or queries alone

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Read the entry; raise KeyError or TypeError where it is not one."""
        settings = {system: row for system, row in record.items() if isinstance(row, Mapping) and system != "free"}
        return cls(
            free=FreeSystem(**record["free"]),
            windows=record["windows"],
            questions=record.get("questions", False),  # an older version had none
            strength=record["strength"],
            fusions={system: FusionChoice(**row) for system, row in settings.items() if "dense_weight" in row},
            rerankings={system: RerankingChoice(**row) for system, row in settings.items() if "depth" in row},
            sides=record.get("sides", "both"),
        )
