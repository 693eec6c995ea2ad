"""Questions that a person writes for chunks: which chunk is next, and a journal from which a BEIR folder is written.

A line is appended to the journal for each chunk shown, and synced to disk before the next. The files that
``split.queries`` reads are rewritten from it each time, so that a kill loses at most the question being typed.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from triptych.artifacts import write_jsonl
from triptych.corpus.queries.user_queries import LABELS
from triptych.corpus.records import SPLITS, Chunk, Qrels, write_qrels
from triptych.corpus.texts import normalized
from triptych.errors import UserError
from triptych.line_checksums import with_checksum, without_checksum

_JUDGED = SPLITS[1:]  # dev and test: labels are for evaluation, not for training
_TORN = ".torn"  # the suffix of the file that gets lines of the journal which a kill or a full disk cut
_WHOLE = "questions"  # the name of the qrels file while chunks have no split


@dataclass(frozen=True, slots=True)
class Label:
    """A chunk that was shown, the question it answers, and all relevant chunks; an empty question: it was skipped."""

    chunk_id: str
    question: str
    relevant: tuple[str, ...]
    split: str


def next_chunk(chunks: list[Chunk], labels: list[Label], answered: frozenset[str], seed: int) -> Chunk | None:
    """Return the next chunk to label, or None when none is left.

    Where chunks have splits, only those of dev and test are shown. The category with the fewest questions comes first,
    in it the documents with the fewest, then chunks in an order that depends on the seed. ``answered`` are chunks that
    other queries have as answers; labeled and skipped chunks are not shown again.
    """
    judged = [chunk for chunk in chunks if chunk.split in _JUDGED] or [chunk for chunk in chunks if not chunk.split]
    done = answered | {label.chunk_id for label in labels} | {one for label in labels for one in label.relevant}
    document_of = {
        one.chunk_id: (one.category, one.filename if one.document_id < 0 else one.document_id) for one in judged
    }
    labeled = [document_of[one.chunk_id] for one in labels if one.question and one.chunk_id in document_of]
    categories, documents = Counter(category for category, _ in labeled), Counter(labeled)
    return min(
        (chunk for chunk in judged if chunk.chunk_id not in done),
        key=lambda chunk: (
            categories[chunk.category],
            chunk.category,
            documents[document_of[chunk.chunk_id]],
            sha256(f"{seed}:label:{chunk.chunk_id}".encode()).digest(),
        ),
        default=None,
    )


class Journal:
    """The labels in a folder, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / LABELS
        self.labels = self._read()

    def add(self, label: Label) -> None:
        """Append a label and rewrite the BEIR files."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8", newline="\n") as lines:
            lines.write(with_checksum(asdict(label)) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        self.labels.append(label)
        self.write()

    def write(self) -> None:
        """Write ``queries.jsonl`` and ``qrels/``: one file each for dev and test, or one for all without splits."""
        queries, qrels = _merged([label for label in self.labels if label.question])
        if not queries:
            return
        with suppress(FileNotFoundError):  # another session of labeling replaces them at this moment
            self._write(queries, qrels)

    def _write(self, queries: dict[str, str], qrels: dict[str, Qrels]) -> None:
        write_jsonl(self._folder / "queries.jsonl", ({"_id": one, "text": text} for one, text in queries.items()))
        for name, judged in qrels.items():
            write_qrels(self._folder / "qrels" / f"{name}.tsv", judged)
        for path in (self._folder / "qrels").glob("*.tsv"):
            if path.stem not in qrels:
                path.unlink()

    def _read(self) -> list[Label]:
        if not self._path.exists():
            return []
        content = self._path.read_bytes()
        whole, _, torn = content.rpartition(b"\n")
        lines = whole.split(b"\n") if whole else []
        if torn.strip():
            lines += self._mended(torn, len(content), len(lines) + 1)
        return [self._label(number, line) for number, line in enumerate(lines, start=1) if line.strip()]

    def _mended(self, torn: bytes, size: int, number: int) -> list[bytes]:
        """Return a last line without a line end, if it is a label; else move it to a file beside the journal.

        It is what a kill or a full disk cut, or somebody's edit.
        """
        try:
            self._label(number, torn)
        except UserError:
            with self._path.with_suffix(_TORN).open("ab") as kept:
                kept.write(torn + b"\n")
            with self._path.open("rb+") as file:
                file.truncate(size - len(torn))
            return []
        with self._path.open("ab") as file:
            file.write(b"\n")
        return [torn]

    def _label(self, number: int, line: bytes) -> Label:
        try:
            row: dict[str, Any] = without_checksum(json.loads(line))
            return Label(**row | {"relevant": tuple(row["relevant"])})
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise UserError(f"{self._path}:{number}: is not a label ({error}); correct or remove the line") from error


def _merged(labels: Iterable[Label]) -> tuple[dict[str, str], dict[str, Qrels]]:
    """Return questions by id and qrels by name; equal questions are merged, with all their answers."""
    same_question: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        same_question["label-" + sha256(normalized(label.question).encode()).hexdigest()[:12]].append(label)
    queries = {query_id: same[0].question for query_id, same in same_question.items()}
    known = all(label.split in _JUDGED for same in same_question.values() for label in same)
    qrels: dict[str, Qrels] = {name: {} for name in (_JUDGED if known else (_WHOLE,))}
    for query_id, same in same_question.items():
        # Test wins over dev, as in stage split.
        name = max((label.split for label in same), key=SPLITS.index) if known else _WHOLE
        qrels[name][query_id] = {one: 1 for label in same for one in label.relevant}
    return queries, qrels
