"""What a round trains on: scheduled rows, the collator that makes batches of them, and the loss they are for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Chunk
from triptych.params import Params, Views
from triptych.retrieval.lexical import LexicalIndex
from triptych.tokens.store import TokenStore
from triptych.training.base import device
from triptych.training.batches import Collator, schedule
from triptych.training.distilling import LessonCollator, Teacher, lessons
from triptych.training.encoding import encode
from triptych.training.precision import resolve_precision
from triptych.triplets.examples import Examples
from triptych.triplets.relations import Relations
from triptych.triplets.sampling import Draw
from triptych.triplets.views import VIEWS

_JUDGED = ("query", "crossref", "imported")  # views whose positives a person chose


@dataclass(frozen=True, slots=True)
class Material:
    """Columns of rows in the order of training, and how they become batches and a loss."""

    rows: dict[str, list[Any]]
    collator: Collator | LessonCollator
    loss: str


def resolve_loss(loss: str, examples: Examples, views: Views) -> str:
    """Return the loss to use; ``auto`` is softmax where people chose positives, else distill.

    Without a judgment the only positives are a chunk's own words, which teach a contrastive loss to match words.
    """
    if loss != "auto":
        return loss
    present = {VIEWS[view] for view in np.unique(examples.view).tolist()}
    return "softmax" if any(view in present and getattr(views, view) > 0 for view in _JUDGED) else "distill"


def contrastive(
    examples: Examples,
    draw: Draw,
    store: TokenStore,
    passages: list[int],
    relations: Relations,
    params: Params,
    loss: str,
) -> Material:
    """Make material of anchors, positives and drawn negatives."""
    fixed = params.tokenize.padding == "fixed"
    return Material(schedule(examples, draw, passages, params.train), Collator(store, relations, fixed), loss)


def distilled(
    examples: Examples,
    draw: Draw,
    store: TokenStore,
    passages: list[int],
    chunks: list[Chunk],
    texts: list[str],
    teaching: SentenceTransformer,
    params: Params,
) -> Material:
    """Make material of the drawn anchors and what ``teaching``, fused with BM25, finds near them.

    ``texts`` holds every text by id. Only train chunks are ranked, so nothing of dev and test is learned.
    """
    train, precision = params.train, resolve_precision(params.train.precision, device())
    rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"])
    text_ids = np.array(passages)
    words = LexicalIndex([chunks[row].chunk_id for row in rows], [texts[passages[row]] for row in rows])
    teacher = Teacher(rows, encode(teaching, store, text_ids[rows], precision, "teacher: chunks"), words)
    drawn = draw.example[np.random.default_rng(train.seed).permutation(len(draw.example))]
    anchors = examples.anchor[drawn]
    vectors = encode(teaching, store, anchors, precision, "teacher: anchors")
    asked = [texts[one] for one in anchors.tolist()]
    columns = lessons(teacher, examples.positive_chunk[drawn], anchors, vectors, asked, train.distill, train.seed)
    return Material(columns, LessonCollator(store, text_ids, params.tokenize.padding == "fixed"), "distill")
