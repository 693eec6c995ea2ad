"""BEIR folders: a corpus as a source of chunks, and queries with qrels."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych.corpus.cleaning import cleaned, one_line
from triptych.corpus.files import BadFileError, links_outside, read_text
from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.shortening import listed, shortened
from triptych.corpus.readers.tabular import read_lines, read_records
from triptych.corpus.records import Chunk, Qrels
from triptych.errors import UserError
from triptych.params.sections import Fields, Source

_FIELDS = Fields(chunk_id="_id", title="title", content="text")
_COLUMNS = ("query-id", "corpus-id", "score")


def read_beir(source: Source, counts: SourceCounts) -> Iterator[Chunk | Rejected]:
    """Read ``corpus.jsonl``; fields that BEIR does not have are looked up in the ``metadata`` of each record.

    A record without a file name is a document of its own, not part of a file called ``corpus.jsonl``.
    """
    path = Path(source.path) / "corpus.jsonl"
    if links_outside(path, path.parent):
        raise BadFileError(f"{path} is a link out of its folder; copy the file there")
    yield from read_records(
        path,
        "jsonl",
        _FIELDS,
        counts,
        category=source.category,
        encoding=source.encoding,
        own_documents=True,
        required=("content", "chunk_id"),
    )


def read_beir_queries(folder: Path) -> tuple[dict[str, str], dict[str, Qrels]]:
    """Read ``queries.jsonl`` as text by query id, and each ``qrels/<name>.tsv`` as qrels by name.

    Whether each query has qrels, and the reverse, is not checked here.
    """
    paths = sorted((folder / "qrels").glob("*.tsv"))
    if not paths:
        raise UserError(f"{folder / 'qrels'}: no .tsv file; a BEIR folder contains qrels/test.tsv or similar")
    texts = {query_id: text for query_id, (text, _) in read_query_file(folder / "queries.jsonl").items()}
    return texts, {path.stem: read_qrels_file(path) for path in paths}


def read_query_file(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Read a file of queries as (text, metadata) by query id; metadata that is not an object is ignored."""
    queries: dict[str, tuple[str, dict[str, Any]]] = {}
    for row in read_lines(path):
        if isinstance(row, Rejected):
            raise UserError(f"{path}:{row.record}: {row.reason}, {row.detail}; fix or remove the line")
        position = f"{path}:{row.number}"
        query_id, text = _query_id(position, row.fields), _query_text(position, row.fields)
        metadata = row.fields.get("metadata")
        known, _ = queries.setdefault(query_id, (text, metadata if isinstance(metadata, dict) else {}))
        if known != text:
            raise UserError(f"{position}: _id {shortened(query_id)} has two different texts; rename one")
    if not queries:
        raise UserError(f"{path} contains no records; expected the BEIR format, with _id and text")
    return queries


def _query_id(position: str, fields: dict[str, Any]) -> str:
    query_id = one_line(fields.get("_id"))
    if not query_id:
        raise UserError(f"{position}: _id: expected text or a number, got {shortened(fields.get('_id'))}; add one")
    return query_id


def _query_text(position: str, fields: dict[str, Any]) -> str:
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        names = listed(fields)
        raise UserError(
            f"{position}: text: expected a question, got {shortened(text)} (fields: {names}); write one or remove"
            " the line"
        )
    return cleaned(text).strip()


def read_qrels_file(path: Path) -> Qrels:
    """Read and check a table of qrels that a user wrote: query id → chunk id → grade."""
    qrels: Qrels = {}
    for line, row in _qrels_rows(path):
        query, chunk, score = (row[column] for column in _COLUMNS)
        try:
            grade = int(score)
        except ValueError as error:
            raise UserError(f"{path}:{line}: score: expected a whole number, got {shortened(score)}") from error
        if not query or not chunk:
            raise UserError(f"{path}:{line}: empty query-id or corpus-id; fill it or remove the line")
        if qrels.setdefault(query, {}).setdefault(chunk, grade) != grade:
            raise UserError(
                f"{path}:{line}: {shortened(query)} and {shortened(chunk)} have two different scores; keep one line"
            )
    return qrels


def _qrels_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row); ids are normalized like those of chunks and queries."""
    table = csv.reader(read_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [name.strip() for name in next(table, [])]
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        names = listed(header) or "nothing"
        raise UserError(
            f"{path}:1: no column {', '.join(missing)}, found {names}; the first line must be"
            f" {', '.join(_COLUMNS)}, separated by tabs"
        )
    for cells in table:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problem = f"expected {len(header)} columns separated by tabs, got {len(cells)}"
            raise UserError(f"{path}:{table.line_num}: {problem}; fix or remove the line")
        yield table.line_num, {name: one_line(cell) or "" for name, cell in zip(header, cells, strict=True)}
