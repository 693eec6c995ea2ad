"""The windows of an index after the first of each chunk: read from the disk for the reranker and for snippets."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from triptych.artifacts import writing_table
from triptych.corpus.embedded_text import FramedText
from triptych.serving.row_groups import GROUP, RowGroups

WINDOW_TEXTS = "window_texts.parquet"
_SCHEMA = pa.schema([(name, pa.string()) for name in ("before", "content", "after")])


class WindowTexts:
    """The texts of an index's windows, by the row of their vectors."""

    def __init__(self, path: Path, chunk_of_window: np.ndarray) -> None:
        """Open what `write_window_texts` wrote; raise ValueError where it is not of these windows.

        ``chunk_of_window`` is the row of the chunk of each vector, ascending.
        """
        self._chunk_of_window = chunk_of_window
        self._rows = RowGroups(path)
        further = len(chunk_of_window) - int(chunk_of_window[-1]) - 1
        if len(self._rows) != further:
            raise ValueError(f"{len(self._rows)} texts for {further} windows")

    def __getitem__(self, window: int) -> FramedText | None:
        """Return the text of a window; None for the first one of a chunk, which is the chunk's passage."""
        chunk = int(self._chunk_of_window[window])
        if window == 0 or chunk != self._chunk_of_window[window - 1]:
            return None
        further = window - chunk - 1  # after the first windows of this chunk and of those before it
        return FramedText(**self._rows.records([further])[0])

    def span(self, window: int, content: str) -> tuple[int, int]:
        """Return where the window begins and ends in the content of its chunk, in characters."""
        text = self[window]
        if text is not None:
            start = max(content.find(text.content), 0)
            return start, start + len(text.content)
        is_last = window + 1 == len(self._chunk_of_window)
        following = None if is_last else self[window + 1]
        end = content.find(following.content) if following is not None else len(content)
        return 0, end if end > 0 else len(content)


def write_window_texts(folder: Path, windows: Sequence[Sequence[FramedText]]) -> int:
    """Write the windows of each chunk but its first into an existing folder; return the number of bytes.

    No file is written where each chunk has one window.
    """
    further = [window for of_chunk in windows for window in of_chunk[1:]]
    if not further:
        return 0
    columns = {name: [getattr(window, name) for window in further] for name in _SCHEMA.names}
    with writing_table(folder / WINDOW_TEXTS, _SCHEMA, GROUP) as write:
        write(pa.table(columns, schema=_SCHEMA))
    return (folder / WINDOW_TEXTS).stat().st_size
