"""Queries from what authors judged: of each link at most one, in the form that says most, and its target answers it."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.queries.link_queries import crossref_queries, link_queries
from triptych.corpus.queries.sentence_forms import LEANS, POINTS, Question, is_empty, leans, question_of
from triptych.corpus.queries.target_evidence import NAMES, beyond_names, objection
from triptych.corpus.records import (
    AUTHOR_KINDS,
    CROSSREF,
    DESCRIPTION,
    INDEX,
    SENTENCE,
    SUMMARY,
    UNSURE,
    WITHOUT_ORIGIN,
    Chunk,
)
from triptych.corpus.texts import normalized, word_count

OFF = (INDEX,)  # kinds whose targets are not accepted often enough, see docs/experiments.md
_QUESTION_MARKS = ("?", "？", "؟", "\u037e")  # noqa: RUF001 - the last is Greek
_SITE_NAME = re.compile(
    r"\s*:\s+|\s+[-\u2013\u2014|\u00b7\u00bb]+\s+"
)  # marks between the name of a site and what is said of a page
_MARK_AT_END = re.compile(r"(?:\s*:\s*|\s+[-\u2013\u2014|\u00b7\u00bb]+\s*)$")
_MANY = 5  # pages with one sentence, or descriptions of one link, from which it is a part of a template


@dataclass(frozen=True, slots=True)
class AuthorQueries:
    """The queries from what authors judged."""

    queries: list[LabeledQuery]
    dropped: dict[str, int]  # links whose text is not a query, by reason
    kinds: dict[str, dict[str, object]]  # of each kind: found = used + dropped, by reason


@dataclass(frozen=True, slots=True)
class _Links:
    """The columns of a table of links as lists."""

    table: pa.Table
    text: list[str]
    context: list[str]
    kind: np.ndarray  # of str

    def having_text(self, rows: list[int], texts: list[str]) -> pa.Table:
        """Return some links with other texts."""
        taken = self.table.select(["from_chunk_id", "to_chunk_id"]).take(pa.array(rows, pa.int64()))
        return taken.append_column("text", pa.array(texts, pa.string()))


def author_queries(
    corpus: ChunkTable, columns: CorpusColumns, links: pa.Table, min_words: int, clusters: np.ndarray | None = None
) -> AuthorQueries:
    """Return a query for each judgment that makes sense alone and is not a quote of its target.

    The text of a link comes first; what is around it is asked only if the text of the link is not a query. Headings
    that are questions are counted, but not asked: the searched text of their section begins with them.
    """
    kind = np.array(links["kind"].to_pylist(), dtype=object)
    read = _Links(links, links["text"].to_pylist(), links["context"].to_pylist(), kind)
    queries, dropped, asked = _of_link_texts(corpus, columns, read, min_words, clusters)
    number = int(np.sum(~np.isin(kind, WITHOUT_ORIGIN)))
    kinds = {CROSSREF: _counts(number, len(queries), dropped)} if number else {}
    for one in AUTHOR_KINDS:
        rows = np.flatnonzero(kind == one).tolist()
        if rows and one != CROSSREF:
            found, reasons = _of_contexts(corpus, columns, read, one, rows, asked, clusters)
            queries += found
            kinds[one] = _counts(len(rows), len(found), reasons)
    number = sum(title.rstrip().endswith(_QUESTION_MARKS) for (titles,) in corpus.batches("title") for title in titles)
    if number:
        kinds["question_heading"] = _counts(number, 0, {"heading_of_its_answer": number})
    return AuthorQueries(queries, dropped, kinds)


def _of_link_texts(
    corpus: ChunkTable, columns: CorpusColumns, links: _Links, min_words: int, clusters: np.ndarray | None
) -> tuple[list[LabeledQuery], dict[str, int], np.ndarray]:
    """Return the queries that are link texts, dropped links by reason, and which links are asked by them.

    Link texts of pages must also make sense alone and say more than the headings of their target.
    """
    is_link = ~np.isin(links.kind, WITHOUT_ORIGIN)
    unusable = np.array(
        [
            "" if kind == CROSSREF or word_count(text) < min_words else _why_not_alone(text)
            for text, kind in zip(links.text, links.kind, strict=True)
        ],
        dtype=object,
    )  # reason
    unusable[links.kind == UNSURE] = "unknown_anchor"
    of_pages = {normalized(text) for text, kind in zip(links.text, links.kind, strict=True) if kind != CROSSREF}

    def names(text: str, target: Chunk) -> str:
        return NAMES if text in of_pages and not beyond_names(text, target) else ""

    usable = is_link & (unusable == "")
    queries, dropped = crossref_queries(
        corpus, columns, links.table.filter(pa.array(usable)), min_words, clusters, names
    )
    reasons = Counter(dropped) + Counter(unusable[is_link & ~usable].tolist())
    dropped |= reasons
    texts = {normalized(one.query.text) for one in queries}
    return queries, dropped, usable & np.array([normalized(text) in texts for text in links.text], bool)


def _why_not_alone(text: str) -> str:
    if leans(text):
        return LEANS
    return POINTS if is_empty(text) else ""


def _of_contexts(
    corpus: ChunkTable,
    columns: CorpusColumns,
    links: _Links,
    kind: str,
    rows: list[int],
    asked: np.ndarray,
    clusters: np.ndarray | None,
) -> tuple[list[LabeledQuery], Counter[str]]:
    """Return the queries from the contexts of the links of a kind, and dropped links by reason."""
    reasons = Counter[str]()
    questions: dict[int, Question] = {}  # by row
    contexts = {row: links.context[row] for row in rows}
    if kind == SUMMARY:
        contexts = _without_site_names(contexts)
    for row in rows:
        if asked[row]:
            reasons["asked_by_link_text"] += 1
            continue
        question = question_of(kind, links.text[row], contexts[row])
        if question.text:
            questions[row] = question
        else:
            reasons[question.reason] += 1
    repeated = {SENTENCE: _on_many_pages, DESCRIPTION: _labels}.get(kind)
    for row in repeated(columns, links, questions) if repeated else ():
        reasons["boilerplate"] += 1
        del questions[row]
    first: dict[str, int] = {}  # row of each normalized text
    for row, question in questions.items():
        first.setdefault(normalized(question.text), row)

    def reject(text: str, target: Chunk) -> str:
        return objection(kind, questions[first[text]], links.text[first[text]], target)

    table = links.having_text(list(questions), [question.text for question in questions.values()])
    found, dropped = link_queries(corpus, columns, table, 1, clusters, kind, reject)
    reasons.update(dropped)
    if kind in OFF:
        reasons["kind_is_off"] += len(found)
        return [], reasons
    return found, reasons


def _without_site_names(summaries: Mapping[int, str]) -> dict[int, str]:
    """Remove the name of site or manual, in front of or behind a mark, that the summaries of many pages have.

    What is left is often the heading of the page, as in "Handbook: Filters", which asks for nothing.
    """
    parts = {row: _SITE_NAME.split(summary) for row, summary in summaries.items()}
    fronts = Counter(one[0] for one in parts.values() if len(one) > 1)
    backs = Counter(one[-1] for one in parts.values() if len(one) > 1)

    def rest(row: int, summary: str) -> str:
        first, last = parts[row][0], parts[row][-1]
        if len(parts[row]) > 1 and fronts[first] >= _MANY:
            summary = _SITE_NAME.sub("", summary[len(first) :], count=1)
        if len(parts[row]) > 1 and backs[last] >= _MANY and summary.endswith(last):
            summary = _MARK_AT_END.sub("", summary[: -len(last)])
        return summary

    return {row: rest(row, summary) for row, summary in summaries.items()}


def _on_many_pages(columns: CorpusColumns, links: _Links, questions: Mapping[int, Question]) -> list[int]:
    """Return the rows of sentences that are on many pages."""
    rows = list(questions)
    chunks = columns.rows(links.table["from_chunk_id"].take(pa.array(rows, pa.int64())).combine_chunks())
    pages = defaultdict[str, set[int]](set)
    for row, chunk in zip(rows, chunks.tolist(), strict=True):
        pages[normalized(questions[row].text)].add(int(columns.file[chunk]) if chunk >= 0 else -1)
    return [row for row in rows if len(pages[normalized(questions[row].text)]) >= _MANY]


def _labels(_columns: CorpusColumns, links: _Links, questions: Mapping[int, Question]) -> list[int]:
    """Return the rows of links that have many descriptions, as labels in tables of options do ("Default: ...")."""
    descriptions = defaultdict[str, set[str]](set)
    for row, question in questions.items():
        descriptions[normalized(links.text[row])].add(normalized(question.text))
    return [row for row in questions if len(descriptions[normalized(links.text[row])]) >= _MANY]


def _counts(found: int, used: int, dropped: Mapping[str, int]) -> dict[str, object]:
    return {"found": found, "used": used, "dropped": {reason: n for reason, n in sorted(dropped.items()) if n}}
