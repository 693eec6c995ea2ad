"""The folder that stage ``index`` leaves and a search opens: vectors, words, chunks, and what they were made with."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from triptych.artifacts import intact, read_json, write_json, writing_table
from triptych.corpus.records import CHUNK_SCHEMA, Chunk, chunk_table
from triptych.errors import ArtifactError
from triptych.retrieval.late_interaction import TokenVectors, save_tokens
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.vector_index import BITS, VECTORS, IndexPrecision, VectorIndex
from triptych.serving.numpy_encoder import NumpyEncoderSettings

_GROUP = 256  # chunks that are read to show one of them
_SCHEMA = pa.schema([*CHUNK_SCHEMA, ("passage", pa.string())])
_SETTINGS, _CHUNKS, _WORDS = "index.json", "chunks.parquet", "words"


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What a search must know of how an index was made."""

    embedder: str  # hash of its folder
    precision: IndexPrecision
    rescore: int
    depth: int  # hits of each ranking that are fused
    light: NumpyEncoderSettings | None  # where queries can be encoded without PyTorch
    tokens: bool  # whether there are token vectors, for late interaction

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the settings of an index, or tell that there is none."""
        if not (folder / _SETTINGS).exists():
            raise ArtifactError(folder, "is missing")
        with intact(folder / _SETTINGS):
            row = read_json(folder / _SETTINGS)
            return cls(**row | {"light": row["light"] and NumpyEncoderSettings(**row["light"])})


class ChunkTexts:
    """The chunks of an index, read from the disk where they are shown."""

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, memory_map=True)
        short = self._file.read(columns=["chunk_id", "category"])
        self.chunk_ids: list[str] = short["chunk_id"].to_pylist()
        self.category: pa.ChunkedArray = short["category"]
        self._group = lru_cache(64)(self._file.read_row_group)

    def __len__(self) -> int:
        return len(self.chunk_ids)

    def rows(self, rows: Sequence[int]) -> dict[int, tuple[Chunk, str]]:
        """Return chunk and passage of some rows."""
        found = {}
        for number, of_group in groupby(sorted(set(rows)), key=lambda row: row // _GROUP):
            here = list(of_group)
            taken = self._group(number).take([row % _GROUP for row in here]).to_pylist()
            for row, values in zip(here, taken, strict=True):
                passage, path = values.pop("passage"), tuple(values.pop("header_path"))
                found[row] = (Chunk(**values, header_path=path), passage)
        return found


def write_index(
    folder: Path,
    chunks: list[Chunk],
    passages: list[str],
    vectors: VectorIndex,
    settings: IndexSettings,
    tokens: Iterable[TokenVectors],
) -> dict[str, int]:
    """Write an index into an existing folder; return the bytes of vectors, words, texts, and token vectors.

    ``tokens`` are the token vectors of the passages, block after block, and are asked for where the settings want them.
    """
    words = LexicalIndex([chunk.chunk_id for chunk in chunks], passages)
    words.save(folder / _WORDS)
    with writing_table(folder / _CHUNKS, _SCHEMA, _GROUP) as write:
        write(chunk_table(chunks).append_column("passage", pa.array(passages, pa.string())))
    of_vectors = vectors.save(folder)
    write_json(folder / _SETTINGS, asdict(settings))
    of_tokens = {"tokens": save_tokens(folder, tokens)} if settings.tokens else {}
    of_words = sum(path.stat().st_size for path in (folder / _WORDS).iterdir())
    return {"vectors": of_vectors, "words": of_words, "texts": (folder / _CHUNKS).stat().st_size} | of_tokens


def open_tokens(folder: Path, number: int) -> TokenVectors:
    """Open the token vectors of so many chunks, memory-mapped; raise `UserError` where they are missing or damaged."""
    with intact(folder):
        tokens = TokenVectors.open(folder)
        if len(tokens) != number:
            raise ValueError(f"token vectors of {len(tokens)} chunks, not of {number}")
        return tokens


def open_index(folder: Path, settings: IndexSettings) -> tuple[VectorIndex, LexicalIndex, ChunkTexts]:
    """Open vectors, words and texts, memory-mapped; raise `UserError` where one is missing or damaged."""
    with intact(folder / _CHUNKS):
        texts = ChunkTexts(folder / _CHUNKS)
    binary = settings.precision == "binary"
    with intact(folder / (f"{VECTORS} or {BITS}" if binary else VECTORS)):
        vectors = VectorIndex.open(folder, settings.rescore)
        if len(vectors) != len(texts):
            raise ValueError(f"{len(vectors)} vectors for {len(texts)} chunks")
        if binary and not (folder / BITS).exists():  # without it the search would be another one
            raise FileNotFoundError(f"{BITS} is missing")
    with intact(folder / _WORDS):
        words = LexicalIndex.load(folder / _WORDS, texts.chunk_ids)
    return vectors, words, texts
