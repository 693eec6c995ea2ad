"""Queries from links: the text of a cross-reference is a query, and the section it points to is its answer."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.duplicates.boilerplate import content_rows
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import CROSSREF, WITHOUT_ORIGIN, Chunk, Query
from triptych.corpus.texts import normalized, word_count
from triptych.ids import ChunkRow, ChunkRows


@dataclass(slots=True)
class _LinkText:
    """All links with one normalized text."""

    text: str  # of the first link, as written
    target: ChunkRow  # of the first link
    targets: set[ChunkRow]
    several: bool = False  # whether other links have another target
    count: int = 0
    origins: list[ChunkRow] = field(default_factory=list)  # chunks that contain the links


def crossref_queries(
    corpus: ChunkTable,
    columns: CorpusColumns,
    links: pa.Table,
    min_words: int,
    clusters: np.ndarray | None = None,
    reject: Callable[[str, Chunk], str] = lambda _text, _target: "",
) -> tuple[list[LabeledQuery], dict[str, int]]:
    """Return a query of kind `CROSSREF` for each distinct link text, see `link_queries`."""

    def reason(text: str, target: Chunk) -> str:
        return "repeats_target" if _repeats(text, target) else reject(text, target)

    return link_queries(corpus, columns, links, min_words, clusters, CROSSREF, reason)


def link_queries(
    corpus: ChunkTable,
    columns: CorpusColumns,
    links: pa.Table,
    min_words: int,
    clusters: np.ndarray | None,
    kind: str,
    reject: Callable[[str, Chunk], str],
) -> tuple[list[LabeledQuery], dict[str, int]]:
    """Return a query for each distinct text with a single target that is not rejected.

    ``reject`` returns the reason to leave a normalized text out because of its target, or "".

    Sections under one header path whose texts are near-duplicates, as in two versions of the documentation, are one
    target: all of them are answers. A link to a text that is repeated on many pages is a link to what follows it.
    ``clusters`` has the near-duplicate cluster of each chunk.

    Also returns the number of dropped links by reason; links = queries + merged + dropped. The chunks that contain
    the link are excluded from the ranking of the query, because they quote it.
    """
    link_texts, unknown = _by_text(columns, links, clusters)
    dropped: Counter[str] = Counter({"unknown_chunk": unknown} if unknown else {})
    usable: dict[ChunkRow, list[str]] = defaultdict(list)  # link texts by target
    for text, link in link_texts.items():
        if not link.several and word_count(text) >= min_words:
            usable[link.target].append(text)
    targets = corpus.chunks_at(list(usable))
    rejected = {text: reason for row, chunk in targets for text in usable[row] if (reason := reject(text, chunk))}
    sections = _Sections(columns)
    queries: list[LabeledQuery] = []
    for text, link in link_texts.items():
        if word_count(text) < min_words:
            dropped["too_short"] += link.count
        elif link.several:
            dropped["several_targets"] += link.count
        elif text in rejected:
            dropped[rejected[text]] += link.count
        elif not (exclude := sections.ids(link.origins, link.targets)) and kind not in WITHOUT_ORIGIN:
            dropped["points_at_itself"] += link.count
        else:
            dropped["merged"] += link.count - 1
            query_id = f"{kind}-" + sha256(text.encode()).hexdigest()[:12]
            query = Query(query_id, link.text, kind, columns.category_of(link.target), exclude)
            answers = sorted(columns.chunk_id[row].as_py() for row in link.targets)
            queries.append(LabeledQuery(query, dict.fromkeys(answers, 1)))
    return queries, dict(sorted(dropped.items()))


def _by_text(columns: CorpusColumns, links: pa.Table, clusters: np.ndarray | None) -> tuple[dict[str, _LinkText], int]:
    """Group links by normalized text; also return the number of links with an unknown origin or target."""
    origins, targets = (columns.rows(links[name].combine_chunks()) for name in ("from_chunk_id", "to_chunk_id"))
    known = np.flatnonzero((origins >= 0) & (targets >= 0))
    if clusters is not None:
        targets = ChunkRows(np.where(targets >= 0, content_rows(columns, clusters)[targets], targets))
    link_texts: dict[str, _LinkText] = {}

    def same_answer(left: ChunkRow, right: ChunkRow) -> bool:
        paths = columns.header_path
        return clusters is not None and clusters[left] == clusters[right] and paths[left] == paths[right]

    for batch in np.array_split(known, len(known) // 65_536 + 1):
        texts = links["text"].take(pa.array(batch)).to_pylist()
        for text, origin, target in zip(texts, origins[batch].tolist(), targets[batch].tolist(), strict=True):
            link = link_texts.setdefault(normalized(text), _LinkText(text, target, {target}))
            if target not in link.targets:
                link.several |= not same_answer(link.target, target)
                link.targets.add(target)
            link.count += 1
            link.origins.append(origin)
    return link_texts, len(links) - len(known)


def _repeats(text: str, target: Chunk) -> bool:
    """Return whether a link text only quotes or names its target, as many links of Sphinx do."""
    headings = {normalized(target.title), *(normalized(heading) for heading in target.header_path[-1:])}
    return text in normalized(target.content) or text in headings


class _Sections:
    """The chunks of each section: any part of a section that was cut may contain the link."""

    def __init__(self, columns: CorpusColumns) -> None:
        self._columns = columns
        self._order = np.argsort(columns.section, kind="stable")
        self._starts = np.concatenate([[0], np.bincount(columns.section).cumsum()])

    def ids(self, rows: list[ChunkRow], targets: set[ChunkRow]) -> tuple[str, ...]:
        """Return the sorted ids of all chunks in the sections of ``rows``, except those of ``targets``."""
        members = {
            row
            for section in np.unique(self._columns.section[rows]).tolist()
            for row in self._order[self._starts[section] : self._starts[section + 1]].tolist()
        }
        return tuple(sorted(self._columns.chunk_id[row].as_py() for row in members - targets))
