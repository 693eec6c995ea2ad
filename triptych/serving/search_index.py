"""The search index in a folder: vectors, BM25 index, chunks, and the settings it was built with."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from triptych.artifacts import intact, read_json, write_json, writing_table
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.language import ENGLISH
from triptych.corpus.records import CHUNK_SCHEMA, Chunk, chunk_table
from triptych.errors import ArtifactError
from triptych.retrieval.late_interaction import TokenVectors, save_tokens
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.vector_index import BITS, VECTORS, IndexPrecision, VectorIndex
from triptych.retrieval.windows import ChunkSearch, IndexedQuestions
from triptych.serving.numpy_encoder import NumpyEncoderSettings
from triptych.serving.row_groups import GROUP, RowGroups
from triptych.serving.window_texts import WINDOW_TEXTS, WindowTexts

_SCHEMA = pa.schema([*CHUNK_SCHEMA, ("passage", pa.string())])
_SETTINGS, _CHUNKS, _WORDS, _WINDOWS = "index.json", "chunks.parquet", "words", "windows.npy"
_QUESTIONS = "questions.parquet"  # written where there are any


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The settings that an index was built with."""

    embedder: str  # hash of its folder
    precision: IndexPrecision
    rescore: int
    depth: int  # hits of each ranking that are fused
    numpy_encoder: NumpyEncoderSettings | None  # None where queries need PyTorch
    tokens: bool  # whether the index has token vectors, for late interaction
    language: str = ENGLISH  # two-letter code: whose stop words BM25 leaves out
    dimensions: int | None = None  # of the vectors that are kept, the first ones; None: all

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the settings of an index; raise `ArtifactError` where it is missing or damaged."""
        if not (folder / _SETTINGS).exists():
            raise ArtifactError(folder, "is missing")
        with intact(folder / _SETTINGS):
            row = read_json(folder / _SETTINGS)
            encoder = row["numpy_encoder"]
            return cls(**row | {"numpy_encoder": encoder and NumpyEncoderSettings(**encoder)})


class ChunkTexts:
    """The chunks of an index, read from the disk when they are shown."""

    def __init__(self, path: Path) -> None:
        self._rows = RowGroups(path)
        columns = self._rows.columns("chunk_id", "category")
        self.chunk_ids: list[str] = columns["chunk_id"].to_pylist()
        self.category: pa.ChunkedArray = columns["category"]

    def __len__(self) -> int:
        return len(self.chunk_ids)

    def rows(self, rows: Sequence[int]) -> dict[int, tuple[Chunk, str]]:
        """Return chunk and passage by row."""
        wanted, chunks = sorted(set(rows)), {}
        for row, values in zip(wanted, self._rows.records(wanted), strict=True):
            passage, path = values.pop("passage"), tuple(values.pop("header_path"))
            chunks[row] = (Chunk(**values, header_path=path), passage)
        return chunks


class QuestionTexts:
    """The written questions of an index, whose texts are read from the disk when they are shown; it may have none."""

    def __init__(self, path: Path) -> None:
        self._rows = RowGroups(path) if path.exists() else None
        columns = self._rows.columns("chunk")["chunk"] if self._rows else np.empty(0, np.int64)
        self.chunk = np.asarray(columns, np.int64)  # row of the chunk of each question, ascending

    def text(self, question: int) -> str:
        """Return the text of a question, given its position."""
        assert self._rows is not None
        text: str = self._rows.records([question])[0]["text"]
        return text

    def texts(self) -> list[str]:
        """Return the texts of all questions."""
        texts: list[str] = self._rows.columns("text")["text"].to_pylist() if self._rows else []
        return texts


def write_index(
    folder: Path,
    chunks: list[Chunk],
    passages: list[str],
    vectors: VectorIndex,
    chunk_of_window: np.ndarray,
    questions: ChunkQuestions,
    settings: IndexSettings,
    tokens: Iterable[TokenVectors],
) -> dict[str, int]:
    """Write an index into an existing folder; return the bytes of vectors, BM25 index, texts, and token vectors.

    ``vectors`` are those of windows, then those of ``questions``, which BM25 searches too. ``chunk_of_window`` is the
    row of the chunk of each window, ascending, int of shape (windows,).
    ``tokens`` are the token vectors of the passages in blocks; they are iterated over only if ``settings.tokens``.
    """
    lexical = LexicalIndex([chunk.chunk_id for chunk in chunks], questions.added_to(passages), settings.language)
    lexical.save(folder / _WORDS)
    with writing_table(folder / _CHUNKS, _SCHEMA, GROUP) as write:
        write(chunk_table(chunks).append_column("passage", pa.array(passages, pa.string())))
    vector_bytes = vectors.save(folder)
    np.save(folder / _WINDOWS, chunk_of_window.astype(np.int32))
    if len(questions):
        columns = {"chunk": pa.array(questions.chunk, pa.int32()), "text": pa.array(questions.texts, pa.string())}
        with writing_table(folder / _QUESTIONS, (table := pa.table(columns)).schema, GROUP) as write:
            write(table)
    written = asdict(settings)
    if settings.dimensions is None:
        del written["dimensions"]
    write_json(folder / _SETTINGS, written)
    token_bytes = {"tokens": save_tokens(folder, tokens)} if settings.tokens else {}
    lexical_bytes = sum(path.stat().st_size for path in (folder / _WORDS).iterdir())
    text_bytes = (folder / _CHUNKS).stat().st_size
    return {"vectors": vector_bytes, "words": lexical_bytes, "texts": text_bytes} | token_bytes


def open_tokens(folder: Path, number: int) -> TokenVectors:
    """Open the token vectors of ``number`` chunks, memory-mapped; raise `ArtifactError` if missing or damaged."""
    with intact(folder):
        tokens = TokenVectors.open(folder)
        if len(tokens) != number:
            raise ValueError(f"token vectors of {len(tokens)} chunks, not of {number}")
        return tokens


def open_vectors(folder: Path, settings: IndexSettings) -> tuple[VectorIndex, np.ndarray]:
    """Open the vectors, memory-mapped, and the row of the chunk of each window, int of shape (windows,), ascending.

    Raise `ArtifactError` where they are missing or damaged.
    """
    binary = settings.precision == "binary"
    with intact(folder / (f"{VECTORS} or {BITS}" if binary else VECTORS)):
        vectors = VectorIndex.open(folder, settings.rescore)
        if binary and not (folder / BITS).exists():  # it would open without them and search differently
            raise FileNotFoundError(f"{BITS} is missing")
        return vectors, np.load(folder / _WINDOWS)


def open_index(
    folder: Path, settings: IndexSettings
) -> tuple[ChunkSearch, LexicalIndex, ChunkTexts, WindowTexts | None, QuestionTexts]:
    """Open vectors, BM25 index, texts, those of windows where there are any, and of questions, memory-mapped.

    Raise `ArtifactError` where one is missing or damaged.
    """
    with intact(folder / _QUESTIONS):
        questions = QuestionTexts(folder / _QUESTIONS)
    with intact(folder / _CHUNKS):
        texts = ChunkTexts(folder / _CHUNKS)
    vectors, chunk_of_window = open_vectors(folder, settings)
    with intact(folder / VECTORS):
        chunks = int(chunk_of_window[-1]) + 1 if len(chunk_of_window) else 0
        if (len(vectors), chunks) != (len(chunk_of_window) + len(questions.chunk), len(texts)):
            raise ValueError(f"{len(vectors)} vectors of {chunks} chunks for {len(texts)} chunks")
    with intact(folder / _WORDS):
        lexical = LexicalIndex.load(folder / _WORDS, texts.chunk_ids, settings.language)
    windows = None
    if len(chunk_of_window) > len(texts):
        with intact(folder / WINDOW_TEXTS):
            windows = WindowTexts(folder / WINDOW_TEXTS, chunk_of_window)
    indexed = IndexedQuestions(questions.chunk, vectors.vectors)
    return ChunkSearch(vectors.search, chunk_of_window, indexed), lexical, texts, windows, questions
