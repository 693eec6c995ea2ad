"""The section ``train_reranker`` of ``params.yaml``."""

from typing import Literal, Self

from pydantic import Field, model_validator

from triptych.params.types import Count, Positive, Section


class TrainReranker(Section):
    """Train a cross-encoder that reranks the top hits.

    Precision, optimizer, adapter, memory, prefetching and checkpoints are those of section `train`; its loss,
    evaluations on dev, `strengths`, `sides`, `load_in` and mining within a round are the embedder's alone.
    """

    seed: int = Field(default=13, description="Seed of the head and of the draws.")
    base: str | None = Field(
        default=None,
        description="null: `model.base` with a new head. Or a reranker: `cross-encoder/ms-marco-MiniLM-L6-v2`,"
        " `BAAI/bge-reranker-base`, or a decoder that answers yes or no, such as Qwen3-Reranker.",
    )
    revision: str | None = Field(default=None, description="Commit of a hub model. Pin it.")
    start: Literal["base", "tuned"] = Field(
        default="tuned",
        description="With `base: null`: start from the weights of the tuned embedder, or from those of `model.base`.",
    )
    steps: int = Field(
        default=0,
        ge=0,
        description="Optimizer steps; 0 trains no reranker. `make repro-full` takes 160: see `docs/recipes.md`.",
    )
    ready: bool = Field(
        default=False,
        description="Judge the reranker that `base` names as it comes, with `steps: 0`.",
    )
    learning_rate: Positive = Field(default=1.0e-4, description="Peak learning rate.")
    method: Literal["lora", "full"] = Field(
        default="full",
        description="Train all weights, or an adapter as in `train.lora` and the head. `lora` needs a higher learning"
        " rate.",
    )
    batch_size: int = Field(default=16, ge=2, description="Lists per step over all processes.")
    negatives: Count = Field(
        default=7,
        description="Negatives of a list beside its positive, in the mix of tiers of `triplets.profiles.reranker`.",
    )
    random: int = Field(default=1, ge=0, description="How many of these are random chunks instead.")
    loss: Literal["listwise", "pointwise"] = Field(
        default="listwise",
        description="`listwise`: softmax over the list. `pointwise`: each pair by itself, relevant or not.",
    )
    positive_weight: Positive | None = Field(
        default=None,
        description="Of loss `pointwise`: weight of the positive; null is the number of negatives.",
    )
    max_length: int = Field(
        default=64,
        ge=8,
        description="Tokens of a pair; texts are tokenized again if it is above `tokenize.max_length`.",
    )

    @model_validator(mode="after")
    def _ready_is_not_trained(self) -> Self:
        if self.ready and (self.base is None or self.steps):
            raise ValueError("ready: it takes a reranker as it comes; name it in base, and set steps: 0")
        return self

    @model_validator(mode="after")
    def _hard_ones_among_the_negatives(self) -> Self:
        if self.random >= self.negatives:
            raise ValueError(
                f"random: {self.random} random of {self.negatives} negatives leave no hard negative; lower it"
            )
        return self
