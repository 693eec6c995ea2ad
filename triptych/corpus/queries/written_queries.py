"""Queries that people wrote: the user's own, and the cross-references of the documentation."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import ChunkTable, Columns
from triptych.corpus.readers.beir import read_judged
from triptych.corpus.records import Chunk, Query
from triptych.corpus.texts import normalized
from triptych.errors import UserError


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query with its relevant chunks, and the split its author put it in, if any."""

    query: Query
    relevant: dict[str, int]
    split: str | None = None


@dataclass(slots=True)
class _LinkText:
    """What all links of one wording say: rows of the chunks they stand in and point at."""

    words: str
    target: int
    several: bool = False
    count: int = 0
    origins: list[int] = field(default_factory=list)


def crossref_queries(
    corpus: ChunkTable, columns: Columns, links: pa.Table, min_words: int
) -> tuple[list[JudgedQuery], dict[str, int]]:
    """Make one query of each distinct link text that has one target and does not repeat the target's text or heading.

    Returns the queries and what was dropped, by reason; links = queries + merged + dropped. The chunks that
    hold the link are excluded from the query's ranking: they quote it.
    """
    asked, unknown = _by_wording(columns, links)
    dropped: Counter[str] = Counter({"unknown_chunk": unknown} if unknown else {})
    usable: dict[int, list[str]] = defaultdict(list)  # texts by target
    for text, link in asked.items():
        if not link.several and len(text.split()) >= min_words:
            usable[link.target].append(text)
    targets = corpus.some(list(usable))
    repeated = {text for row, chunk in targets for text in usable[row] if _repeats(text, chunk)}
    sections = _Sections(columns)
    found: list[JudgedQuery] = []
    for text, link in asked.items():
        if len(text.split()) < min_words:
            dropped["too_short"] += link.count
        elif link.several:
            dropped["several_targets"] += link.count
        elif text in repeated:
            dropped["repeats_target"] += link.count
        elif not (exclude := sections.ids(link.origins, link.target)):
            dropped["points_at_itself"] += link.count
        else:
            dropped["merged"] += link.count - 1
            query_id = "crossref-" + sha256(text.encode()).hexdigest()[:12]
            query = Query(query_id, link.words, "crossref", columns.category_of(link.target), exclude)
            found.append(JudgedQuery(query, {columns.chunk_id[link.target].as_py(): 1}))
    return found, dict(sorted(dropped.items()))


def _by_wording(columns: Columns, links: pa.Table) -> tuple[dict[str, _LinkText], int]:
    """Gather links by their normalized text; one whose ends are not both in the corpus is only counted."""
    origins, targets = (columns.rows(links[name].combine_chunks()) for name in ("from_chunk_id", "to_chunk_id"))
    known = np.flatnonzero((origins >= 0) & (targets >= 0))
    found: dict[str, _LinkText] = {}
    for batch in np.array_split(known, len(known) // 65_536 + 1):
        words = links["text"].take(pa.array(batch)).to_pylist()
        for said, origin, target in zip(words, origins[batch].tolist(), targets[batch].tolist(), strict=True):
            link = found.setdefault(normalized(said), _LinkText(said, target))
            link.several |= link.target != target
            link.count += 1
            link.origins.append(origin)
    return found, len(links) - len(known)


def _repeats(text: str, target: Chunk) -> bool:
    """Tell a link that quotes its target, or only names it, as those of Sphinx do."""
    headings = {normalized(target.title), *(normalized(one) for one in target.header_path[-1:])}
    return text in normalized(target.content) or text in headings


class _Sections:
    """The chunks of each section: a link may stand in any part of one that was cut."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._order = np.argsort(columns.section, kind="stable")
        self._starts = np.concatenate([[0], np.bincount(columns.section).cumsum()])

    def ids(self, rows: list[int], but: int) -> tuple[str, ...]:
        """Return the sorted ids of all chunks in the sections of some rows, without those of row ``but``."""
        found = {
            row
            for section in np.unique(self._columns.section[rows]).tolist()
            for row in self._order[self._starts[section] : self._starts[section + 1]].tolist()
        }
        return tuple(sorted(self._columns.chunk_id[row].as_py() for row in found - {but}))


def user_queries(folder: Path, columns: Columns) -> tuple[list[JudgedQuery], dict[str, int]]:
    """Read the user's questions from a BEIR folder; several qrels files named train, dev, test are respected.

    Judgments of grade 0 or of unknown chunks are left out and counted; a query without any other is dropped. Raise
    `UserError` where none is left.
    """
    texts, qrels = read_judged(folder)
    named = set(qrels) & {"train", "dev", "test"}
    if len(qrels) > 1 and named != set(qrels):
        odd = ", ".join(sorted(set(qrels) - named))
        raise UserError(f"{folder}/qrels: expected train, dev and test.tsv, or one file; rename or remove {odd}")
    judged_ids = sorted({chunk for judged in qrels.values() for grades in judged.values() for chunk in grades})
    rows = {one: row for one, row in zip(judged_ids, columns.rows(judged_ids).tolist(), strict=True) if row >= 0}
    found: list[JudgedQuery] = []
    dropped: Counter[str] = Counter()
    for split, judged in sorted(qrels.items()):
        for query_id, grades in judged.items():
            relevant = {chunk: grade for chunk, grade in grades.items() if grade > 0 and chunk in rows}
            dropped["unknown_chunk"] += sum(chunk not in rows for chunk in grades)
            dropped["grade_zero"] += sum(grade <= 0 for grade in grades.values())
            if query_id not in texts:
                dropped["unknown_query"] += 1
            elif not relevant:
                dropped["nothing_relevant"] += 1
            else:
                best = max(relevant, key=lambda chunk: (relevant[chunk], chunk))
                query = Query(f"user-{query_id}", texts[query_id], "user", columns.category_of(rows[best]))
                found.append(JudgedQuery(query, relevant, split if len(qrels) > 1 else None))
    reasons = {reason: number for reason, number in sorted(dropped.items()) if number}
    if not found:
        told = ", ".join(f"{number} {reason}" for reason, number in reasons.items()) or "no judgments"
        raise UserError(
            f"split.queries: no question of {folder} has an answer among the chunks ({told}); corpus-id in its qrels"
            f" must be ids of chunks, such as {columns.chunk_id[0].as_py()}"
        )
    return found, reasons
