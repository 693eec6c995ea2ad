"""All of ``params.yaml``, typed: one section for each stage, and two that stages share."""

from typing import Any

from pydantic import Field, model_validator

from triptych.params.corpus import Fields, Fractions, Ingest, Model, NearDuplicates, Source, Split
from triptych.params.evaluation import Evaluate, Promote
from triptych.params.publication import Index, Report
from triptych.params.questions import Ask
from triptych.params.reranker import TrainReranker
from triptych.params.training import Distill, Lora, Mine, MineRound, Rate, Rounds, Tokenize, Train, TrainRound
from triptych.params.triplets import Triplets
from triptych.params.types import Section

__all__ = [
    "Ask",
    "Distill",
    "Evaluate",
    "Fields",
    "Fractions",
    "Index",
    "Ingest",
    "Lora",
    "Mine",
    "MineRound",
    "Model",
    "NearDuplicates",
    "Params",
    "Promote",
    "Rate",
    "Report",
    "Rounds",
    "Source",
    "Split",
    "Tokenize",
    "Train",
    "TrainReranker",
    "TrainRound",
    "Triplets",
]


class Params(Section):
    """All of ``params.yaml``; a key that is left out has its default."""

    model: Model
    ingest: Ingest
    split: Split = Field(default_factory=Split)
    ask: Ask = Field(default_factory=Ask)
    triplets: Triplets = Field(default_factory=Triplets)
    tokenize: Tokenize = Field(default_factory=Tokenize)
    rate: Rate = Field(default_factory=Rate)
    train: Train = Field(default_factory=Train)
    mine: Mine = Field(default_factory=Mine)
    train_reranker: TrainReranker = Field(default_factory=TrainReranker)
    rounds: Rounds = Field(default_factory=Rounds)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    promote: Promote = Field(default_factory=Promote)
    index: Index = Field(default_factory=Index)
    report: Report = Field(default_factory=Report)

    @model_validator(mode="before")
    @classmethod
    def _missing_section_misses_its_keys(cls, value: Any) -> Any:
        """Name the required keys of a missing section, not the section."""
        return {"model": {}, "ingest": {}} | value if isinstance(value, dict) else value
