"""The records of a corpus (chunk, link, query) and their files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from triptych.artifacts import open_table, read_jsonl, read_table, write_jsonl, write_table, write_text, writing_table


@dataclass(frozen=True, slots=True)
class Chunk:
    """One passage of documentation: the unit of retrieval."""

    chunk_id: str
    category: str
    filename: str
    header_path: tuple[str, ...]
    title: str
    content: str
    source: str  # file and record from which it was read
    cluster_id: int = -1  # near-duplicate cluster, set by split
    document_id: int = -1  # chunks of one document are in the same split, set by split
    split: str = ""  # train, dev or test, set by split


# The kinds of what authors judged. A query of the first is the text of a link, of the others its context.
CROSSREF, SENTENCE, DESCRIPTION, GLOSSARY = "crossref", "sentence", "description", "glossary"
CHANGE, INDEX, SUMMARY = "change", "index", "summary"
AUTHOR_KINDS = (CROSSREF, DESCRIPTION, SENTENCE, SUMMARY, GLOSSARY, INDEX, CHANGE)
PSEUDO, GENERATED = "pseudo", "generated"  # made of the documentation's own words, and written by a language model
MADE_KINDS = (PSEUDO, GENERATED)  # queries that nobody asked: they prove nothing
UNSURE = "unsure"  # a link to an anchor that its page does not have: its chunk is the first of the page
WITHOUT_ORIGIN = (INDEX, SUMMARY)  # kinds that are no links between chunks


@dataclass(frozen=True, slots=True)
class Link:
    """A cross-reference or another judgment of an author: that the target answers the text, or else the context.

    The origin of a judgment whose words are in no chunk (`INDEX` and `SUMMARY`) is its target.
    """

    from_chunk_id: str
    to_chunk_id: str
    text: str  # the text of the link
    context: str  # the words that its kind stands for
    # What the context is: nothing to ask (`CROSSREF`), the sentence around the link, the description beside it, the
    # definition in a glossary that points there, a line of a change log, an entry of an index, or the summary in the
    # front matter of a page.
    kind: str = CROSSREF


@dataclass(frozen=True, slots=True)
class Query:
    """A query with its kind, its category, and the chunks that are excluded from its ranking."""

    query_id: str
    text: str
    kind: str  # user, one of `AUTHOR_KINDS` or of `MADE_KINDS`
    category: str
    exclude: tuple[str, ...] = field(default=())


CHUNK_SCHEMA = pa.schema(
    [
        ("chunk_id", pa.string()),
        ("category", pa.string()),
        ("filename", pa.string()),
        ("header_path", pa.list_(pa.string())),
        ("title", pa.string()),
        ("content", pa.string()),
        ("source", pa.string()),
        ("cluster_id", pa.int32()),
        ("document_id", pa.int32()),
        ("split", pa.string()),
    ]
)
BATCH = 8192  # chunks that are read or written at a time
_LINKS = pa.schema([(name, pa.string()) for name in ("from_chunk_id", "to_chunk_id", "text", "context", "kind")])


def write_chunks(path: Path, chunks: Iterable[Chunk]) -> None:
    """Write chunks as Parquet in the given order; at most `BATCH` of them are in memory."""
    stream = iter(chunks)
    with writing_table(path, CHUNK_SCHEMA) as write:
        while batch := list(islice(stream, BATCH)):
            write(chunk_table(batch))


def chunk_table(chunks: list[Chunk]) -> pa.Table:
    """Return chunks as a table, in the given order."""
    columns = {name: [getattr(chunk, name) for chunk in chunks] for name in CHUNK_SCHEMA.names}
    return pa.table(columns, schema=CHUNK_SCHEMA)


def read_chunks(path: Path) -> list[Chunk]:
    """Read the chunks that `write_chunks` wrote; equal names of categories, files and splits are one object."""
    shared: dict[str, str] = {}
    chunks = []
    for batch in open_table(path).iter_batches(BATCH):
        for row in batch.to_pylist():
            row |= {name: shared.setdefault(row[name], row[name]) for name in ("category", "filename", "split")}
            chunks.append(chunk_from_row(row))
    return chunks


def chunk_from_row(row: dict[str, Any]) -> Chunk:
    """Return the chunk of a row of a table with `CHUNK_SCHEMA`."""
    return Chunk(**row | {"header_path": tuple(row["header_path"])})


def write_links(path: Path, links: list[Link]) -> None:
    """Write links as Parquet in the given order."""
    write_table(path, link_table(links))


def link_table(links: list[Link]) -> pa.Table:
    """Return links as a table, in the given order."""
    return pa.table({name: [getattr(link, name) for link in links] for name in _LINKS.names}, schema=_LINKS)


def read_links(path: Path) -> list[Link]:
    """Read the links that `write_links` wrote."""
    return [Link(**row) for row in read_table(path).to_pylist()]


ALL = "all"  # the row of tables and metrics that takes all categories together
SMALL_CATEGORIES = "(small categories)"  # the category in which those with too few test queries are judged together
FEWEST_DOCUMENTS = 5  # with queries about fewer, a category or a kind of query is not judged alone
SPLITS = ("train", "dev", "test")  # on conflict, test wins over dev, dev over train
Qrels = dict[str, dict[str, int]]  # query id -> chunk id -> grade
Run = dict[str, dict[str, float]]  # query id -> chunk id -> score


def category_label(category: str) -> str:
    """Return the name of a category in tables and metrics, where `ALL` is the row of all.

    >>> category_label("all"), category_label("guides")
    ('category all', 'guides')
    """
    return f"category {category}" if category == ALL else category


def ranked(hits: Mapping[str, float]) -> list[str]:
    """Return chunk ids by descending score, ties by ascending id: the order of every ranking.

    >>> ranked({"b": 1.0, "a": 1.0, "c": 2.0})
    ['c', 'a', 'b']
    """
    return sorted(hits, key=lambda chunk_id: (-hits[chunk_id], chunk_id))


def best(hits: Mapping[str, float], depth: int) -> dict[str, float]:
    """Return the first ``depth`` hits in the order of `ranked`."""
    return {chunk_id: hits[chunk_id] for chunk_id in ranked(hits)[:depth]}


def write_queries(folder: Path, queries: list[Query], qrels: dict[str, Qrels]) -> None:
    """Write queries and qrels in the BEIR format: ``queries.jsonl`` and ``qrels/<split>.tsv``."""

    def row(query: Query) -> dict[str, Any]:
        metadata = {"kind": query.kind, "category": query.category, "exclude": list(query.exclude)}
        return {"_id": query.query_id, "text": query.text, "metadata": metadata}

    write_jsonl(folder / "queries.jsonl", (row(query) for query in queries))
    for split, split_qrels in qrels.items():
        write_qrels(folder / "qrels" / f"{split}.tsv", split_qrels)


def write_qrels(path: Path, qrels: Qrels) -> None:
    """Write qrels as a tab-separated table in the BEIR format."""
    rows = [f"{query}\t{chunk}\t{grade}" for query, grades in qrels.items() for chunk, grade in grades.items()]
    write_text(path, "\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")


def read_queries(folder: Path) -> dict[str, Query]:
    """Read ``queries.jsonl`` as queries by id."""
    queries = {}
    for row in read_jsonl(folder / "queries.jsonl"):
        meta = row["metadata"]
        queries[row["_id"]] = Query(row["_id"], row["text"], meta["kind"], meta["category"], tuple(meta["exclude"]))
    return queries


def read_qrels(path: Path) -> Qrels:
    """Read a qrels table that `write_qrels` wrote: query id → chunk id → grade."""
    qrels: Qrels = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, chunk, grade = line.split("\t")
        qrels.setdefault(query, {})[chunk] = int(grade)
    return qrels
