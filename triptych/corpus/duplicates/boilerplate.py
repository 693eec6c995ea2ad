"""Texts that a large part of all pages repeat, such as license comments, badges and notices."""

import numpy as np

from triptych.corpus.chunk_table import CorpusColumns
from triptych.ids import ChunkRows

_FILES, _SHARE = 5, 0.25  # a text in at least this many files, and in this share of all, is boilerplate


def is_boilerplate(columns: CorpusColumns, clusters: np.ndarray) -> np.ndarray:
    """Return whether the near-duplicates of each chunk are in a large part of the files: bool of shape (chunks,).

    ``clusters`` has the near-duplicate cluster of each chunk.
    """
    pairs = np.unique(np.stack([clusters.astype(np.int64), columns.file]), axis=1)
    files = np.bincount(pairs[0])
    return np.asarray((files >= max(_FILES, _SHARE * len(np.unique(columns.file))))[clusters])


def content_rows(columns: CorpusColumns, clusters: np.ndarray) -> ChunkRows:
    """Return for each chunk itself or, for boilerplate, the next chunk of its file that is not: int64, (chunks,).

    A link to a page that begins with boilerplate is about what follows. A chunk without such a successor stays.
    """
    rows = np.arange(len(columns))
    boilerplate = is_boilerplate(columns, clusters)
    for row in np.flatnonzero(boilerplate)[::-1].tolist():
        following = row + 1
        same_file = following < len(rows) and columns.file[following] == columns.file[row]
        if same_file and not boilerplate[rows[following]]:
            rows[row] = rows[following]
    return ChunkRows(rows)
