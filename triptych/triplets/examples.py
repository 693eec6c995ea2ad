"""Training examples as tables of ids: a text table, and anchors with positives and pools of negatives."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from triptych.artifacts import read_table, write_table
from triptych.triplets.negatives import STRATEGIES, TIERS, Negative, Pool
from triptych.triplets.views import VIEWS


@dataclass(slots=True)
class TextTable:
    """Every distinct (role, text) once; a text's id is its row."""

    texts: list[str] = field(default_factory=list)
    roles: list[str] = field(default_factory=list)  # query or passage: they may carry different prompts
    _ids: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, role: str, text: str) -> int:
        """Return the id of a text, new or known."""
        known = self._ids.setdefault((role, text), len(self.texts))
        if known == len(self.texts):
            self.texts.append(text)
            self.roles.append(role)
        return known


@dataclass(frozen=True, slots=True)
class Example:
    """One anchor with its positive and its pool; texts by id, chunks by row."""

    anchor: int
    positive: int
    positive_chunk: int
    view: str
    category: str
    negatives: tuple[Negative, ...]


@dataclass(frozen=True, slots=True)
class Examples:
    """All examples of a round, as columns."""

    anchor: np.ndarray  # int32, shape (examples,): text id; so are all but ``categories`` and ``pool``
    positive: np.ndarray  # int32: text id
    positive_chunk: np.ndarray  # int32: row of the corpus
    view: np.ndarray  # int8: place in VIEWS
    category: np.ndarray  # int16: place in ``categories``
    categories: tuple[str, ...]
    pool: Pool

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.anchor)

    def __iter__(self) -> Iterator[Example]:
        """Yield examples one by one."""
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, row: int) -> Example:
        """Return one example."""
        return Example(
            int(self.anchor[row]),
            int(self.positive[row]),
            int(self.positive_chunk[row]),
            VIEWS[self.view[row]],
            self.categories[self.category[row]],
            self.pool[row],
        )

    @classmethod
    def of(cls, rows: Iterable[Example], pool: Pool | None = None) -> Self:
        """Make columns of examples; ``pool``, where it is given, stands for their negatives."""
        found = list(rows)
        categories = tuple(sorted({one.category for one in found}))
        numbers = {name: number for number, name in enumerate(categories)}
        return cls(
            np.array([one.anchor for one in found], np.int32),
            np.array([one.positive for one in found], np.int32),
            np.array([one.positive_chunk for one in found], np.int32),
            np.array([VIEWS.index(one.view) for one in found], np.int8),
            np.array([numbers[one.category] for one in found], np.int16),
            categories,
            Pool.of(one.negatives for one in found) if pool is None else pool,
        )

    def chosen(self, rows: np.ndarray) -> Self:
        """Return the examples in the given rows, in that order; categories keep their numbers."""
        pool = self.pool
        sizes = np.diff(pool.offsets)[rows]
        places = np.repeat(pool.offsets[rows] - np.cumsum([0, *sizes[:-1]]), sizes) + np.arange(sizes.sum())
        columns = (getattr(pool, one.name)[places] for one in fields(pool) if one.name != "offsets")
        kept = Pool(np.cumsum([0, *sizes], dtype=np.int64), *columns)
        names = ("anchor", "positive", "positive_chunk", "view", "category")
        return replace(self, pool=kept, **{name: getattr(self, name)[rows] for name in names})

    def sampled(self, number: int, seed: int) -> Self:
        """Return at most ``number`` examples, chosen by seed, in the order they have."""
        return self.chosen(np.sort(np.random.default_rng(seed).permutation(len(self))[:number]))


def write_texts(folder: Path, table: TextTable, passages: list[int], queries: dict[str, int]) -> None:
    """Write the text table, the text of each chunk (by row), and the text of each query (by id)."""
    write_table(folder / "texts.parquet", pa.table({"role": table.roles, "text": table.texts}))
    write_table(folder / "passages.parquet", pa.table({"text_id": pa.array(passages, pa.int32())}))
    ids = pa.array(list(queries.values()), pa.int32())
    write_table(
        folder / "queries.parquet",
        pa.table({"query_id": pa.array(list(queries), pa.string()), "text_id": ids}),
    )


def read_texts(folder: Path) -> tuple[list[str], list[str]]:
    """Return the roles and the texts, by text id."""
    table = read_table(folder / "texts.parquet")
    return table["role"].to_pylist(), table["text"].to_pylist()


def read_passages(folder: Path) -> list[int]:
    """Return the text id of each chunk, by row of the corpus."""
    return read_table(folder / "passages.parquet")["text_id"].to_pylist()


def read_query_texts(folder: Path) -> dict[str, int]:
    """Return the text id of each query, by query id."""
    table = read_table(folder / "queries.parquet")
    return dict(zip(table["query_id"].to_pylist(), table["text_id"].to_pylist(), strict=True))


def write_examples(path: Path, examples: Examples) -> None:
    """Write examples in the order given, each with its negatives as a list."""
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
    write_table(path, pa.table(columns))


def read_examples(path: Path) -> Examples:
    """Read what `write_examples` wrote."""
    table = read_table(path).combine_chunks()
    lists = table["negatives"].chunk(0) if len(table) else pa.array([], table.schema.field("negatives").type)
    fields = dict(zip(["chunk", "tier", "strategy", *_SCORES], lists.flatten().flatten(), strict=True))
    category = table["category"].to_pylist()
    categories = tuple(sorted(set(category)))
    return Examples(
        table["anchor"].to_numpy(),
        table["positive"].to_numpy(),
        table["positive_chunk"].to_numpy(),
        _codes(table["view"].to_pylist(), VIEWS).astype(np.int8),
        _codes(category, categories).astype(np.int16),
        categories,
        Pool(
            np.asarray(lists.offsets.to_numpy(), np.int64) - (lists.offsets[0].as_py() if len(table) else 0),
            fields["chunk"].to_numpy(zero_copy_only=False),
            _codes(fields["tier"].to_pylist(), TIERS).astype(np.int8),
            _codes(fields["strategy"].to_pylist(), STRATEGIES).astype(np.int8),
            *(fields[name].to_numpy(zero_copy_only=False) for name in _SCORES),
        ),
    )


_SCORES = ("score", "path", "lexical")


def _names(numbers: np.ndarray, names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(names, pa.string())).cast(pa.string())


def _codes(names: list[str], known: Sequence[str]) -> np.ndarray:
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[name] for name in names], np.int64)
