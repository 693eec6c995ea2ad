"""Training examples as tables of ids: a text table, and anchors with positives and pools of negatives."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from triptych.artifacts import read_table, write_table
from triptych.triplets.tiers import Negative


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


_NEGATIVE = pa.struct(
    [("chunk", pa.int32()), ("tier", pa.string()), ("strategy", pa.string()), ("score", pa.float32())]
)
_EXAMPLES = pa.schema(
    [
        ("anchor", pa.int32()),
        ("positive", pa.int32()),
        ("positive_chunk", pa.int32()),
        ("view", pa.string()),
        ("category", pa.string()),
        ("negatives", pa.list_(_NEGATIVE)),
    ]
)


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
    table = read_table(folder / "texts.parquet", "triplets")
    return table["role"].to_pylist(), table["text"].to_pylist()


def read_passages(folder: Path) -> list[int]:
    """Return the text id of each chunk, by row of the corpus."""
    return read_table(folder / "passages.parquet", "triplets")["text_id"].to_pylist()


def read_query_texts(folder: Path) -> dict[str, int]:
    """Return the text id of each query, by query id."""
    table = read_table(folder / "queries.parquet", "triplets")
    return dict(zip(table["query_id"].to_pylist(), table["text_id"].to_pylist(), strict=True))


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write examples in the order given."""
    rows = [
        {
            "anchor": one.anchor,
            "positive": one.positive,
            "positive_chunk": one.positive_chunk,
            "view": one.view,
            "category": one.category,
            "negatives": [
                {"chunk": n.chunk, "tier": n.tier, "strategy": n.strategy, "score": n.score} for n in one.negatives
            ],
        }
        for one in examples
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=_EXAMPLES))


def read_examples(path: Path, made_by: str) -> list[Example]:
    """Read the examples that the stage ``made_by`` wrote."""
    rows = read_table(path, made_by).to_pylist()
    return [Example(**(row | {"negatives": tuple(Negative(**one) for one in row["negatives"])})) for row in rows]
