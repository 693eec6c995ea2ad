"""Queries from what authors judged: of each link at most one, in the form that says most, and its target answers it."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.queries.link_queries import crossref_queries, link_queries
from triptych.corpus.queries.sentence_forms import LEANS, Question, leans, question_of
from triptych.corpus.records import AUTHOR_KINDS, CHANGE, CROSSREF, INDEX, SENTENCE, WITHOUT_ORIGIN, Chunk
from triptych.corpus.texts import long_words, normalized, words

OFF = (INDEX,)  # kinds that are not accepted often enough, see docs/experiments.md
_QUESTION = "question_heading"
_MARKS = ("?", "？", "؟", "\u037e")  # noqa: RUF001 - question marks, the last of Greek
_QUOTED = 0.6  # share of the triples of words that the target contains: above that the query quotes it
_PAGES = 5  # a sentence on so many pages is a part of their template
_STEM = 5  # characters of a word that are compared
_STOP_WORDS = frozenset(
    [
        "about",
        "after",
        "all",
        "also",
        "and",
        "any",
        "are",
        "because",
        "been",
        "before",
        "being",
        "between",
        "both",
        "but",
        "can",
        "could",
        "does",
        "each",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "into",
        "its",
        "itself",
        "just",
        "let",
        "lets",
        "like",
        "make",
        "makes",
        "many",
        "may",
        "more",
        "most",
        "must",
        "not",
        "off",
        "only",
        "other",
        "our",
        "out",
        "over",
        "own",
        "same",
        "should",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "too",
        "under",
        "until",
        "use",
        "used",
        "using",
        "very",
        "via",
        "want",
        "was",
        "way",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "within",
        "without",
        "would",
        "you",
        "your",
    ]
)

# Of what documentation calls its own parts and their changes.
_GENERIC = frozenset(
    word[:_STEM]
    for word in """add added adds api article change changed chapter doc docs documentation example examples fix fixed
    guide guides improve info link links new note notes option options overview page pages recipe refactor reference
    remove removed section support supported tutorial typo update updated""".split()
)


@dataclass(frozen=True, slots=True)
class AuthorQueries:
    """The queries from what authors judged."""

    queries: list[LabeledQuery]
    dropped: dict[str, int]  # links whose text is no query, by reason
    kinds: dict[str, dict[str, object]]  # of each kind: found = used + dropped by reason


def author_queries(
    corpus: ChunkTable, columns: CorpusColumns, links: pa.Table, min_words: int, clusters: np.ndarray | None = None
) -> AuthorQueries:
    """Return a query for each judgment that stands by itself and is not a quote of its target.

    The text of a link comes first; what is around it is asked only if the text of the link is no query. Headings that
    are questions are counted, but not asked: the searched text of their section begins with them.
    """
    kind_of = np.array(links["kind"].to_pylist(), dtype=object)
    texts, contexts = links["text"].to_pylist(), links["context"].to_pylist()
    of_pages = {normalized(text) for text, kind in zip(texts, kind_of, strict=True) if kind != CROSSREF}
    is_link = ~np.isin(kind_of, WITHOUT_ORIGIN)
    stands = np.array([kind == CROSSREF or not leans(text) for text, kind in zip(texts, kind_of, strict=True)], bool)

    def names(text: str, target: Chunk) -> str:
        return "names_target" if text in of_pages and not _said(text, target) else ""

    queries, dropped = crossref_queries(
        corpus, columns, links.filter(pa.array(is_link & stands)), min_words, clusters, names
    )
    if leaning := int(np.sum(is_link & ~stands)):
        dropped[LEANS] = leaning
    kinds = {CROSSREF: _counts(int(np.sum(is_link)), len(queries), dropped)} if np.any(is_link) else {}
    asked = {normalized(one.query.text) for one in queries}
    is_asked = is_link & stands & np.array([normalized(text) in asked for text in texts], bool)
    for kind in AUTHOR_KINDS[1:]:
        rows = np.flatnonzero(kind_of == kind)
        if not len(rows):
            continue
        reasons = Counter[str]()
        usable: list[int] = []
        questions: dict[str, Question] = {}
        asking: list[str] = []
        link_texts: dict[str, str] = {}
        for row in rows.tolist():
            if is_asked[row]:
                reasons["asked_by_link_text"] += 1
                continue
            question = question_of(kind, texts[row], contexts[row])
            if not question.text:
                reasons[question.reason] += 1
                continue
            usable.append(row)
            asking.append(question.text)
            key = normalized(question.text)
            questions.setdefault(key, question)
            link_texts.setdefault(key, texts[row])
        table = pa.table(
            {
                "from_chunk_id": links["from_chunk_id"].take(pa.array(usable, pa.int64())),
                "to_chunk_id": links["to_chunk_id"].take(pa.array(usable, pa.int64())),
                "text": pa.array(asking, pa.string()),
            }
        )
        reject = partial(_reason, kind, questions, link_texts)
        if kind == SENTENCE:
            table, repeated = _without_templates(columns, table)
            reasons["on_many_pages"] += repeated
        found, why = link_queries(corpus, columns, table, 2, clusters, kind, reject)
        reasons.update(why)
        if kind in OFF:
            reasons["kind_is_off"] += len(found)
            found = []
        queries += found
        kinds[kind] = _counts(len(rows), len(found), reasons)
    number = _question_headings(corpus)
    if number:
        kinds[_QUESTION] = _counts(number, 0, {"heading_of_its_answer": number})
    return AuthorQueries(queries, dropped, kinds)


def _counts(found: int, used: int, dropped: dict[str, int]) -> dict[str, object]:
    return {"found": found, "used": used, "dropped": {reason: n for reason, n in sorted(dropped.items()) if n}}


def _without_templates(columns: CorpusColumns, table: pa.Table) -> tuple[pa.Table, int]:
    """Leave out texts that are on many pages; also return their number of links."""
    texts = [normalized(text) for text in table["text"].to_pylist()]
    rows = columns.rows(table["from_chunk_id"].combine_chunks())
    files = np.where(rows >= 0, columns.file[rows], -1).tolist()
    pages = Counter(text for text, _ in {*zip(texts, files, strict=True)})
    kept = [pages[text] < _PAGES for text in texts]
    return table.filter(pa.array(kept, pa.bool_())), len(kept) - sum(kept)


def _reason(kind: str, questions: dict[str, Question], link_texts: dict[str, str], key: str, target: Chunk) -> str:
    """Return why a target is no proof for a question, "" if it is one."""
    question = questions[key]
    asked = words(question.text.lower())
    known = set(
        zip(*(words(f"{' '.join(target.header_path)} {target.content}".lower())[n:] for n in range(3)), strict=False)
    )
    triples = list(zip(asked, asked[1:], asked[2:], strict=False))
    if triples and sum(one in known for one in triples) > _QUOTED * len(triples):
        return "repeats_target"
    rest = _said(question.text, target) - _stems(link_texts[key])
    if len(rest) < (2 if kind == CHANGE else 1):
        return "names_target"
    if len(rest & _stems(target.content)) < question.evidence * len(rest):
        return "target_says_nothing_of_it"
    return ""


def _said(text: str, target: Chunk) -> set[str]:
    """Return the stems of a text apart from those of the headings of its target."""
    return _stems(text) - _stems(" ".join((target.title, *target.header_path))) - _GENERIC


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in long_words(text.lower()) if word not in _STOP_WORDS}


def _question_headings(corpus: ChunkTable) -> int:
    return sum(title.rstrip().endswith(_MARKS) for (titles,) in corpus.batches("title") for title in titles)
