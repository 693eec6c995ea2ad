"""The sections ``tokenize``, ``rate``, ``train``, ``mine`` and ``rounds`` of ``params.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from triptych.params.types import Count, Metric, Positive, Section, Share

Phase = Literal["easy", "medium", "hard", "mix"]


class Tokenize(Section):
    """Tokenize every text once."""

    max_length: Literal["auto"] | Annotated[int, Field(ge=8)] = Field(
        default=128,
        description="Tokens of a text, longer ones are truncated. `auto` is the 95th percentile of the lengths, rounded"
        " up to a multiple of 8, and at most 64 on a CPU, 128 on one with bf16, 256 on a GPU.",
    )
    max_windows: Literal["auto"] | Count = Field(
        default=6,
        description="Most windows of a text. With more than 1, a text longer than `max_length` is also searched by"
        " windows: further pieces of it under its header path, unless dev prefers its beginning alone. Encoding and the"
        " index cost as much for each as for a text. `auto` takes as many as see the whole text, or as a machine of"
        " this kind (CPU, CPU with bf16, GPU) encodes in about a minute. Stage `tokenize` prints what `auto` chose; for"
        " equal results on machines of another kind, write that here.",
    )
    padding: Literal["bucket", "fixed"] = Field(
        default="bucket",
        description="`bucket` groups the texts of a batch by length and pads each group to its longest; `fixed` pads"
        " all to `max_length`.",
    )
    batch_size: Count = Field(default=1000, description="Texts per call of the tokenizer.")
    num_proc: Count = Field(default=1, description="Processes; keep 1 on Windows.")

    @property
    def known_windows(self) -> int:
        """Return ``max_windows``; 1 if it is ``auto``, which stage ``tokenize`` decides."""
        return 1 if self.max_windows == "auto" else self.max_windows


class Rate(Section):
    """Measure how hard the triplets are for the base model; the margin is `train.margin`."""

    seed: int = Field(default=13, description="Seed of the sample.")
    anchors: Count = Field(default=600, description="Anchors in the sample.")
    suspect: Positive = Field(
        default=0.95,
        description="A negative is a suspected false negative if its similarity is above this share of the positive's.",
    )
    shown: Count = Field(default=12, description="Examples per tier in the tables.")


class Lora(Section):
    """Adapter of rank ``r``; the update is scaled by ``alpha / r`` (Hu et al. 2021)."""

    r: Count = Field(default=8, description="Rank.")
    alpha: Count = Field(default=16, description="Scale: the update is multiplied by `alpha / r`.")
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0, description="Dropout of the adapter.")
    target_modules: Literal["auto", "all-linear"] | list[str] = Field(
        default="auto",
        description="Layers with an adapter: `auto` knows the linear layers of the usual model families, `all-linear`"
        " takes all but the pooler, a list names the ends of module names (`[query, value]`).",
    )


class Distill(Section):
    """Loss `distill`: the teacher is the model so far, fused with BM25 over the tokens before truncation."""

    max_steps: Count = Field(
        default=40, description="Most steps of a round without written questions; 20 and 40 gave equal metrics."
    )
    batch_size: int = Field(default=64, ge=2, description="Anchors per step.")
    neighborhoods: Count = Field(
        default=8, description="Anchors of a batch that choose its chunks; the other anchors belong to these chunks."
    )
    dense_weight: Share = Field(default=0.8, description="Weight of the model in the teacher; the rest is BM25.")
    depth: Count = Field(default=40, description="Chunks at the top of the teacher's ranking from which to draw.")
    candidates: Count = Field(default=8, description="Chunks drawn from these for each neighborhood.")
    random: Count = Field(default=1, description="Random chunks added to each neighborhood.")
    temperature: Positive = Field(default=0.5, description="Temperature of the teacher's z-scores.")

    @model_validator(mode="after")
    def _room_for_neighborhoods(self) -> Self:
        if self.neighborhoods > self.batch_size:
            raise ValueError(
                f"neighborhoods: each needs an anchor of the batch, so at most batch_size ({self.batch_size}),"
                f" got {self.neighborhoods}"
            )
        return self


class Train(Section):
    """Train a round of the embedder."""

    seed: int = Field(default=13, description="Seed of the weights and of the draws.")
    method: Literal["lora", "full"] = Field(default="lora", description="Train an adapter, or all weights.")
    lora: Lora = Field(default_factory=Lora)
    start_from: Literal["base", "previous"] = Field(
        default="base",
        description="What the first round starts from: the base model, or the adapter of the last publication"
        " (`split.previous`), which must have the same `model.base`, `method`, `lora`, `sides` and `load_in`.",
    )
    old_examples: Share | None = Field(
        default=None,
        description="With `split.previous`: the most of the examples, as a share, that may be about chunks which the"
        " last publication had; of these some are drawn. Null takes all.",
    )
    sides: Literal["both", "query"] = Field(
        default="both",
        description="What the trained weights encode: queries and passages (`both`), or queries alone (`query`):"
        " passages then keep the vectors of the base model, in training too, and so does an index that you have.",
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto",
        description="Compute precision; `auto` is bf16 if the device supports it, else fp16 on CUDA, else fp32.",
    )
    optimizer: Literal["adamw", "adamw_8bit"] = Field(
        default="adamw", description="`adamw_8bit` uses bitsandbytes, and falls back to `adamw` with a warning."
    )
    warmup_share: Share = Field(default=0.1, description="Share of the steps in which the learning rate warms up.")
    weight_decay: float = Field(default=0.01, ge=0.0, description="Weight decay of the optimizer.")
    batch_size: int = Field(
        default=64, ge=2, description="Anchors per batch over all processes, each a negative for the others."
    )
    stored_negatives: Count = Field(
        default=1,
        description="Negatives of each anchor in a batch (1 : N), where `rounds.train` takes stored ones. A batch then"
        " has up to as many times more passages, and loss `softmax` compares each anchor to all of them. At most what"
        " the pools hold (`triplets.negatives_per_anchor` for each tier) and the caps allow.",
    )
    micro_batch_tokens: Count = Field(
        default=65536,
        description="Tokens encoded at once in a process; larger batches are encoded in parts, with the same gradient.",
    )
    gradient_accumulation_steps: Count = Field(default=1, description="Batches per optimizer step.")
    load_in: Literal["full", "bf16", "fp16", "8bit", "4bit"] = Field(
        default="full",
        description="Form of the base model's weights: float32 (`full`), or frozen under an adapter (`method: lora`) in"
        " half precision (`bf16`, `fp16`) or quantized (`8bit`, `4bit`, bitsandbytes): less memory, not less time."
        " Every stage computes on that base; what is published is merged and saved in half precision (in `precision`"
        " where it was quantized). `triptych estimate` prints what fits.",
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        default="auto",
        description="Attention implementation; `auto` is eager on a CPU, else the default of the model.",
    )
    gradient_checkpointing: bool = Field(
        default=False, description="Recompute activations in the backward pass: less memory, more time."
    )
    torch_compile: bool = Field(
        default=False,
        description="Compile the model first, which takes minutes on a CPU; the layers of `fused` are then off, since"
        " they cannot be compiled. The gain was not measured.",
    )
    prefetch_batches: int = Field(
        default=4, ge=0, description="Batches prepared ahead in pinned memory; 0 prepares each when it is needed."
    )
    prefetch_workers: Count = Field(default=1, description="Threads that prepare batches.")
    checkpoint_every: Count = Field(
        default=20, description="Steps between checkpoints; an interrupted run repeats at most as many."
    )
    fused: bool = Field(
        default=True,
        description="Compute BERT and LoRA layers with hand-written passes; false uses the library's.",
    )
    dropout: bool = Field(
        default=False, description="Use the dropout of the base model; without it training is faster, not worse."
    )
    loss: Literal["auto", "softmax", "triplet", "distill"] = Field(
        default="auto",
        description="`softmax` over in-batch and stored negatives, `triplet` (cosine), `distill`; `auto` is `softmax`"
        " where people chose the positives (links, questions), else `distill`; the first round is `distill` where"
        " there are written questions.",
    )
    margin: Positive = Field(default=0.2, description="Margin of loss `triplet`, and of stage `rate`.")
    temperature: Positive = Field(default=0.05, description="Temperature of loss `softmax`.")
    mask_above: Annotated[float, Field(ge=0.0)] | None = Field(
        default=None,
        description="Of loss `softmax`: a negative whose similarity is higher than the positive's by more than this is"
        " left out of the loss; null leaves out none.",
    )
    distill: Distill = Field(default_factory=Distill)
    matryoshka: list[Count] = Field(
        default=[],
        description="Sizes, in dimensions, to which vectors may be cut (`index.dimensions`): the loss is the mean over"
        " the whole vectors and the vectors cut to each size (Matryoshka, Kusupati et al. 2022).",
    )
    resample_every: Count = Field(
        default=20,
        description="Steps between draws of new rows, with other negatives and the weights that tiers then have.",
    )
    mine_every: int = Field(
        default=0,
        ge=0,
        description="Steps between minings of hard negatives with the model as it then is, within a round, by the rules"
        " of `mine`; 0 is never. Rounded up to a multiple of `resample_every`. It needs stored negatives"
        " (`rounds.train`) and `mine.guide: none`; each mining encodes all train chunks and"
        " anchors. Measured once: no better than mining before the round (`docs/experiments.md`).",
    )
    curriculum: float = Field(
        default=0.8,
        ge=0.0,
        lt=1.0,
        description="Easy negatives first: the share of easy negatives in the mix begins higher by this fraction of"
        " itself and ends lower, that of hard ones the other way round; over the whole run the mix is kept. 0 is off.",
    )
    eval_every: int = Field(
        default=0,
        ge=0,
        description="Steps between evaluations on dev, of which the best weights are kept; 0 is never. `eval_share`"
        " limits them.",
    )
    eval_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=0.25,
        description="Most of the run, in tokens, that evaluations on dev may take; where `eval_every` asks for more,"
        " they are less frequent, which is logged, but at least at half of the run and at its end. 1 sets no limit.",
    )
    eval_metrics: list[Metric] = Field(
        default=["mrr@10", "recall@10"],
        min_length=1,
        description="Metrics on dev that decide, beside `promote.measure`: the best weights and `patience` go by their"
        " mean over metrics and categories, `rebalance` by each metric of each category.",
    )
    patience: int = Field(
        default=0, ge=0, description="Stop after this many evaluations in a row without a new best; 0 is never."
    )
    rebalance: bool = Field(
        default=False,
        description="Raise the weight of a category (at most to twice) that falls on dev while another rises, and stop"
        " if it goes on falling; rows are then drawn at least every `eval_every` steps. Not for loss `distill`, whose"
        " rows are drawn before training.",
    )
    strengths: list[Share] = Field(
        default=[0.0, 0.5, 1.0],
        min_length=1,
        description="Strengths of the tuned weights in the blend with the base weights; one is chosen on dev.",
    )

    @property
    def steps_per_draw(self) -> int:
        """Return the steps between two draws of rows, few enough for each evaluation to change the weights."""
        return min(self.resample_every, self.eval_every) if self.rebalance and self.eval_every else self.resample_every

    @model_validator(mode="after")
    def _quantized_weights_are_frozen(self) -> Self:
        if self.load_in != "full" and self.method == "full":
            raise ValueError(
                f"load_in: {self.load_in} freezes the base model, so that only an adapter can train; set method: lora,"
                " or load_in: full"
            )
        return self


class Mine(Section):
    """Mine hard negatives with the model just trained."""

    seed: int = Field(default=13, description="Seed of the draws.")
    depth: Count = Field(
        default=200, description="Candidates per anchor; most anchors need 50, those with a low-ranked positive more."
    )
    exact_up_to: Count = Field(default=1_000_000, description="Chunks up to which the search is exact.")
    skip_top: int = Field(default=0, ge=0, description="Skip this many top-ranked candidates.")
    relative_margin: Positive = Field(
        default=0.8,
        description="A candidate with at least this share of the positive's similarity is left out as a likely false"
        " negative.",
    )
    same_words: Positive = Field(
        default=0.7,
        description="A candidate with at least this Jaccard similarity to the words of the positive is left out as its"
        " paraphrase.",
    )
    guide: str = Field(
        default="none",
        min_length=1,
        description="A second model that must agree that a candidate is a negative: `none`, `base` (the base model), or"
        " the name of a reranker (`BAAI/bge-reranker-base`), which takes hours without a GPU.",
    )
    guide_revision: str | None = Field(default=None, description="Commit of a hub reranker. Pin it.")
    guide_max_length: int = Field(default=256, ge=8, description="Tokens of a pair that the reranker reads.")
    guide_margin: Positive = Field(
        default=0.95,
        description="The guide agrees if it scores the candidate below this share of the positive's score.",
    )
    hard_ranks: Count = Field(
        default=200, description="Candidates below this rank are medium negatives, not hard ones."
    )
    hard_from: float = Field(
        default=0.4,
        description="Candidates with a similarity below this share of the positive's are medium negatives, not hard"
        " ones.",
    )
    prefer_other_category: Share = Field(
        default=0.3, description="Share of mined negatives from another category, where there are any."
    )
    category_groups: list[list[str]] = Field(
        default=[],
        description="Categories that count as one for this: `[[tutorial, guide], [reference, changelog]]`.",
    )
    skip_below_churn: Share = Field(
        default=0.05,
        description="If mining renews less than this share of the hard negatives, no further round is trained.",
    )


class TrainRound(Section):
    """How one round trains."""

    previous: str = Field(description="The round it continues from; `base` for the first.")
    steps: Count = Field(description="Optimizer steps.")
    learning_rate: Positive = Field(
        description="Peak learning rate; with `method: full` it should be about 50 times lower than with `lora`."
    )
    negatives: Literal["batch", "stored"] = Field(
        default="stored",
        description="`stored`: from the pools, by tiers. `batch`: the unrelated positives of the other anchors, which"
        " saves time for twice the anchors; the first round learns more from that.",
    )
    phases: list[Phase] = Field(
        default=[],
        description="Equal parts of the round, each with stored negatives of one tier (`[easy, medium, hard]`), or with"
        " the usual `mix`, in place of `train.curriculum`. Where `train.loss` is `auto`, the loss is then `softmax`.",
    )

    @model_validator(mode="after")
    def _phases_need_stored_negatives(self) -> Self:
        if self.phases and self.negatives == "batch":
            raise ValueError("phases: they choose among stored negatives; set negatives: stored")
        if len(self.phases) > self.steps:
            raise ValueError(f"phases: {len(self.phases)} phases need as many steps, got steps: {self.steps}")
        return self


class MineRound(Section):
    """What mines for one round."""

    previous: str = Field(description="The round whose model mines.")
    examples: str = Field(description="The examples whose negatives are mined again: a folder of `data/triplets`.")


_TRAIN = {
    "round0": TrainRound(previous="base", steps=80, learning_rate=1.0e-3, negatives="batch"),
    "round1": TrainRound(previous="round0", steps=35, learning_rate=5.0e-4, negatives="stored"),
}
_MINE = {
    "round1": MineRound(previous="round0", examples="round0"),
    "reranker": MineRound(previous="round1", examples="reranker0"),
}


class Rounds(Section):
    """The chain of rounds; a section of its own, so that adding a round does not re-run the others.

    ``dvc.yaml`` reads it too, so it must be in ``params.yaml``.
    """

    train: dict[str, TrainRound] = Field(default=_TRAIN, min_length=1, description="The rounds, in their order.")
    mine: dict[str, MineRound] = Field(
        default=_MINE, description="The rounds after the first, and `reranker`: the negatives of the reranker."
    )
