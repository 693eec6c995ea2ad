"""What a round trains on: scheduled rows, the collator that makes batches of them, and the loss they are for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.corpus.records import read_chunks, read_links
from triptych.params import Params, Triplets
from triptych.retrieval.lexical import LexicalIndex
from triptych.tokens.store import TokenStore
from triptych.training.base import device
from triptych.training.batches import Collator, schedule
from triptych.training.distilling import LessonCollator, Teacher, lessons
from triptych.training.encoding import encode
from triptych.training.precision import resolve_precision
from triptych.training.rounds import load_model
from triptych.triplets.examples import Examples, read_passages, read_texts
from triptych.triplets.relations import Relations
from triptych.triplets.sampling import Draw, draw_for_run, view_rows

_JUDGED = ("query", "crossref", "imported")  # views whose positives a person chose
_ENOUGH = 0.25  # share of the rows that they must make up


@dataclass(frozen=True, slots=True)
class Material:
    """Columns of rows in the order of training, and how they become batches and a loss."""

    rows: dict[str, list[Any]]
    collator: Collator | LessonCollator
    loss: str
    draw: Draw


def prepare(
    tokens: Path, store: TokenStore, examples: Examples, previous: Path, params: Params, steps: int, seed: int
) -> Material:
    """Draw and order what ``steps`` steps train on.

    ``tokens`` is what tokenize leaves; ``previous`` the round before, which teaches where the loss is distill.
    """
    loss = resolve_loss(params.train.loss, examples, params.triplets)
    number = steps * params.train.rows_per_step(loss) * params.train.gradient_accumulation_steps
    draw = draw_for_run(examples, params.triplets, "embedder", number, seed)
    if loss == "distill":
        return Material(*_lessons(tokens, store, examples, draw, previous, params), loss, draw)
    corpus, fixed = tokens / "corpus", params.tokenize.padding == "fixed"
    links = read_links(corpus / "links.parquet", "split")
    relations = Relations(read_chunks(corpus / "chunks.parquet", "split"), links, params.triplets.exclude_linked)
    rows = schedule(examples, draw, read_passages(tokens / "texts"), params.train)
    return Material(rows, Collator(store, relations, fixed), loss, draw)


def resolve_loss(loss: str, examples: Examples, params: Triplets) -> str:
    """Return the loss to use; ``auto`` is softmax where people chose enough of the positives, else distill.

    Without judgments the only positives are a chunk's own words, which teach a contrastive loss to match words.
    """
    if loss != "auto":
        return loss
    rows = view_rows(examples, params, len(examples))
    judged = sum(rows.get(view, 0) for view in _JUDGED)
    return "softmax" if judged >= _ENOUGH * sum(rows.values()) else "distill"


def _lessons(
    tokens: Path, store: TokenStore, examples: Examples, draw: Draw, previous: Path, params: Params
) -> tuple[dict[str, list[Any]], LessonCollator]:
    """Let the model of the round before, fused with BM25, rank the train chunks for the drawn anchors."""
    train, model = params.train, load_model(previous, params.model)
    precision = resolve_precision(train.precision, device())
    chunks = read_chunks(tokens / "corpus" / "chunks.parquet", "split")
    passages, texts = np.array(read_passages(tokens / "texts")), read_texts(tokens / "texts")[1]
    rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"])
    words = LexicalIndex([chunks[row].chunk_id for row in rows], [texts[one] for one in passages[rows].tolist()])
    teacher = Teacher(rows, encode(model, store, passages[rows], precision, "teacher: chunks"), words)
    drawn = draw.example[np.random.default_rng(train.seed).permutation(len(draw.example))]
    anchors = examples.anchor[drawn]
    vectors = encode(model, store, anchors, precision, "teacher: anchors")
    asked = [texts[one] for one in anchors.tolist()]
    columns = lessons(teacher, examples.positive_chunk[drawn], anchors, vectors, asked, train.distill, train.seed)
    return columns, LessonCollator(store, passages, params.tokenize.padding == "fixed")
