"""The sections ``evaluate`` and ``promote`` of ``params.yaml``."""

from typing import Annotated, Literal

from pydantic import Field

from triptych.params.types import Count, Metric, Positive, Section, Share

_WEIGHTS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0]


class Evaluate(Section):
    """Compare all systems on the test queries."""

    seed: int = Field(default=13, description="Seed of the bootstrap.")
    depth: int = Field(default=100, ge=50, description="Hits kept per query.")
    fusions: list[Literal["zscore", "rrf"]] = Field(
        default=["zscore", "rrf"],
        min_length=1,
        description="Fusion methods of the hybrid to choose from on dev: standardized scores (`zscore`) or reciprocal"
        " ranks (`rrf`, plain RRF where both weigh 0.5).",
    )
    dense_weights: list[Share] = Field(
        default=[0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        min_length=1,
        description="Weights of the dense score in the hybrid to choose from on dev; the rest is BM25.",
    )
    rerank_depths: list[Count] = Field(
        default=[50],
        min_length=1,
        description="Numbers of top hits that late interaction and the reranker rerank, to choose from on dev.",
    )
    late_weights: list[Share] = Field(
        default=_WEIGHTS,
        min_length=1,
        description="Weights of late interaction beside the score before, to choose from on dev; `[0.0]` switches it"
        " off.",
    )
    rerank_weights: list[Share] = Field(
        default=_WEIGHTS,
        min_length=1,
        description="Weights of the reranker beside the score before, to choose from on dev.",
    )
    candidates: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[],
        description="Other embedders, named like `model.base`, that are measured as they come beside the base model,"
        " with their own tokenizers and prompts, alone and with BM25. One that cannot be loaded is left out with a"
        " warning.",
    )
    bootstrap_samples: int = Field(default=10000, ge=100, description="Bootstrap samples for the intervals.")
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="Confidence of the intervals.")
    round: str = Field(
        default="round1",
        description="The round that is judged. `dvc.yaml` reads it too, so it must be in `params.yaml`.",
    )


class Promote(Section):
    """Decide whether the tuned model is published, or the base model."""

    measure: Metric = Field(default="mrr@10", description="The metric that decides.")
    category_tolerance: float = Field(
        default=0.02,
        ge=0.0,
        description="How far below the base the interval of a category may reach without preventing promotion.",
    )
    worthwhile: Positive = Field(
        default=0.03,
        description="The smallest gain that matters to you. If proof is missing, the verdict names the number of test"
        " queries that would show it.",
    )
    min_queries: Count = Field(
        default=20, description="With fewer test queries than this the verdict is unproven, whatever the metrics are."
    )
    unproven: Literal["base", "tuned"] = Field(
        default="base",
        description="What is published if the test queries prove nothing: they are few, or nobody asked them.",
    )
