"""What the sections of ``params.yaml`` are made of."""

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """A frozen section: unknown keys and wrong types are refused, nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Shares(Section):
    """Numbers of which all must be in [0, 1] and together be 1."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        shares = self.model_dump()
        if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
            raise ValueError(f"{' + '.join(shares)} must sum to 1, got {sum(shares.values()):g}")
        return self
