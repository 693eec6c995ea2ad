"""Queries that people wrote: the user's own, and the cross-references of the documentation."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from triptych.corpus.beir import read_judged
from triptych.corpus.records import Chunk, Link, Query
from triptych.corpus.texts import normalized
from triptych.errors import UserError


@dataclass(frozen=True, slots=True)
class Judged:
    """A query with its relevant chunks, and the split its author put it in, if any."""

    query: Query
    relevant: dict[str, int]
    split: str | None = None


def crossref_queries(chunks: list[Chunk], links: list[Link], min_words: int) -> tuple[list[Judged], dict[str, int]]:
    """Make one query of each distinct link text that has one target and does not repeat the target's text or heading.

    Returns the queries and what was dropped, by reason; links = queries + merged + dropped. The chunks that
    hold the link are excluded from the query's ranking: they quote it.
    """
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    parts: dict[object, set[str]] = defaultdict(set)  # the link may stand in any part of a section that was cut
    for chunk in chunks:
        parts[chunk.filename, chunk.header_path].add(chunk.chunk_id)
    targets: dict[str, set[str]] = defaultdict(set)
    origins: dict[str, set[str]] = defaultdict(set)
    wording: dict[str, str] = {}
    count: Counter[str] = Counter()
    for link in links:
        text = normalized(link.text)
        count[text] += 1
        wording.setdefault(text, link.text)
        targets[text].add(link.to_chunk_id)
        origin = by_id[link.from_chunk_id]
        origins[text] |= parts[origin.filename, origin.header_path]
    found: list[Judged] = []
    dropped: Counter[str] = Counter()
    for text, words in wording.items():
        target = by_id[min(targets[text])]
        if len(text.split()) < min_words:
            dropped["too_short"] += count[text]
        elif len(targets[text]) > 1:
            dropped["several_targets"] += count[text]
        elif text in normalized(target.content) or text in _headings(target):
            dropped["repeats_target"] += count[text]
        elif not origins[text] - {target.chunk_id}:
            dropped["points_at_itself"] += count[text]
        else:
            dropped["merged"] += count[text] - 1
            exclude = tuple(sorted(origins[text] - {target.chunk_id}))
            query_id = "crossref-" + sha256(text.encode()).hexdigest()[:12]
            query = Query(query_id, words, "crossref", target.category, exclude)
            found.append(Judged(query, {target.chunk_id: 1}))
    return found, dict(sorted(dropped.items()))


def _headings(chunk: Chunk) -> set[str]:
    """Return what a link says that only names its target, as those of Sphinx do."""
    return {normalized(chunk.title), *(normalized(one) for one in chunk.header_path[-1:])}


def user_queries(folder: Path, chunks: list[Chunk]) -> tuple[list[Judged], dict[str, int]]:
    """Read the user's questions from a BEIR folder; several qrels files named train, dev, test are respected.

    Judgments of grade 0 or of unknown chunks are left out and counted; a query without any other is dropped.
    """
    texts, qrels = read_judged(folder)
    named = set(qrels) & {"train", "dev", "test"}
    if len(qrels) > 1 and named != set(qrels):
        odd = ", ".join(sorted(set(qrels) - named))
        raise UserError(f"{folder}/qrels: expected train, dev and test.tsv, or one file; rename or remove {odd}")
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    found: list[Judged] = []
    dropped: Counter[str] = Counter()
    for split, judged in sorted(qrels.items()):
        for query_id, grades in judged.items():
            relevant = {chunk: grade for chunk, grade in grades.items() if grade > 0 and chunk in by_id}
            dropped["unknown_chunk"] += sum(chunk not in by_id for chunk in grades)
            dropped["grade_zero"] += sum(grade <= 0 for grade in grades.values())
            if query_id not in texts:
                dropped["unknown_query"] += 1
            elif not relevant:
                dropped["nothing_relevant"] += 1
            else:
                category = by_id[max(relevant, key=lambda chunk: (relevant[chunk], chunk))].category
                query = Query(f"user-{query_id}", texts[query_id], "user", category)
                found.append(Judged(query, relevant, split if len(qrels) > 1 else None))
    return found, {reason: number for reason, number in sorted(dropped.items()) if number}
