"""What a round trains on: scheduled rows, the collator that makes batches of them, and the loss they are for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Chunk, read_chunks, read_links
from triptych.errors import UserError
from triptych.params import Params, TrainRound
from triptych.params_triplets import Triplets
from triptych.tokens.store import TokenStore
from triptych.training.bank import Bank, BankCollator, beside
from triptych.training.base import device
from triptych.training.batches import Batch, Collator
from triptych.training.distilling import LessonCollator, Pupils, can_be_seen, lessons, make_teacher, token_counts
from triptych.training.encoding import encode
from triptych.training.precision import resolve_precision
from triptych.training.rounds import load_model
from triptych.training.schedule import Course, Schedule
from triptych.training.vector_cache import VectorCache
from triptych.triplets.examples import Examples, read_passages
from triptych.triplets.relations import Answers, Relations
from triptych.triplets.sampling import Drawing, anchors_for_run, epoch_of_run, view_rows

_JUDGED = ("query", "crossref", "imported")  # views whose positives a person chose
_ENOUGH = 0.25  # share of the rows that they must make up


@dataclass(frozen=True, slots=True)
class Material:
    """Rows in the order of training, and how they become batches and a loss."""

    schedule: Schedule | Course
    collator: Callable[[list[dict[str, Any]]], Batch]
    loss: str
    steps: int

    def mix(self) -> dict[str, dict[str, float]]:
        """Return category → tier → share of the triplets drawn so far; empty where lessons are taught."""
        return self.schedule.mix() if isinstance(self.schedule, Course) else {}


def prepare(
    tokens: Path,
    store: TokenStore,
    examples: Examples,
    previous: Path,
    params: Params,
    turn: TrainRound,
    seed: int,
    vectors: Path | None = None,
) -> Material:
    """Schedule what the steps of ``turn`` train on, or as many of them as the loss has use for.

    ``tokens`` is what tokenize leaves; ``previous`` the round before, which teaches where the loss is distill, and sees
    the passages where they are fixed; ``vectors`` keeps what it makes of them. Raise `UserError` where nothing can be
    taught.
    """
    given = _Given(tokens, store, examples, previous, params, seed, vectors)
    loss, still, train = (
        resolve_loss(params.train.loss, examples, params.triplets),
        turn.passages == "fixed",
        params.train,
    )
    if loss == "distill":
        steps = min(turn.steps, train.distill.max_steps)
        return given.lessons(steps, still)
    if not still:
        return given.triplets(turn.steps, loss)
    if loss == "triplet":
        raise UserError(
            "rounds.train: with passages: fixed all passages at hand are negatives, loss triplet takes stored ones; set"
            " train.loss: softmax, or passages: trained"
        )
    return given.anchors(turn.steps, loss)


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
class _Given:
    """What the material of a round is made of, and the three ways to make it."""

    tokens: Path
    store: TokenStore
    examples: Examples
    previous: Path
    params: Params
    seed: int
    vectors: Path | None

    @cached_property
    def chunks(self) -> list[Chunk]:
        return read_chunks(self.tokens / "corpus" / "chunks.parquet", "split")

    @cached_property
    def trained_on(self) -> np.ndarray:
        """Rows of the chunks of the train split."""
        return np.array([row for row, chunk in enumerate(self.chunks) if chunk.split == "train"])

    @cached_property
    def passages(self) -> np.ndarray:
        """Text ids of all chunks."""
        return np.array(read_passages(self.tokens / "texts"))

    @cached_property
    def model(self) -> SentenceTransformer:
        """The model of the round before."""
        return load_model(self.previous, self.params.model)

    @property
    def fixed(self) -> bool:
        return self.params.tokenize.padding == "fixed"

    def turns(self, steps: int) -> int:
        return steps * self.params.train.gradient_accumulation_steps

    def triplets(self, steps: int, loss: str) -> Material:
        """Triplets in tiers, drawn stretch by stretch; all texts are encoded."""
        examples, train = self.examples, self.params.train
        epoch = epoch_of_run(self.turns(steps) * train.batch_size, examples)
        drawing = Drawing(examples, self.params.triplets, "embedder", self.seed, epoch)
        course = Course(examples, drawing, self.passages, train, self.turns(steps), self.seed)
        return Material(course, Collator(self.store, *self.relations(), self.fixed), loss, steps)

    def anchors(self, steps: int, loss: str) -> Material:
        """Anchors with their positives, over the vectors that the model of the round before gives passages."""
        examples, settings = self.examples, self.params.train.fixed_passages
        chosen = anchors_for_run(examples, self.params.triplets, self.turns(steps) * settings.batch_size, self.seed)
        columns = {
            "anchor": examples.anchor[chosen].tolist(),
            "positive_chunk": examples.positive_chunk[chosen].tolist(),
        }
        bank = self.bank(beside(examples.positive_chunk[chosen], self.trained_on, settings.passages))
        collator = BankCollator(self.store, *self.relations(), self.fixed, bank, settings.passages)
        return Material(Schedule(columns, settings.batch_size), collator, loss, steps)

    def lessons(self, steps: int, still: bool) -> Material:
        """Let the model of the round before, fused with BM25, rank the train chunks for the drawn anchors."""
        train, model, store = self.params.train, self.model, self.store
        counts = token_counts(store, self.passages[self.trained_on], len(model.tokenizer))
        own = np.searchsorted(self.trained_on, self.examples.positive_chunk)
        words = token_counts(store, self.examples.anchor, len(model.tokenizer))
        able = np.flatnonzero(can_be_seen(words, counts[own]))
        if not len(able):
            raise UserError(
                f"train.loss: none of {len(self.examples)} anchors stands before the cut at"
                f" {store.metadata['max_length']} tokens, so nothing can be distilled; raise tokenize.max_length or"
                " give heading a share of triplets.views"
            )
        examples, own = self.examples.chosen(able), own[able]
        number = self.turns(steps) * train.distill.neighborhoods
        seeds = anchors_for_run(examples, self.params.triplets, number, self.seed)
        pupils = Pupils(examples.anchor, own, self.encoded(examples.anchor, "anchors"), words[able])
        bank = self.bank(self.trained_on)
        teacher = make_teacher(bank.chunks, bank.vectors, counts)
        columns = lessons(teacher, pupils, seeds, train.distill, train.seed)
        collator = LessonCollator(store, self.passages, self.fixed, bank if still else None)
        return Material(Schedule(columns, train.distill.batch_size), collator, "distill", steps)

    def relations(self) -> tuple[Relations, Answers]:
        links = read_links(self.tokens / "corpus" / "links.parquet", "split")
        relations = Relations(self.chunks, links, self.params.triplets.exclude_linked)
        return relations, Answers(self.examples.anchor, self.examples.positive_chunk)

    def bank(self, rows: np.ndarray) -> Bank:
        return Bank(rows, self.encoded(self.passages[rows], "chunks"))

    def encoded(self, text_ids: np.ndarray, label: str) -> np.ndarray:
        """Vectors by the model of the round before."""
        precision = resolve_precision(self.params.train.precision, device())
        cache = VectorCache(self.vectors, self.model, precision) if self.vectors else None
        return encode(self.model, self.store, text_ids, precision, label, cache)
