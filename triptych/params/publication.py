"""The sections ``index`` and ``report`` of ``params.yaml``."""

from typing import Literal

from pydantic import Field

from triptych.params.types import Count, Section


class Index(Section):
    """Embed every chunk with the published embedder."""

    precision: Literal["float32", "float16", "int8", "binary"] = Field(
        default="int8",
        description="Precision of the vectors; `binary` searches bits and rescores by float16 vectors on disk.",
    )
    dimensions: Count | None = Field(
        default=None,
        description="Number of dimensions to keep of each vector (null: all), in search too; what this costs is in"
        " `metrics/index.json`. Small with a model that was trained for it, such as by `train.matryoshka`.",
    )
    clip_percentile: float = Field(
        default=99.99,
        gt=50.0,
        le=100.0,
        description="Percentile of a dimension's absolute values at which they are clipped, for finer int8 steps.",
    )
    rescore: Count = Field(
        default=40,
        description="Of precision `binary`: rescore this many times as many hits as are asked for. 40 finds 99 %"
        " of the ten best among a million vectors.",
    )


class Report(Section):
    """Write the HTML page."""

    max_megabytes: float = Field(
        default=5.0,
        ge=1.0,
        description="Size limit of `metrics/report.html`; if there are many test queries, some of their hits are left"
        " out.",
    )
    snippet_chars: Count = Field(default=240, description="Characters shown of each hit.")
