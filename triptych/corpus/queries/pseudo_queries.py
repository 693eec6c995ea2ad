"""Pseudo-queries, where nobody asked anything: they let the pipeline run, and prove nothing."""

from collections import Counter
from hashlib import sha256
from random import Random

import numpy as np

from triptych.corpus.chunk_table import ChunkTable, Columns
from triptych.corpus.queries.written_queries import JudgedQuery
from triptych.corpus.records import SPLITS, Chunk, Query
from triptych.corpus.texts import is_prose, normalized, sentence_spans

_CHUNKS = 300  # of each category and split that are asked about: more of what proves nothing would prove nothing


def pseudo_queries(
    corpus: ChunkTable, columns: Columns, sides: np.ndarray, seed: int, min_words: int
) -> tuple[dict[str, list[JudgedQuery]], Counter[str]]:
    """Make a query of a dev or test chunk's own words: its heading where no other chunk bears it, or a sentence.

    A query has ``min_words`` words or more. Which chunks and which words is decided by seed and ids, not by rows.
    Returns the queries of each split, none for train, and the number of chunks that gave none, by reason.
    """
    unique = np.bincount(columns.title)[columns.title] == 1
    made: list[tuple[str, str, Chunk]] = []
    dropped: Counter[str] = Counter()
    for row, chunk in corpus.some(_chosen(columns, sides, seed)):
        headings = [chunk.title] if unique[row] and len(chunk.title.split()) >= min_words else []
        sentences = (" ".join(chunk.content[start:end].split()) for start, end in sentence_spans(chunk.content))
        wordings = headings + [sentence for sentence in sentences if is_prose(sentence, min_words)]
        if wordings:
            made.append((SPLITS[sides[row]], Random(f"{seed}:pseudo:{chunk.chunk_id}").choice(wordings), chunk))
        else:
            dropped["no_sentence"] += 1
    times = Counter(normalized(text) for _, text, _ in made)
    placed: dict[str, list[JudgedQuery]] = {split: [] for split in SPLITS}
    for split, text, chunk in made:
        if times[normalized(text)] > 1:
            dropped["same_text_of_another_chunk"] += 1
        else:
            query_id = "pseudo-" + sha256(normalized(text).encode()).hexdigest()[:12]
            placed[split].append(JudgedQuery(Query(query_id, text, "pseudo", chunk.category), {chunk.chunk_id: 1}))
    return placed, dropped


def _chosen(columns: Columns, sides: np.ndarray, seed: int) -> np.ndarray:
    """Return the rows of at most ``_CHUNKS`` dev and as many test chunks of each category: int64."""
    held = np.flatnonzero(sides != SPLITS.index("train"))
    keys = [sha256(f"{seed}:pseudo:{one}".encode()).hexdigest() for one in columns.chunk_id.take(held).to_pylist()]
    groups = sides[held] * len(columns.categories) + columns.category[held]
    order = np.lexsort((np.array(keys, dtype="U64"), groups))
    first = np.searchsorted(groups[order], groups[order])
    return held[order[np.arange(len(order)) - first < _CHUNKS]]
