"""The explorer of the page: every test query with its answer's rank in each system, and hits as the page has room."""

import json
import re
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any
from zlib import crc32

import numpy as np

from triptych.corpus.records import Chunk, Qrels, Query
from triptych.evaluation.run_files import SystemHits
from triptych.report.passage_text import readable, shortened
from triptych.report.system_names import system_name

SHOWN = 5  # hits per system
_UNDERLINE = re.compile(r"^\s*([-=~^])\1{2,}\s*$", re.MULTILINE)  # under a heading; meaningless once lines are joined


class Explorer:
    """The test queries by priority, as many as fit into the page.

    The order is: the biggest gain of the second over the first of the ``compared`` systems, the biggest loss, a random
    query, the second biggest gain, and so on. A gain is a rise of the reciprocal rank of the answer. ``hits`` refer to
    ``queries`` and ``chunks`` by position; ``snippet`` is the number of characters shown of a chunk.
    """

    def __init__(
        self,
        chunks: list[Chunk],
        queries: list[Query],
        qrels: Qrels,
        hits: SystemHits,
        compared: tuple[str, str],
        snippet: int,
    ) -> None:
        self._chunks, self._queries, self._hits, self._snippet = chunks, queries, hits, snippet
        row_of = {chunk.chunk_id: row for row, chunk in enumerate(chunks)}
        self._answers = [
            [row_of[chunk] for chunk, grade in qrels[query.query_id].items() if grade > 0] for query in queries
        ]
        self._compared = [hits.systems.index(one) for one in compared]
        self._categories = sorted({query.category for query in queries} | {chunk.category for chunk in chunks})
        self._kinds = sorted({query.kind for query in queries})

    def within(self, room: int, depth: int) -> dict[str, Any]:
        """Return the explorer's data in at most about ``room`` bytes of JSON: half for rows, the rest for hits.

        ``depth`` is the number of hits kept per query and system.
        """
        order, rows, left = self._order(), [], room // 2
        for number in order:
            row = self._row(number)
            left -= _size(row)
            if left < 0:
                break
            rows.append((number, row))
        left += room - room // 2
        position: dict[int, int] = {}  # row of a chunk -> its position in the page's chunks
        hits: list[list[list[int]] | None] = []
        page_chunks: list[list[Any]] = []
        for number, _ in rows:
            detail = [[one for one in ranking if one >= 0] for ranking in self._hits.top[:, number].tolist()]
            fresh = [one for one in dict.fromkeys(chain(self._answers[number], *detail)) if one not in position]
            described = [self._chunk(one) for one in fresh]
            left -= _size(detail) + sum(map(_size, described))
            if left < 0:
                break
            position |= {one: free for free, one in enumerate(fresh, start=len(position))}
            page_chunks += described
            hits.append([[position[one] for one in ranking] for ranking in detail])
        answers = [[position[one] for one in self._answers[number]] for number, _ in rows[: len(hits)]]
        return {
            "systems": [system_name(one) for one in self._hits.systems],
            "compared": self._compared,
            "categories": self._categories,
            "kinds": self._kinds,
            "depth": depth,
            "shown": SHOWN,
            "total": len(self._queries),
            "rows": [row for _, row in rows],
            "hits": hits,  # of the first rows: for each system, positions in chunks
            "answers": answers,  # of the same rows
            "chunks": page_chunks,
        }

    def _row(self, number: int) -> list[Any]:
        """Return text, category, kind and ranks of a query; category and kind by index."""
        query = self._queries[number]
        ranks = self._hits.ranks[:, number].tolist()
        return [query.text, self._categories.index(query.category), self._kinds.index(query.kind), ranks]

    def _chunk(self, row: int) -> list[Any]:
        """Return category (by index), title, header path, file and snippet of a chunk."""
        chunk = self._chunks[row]
        snippet = shortened(readable(" ".join(_UNDERLINE.sub(" ", chunk.content).split())), self._snippet)
        title = chunk.title or (chunk.header_path[-1] if chunk.header_path else chunk.chunk_id)
        category = self._categories.index(chunk.category)
        return [category, title, " > ".join(chunk.header_path), chunk.filename, snippet]

    def _order(self) -> list[int]:
        """Return all queries: the biggest gain, the biggest loss, a random one, the second biggest gain, and so on."""
        ranks = self._hits.ranks[self._compared].astype(np.float64)
        before, after = np.divide(1.0, ranks, out=np.zeros_like(ranks), where=ranks > 0)
        gain = after - before
        by_gain = np.argsort(-gain, kind="stable").tolist()
        shuffled = sorted(range(len(gain)), key=lambda number: crc32(self._queries[number].query_id.encode()))
        gains = [number for number in by_gain if gain[number] > 0]
        losses = [number for number in reversed(by_gain) if gain[number] < 0]
        mixed: Iterable[int | None] = chain.from_iterable(zip_longest(gains, losses, shuffled))
        return list(dict.fromkeys(number for number in mixed if number is not None))


def embeddable(value: Any) -> str:
    """Return JSON that is safe inside a script element: no text in it can end the element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _size(value: Any) -> int:
    return len(embeddable(value).encode()) + 1
