"""The rows that a database gets: one per chunk, and one per vector, which names its chunk.

A row's digest is of what the row is made from: texts, embedder and precision. The vectors themselves are left out of
it: int8 is calibrated on the whole corpus, so that any new chunk changes the last digits of all vectors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa

from triptych.corpus.records import Chunk
from triptych.serving.search_index import IndexSettings, open_index, open_vectors

WINDOW, QUESTION = "window", "question"
CHUNK_SCHEMA = pa.schema(
    [
        ("chunk_id", pa.string()),
        ("category", pa.string()),
        ("title", pa.string()),
        ("header_path", pa.list_(pa.string())),
        ("filename", pa.string()),
        ("source", pa.string()),
        ("content", pa.string()),
        ("digest", pa.string()),
    ]
)
_FORMAT = "1"  # another one writes every row again
_BATCH = 1024  # rows that are read at once


def vector_schema(dimensions: int) -> pa.Schema:
    """Return the columns of a row with a vector of float32."""
    texts = [(name, pa.string()) for name in ("id", "chunk_id", "kind")]
    rest = [("category", pa.string()), ("text", pa.string()), ("digest", pa.string())]
    return pa.schema([*texts, ("position", pa.int32()), *rest, ("vector", pa.list_(pa.float32(), dimensions))])


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one table: all ids and digests, in order, and the rows themselves, which are read when written."""

    key: str  # the column of the ids
    schema: pa.Schema
    ids: list[str]
    digests: list[str]
    read: Callable[[Sequence[int]], pa.Table]  # rows by their positions

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, positions: Sequence[int] | None = None, size: int = _BATCH) -> Iterator[pa.Table]:
        """Yield the rows at some positions, or all, in tables of at most ``size`` rows."""
        wanted = range(len(self)) if positions is None else positions
        for start in range(0, len(wanted), size):
            yield self.read(wanted[start : start + size])


class IndexRows:
    """The rows of an index: ``chunks``, and ``vectors`` of their windows, then of the questions written for them.

    Vectors are as the index stores them (``index.precision``), decoded to float32 and of length 1, so that inner
    product and cosine rank alike in every database.
    """

    def __init__(self, folder: Path) -> None:
        """Open the index of stage ``index``; raise `ArtifactError` where it is missing or damaged."""
        self.settings = IndexSettings.read(folder)
        self.search, self.lexical, self._texts, self._windows, questions = open_index(folder, self.settings)
        self._vectors, self._chunk_of_window = open_vectors(folder, self.settings)
        self._question_texts = questions.texts()
        self._chunk_of_row = np.concatenate([self._chunk_of_window, questions.chunk])
        self.chunk_ids = self._texts.chunk_ids
        windows, asked = (_counted(one, len(self.chunk_ids)) for one in (self._chunk_of_window, questions.chunk))
        self.most_per_chunk = int((windows + asked).max(initial=0))
        self._windows_of = windows
        numbers = [*_numbers(self._chunk_of_window), *_numbers(questions.chunk)]
        self._position = np.array(numbers, np.int32)
        self._chunk_digests: list[str] = []
        self._vector_digests: list[str] = []
        self._read_digests()
        self.dimensions = int(self._vectors.vectors(np.array([0])).shape[1])
        self.chunks = Rows("chunk_id", CHUNK_SCHEMA, self.chunk_ids, self._chunk_digests, self._chunk_table)
        ids = [self._vector_id(row) for row in range(len(self._chunk_of_row))]
        schema = vector_schema(self.dimensions)
        self.vectors = Rows("id", schema, ids, self._vector_digests, self._vector_table)

    def _read_digests(self) -> None:
        model = (_FORMAT, self.settings.embedder, self.settings.precision)
        of_windows, of_questions = list[str](), list[str]()
        window = question = 0
        for start in range(0, len(self.chunk_ids), _BATCH):
            rows = range(start, min(start + _BATCH, len(self.chunk_ids)))
            for row, (chunk, passage) in self._texts.rows(rows).items():
                self._chunk_digests.append(_digest(_FORMAT, *_fields(chunk)))
                number = int(self._windows_of[row])
                for _ in range(number):
                    text = self._window_text(window, passage)
                    of_windows.append(_digest(*model, WINDOW, str(number), chunk.category, text))
                    window += 1
                while question < len(self._question_texts) and self._question_chunk(question) == row:
                    text = self._question_texts[question]
                    of_questions.append(_digest(*model, QUESTION, chunk.category, text))
                    question += 1
        self._vector_digests += of_windows + of_questions

    def _chunk_table(self, rows: Sequence[int]) -> pa.Table:
        chunks = self._texts.rows(rows)
        records = []
        for row in rows:
            chunk, _ = chunks[row]
            fields = {name: getattr(chunk, name) for name in CHUNK_SCHEMA.names if name != "digest"}
            records.append(fields | {"digest": self._chunk_digests[row]})
        return pa.Table.from_pylist(records, schema=CHUNK_SCHEMA)

    def _vector_table(self, rows: Sequence[int]) -> pa.Table:
        vectors: np.ndarray = np.asarray(self._vectors.vectors(np.array(rows)), np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.where(lengths > 0, lengths, 1)
        chunks = self._texts.rows([int(self._chunk_of_row[row]) for row in rows])
        columns: dict[str, list[object]] = {name: [] for name in vector_schema(1).names if name != "vector"}
        for row in rows:
            chunk, passage = chunks[int(self._chunk_of_row[row])]
            is_window = row < len(self._chunk_of_window)
            text = self._window_text(row, passage) if is_window else self._question_texts[self._question(row)]
            values = (
                self._vector_id(row),
                chunk.chunk_id,
                WINDOW if is_window else QUESTION,
                int(self._position[row]),
                chunk.category,
                text,
                self._vector_digests[row],
            )
            for name, value in zip(columns, values, strict=True):
                columns[name].append(value)
        flat = pa.array(vectors.ravel(), pa.float32())
        column = pa.FixedSizeListArray.from_arrays(flat, self.dimensions)
        return pa.table(columns | {"vector": column}, schema=vector_schema(self.dimensions))

    def _vector_id(self, row: int) -> str:
        kind = "w" if row < len(self._chunk_of_window) else "q"
        return f"{self.chunk_ids[int(self._chunk_of_row[row])]}#{kind}{self._position[row]}"

    def _window_text(self, window: int, passage: str) -> str:
        """Return the text of a window; that of a chunk's first one is the passage, of which it embeds the beginning."""
        text = self._windows[window] if self._windows is not None else None
        return passage if text is None else text.text

    def _question(self, row: int) -> int:
        return row - len(self._chunk_of_window)

    def _question_chunk(self, question: int) -> int:
        return int(self._chunk_of_row[len(self._chunk_of_window) + question])


def _fields(chunk: Chunk) -> tuple[str, ...]:
    texts = (chunk.chunk_id, chunk.category, chunk.title, chunk.filename, chunk.source, chunk.content)
    return (*texts, *chunk.header_path)


def _digest(*parts: str) -> str:
    state = blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()


def _counted(chunk_of_row: np.ndarray, chunks: int) -> np.ndarray:
    return np.bincount(chunk_of_row, minlength=chunks)


def _numbers(chunk_of_row: np.ndarray) -> np.ndarray:
    """Return the number of each row among those of its chunk, from 0; ``chunk_of_row`` is ascending.

    >>> _numbers(np.array([0, 0, 1, 4, 4])).tolist()
    [0, 1, 0, 0, 1]
    """
    rows = np.arange(len(chunk_of_row))
    return rows - np.searchsorted(chunk_of_row, chunk_of_row, side="left")
