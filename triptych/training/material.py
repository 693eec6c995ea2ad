"""What a round trains on: scheduled rows, the collator that makes batches of them, and the loss they are for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.corpus.records import read_chunks, read_links
from triptych.errors import UserError
from triptych.params import Params
from triptych.params_triplets import Triplets
from triptych.tokens.store import TokenStore
from triptych.training.base import device
from triptych.training.batches import Batch, Collator
from triptych.training.distilling import LessonCollator, Pupils, can_be_seen, lessons, make_teacher, token_counts
from triptych.training.encoding import encode
from triptych.training.precision import resolve_precision
from triptych.training.rounds import load_model
from triptych.training.schedule import Course, Schedule
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
    tokens: Path, store: TokenStore, examples: Examples, previous: Path, params: Params, steps: int, seed: int
) -> Material:
    """Schedule what ``steps`` steps train on, or as many as the loss has use for.

    ``tokens`` is what tokenize leaves; ``previous`` the round before, which teaches where the loss is distill.
    Raise `UserError` where nothing can be taught.
    """
    loss = resolve_loss(params.train.loss, examples, params.triplets)
    if loss == "distill":
        steps = min(steps, params.train.distill.max_steps)
    turns = steps * params.train.gradient_accumulation_steps
    if loss == "distill":
        rows, lesson_collator = _lessons(tokens, store, examples, previous, params, turns, seed)
        return Material(Schedule(rows, params.train.distill.batch_size), lesson_collator, loss, steps)
    number = turns * params.train.batch_size
    drawing = Drawing(examples, params.triplets, "embedder", seed, epoch_of_run(number, examples))
    course = Course(examples, drawing, read_passages(tokens / "texts"), params.train, turns, seed)
    corpus, fixed = tokens / "corpus", params.tokenize.padding == "fixed"
    links = read_links(corpus / "links.parquet", "split")
    relations = Relations(read_chunks(corpus / "chunks.parquet", "split"), links, params.triplets.exclude_linked)
    answers = Answers(examples.anchor, examples.positive_chunk)
    return Material(course, Collator(store, relations, answers, fixed), loss, steps)


def resolve_loss(loss: str, examples: Examples, params: Triplets) -> str:
    """Return the loss to use; ``auto`` is softmax where people chose enough of the positives, else distill.

    Without judgments the only positives are a chunk's own words; docs/recipes.md compares the two losses on them.
    """
    if loss != "auto":
        return loss
    rows = view_rows(examples, params, len(examples))
    judged = sum(rows.get(view, 0) for view in _JUDGED)
    return "softmax" if judged >= _ENOUGH * sum(rows.values()) else "distill"


def _lessons(
    tokens: Path, store: TokenStore, examples: Examples, previous: Path, params: Params, turns: int, seed: int
) -> tuple[dict[str, list[Any]], LessonCollator]:
    """Let the model of the round before, fused with BM25, rank the train chunks for the drawn anchors."""
    train, model = params.train, load_model(previous, params.model)
    precision = resolve_precision(train.precision, device())
    chunks = read_chunks(tokens / "corpus" / "chunks.parquet", "split")
    passages = np.array(read_passages(tokens / "texts"))
    rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"])
    counts = token_counts(store, passages[rows], len(model.tokenizer))
    own = np.searchsorted(rows, examples.positive_chunk)
    words = token_counts(store, examples.anchor, len(model.tokenizer))
    able = np.flatnonzero(can_be_seen(words, counts[own]))
    if not len(able):
        raise UserError(
            f"train.loss: none of {len(examples)} anchors stands before the cut at {store.metadata['max_length']}"
            " tokens, so nothing can be distilled; raise tokenize.max_length or give heading a share of triplets.views"
        )
    examples, own = examples.chosen(able), own[able]
    seeds = anchors_for_run(examples, params.triplets, turns * train.distill.neighborhoods, seed)
    pupils = Pupils(examples.anchor, own, encode(model, store, examples.anchor, precision, "anchors"), words[able])
    teacher = make_teacher(rows, encode(model, store, passages[rows], precision, "chunks"), counts)
    columns = lessons(teacher, pupils, seeds, train.distill, train.seed)
    return columns, LessonCollator(store, passages, params.tokenize.padding == "fixed")
