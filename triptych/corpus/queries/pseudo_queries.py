"""Pseudo-queries for a corpus without real queries: they let the pipeline run, but prove nothing."""

from collections import Counter
from hashlib import sha256
from random import Random

import numpy as np

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import SPLITS, Chunk, Query
from triptych.corpus.texts import is_prose, normalized, sentence_spans, word_count
from triptych.ids import ChunkRow, ChunkRows

_LAST_RESORT = 20  # chunks that give queries where no split has a usable text
_CHUNKS = 300  # chunks of each category and split that get a query: more queries would prove nothing either


def queries_of_empty_splits(
    corpus: ChunkTable,
    columns: CorpusColumns,
    split_codes: np.ndarray,
    queries: dict[str, list[LabeledQuery]],
    seed: int,
    min_words: int,
) -> tuple[dict[str, list[LabeledQuery]], Counter[str]]:
    """Return pseudo-queries for dev and test where ``queries`` has none; none has the text of a query.

    Params and the second result as in `pseudo_queries`. The first result is empty if both splits have queries.
    """
    empty: list[str] = [split for split in ("dev", "test") if not queries[split]]
    if not empty:
        return {}, Counter()
    pseudo, dropped = pseudo_queries(corpus, columns, split_codes, seed, min_words)
    taken = {normalized(one.query.text) for of_split in queries.values() for one in of_split}
    pseudo = {one: [two for two in pseudo[one] if normalized(two.query.text) not in taken] for one in empty}
    without: list[str] = [one for one in ("test", "dev") if one in pseudo and not pseudo[one]]
    if without:
        taken |= {normalized(two.query.text) for of_split in pseudo.values() for two in of_split}
        pseudo |= any_queries(corpus, columns, without, taken, seed)
    return pseudo, dropped


def pseudo_queries(
    corpus: ChunkTable, columns: CorpusColumns, split_codes: np.ndarray, seed: int, min_words: int
) -> tuple[dict[str, list[LabeledQuery]], Counter[str]]:
    """Take a query from the text of a dev or test chunk: its heading if it is unique in the corpus, or a sentence.

    ``split_codes`` is the index of the split of each chunk in `SPLITS`. A query has at least ``min_words`` words.
    Chunks and queries are chosen by seed and ids, independent of the order of the rows. Returns the queries of each
    split (none for train) and the number of chunks without a query, by reason.
    """
    unique = np.bincount(columns.title)[columns.title] == 1
    candidates: list[tuple[str, str, Chunk]] = []
    dropped: Counter[str] = Counter()
    for row, chunk in corpus.chunks_at(_sampled_rows(columns, split_codes, seed)):
        headings = [chunk.title] if unique[row] and word_count(chunk.title) >= min_words else []
        sentences = (" ".join(chunk.content[start:end].split()) for start, end in sentence_spans(chunk.content))
        texts = headings + [sentence for sentence in sentences if is_prose(sentence, min_words)]
        if texts:
            text = Random(f"{seed}:pseudo:{chunk.chunk_id}").choice(texts)
            candidates.append((SPLITS[split_codes[row]], text, chunk))
        else:
            dropped["no_sentence"] += 1
    frequency = Counter(normalized(text) for _, text, _ in candidates)
    queries: dict[str, list[LabeledQuery]] = {split: [] for split in SPLITS}
    for split, text, chunk in candidates:
        if frequency[normalized(text)] > 1:
            dropped["same_text_of_another_chunk"] += 1
        else:
            query_id = "pseudo-" + sha256(normalized(text).encode()).hexdigest()[:12]
            queries[split].append(LabeledQuery(Query(query_id, text, "pseudo", chunk.category), {chunk.chunk_id: 1}))
    return queries, dropped


def any_queries(
    corpus: ChunkTable, columns: CorpusColumns, splits: list[str], taken: set[str], seed: int
) -> dict[str, list[LabeledQuery]]:
    """Take queries for splits without any usable text from whatever the corpus contains, so that a run can end.

    Their texts are titles, lines and runs of words of a few chunks of any split; none is in ``taken``, which has
    normalized texts and gets theirs. Splits take turns.
    """
    ids = columns.chunk_id.to_pylist()
    keys = [sha256(f"{seed}:any:{chunk_id}".encode()).digest() for chunk_id in ids]
    rows = sorted(range(len(ids)), key=keys.__getitem__)[:_LAST_RESORT]
    queries: dict[str, list[LabeledQuery]] = {split: [] for split in splits}
    candidates: list[tuple[str, Chunk]] = []
    for _, chunk in corpus.chunks_at([ChunkRow(row) for row in rows]):
        words = chunk.content.split()
        runs = [" ".join(words[start : start + 8]) for start in range(0, min(len(words), 24), 8)]
        candidates += [(text, chunk) for text in [chunk.title, *runs]]
    for text, chunk in candidates:
        split = min(splits, key=lambda one: len(queries[one]))
        if normalized(text) and normalized(text) not in taken:
            taken.add(normalized(text))
            query_id = "pseudo-" + sha256(normalized(text).encode()).hexdigest()[:12]
            queries[split].append(LabeledQuery(Query(query_id, text, "pseudo", chunk.category), {chunk.chunk_id: 1}))
    return queries


def _sampled_rows(columns: CorpusColumns, split_codes: np.ndarray, seed: int) -> ChunkRows:
    """Return the rows of at most ``_CHUNKS`` dev and ``_CHUNKS`` test chunks of each category."""
    rows = np.flatnonzero(split_codes != SPLITS.index("train"))
    ids = columns.chunk_id.take(rows).to_pylist()
    keys = [sha256(f"{seed}:pseudo:{chunk_id}".encode()).hexdigest() for chunk_id in ids]
    groups = split_codes[rows] * len(columns.categories) + columns.category[rows]
    order = np.lexsort((np.array(keys, dtype="U64"), groups))
    first = np.searchsorted(groups[order], groups[order])
    return ChunkRows(rows[order[np.arange(len(order)) - first < _CHUNKS]])
