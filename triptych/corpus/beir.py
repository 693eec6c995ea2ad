"""BEIR folders: a corpus as a source of chunks, and questions with their judgments."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych.corpus.reading import Reading, Rejected
from triptych.corpus.records import Qrels
from triptych.corpus.tables import (
    Row,
    chunk_of,
    cleaned,
    gather,
    one_line,
    read_lines,
    read_utf8,
    require_fields,
)
from triptych.errors import UserError
from triptych.params import Fields

_FIELDS = Fields(
    chunk_id="_id",
    category="category",
    filename="filename",
    header_path="header_path",
    title="title",
    content="text",
)
_FROM_METADATA = ("category", "filename", "header_path")
_COLUMNS = ("query-id", "corpus-id", "score")


def read_beir(folder: Path, category: str | None) -> Reading:
    """Read ``corpus.jsonl``; what BEIR has no field for is looked up in each record's ``metadata``.

    A record that names no file is a document of its own, not a part of one file called ``corpus.jsonl``.
    """
    path = folder / "corpus.jsonl"
    rows = [_flattened(row) for row in read_lines(path)]
    require_fields(path, rows, ["_id", "text"], "write it as BEIR does: _id, title, text")

    def filename(row: Row | Rejected) -> str:
        return (one_line(row.fields.get("_id")) if isinstance(row, Row) else None) or path.name

    return gather(chunk_of(row, filename(row), _FIELDS, category) for row in rows)


def read_judged(folder: Path) -> tuple[dict[str, str], dict[str, Qrels]]:
    """Read ``queries.jsonl`` as text by id and each ``qrels/<name>.tsv`` as judgments by name.

    Ids are not looked up here: a query without judgments, and the reverse, is the caller's to count.
    """
    paths = sorted((folder / "qrels").glob("*.tsv"))
    if not paths:
        raise UserError(f"{folder / 'qrels'}: no .tsv file; a BEIR folder has qrels/test.tsv or the like")
    return _read_queries(folder / "queries.jsonl"), {path.stem: _read_qrels(path) for path in paths}


def _flattened(row: Row | Rejected) -> Row | Rejected:
    if isinstance(row, Rejected):
        return row
    fields, metadata = dict(row.fields), row.fields.get("metadata")
    if isinstance(metadata, dict):
        fields.update({key: metadata[key] for key in _FROM_METADATA if metadata.get(key) is not None})
    if not fields.get("header_path") and isinstance(fields.get("title"), str):
        fields["header_path"] = [fields["title"]]
    return Row(row.source, fields)


def _read_queries(path: Path) -> dict[str, str]:
    rows = read_lines(path)
    require_fields(path, rows, ["_id", "text"], "write it as BEIR does: _id, text")
    queries: dict[str, str] = {}
    for row in rows:
        place = path.with_name(row.source)
        if isinstance(row, Rejected):
            raise UserError(f"{place}: {row.reason}, {row.detail}; mend or remove the line")
        query_id, text = _query_id(place, row.fields), _query_text(place, row.fields)
        if queries.setdefault(query_id, text) != text:
            raise UserError(f"{place}: _id {query_id!r} is given twice with different texts; rename one")
    return queries


def _query_id(place: Path, fields: dict[str, Any]) -> str:
    query_id = one_line(fields.get("_id"))
    if not query_id:
        raise UserError(f"{place}: _id: expected text or a number, got {fields.get('_id')!r}; give one")
    return query_id


def _query_text(place: Path, fields: dict[str, Any]) -> str:
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{place}: text: expected a question, got {text!r}; write one or remove the line")
    return cleaned(text).strip()


def _read_qrels(path: Path) -> Qrels:
    qrels: Qrels = {}
    for line, row in _judgments(path):
        query, chunk, score = (row[column] for column in _COLUMNS)
        try:
            grade = int(score)
        except ValueError as error:
            raise UserError(f"{path}:{line}: score: expected a whole number, got {score!r}") from error
        if not query or not chunk:
            raise UserError(f"{path}:{line}: empty query-id or corpus-id; fill it or remove the line")
        if qrels.setdefault(query, {}).setdefault(chunk, grade) != grade:
            raise UserError(f"{path}:{line}: {query!r} and {chunk!r} are judged twice, differently; keep one line")
    return qrels


def _judgments(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each line with its number; ids are cleaned as those of chunks and queries are."""
    table = csv.reader(read_utf8(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    header = [name.strip() for name in next(table, [])]
    missing = [column for column in _COLUMNS if column not in header]
    if missing:
        found = ", ".join(header) or "nothing"
        raise UserError(
            f"{path}:1: no column {', '.join(missing)}, found {found}; begin with a line of"
            f" {', '.join(_COLUMNS)}, separated by tabs"
        )
    for cells in table:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            wanted = f"expected {len(header)} columns separated by tabs, got {len(cells)}"
            raise UserError(f"{path}:{table.line_num}: {wanted}; mend or remove the line")
        yield table.line_num, {name: one_line(cell) or "" for name, cell in zip(header, cells, strict=True)}
