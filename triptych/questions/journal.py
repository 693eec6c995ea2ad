"""The journal: every answer that a language model gave about a chunk, appended line by line and never changed.

It outlives the run, the corpus and the version of the pipeline, since answers cost time or money. A line is synced to
disk before the next is written, so that a killed run goes on where it was.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from triptych.errors import UserError
from triptych.line_checksums import with_checksum, without_checksum

TRANSIENT = ("timeout", "broken")  # reasons that say nothing about the chunk: it is asked again in the next run


@dataclass(frozen=True, slots=True)
class Record:
    """What a language model answered about a chunk."""

    chunk_id: str
    questions: tuple[tuple[str, str], ...]  # (text, form)
    text: str = ""  # SHA-256 of what was shown; empty in records of other origin, which are known by chunk_id only
    prompt: str = ""
    model: str = ""
    reason: str | None = None  # why there are no questions
    tokens: int = 0  # of prompt and answer together


@dataclass(frozen=True, slots=True)
class Taken:
    """The records of a journal that belong to the chunks of a corpus."""

    records: dict[str, Record]  # one for each chunk id
    answered: set[str]  # ids of chunks that the current model and prompt need not be asked about
    counts: dict[str, int]  # records by what became of them


class Journal:
    """The records in a file, oldest first; without a path, or where there is no file, none."""

    def __init__(self, path: Path | None) -> None:
        """Read the file; raise `UserError` with the number of a line that is not a record.

        A last line that was cut by a kill or a full disk is ignored; when the journal is opened to append, it is moved
        to a file beside it.
        """
        self.records = list[Record]()
        self._path = path
        self._whole, self._ends_with_newline = 0, True  # bytes of whole records
        self._file: BinaryIO | None = None
        if path is not None and path.exists():
            self._read(path)

    @property
    def tokens(self) -> int:
        """What all records cost."""
        return sum(record.tokens for record in self.records)

    def __enter__(self) -> Self:
        """Open the file to append."""
        if self._path is None:
            raise ValueError("a journal without a path cannot be written")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab+")
        self._file.seek(self._whole)
        if (torn := self._file.read()).strip():
            with self._path.with_suffix(".torn").open("ab") as kept:
                kept.write(torn + b"\n")
        self._file.truncate(self._whole)
        if not self._ends_with_newline:
            self._file.write(b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, record: Record) -> None:
        """Append a record and sync it to disk."""
        if self._file is None:
            raise ValueError("the journal is not open")
        questions = [{"form": form, "text": text} for text, form in record.questions]
        row = {name: getattr(record, name) for name in ("chunk_id", "model", "prompt", "reason", "text", "tokens")}
        self._file.write(f"{with_checksum(row | {'questions': questions})}\n".encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.records.append(record)

    def taken(self, texts: dict[str, str], prompt: str, model: str | None) -> Taken:
        """Return the records that belong to chunks, given as id → SHA-256 of their shown text.

        A record belongs to the chunk with its text, even under a new id; one of other origin to the chunk with its
        id. Of several for a chunk one with questions comes first, then one of the current ``model`` and ``prompt``,
        then the newest. Counted are those ``taken``; ``unkeyed``, the part of them known by their id only;
        ``superseded`` by another; of a chunk that has ``changed``; and ``gone``, of a chunk or text that is not there.
        """
        chunk_of = dict[str, str]()
        for chunk_id, text in texts.items():
            chunk_of.setdefault(text, chunk_id)
        counts = Counter[str]()
        best, answered = dict[str, tuple[bool, bool, int]](), set[str]()
        for position, record in enumerate(self.records):
            same = not record.text or texts.get(record.chunk_id) == record.text
            chunk_id = record.chunk_id if same else chunk_of.get(record.text, "")
            if chunk_id not in texts:
                counts["changed" if record.chunk_id in texts else "gone"] += 1
                continue
            current = not record.text or (record.prompt, record.model) == (prompt, model)
            if current and record.reason not in TRANSIENT:
                answered.add(chunk_id)
            rank = bool(record.questions), current, position
            counts["superseded"] += chunk_id in best
            best[chunk_id] = max(rank, best.get(chunk_id, rank))
        records = {chunk_id: self.records[position] for chunk_id, (_, _, position) in best.items()}
        counts |= {"taken": len(records), "unkeyed": sum(not record.text for record in records.values())}
        names = ("taken", "unkeyed", "superseded", "changed", "gone")
        return Taken(records, answered, {name: counts[name] for name in names})

    def _read(self, path: Path) -> None:
        content = path.read_bytes()
        self._whole, self._ends_with_newline = len(content), content.endswith(b"\n")
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                self.records.append(_record(json.loads(line)))
            except (ValueError, TypeError, LookupError, RecursionError) as error:
                if number == len(lines):  # no newline follows: it was cut
                    self._whole, self._ends_with_newline = len(content) - len(line), True
                    return
                raise UserError(
                    f"{path}:{number}: is not a record with chunk_id and questions ({error}); correct or remove the"
                    " line"
                ) from error


def _record(row: Any) -> Record:
    """Return a record from a line of the journal: as `Journal.add` writes it, or with plain texts as questions."""
    if not isinstance(row, dict):
        raise TypeError("it is not an object")
    row = without_checksum(row)
    questions = tuple(_question(one) for one in _list(row["questions"]))
    texts = {name: row.get(name) or "" for name in ("text", "prompt", "model")}
    reason, tokens = row.get("reason"), row.get("tokens", 0)
    if not all(isinstance(one, str) for one in (row["chunk_id"], reason or "", *texts.values())):
        raise TypeError("a text was expected")
    if not isinstance(tokens, int) or tokens < 0:
        raise TypeError(f"tokens are {tokens!r}")
    return Record(row["chunk_id"], questions, reason=reason, tokens=tokens, **texts)


def _question(one: Any) -> tuple[str, str]:
    text, form = (one["text"], one.get("form", "")) if isinstance(one, dict) else (one, "")
    if not isinstance(text, str) or not isinstance(form, str):
        raise TypeError("a question is not a text")
    return text, form


def _list(value: Any) -> Iterable[Any]:
    if not isinstance(value, list):
        raise TypeError("questions are not a list")
    return value
