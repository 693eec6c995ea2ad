"""BEIR folders: a corpus as a source of chunks, and questions with their judgments."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from triptych.corpus.cleaning import cleaned, one_line
from triptych.corpus.files import BadFileError, escapes, read_text
from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.tabular import read_lines, read_records
from triptych.corpus.records import Chunk, Qrels
from triptych.errors import UserError
from triptych.params.sections import Fields, Source

_FIELDS = Fields(chunk_id="_id", title="title", content="text")
_COLUMNS = ("query-id", "corpus-id", "score")


def read_beir(source: Source, account: SourceCounts) -> Iterator[Chunk | Rejected]:
    """Read ``corpus.jsonl``; what BEIR has no field for is looked up in each record's ``metadata``.

    A record that names no file is a document of its own, not a part of one file called ``corpus.jsonl``.
    """
    path = Path(source.path) / "corpus.jsonl"
    if escapes(path, path.parent):
        raise BadFileError(f"{path} is a link out of its folder; copy the file there")
    yield from read_records(
        path,
        "jsonl",
        _FIELDS,
        account,
        category=source.category,
        encoding=source.encoding,
        own_documents=True,
        required=("content", "chunk_id"),
    )


def read_judged(folder: Path) -> tuple[dict[str, str], dict[str, Qrels]]:
    """Read ``queries.jsonl`` as text by id and each ``qrels/<name>.tsv`` as judgments by name.

    Ids are not looked up here: a query without judgments, and the reverse, is the caller's to count.
    """
    paths = sorted((folder / "qrels").glob("*.tsv"))
    if not paths:
        raise UserError(f"{folder / 'qrels'}: no .tsv file; a BEIR folder has qrels/test.tsv or the like")
    texts = {query_id: text for query_id, (text, _) in read_asked(folder / "queries.jsonl").items()}
    return texts, {path.stem: read_judgments(path) for path in paths}


def read_asked(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Read a file of queries as text and metadata by id; metadata that is no object counts as none."""
    queries: dict[str, tuple[str, dict[str, Any]]] = {}
    for row in read_lines(path):
        if isinstance(row, Rejected):
            raise UserError(f"{path}:{row.record}: {row.reason}, {row.detail}; mend or remove the line")
        place = f"{path}:{row.number}"
        query_id, text = _query_id(place, row.fields), _query_text(place, row.fields)
        metadata = row.fields.get("metadata")
        found = queries.setdefault(query_id, (text, metadata if isinstance(metadata, dict) else {}))
        if found[0] != text:
            raise UserError(f"{place}: _id {query_id!r} is given twice with different texts; rename one")
    if not queries:
        raise UserError(f"{path} holds no records; write it as BEIR does: _id, text")
    return queries


def _query_id(place: str, fields: dict[str, Any]) -> str:
    query_id = one_line(fields.get("_id"))
    if not query_id:
        raise UserError(f"{place}: _id: expected text or a number, got {fields.get('_id')!r}; give one")
    return query_id


def _query_text(place: str, fields: dict[str, Any]) -> str:
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        found = ", ".join(fields)
        raise UserError(
            f"{place}: text: expected a question, got {text!r}, found {found}; write one or remove the line"
        )
    return cleaned(text).strip()


def read_judgments(path: Path) -> Qrels:
    """Read a table of judgments: query id → chunk id → grade."""
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
    table = csv.reader(read_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
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
