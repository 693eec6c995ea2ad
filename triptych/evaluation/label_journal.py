"""Questions that a person writes for chunks: which chunk is next, and a journal that becomes a BEIR folder.

The journal is the truth: a line is appended for each chunk that was shown, and flushed to the disk before the next is.
The files that ``split.queries`` reads are made anew from it each time, so that a kill at any moment costs at most the
question that was being typed.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from triptych.artifacts import write_jsonl
from triptych.corpus.records import SPLITS, Chunk, Qrels, write_qrels
from triptych.corpus.texts import normalized
from triptych.errors import UserError

_JUDGED = SPLITS[1:]  # dev and test: what a person is asked for is proof
_WHOLE = "questions"  # the one table of judgments where chunks have no split yet


@dataclass(frozen=True, slots=True)
class Label:
    """A chunk that was shown, with the question it answers and all chunks that do; no question: it was passed over."""

    chunk_id: str
    question: str
    relevant: tuple[str, ...]
    split: str


def next_chunk(chunks: list[Chunk], labels: list[Label], answered: frozenset[str], seed: int) -> Chunk | None:
    """Return the chunk to ask about, or None when each was asked about.

    Where chunks have splits only those of dev and test are asked about. The category with the fewest questions comes
    first, in it the documents with the fewest, then chunks in an order that the seed decides. ``answered`` are chunks
    that questions of other origin lead to; labeled and passed over chunks are not shown again.
    """
    judged = [chunk for chunk in chunks if chunk.split in _JUDGED] or [chunk for chunk in chunks if not chunk.split]
    done = answered | {label.chunk_id for label in labels} | {one for label in labels for one in label.relevant}
    where = {one.chunk_id: (one.category, one.filename if one.document_id < 0 else one.document_id) for one in judged}
    asked = [where[label.chunk_id] for label in labels if label.question and label.chunk_id in where]
    categories, documents = Counter(category for category, _ in asked), Counter(asked)
    return min(
        (chunk for chunk in judged if chunk.chunk_id not in done),
        key=lambda chunk: (
            categories[chunk.category],
            chunk.category,
            documents[where[chunk.chunk_id]],
            sha256(f"{seed}:label:{chunk.chunk_id}".encode()).digest(),
        ),
        default=None,
    )


class Journal:
    """The labels of a folder, in the order they were given."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "labels.jsonl"
        self.labels = self._read()

    def add(self, label: Label) -> None:
        """Append a label, and make the BEIR files anew."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8", newline="\n") as lines:
            lines.write(json.dumps(asdict(label), ensure_ascii=False, sort_keys=True) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        self.labels.append(label)
        self.write()

    def write(self) -> None:
        """Write ``queries.jsonl`` and ``qrels/``: a table for dev and one for test, or one where splits are unknown."""
        queries, qrels = _merged([label for label in self.labels if label.question])
        if not queries:
            return
        write_jsonl(self._folder / "queries.jsonl", ({"_id": one, "text": text} for one, text in queries.items()))
        for name, judged in qrels.items():
            write_qrels(self._folder / "qrels" / f"{name}.tsv", judged)
        for path in (self._folder / "qrels").glob("*.tsv"):
            if path.stem not in qrels:
                path.unlink()

    def _read(self) -> list[Label]:
        if not self._path.exists():
            return []
        whole, _, torn = self._path.read_bytes().rpartition(b"\n")
        if torn:  # a kill in the middle of a line
            with self._path.open("rb+") as file:
                file.truncate(len(whole) + 1 if whole else 0)
        return [self._label(number, line) for number, line in enumerate(whole.splitlines(), start=1)]

    def _label(self, number: int, line: bytes) -> Label:
        try:
            row: dict[str, Any] = json.loads(line)
            return Label(**row | {"relevant": tuple(row["relevant"])})
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{self._path}:{number}: is no label ({error}); remove the line") from error


def _merged(labels: Iterable[Label]) -> tuple[dict[str, str], dict[str, Qrels]]:
    """Return questions by id and tables of judgments by name; equal questions are one, with the answers of each."""
    asked: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        asked["label-" + sha256(normalized(label.question).encode()).hexdigest()[:12]].append(label)
    queries = {query_id: same[0].question for query_id, same in asked.items()}
    known = all(label.split in _JUDGED for same in asked.values() for label in same)
    qrels: dict[str, Qrels] = {name: {} for name in (_JUDGED if known else (_WHOLE,))}
    for query_id, same in asked.items():
        # Test has the stronger claim, as in stage split.
        name = max((label.split for label in same), key=SPLITS.index) if known else _WHOLE
        qrels[name][query_id] = {one: 1 for label in same for one in label.relevant}
    return queries, qrels
