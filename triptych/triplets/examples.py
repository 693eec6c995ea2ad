"""Training examples as columns of ids: the table of texts, and anchors with their positives and pools."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triptych.artifacts import ROW_GROUP, open_table, read_table, write_table, writing_table
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import FramedText
from triptych.corpus.records import Chunk, category_label
from triptych.ids import ChunkRows, TextId, TextIds
from triptych.triplets.negatives import STRATEGIES, TIERS, Pool
from triptych.triplets.views import VIEWS, Anchor


@dataclass(slots=True)
class TextTable:
    """Every distinct (role, text) once; the id of a text is its row."""

    texts: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)  # query or passage: they may have different prompts
    contents: list[tuple[int, int]] = field(default_factory=list)  # start and end of what may be cut into windows
    _ids: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, role: str, text: str, content: tuple[int, int] = (0, 0)) -> TextId:
        """Return the id of a text; add it if it is new."""
        text_id = self._ids.setdefault((role, text), len(self.texts))
        if text_id == len(self.texts):
            self.texts.append(text)
            self.roles.append(role)
            self.contents.append(content)
        return TextId(text_id)

    def add_passage(self, framed: FramedText) -> TextId:
        """Return the id of the passage of a chunk; add it if it is new."""
        start = len(framed.before)
        return self.add("passage", framed.text, (start, start + len(framed.content)))


@dataclass(frozen=True, slots=True)
class Examples:
    """All examples of a round as columns: anchor, positive and pool of negatives."""

    anchor: TextIds  # int32, shape (examples,), as all but ``categories`` and ``pool``
    positive: TextIds  # int32
    positive_chunk: ChunkRows  # int32
    view: np.ndarray  # int8: index in VIEWS
    category: np.ndarray  # int16: index in ``categories``
    categories: tuple[str, ...]
    pool: Pool

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.anchor)

    @classmethod
    def of_anchors(cls, anchors: Sequence[Anchor], chunks: Sequence[Chunk], pool: Pool, table: TextTable) -> Self:
        """Build the columns from anchors and their pools, and add their texts to ``table``."""
        text_ids = [
            (
                table.add("passage" if anchor.view == "sibling" else "query", anchor.text),
                table.add("passage", anchor.positive_text, anchor.positive_content),
            )
            for anchor in anchors
        ]
        anchor_ids, positive_ids = np.array(text_ids, np.int32).reshape(-1, 2).T.copy()
        names = [category_label(chunks[anchor.positive].category) for anchor in anchors]
        categories = tuple(sorted(set(names)))
        return cls(
            TextIds(anchor_ids),
            TextIds(positive_ids),
            ChunkRows(np.array([anchor.positive for anchor in anchors], np.int32)),
            _indices(pa.array([anchor.view for anchor in anchors], pa.string()), VIEWS).astype(np.int8),
            _indices(pa.array(names, pa.string()), categories).astype(np.int16),
            categories,
            pool,
        )

    def select(self, rows: np.ndarray) -> Self:
        """Return the examples in the given rows, in that order; categories keep their numbers."""
        pool = self.pool
        sizes = np.diff(pool.offsets)[rows]
        kept = np.repeat(pool.offsets[rows] - np.cumsum([0, *sizes[:-1]]), sizes) + np.arange(sizes.sum())
        columns = (getattr(pool, column.name)[kept] for column in fields(pool) if column.name != "offsets")
        names = ("anchor", "positive", "positive_chunk", "view", "category")
        return replace(
            self,
            pool=Pool(np.cumsum([0, *sizes], dtype=np.int64), *columns),
            **{name: getattr(self, name)[rows] for name in names},
        )

    def sample(self, number: int, seed: int) -> Self:
        """Return at most ``number`` examples, sampled by seed, in their original order."""
        return self.select(np.sort(np.random.default_rng(seed).permutation(len(self))[:number]))


@dataclass(frozen=True, slots=True)
class QuestionIds:
    """The written questions of all chunks, ascending by chunk."""

    text: TextIds  # int64, shape (questions,)
    chunk: ChunkRows  # int64, shape (questions,): of the chunk that answers each

    def __len__(self) -> int:
        return len(self.text)

    @classmethod
    def none(cls) -> Self:
        """Return no questions."""
        return cls(TextIds(np.empty(0, np.int64)), ChunkRows(np.empty(0, np.int64)))

    @classmethod
    def added(cls, questions: ChunkQuestions, table: TextTable) -> Self:
        """Add the texts of questions to ``table``."""
        text_ids = [table.add("query", question) for question in questions.texts]
        return cls(TextIds(np.array(text_ids, np.int64)), ChunkRows(questions.chunk))


def write_texts(
    folder: Path,
    table: TextTable,
    passage_ids: TextIds,
    query_text_ids: dict[str, TextId],
    questions: QuestionIds,
) -> None:
    """Write the text table, and the text ids of chunks (by row), queries (by query id) and questions (with chunk)."""
    starts, ends = ([one[side] for one in table.contents] for side in (0, 1))
    columns = {
        "role": table.roles,
        "text": table.texts,
        "content_start": pa.array(starts, pa.int32()),
        "content_end": pa.array(ends, pa.int32()),
    }
    write_table(folder / "texts.parquet", pa.table(columns))
    write_table(folder / "passages.parquet", pa.table({"text_id": pa.array(passage_ids, pa.int32())}))
    text_ids = pa.array(list(query_text_ids.values()), pa.int32())
    write_table(
        folder / "queries.parquet",
        pa.table({"query_id": pa.array(list(query_text_ids), pa.string()), "text_id": text_ids}),
    )
    columns = {"text_id": pa.array(questions.text, pa.int32()), "chunk": pa.array(questions.chunk, pa.int32())}
    write_table(folder / "questions.parquet", pa.table(columns))


def read_texts(folder: Path) -> tuple[list[str], list[str]]:
    """Return the roles and the texts, by text id."""
    table = read_table(folder / "texts.parquet")
    return table["role"].to_pylist(), table["text"].to_pylist()


def read_framed_texts(folder: Path) -> Iterator[FramedText | None]:
    """Yield the texts that may be cut into windows, by text id; None for the others."""
    columns = ("text", "content_start", "content_end")
    for batch in open_table(folder / "texts.parquet").iter_batches(ROW_GROUP, columns=list(columns)):
        for text, start, end in zip(*(batch[name].to_pylist() for name in columns), strict=True):
            yield FramedText(text[:start], text[start:end], text[end:]) if end > start else None


def read_passage_ids(folder: Path) -> TextIds:
    """Return the text id of each chunk, by row of the corpus; int64 of shape (chunks,)."""
    return TextIds(read_table(folder / "passages.parquet")["text_id"].to_numpy().astype(np.int64))


def read_query_text_ids(folder: Path) -> dict[str, TextId]:
    """Return the text id of each query, by query id."""
    table = read_table(folder / "queries.parquet")
    return dict(zip(table["query_id"].to_pylist(), table["text_id"].to_pylist(), strict=True))


def read_question_ids(folder: Path) -> QuestionIds:
    """Return the text ids of the written questions, and the rows of their chunks."""
    table = read_table(folder / "questions.parquet")
    text_ids, chunks = (table[name].to_numpy().astype(np.int64) for name in ("text_id", "chunk"))
    return QuestionIds(TextIds(text_ids), ChunkRows(chunks))


def write_examples(path: Path, examples: Examples) -> None:
    """Write one row per example, in the order given, with its negatives as a list; a row group at a time."""
    with writing_table(path, _table(examples.select(np.arange(0))).schema) as write:
        for start in range(0, max(len(examples), 1), ROW_GROUP):
            write(_table(examples.select(np.arange(start, min(start + ROW_GROUP, len(examples))))))


def _table(examples: Examples) -> pa.Table:
    pool = examples.pool
    negatives = pa.StructArray.from_arrays(
        [
            pa.array(pool.chunk),
            _names(pool.tier, TIERS),
            _names(pool.strategy, STRATEGIES),
            *(pa.array(getattr(pool, name)) for name in _SCORES),
        ],
        names=["chunk", "tier", "strategy", *_SCORES],
    )
    columns = {
        "anchor": pa.array(examples.anchor),
        "positive": pa.array(examples.positive),
        "positive_chunk": pa.array(examples.positive_chunk),
        "view": _names(examples.view, VIEWS),
        "category": _names(examples.category, examples.categories),
        "negatives": pa.LargeListArray.from_arrays(pa.array(pool.offsets), negatives),
    }
    return pa.table(columns)


def read_examples(path: Path) -> Examples:
    """Read what `write_examples` wrote; the names of tiers and strategies are in memory for some rows at a time."""
    file = open_table(path)
    names = pc.unique(file.read(columns=["category"])["category"]).to_pylist()
    categories = tuple(sorted(names))
    parts = [_examples(batch, categories) for batch in file.iter_batches(ROW_GROUP)]
    columns: dict[str, Any] = {
        name: np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])
        for name, dtype in _COLUMNS.items()
    }
    return Examples(**columns, categories=categories, pool=Pool.join([Pool.of([]), *(part.pool for part in parts)]))


def _examples(batch: pa.RecordBatch, categories: tuple[str, ...]) -> Examples:
    lists = batch["negatives"]
    columns = dict(zip(["chunk", "tier", "strategy", *_SCORES], lists.flatten().flatten(), strict=True))
    offsets = lists.offsets.to_numpy()
    return Examples(
        TextIds(batch["anchor"].to_numpy()),
        TextIds(batch["positive"].to_numpy()),
        ChunkRows(batch["positive_chunk"].to_numpy()),
        _indices(batch["view"], VIEWS).astype(np.int8),
        _indices(batch["category"], categories).astype(np.int16),
        categories,
        Pool(
            np.asarray(offsets - offsets[0], np.int64),
            ChunkRows(columns["chunk"].to_numpy(zero_copy_only=False)),
            _indices(columns["tier"], TIERS).astype(np.int8),
            _indices(columns["strategy"], STRATEGIES).astype(np.int8),
            *(columns[name].to_numpy(zero_copy_only=False) for name in _SCORES),
        ),
    )


_COLUMNS = {"anchor": np.int32, "positive": np.int32, "positive_chunk": np.int32, "view": np.int8, "category": np.int16}


_SCORES = ("score", "path", "lexical")


def _names(indices: np.ndarray, names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(names, pa.string())).cast(pa.string())


def _indices(names: pa.Array, known: Sequence[str]) -> np.ndarray:
    """Return the position of each name among the ``known``; raise ValueError on another one."""
    positions = pc.index_in(names, pa.array(known, pa.string()))
    if positions.null_count:
        raise ValueError(f"{names.filter(positions.is_null())[0].as_py()!r} is none of {', '.join(known)}")
    return positions.to_numpy()
