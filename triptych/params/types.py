"""Base classes and bounded types for the sections of ``params.yaml``."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0)]
Metric = Literal["mrr@10", "ndcg@10", "success@1", "recall@1", "recall@5", "recall@10", "recall@50"]


class Section(BaseModel):
    """A frozen section: unknown keys and wrong types are refused, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_has_the_defaults(cls, value: Any) -> Any:
        return {} if value is None else value  # YAML reads a heading without keys below it as null


class Shares(Section):
    """Numbers in [0, 1] that sum to 1."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        shares = self.model_dump()
        if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
            missing = [f"{name} {shares[name]:g}" for name in shares if name not in self.model_fields_set]
            defaults = f"; by default {', '.join(missing)}" if missing else ""
            raise ValueError(f"{' + '.join(shares)} must sum to 1, got {sum(shares.values()):g}{defaults}")
        return self
