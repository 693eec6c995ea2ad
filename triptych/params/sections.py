"""The sections of ``params.yaml``, typed: one for each stage."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from triptych.params.triplets import Triplets
from triptych.params.types import Count, Positive, Section, Share, Shares


class Model(Section):
    """The base model and the prompts it was trained with."""

    base: str = Field(min_length=1)
    revision: str | None
    query_prompt: str
    passage_prompt: str


class Source(Section):
    """Where chunks come from."""

    path: str = Field(min_length=1)
    format: Literal["auto", "json", "jsonl", "csv", "parquet", "beir", "markdown", "html", "package"] = "auto"
    category: str | None = Field(default=None, min_length=1)
    encoding: str | None = None

    @field_validator("encoding")
    @classmethod
    def _known(cls, encoding: str | None) -> str | None:
        try:
            "".encode(encoding or "utf-8")
        except LookupError as error:
            raise ValueError(f"{error}; write one that Python knows, such as cp1252 or utf-16-le") from error
        return encoding


class Fields(Section):
    """Names of the fields in the user's chunk records; None for the names that `corpus.fields` knows."""

    chunk_id: str | None = None
    category: str | None = None
    filename: str | None = None
    header_path: str | None = None
    title: str | None = None
    content: str | None = None


class Ingest(Section):
    """Stage ``ingest``."""

    sources: list[Source] = Field(min_length=1)
    fields: Fields
    max_content_chars: int = Field(ge=200)
    min_content_chars: int = Field(ge=0)
    on_bad_file: Literal["stop", "skip"]
    max_rejected_share: Share
    min_link_words: Count


class NearDuplicates(Section):
    """MinHash over word shingles, verified by exact Jaccard similarity."""

    shingle_words: Count
    threshold: float = Field(gt=0.0, le=1.0)
    permutations: int = Field(ge=16)


class Fractions(Shares):
    """Shares of train, dev and test."""

    train: Share
    dev: Share
    test: Share


class Split(Section):
    """Stage ``split``."""

    seed: int
    fractions: Fractions
    near_duplicates: NearDuplicates
    group_titles: bool
    queries: str | None
    min_queries: Count
    warn_queries: Count


class Tokenize(Section):
    """Stage ``tokenize``."""

    max_length: Literal["auto"] | Annotated[int, Field(ge=8)]
    padding: Literal["bucket", "fixed"]
    batch_size: Count
    num_proc: Count


class Rate(Section):
    """Stage ``rate``."""

    seed: int
    anchors: Count
    suspect: Positive
    shown: Count


class Lora(Section):
    """Adapter of rank ``r``; the update is scaled by ``alpha / r`` (Hu et al. 2021)."""

    r: Count
    alpha: Count
    dropout: float = Field(ge=0.0, lt=1.0)
    target_modules: Literal["auto", "all-linear"] | list[str]


class Distill(Section):
    """The teacher of loss ``distill``, and what of its ranking is taught."""

    max_steps: Count
    batch_size: int = Field(ge=2)
    neighborhoods: Count
    dense_weight: Share
    depth: Count
    candidates: Count
    random: Count
    temperature: Positive

    @model_validator(mode="after")
    def _room_for_neighborhoods(self) -> Self:
        if self.neighborhoods > self.batch_size:
            raise ValueError(
                f"neighborhoods: each begins with an anchor of the batch, so no more than batch_size"
                f" ({self.batch_size}), got {self.neighborhoods}"
            )
        return self


class Train(Section):
    """Stage ``train``."""

    seed: int
    method: Literal["lora", "full"]
    lora: Lora
    precision: Literal["auto", "fp32", "fp16", "bf16"]
    optimizer: Literal["adamw", "adamw_8bit"]
    warmup_share: Share
    weight_decay: float = Field(ge=0.0)
    batch_size: int = Field(ge=2)
    micro_batch_tokens: Count
    gradient_accumulation_steps: Count
    load_in: Literal["full", "8bit", "4bit"]
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"]
    gradient_checkpointing: bool
    torch_compile: bool
    prefetch_batches: int = Field(ge=0)
    prefetch_workers: Count
    checkpoint_every: Count
    fused: bool = Field(description="Compute BERT and LoRA layers with hand-written forward and backward passes.")
    dropout: bool
    loss: Literal["auto", "softmax", "triplet", "distill"]
    margin: Positive
    temperature: Positive
    mask_above: Annotated[float, Field(ge=0.0)] | None
    distill: Distill
    stretch: Count
    curriculum: float = Field(ge=0.0, lt=1.0)
    eval_every: int = Field(ge=0)
    patience: int = Field(ge=0)
    rebalance: bool
    strengths: list[Share] = Field(min_length=1)

    @model_validator(mode="after")
    def _quantized_weights_are_frozen(self) -> Self:
        if self.load_in != "full" and self.method == "full":
            raise ValueError(
                f"load_in: {self.load_in} freezes the base model, so that only an adapter can train; set method: lora,"
                " or load_in: full"
            )
        return self


class TrainReranker(Section):
    """Stage ``train_reranker``; what it does not name is as in ``train``."""

    seed: int
    base: str | None
    revision: str | None
    start: Literal["base", "tuned"]
    steps: int = Field(ge=0)
    learning_rate: Positive
    method: Literal["lora", "full"]
    batch_size: int = Field(ge=2)
    negatives: Count
    random: int = Field(ge=0)
    loss: Literal["listwise", "pointwise"]
    positive_weight: Positive | None
    max_length: int = Field(ge=8)

    @model_validator(mode="after")
    def _hard_ones_among_the_negatives(self) -> Self:
        if self.random >= self.negatives:
            raise ValueError(
                f"random: of {self.negatives} negatives {self.random} are random, which leaves no hard one; lower it"
            )
        return self


class Mine(Section):
    """Stage ``mine``."""

    seed: int
    depth: Count
    exact_up_to: Count
    skip_top: int = Field(ge=0)
    relative_margin: Positive
    same_words: Positive
    guide: str = Field(min_length=1)
    guide_revision: str | None
    guide_max_length: int = Field(ge=8)
    guide_margin: Positive
    hard_ranks: Count
    hard_from: float
    prefer_other_category: Share
    category_groups: list[list[str]]
    skip_below_churn: Share


class TrainRound(Section):
    """How one round trains, and the round it continues from (``base`` for the first)."""

    previous: str
    steps: Count
    learning_rate: Positive
    negatives: Literal["batch", "stored"] = "stored"


class MineRound(Section):
    """The round whose model mines for this one, and the examples that it mines for."""

    previous: str
    examples: str


class Rounds(Section):
    """The chain of rounds; a section of its own, so that adding a round leaves the others as they are."""

    train: dict[str, TrainRound] = Field(min_length=1)
    mine: dict[str, MineRound]


class Evaluate(Section):
    """Stage ``evaluate``."""

    seed: int
    depth: int = Field(ge=50)
    fusions: list[Literal["zscore", "rrf"]] = Field(min_length=1)
    dense_weights: list[Share] = Field(min_length=1)
    rerank_depths: list[Count] = Field(min_length=1)
    late_weights: list[Share] = Field(min_length=1)
    rerank_weights: list[Share] = Field(min_length=1)
    bootstrap_samples: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1.0)
    round: str


class Promote(Section):
    """Stage ``promote``."""

    measure: Literal["mrr@10", "ndcg@10", "success@1", "recall@1", "recall@5", "recall@10", "recall@50"]
    category_tolerance: float = Field(ge=0.0)
    worthwhile: Positive
    unproven: Literal["base", "tuned"]


class Index(Section):
    """Stage ``index``."""

    precision: Literal["float32", "float16", "int8", "binary"]
    clip_percentile: float = Field(gt=50.0, le=100.0)
    rescore: Count


class Report(Section):
    """Stage ``report``."""

    max_megabytes: float = Field(ge=1.0)
    snippet_chars: Count


class Params(Section):
    """All of ``params.yaml``."""

    model: Model
    ingest: Ingest
    split: Split
    triplets: Triplets
    tokenize: Tokenize
    rate: Rate
    train: Train
    mine: Mine
    train_reranker: TrainReranker
    rounds: Rounds
    evaluate: Evaluate
    promote: Promote
    index: Index
    report: Report
