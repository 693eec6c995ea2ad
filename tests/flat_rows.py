"""Shared by tests of exported and imported triplets: chunks, rows of the flat table, and how they are read."""

import pandas as pd
from corpora import TEMPLATE, look_alikes

from triptych.corpus.records import Chunk
from triptych.triplets.exchange.import_export import read_imported
from triptych.triplets.false_negatives import Relations

CHUNKS = [*look_alikes(4), Chunk("held", "lists", "h.md", ("h",), "held", "Held out.", "", cluster_id=9, split="test")]


def row(**changes):
    return {
        "anchor": "sort lists", "positive": CHUNKS[0].content, "negative": CHUNKS[1].content, "difficulty": "hard",
        "category": "lists",
    } | changes  # fmt: skip


def write(path, *rows):
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def read(path, chunks, forbidden=(), links=()):
    return read_imported(path, chunks, TEMPLATE, set(forbidden), Relations(chunks, list(links)))


def triplets_of(imported, chunks):
    """Return the triplets that were read as (anchor, positive, id of positive, id of negative, tier)."""
    return {
        (anchor.text, anchor.positive_text, chunks[anchor.positive].chunk_id, chunks[one.chunk].chunk_id, one.tier)
        for anchor, negatives in zip(imported.anchors, imported.negatives, strict=True)
        for one in negatives
    }
