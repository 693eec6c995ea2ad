"""Which equal titles join documents: rare ones, and common ones whose chunks are alike."""

from typing import Literal

import numpy as np

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.duplicates.shingles import shingle_sets
from triptych.ids import ChunkRows

_RARE = 0.01  # a title in at most this share of the files says what a page is about ("numpy.max", "DataFrame.max")
_ALIKE = 0.25  # mean Jaccard similarity of the words, from which chunks with a common title are alike
_COMPARED = 20  # chunks of a title that are compared with the first one

GroupTitles = Literal["auto", True, False]


def joining_titles(
    corpus: ChunkTable, columns: CorpusColumns, group_titles: GroupTitles
) -> tuple[np.ndarray | None, dict[str, int]]:
    """Return the title number of each chunk, int64 of shape (chunks,), and the titles that join nothing.

    With "auto" a chunk whose title many files share ("Overview") gets a number of its own, unless the chunks with
    that title are alike. The titles that join nothing are returned with the number of their files. None: no title
    joins.
    """
    if group_titles is False:
        return None, {}
    if group_titles is True:
        return columns.title, {}
    pairs = np.unique(np.stack([columns.title, columns.file]), axis=1)
    files = np.bincount(pairs[0])
    common = np.flatnonzero((files > 1) & (files > _RARE * len(np.unique(columns.file))))
    different = common[~_alike(corpus, columns, common)]
    alone = np.isin(columns.title, different)
    titles = np.where(alone, len(files) + np.arange(len(columns)), columns.title)
    _, first = np.unique(columns.title, return_index=True)
    rows = first[different]
    names = corpus.column("title").take(rows).to_pylist() if len(rows) else []
    return titles, dict(sorted(zip(names, files[different].tolist(), strict=True), key=lambda one: (-one[1], one[0])))


def _alike(corpus: ChunkTable, columns: CorpusColumns, titles: np.ndarray) -> np.ndarray:
    """Return for each title whether its chunks are alike: bool of shape (titles,)."""
    by_title = np.lexsort((columns.rank(), columns.title))
    starts = np.searchsorted(columns.title[by_title], titles)
    ends = np.searchsorted(columns.title[by_title], titles, side="right")
    compared = [by_title[start : min(end, start + _COMPARED)] for start, end in zip(starts, ends, strict=True)]
    wanted = np.concatenate([np.empty(0, np.int64), *compared])
    texts = {row: chunk.content for row, chunk in corpus.chunks_at(ChunkRows(wanted))}
    alike = np.zeros(len(titles), dtype=bool)
    for index, rows in enumerate(compared):
        sets = shingle_sets([texts[row] for row in rows.tolist()], words=1)
        others = np.arange(1, len(rows))
        alike[index] = sets.jaccard(np.zeros_like(others), others).mean() >= _ALIKE
    return alike
