"""Typed ``params.yaml``: one section per stage, every problem reported at once with its key."""

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triptych.errors import UserError

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


class Model(Section):
    """The base model and the prompts it was trained with."""

    base: str = Field(min_length=1)
    revision: str | None
    query_prompt: str
    passage_prompt: str


class Source(Section):
    """Where chunks come from."""

    path: str = Field(min_length=1)
    format: Literal["auto", "json", "jsonl", "csv", "parquet", "beir", "markdown", "package"] = "auto"
    category: str | None = Field(default=None, min_length=1)


class Fields(Section):
    """Names of the fields in the user's chunk records."""

    chunk_id: str
    category: str
    filename: str
    header_path: str
    title: str
    content: str


class Ingest(Section):
    """Stage ``ingest``."""

    sources: list[Source] = Field(min_length=1)
    fields: Fields
    max_content_chars: int = Field(ge=200)
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


class Views(Shares):
    """Share of each kind of (anchor, positive)."""

    query: Share
    crossref: Share
    heading: Share
    lead: Share
    sentence: Share
    sibling: Share


class Tiers(Shares):
    """Shares of the three tiers of negatives."""

    easy: Share
    medium: Share
    hard: Share


class Overlaps(Section):
    """What makes a candidate medium or hard."""

    medium_path: list[Share] = Field(min_length=2, max_length=2)  # low, high
    hard_path: Share
    hard_lexical: Share
    path_weight: Share

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        low, high = self.medium_path
        if low > high:
            raise ValueError(f"medium_path: must go from low to high, got [{low:g}, {high:g}]")
        return self


class Triplets(Section):
    """Stage ``triplets``."""

    seed: int
    text_template: str
    views: Views
    mix: Tiers
    anchors_per_chunk: Count
    negatives_per_anchor: Count
    cross_category_hard: Share
    exclude_linked: bool
    overlaps: Overlaps

    @model_validator(mode="after")
    def _template_has_content(self) -> Self:
        try:
            self.text_template.format(category="", header_path="", title="", content="")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(
                f"text_template: takes {{category}}, {{header_path}}, {{title}}, {{content}}; {error}"
            ) from error
        if "{content}" not in self.text_template:
            raise ValueError("text_template: must hold {content}")
        return self


class Tokenize(Section):
    """Stage ``tokenize``."""

    max_length: Literal["auto"] | Annotated[int, Field(ge=8)]
    padding: Literal["dynamic", "fixed"]
    batch_size: Count
    num_proc: Count


class Lora(Section):
    """Adapter of rank ``r``; the update is scaled by ``alpha / r`` (Hu et al. 2021)."""

    r: Count
    alpha: Count
    dropout: float = Field(ge=0.0, lt=1.0)
    target_modules: Literal["all-linear"] | list[str]


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
    gradient_accumulation_steps: Count
    dropout: bool
    loss: Literal["triplet", "softmax"]
    margin: Positive
    temperature: Positive
    curriculum: Literal["shuffled", "easy_first"]
    curriculum_overlap: float = Field(ge=0.0)
    strengths: list[Share] = Field(min_length=1)


class Mine(Section):
    """Stage ``mine``."""

    seed: int
    depth: Count
    skip_top: int = Field(ge=0)
    relative_margin: Positive
    prefer_other_category: Share


class TrainRound(Section):
    """How one round trains, and the round it continues from (``base`` for the first)."""

    previous: str
    steps: Count
    learning_rate: Positive


class MineRound(Section):
    """The round whose model mines for this one."""

    previous: str


class Rounds(Section):
    """The chain of rounds; a section of its own, so that adding a round leaves the others as they are."""

    train: dict[str, TrainRound] = Field(min_length=1)
    mine: dict[str, MineRound]


class Evaluate(Section):
    """Stage ``evaluate``."""

    seed: int
    depth: int = Field(ge=50)
    dense_weights: list[Share] = Field(min_length=1)
    bootstrap_samples: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1.0)
    round: str


class Promote(Section):
    """Stage ``promote``."""

    measure: Literal["mrr@10", "ndcg@10", "recall@1", "recall@5", "recall@10", "recall@50"]
    category_tolerance: float = Field(ge=0.0)


class Params(Section):
    """All of ``params.yaml``."""

    model: Model
    ingest: Ingest
    split: Split
    triplets: Triplets
    tokenize: Tokenize
    train: Train
    mine: Mine
    rounds: Rounds
    evaluate: Evaluate
    promote: Promote


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml``; raise one `UserError` that lists every problem with its key."""
    if not path.exists():
        raise UserError(f"{path} is missing; run from the root of the project")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path} must hold sections ({', '.join(Params.model_fields)}), it holds {raw!r:.40}")
    problems = _round_problems(raw)
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        problems = [line for one in error.errors() for line in _problems(one)] + problems
    if problems:
        raise UserError("\n".join([f"{path}:", *(f"  {line}" for line in problems)]))
    return params


def _round_problems(raw: Any) -> list[str]:
    """Check what no section can check alone: that the rounds of train, mine and evaluate fit together."""

    def rounds(stage: str) -> dict[str, str] | None:
        try:
            return {str(name): str(entry["previous"]) for name, entry in raw["rounds"][stage].items()}
        except (KeyError, TypeError, AttributeError):
            return None  # its own section reports what is wrong with it

    train, mine = rounds("train"), rounds("mine")
    if train is None or mine is None:
        return []
    problems, known = [], ["base"]
    for name, previous in train.items():
        if previous != known[-1]:
            problems.append(f"rounds.train.{name}.previous: expected {known[-1]!r}, got {previous!r}")
        known.append(name)
    wanted = {name: previous for name, previous in train.items() if previous != "base"}
    if mine != wanted:
        problems.append(f"rounds.mine: must repeat rounds.train without the first ({', '.join(wanted) or 'none'})")
    judged = raw.get("evaluate", {}).get("round") if isinstance(raw.get("evaluate"), dict) else None
    if isinstance(judged, str) and judged not in train:
        problems.append(f"evaluate.round: {judged!r} is not one of rounds.train ({', '.join(known[1:])})")
    return problems


# pydantic names the member of a union in the location; no key of ours begins so.
_UNION_MEMBERS = ("literal[", "constrained-", "list[", "function-")


def _problems(error: Any) -> list[str]:
    """Turn one of pydantic's errors into lines that name the key, the value and the remedy."""
    key = ".".join(str(part) for part in error["loc"] if not str(part).startswith(_UNION_MEMBERS))
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _siblings(error["loc"][:-1]), n=1)
        return [f"{key}: unknown key" + (f", did you mean {near[0]!r}?" if near else "")]
    if kind == "missing":
        return [f"{key}: missing"]
    if kind == "value_error":
        lines = str(error["ctx"]["error"]).splitlines()
        return [f"{key}: {line}" if key else line for line in lines]
    hint = ""
    if isinstance(value, str) and kind.startswith(("float", "int")):
        hint = " (write numbers without quotes and exponents with a point: 2.0e-4)"
    return [f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {value!r}{hint}"]


def _siblings(location: tuple[Any, ...]) -> list[str]:
    """Return the keys that exist where an unknown one was found."""
    section: Any = Params
    for part in location:
        if isinstance(part, int):  # an item of a list
            section = get_args(section)[0]
        elif (field := getattr(section, "model_fields", {}).get(part)) is not None:
            section = field.annotation
    return list(getattr(section, "model_fields", {}))
