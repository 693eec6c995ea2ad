"""What a round trains on: scheduled rows, the collator that makes batches of them, and the loss they are for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Chunk, read_chunks, read_links
from triptych.encoding.encode_texts import encode
from triptych.errors import UserError
from triptych.models.loading import device
from triptych.models.precision import resolve_precision
from triptych.models.round_loading import load_model
from triptych.params.sections import Params, TrainRound
from triptych.params.triplets import Triplets
from triptych.tokens.token_store import TokenStore
from triptych.training.data.batch_schedule import DrawnSchedule, FixedSchedule
from triptych.training.data.collator import Batch, Collator
from triptych.training.data.distillation import (
    DistillationAnchors,
    DistillationCollator,
    lessons,
    make_teacher,
    token_counts,
    visible_before_cut,
)
from triptych.triplets.examples import Examples, read_passage_ids
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.sampling.epoch_sampler import (
    AnchorSampler,
    EpochSampler,
    anchors_for_run,
    epoch_of_run,
    view_rows,
)

_JUDGED = ("query", "crossref", "imported")  # views whose positives a person chose
_ENOUGH = 0.25  # share of the rows that they must make up


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Rows in the order of training, and how they become batches and a loss."""

    schedule: FixedSchedule | DrawnSchedule
    collator: Callable[[list[dict[str, Any]]], Batch]
    loss: str
    steps: int

    def mix(self) -> dict[str, dict[str, float]]:
        """Return category → tier → share of the triplets drawn so far; empty where lessons are taught."""
        return self.schedule.mix() if isinstance(self.schedule, DrawnSchedule) else {}


def prepare(
    corpus: Path,
    texts: Path,
    store: TokenStore,
    examples: Examples,
    previous: Path,
    params: Params,
    turn: TrainRound,
    seed: int,
) -> TrainingData:
    """Schedule what the steps of ``turn`` train on, or as many of them as the loss has use for.

    ``corpus`` and ``texts`` are the folders of stages split and triplets, ``store`` holds the tokens of the texts;
    ``previous`` is the round before, which teaches where the loss is distill. Raise
    `UserError` where nothing can be taught.
    """
    given = _Builder(corpus, texts, store, examples, params, seed)
    loss = resolve_loss(params.train.loss, examples, params.triplets)
    if loss == "distill":
        return given.lessons(min(turn.steps, params.train.distill.max_steps), load_model(previous, params.model))
    if loss == "triplet" and turn.negatives == "batch":
        raise UserError(
            "rounds.train: loss triplet needs stored negatives; set negatives: stored, or train.loss: softmax"
        )
    return given.rows(turn.steps, loss, turn.negatives == "stored")


def resolve_loss(loss: str, examples: Examples, params: Triplets) -> str:
    """Return the loss to use; ``auto`` is softmax where people chose enough of the positives, else distill.

    Without judgments the only positives are a chunk's own words; docs/recipes.md compares the two losses on them.
    """
    if loss != "auto":
        return loss
    rows = view_rows(examples, params, len(examples))
    judged = sum(rows.get(view, 0) for view in _JUDGED)
    return "softmax" if judged >= _ENOUGH * sum(rows.values()) else "distill"


@dataclass(frozen=True)
class _Builder:
    """What the material of a round is made of, and the two ways to make it."""

    corpus: Path
    texts: Path
    store: TokenStore
    examples: Examples
    params: Params
    seed: int

    @cached_property
    def chunks(self) -> list[Chunk]:
        return read_chunks(self.corpus / "chunks.parquet")

    @cached_property
    def passages(self) -> np.ndarray:
        """Text ids of all chunks."""
        return read_passage_ids(self.texts)

    @property
    def fixed(self) -> bool:
        return self.params.tokenize.padding == "fixed"

    def turns(self, steps: int) -> int:
        return steps * self.params.train.gradient_accumulation_steps

    def rows(self, steps: int, loss: str, stored: bool) -> TrainingData:
        """AnchorSampler with their positives, drawn stretch by stretch; with ``stored`` negatives, in tiers."""
        examples, params = self.examples, self.params
        epoch = epoch_of_run(self.turns(steps) * params.train.batch_size, examples)
        drawing: EpochSampler | AnchorSampler = AnchorSampler(examples, params.triplets, self.seed, epoch)
        if stored:
            drawing = EpochSampler(examples, params.triplets, "embedder", self.seed, epoch)
        course = DrawnSchedule(examples, drawing, self.passages, params.train, self.turns(steps), self.seed)
        links = read_links(self.corpus / "links.parquet")
        relations = Relations(self.chunks, links, params.triplets.exclude_linked)
        answers = PositivesByAnchor(examples.anchor, examples.positive_chunk)
        return TrainingData(course, Collator(self.store, relations, answers, self.fixed), loss, steps)

    def lessons(self, steps: int, model: SentenceTransformer) -> TrainingData:
        """Let the model of the round before, fused with BM25, rank the train chunks for the drawn anchors."""
        train, store = self.params.train, self.store
        rows = np.array([row for row, chunk in enumerate(self.chunks) if chunk.split == "train"])
        counts = token_counts(store, self.passages[rows], len(model.tokenizer))
        own = np.searchsorted(rows, self.examples.positive_chunk)
        words = token_counts(store, self.examples.anchor, len(model.tokenizer))
        able = np.flatnonzero(visible_before_cut(words, counts[own]))
        if not len(able):
            raise UserError(
                f"train.loss: none of {len(self.examples)} anchors stands before the cut at"
                f" {store.metadata['max_length']} tokens, so nothing can be distilled; raise tokenize.max_length or"
                " give heading a share of triplets.views"
            )
        examples, own = self.examples.select(able), own[able]
        number = self.turns(steps) * train.distill.neighborhoods
        seeds = anchors_for_run(examples, self.params.triplets, number, self.seed)
        precision = resolve_precision(train.precision, device())
        pupils = DistillationAnchors(
            examples.anchor, own, encode(model, store, examples.anchor, precision, "anchors"), words[able]
        )
        teacher = make_teacher(rows, encode(model, store, self.passages[rows], precision, "chunks"), counts)
        columns = lessons(teacher, pupils, seeds, train.distill, train.seed)
        collator = DistillationCollator(store, self.passages, self.fixed)
        return TrainingData(FixedSchedule(columns, train.distill.batch_size), collator, "distill", steps)
