"""What every protocol serves: searches, vectors and relevance scores, batched over concurrent requests."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from triptych.corpus.records import Chunk
from triptych.server.batching import Batcher
from triptych.server.settings import ServerSettings
from triptych.serving.numpy_encoder import Role
from triptych.serving.searcher import Hit, Searcher
from triptych.threads import one_thread

_SLICE = 16  # texts or pairs of a request that are computed at a time, so that others come in between
_BATCH = 16  # items that a thread takes at most
_THREADS = 4  # more only compete for the interpreter's lock

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class SearchItem:
    """A question with the number of hits and the category that are searched."""

    question: str
    k: int
    category: str | None


@dataclass(frozen=True, slots=True)
class TextsItem:
    """Texts to encode in one role."""

    texts: tuple[str, ...]
    role: Role


class SearchService:
    """A `Searcher` for many concurrent callers: they share batches, wait in a bounded queue, and have a time limit.

    All methods that wait raise `OverloadedError` where too many wait, TimeoutError after the limit of the settings,
    and `UserError` on what cannot be asked.
    """

    def __init__(self, searcher: Searcher, settings: ServerSettings) -> None:
        """Serve a searcher; nothing runs before `running` is entered."""
        self.searcher, self.settings = searcher, settings

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the threads; at the end those that work finish, and nothing else starts."""
        number = max(1, min(_THREADS, os.cpu_count() or 1))
        threads = ThreadPoolExecutor(number, "triptych-serve")
        waiting = self.settings.waiting
        self._searches = Batcher(self._search_all, threads, number, _BATCH, waiting)
        self._vectors = Batcher(self._encode_all, threads, number, _BATCH, waiting)
        self._scores = Batcher(self._score_all, threads, number, _BATCH, waiting)
        try:
            async with AsyncExitStack() as stack:
                stack.enter_context(one_thread())  # the whole time: requests that overlap would set it back
                for batcher in (self._searches, self._vectors, self._scores):
                    await stack.enter_async_context(batcher)
                yield
        finally:
            threads.shutdown(wait=True, cancel_futures=True)

    async def search(self, question: str, k: int, category: str | None) -> list[Hit]:
        """Return the ``k`` best chunks for a question; see `Searcher.search`."""
        self.searcher.check([question], k, category)
        async with asyncio.timeout(self.settings.seconds):
            return await self._searches.submit(SearchItem(question, k, category))

    async def embed(self, texts: Sequence[str], role: Role) -> tuple[np.ndarray, int]:
        """Return vectors of texts, float32 of shape (texts, dimensions), and how many tokens they have."""
        blocks, tokens = [], 0
        async with asyncio.timeout(self.settings.seconds):
            for part in _slices(texts):
                vectors, counts = await self._vectors.submit(TextsItem(part, role))
                blocks.append(vectors)
                tokens += sum(counts)
        return np.concatenate(blocks), tokens

    async def relevance(self, question: str, passages: Sequence[str]) -> list[float]:
        """Return the reranker's score of each passage for a question."""
        scores: list[float] = []
        async with asyncio.timeout(self.settings.seconds):
            for part in _slices(passages):
                scores += await self._scores.submit(tuple((question, passage) for passage in part))
        return scores

    async def read(self, chunk_id: str, around: int) -> list[Chunk]:
        """Return a chunk with those around it in its file; see `Searcher.read`."""
        return await asyncio.to_thread(self.searcher.read, chunk_id, around)

    def _search_all(self, items: list[SearchItem]) -> list[list[Hit]]:
        def of_group(group: tuple[int, str | None], questions: list[str]) -> list[list[Hit]]:
            return self.searcher.search_all(questions, *group)

        return _by_group([((one.k, one.category), one.question) for one in items], of_group)

    def _encode_all(self, items: list[TextsItem]) -> list[tuple[np.ndarray, list[int]]]:
        def of_group(role: Role, groups: list[tuple[str, ...]]) -> list[tuple[np.ndarray, list[int]]]:
            texts, ends = [text for group in groups for text in group], np.cumsum([len(group) for group in groups])
            vectors, counts = self.searcher.encode(texts, role), self.searcher.token_counts(texts, role)
            starts = [0, *ends[:-1].tolist()]
            return [(vectors[a:b], counts[a:b]) for a, b in zip(starts, ends.tolist(), strict=True)]

        return _by_group([(one.role, one.texts) for one in items], of_group)

    def _score_all(self, items: list[tuple[tuple[str, str], ...]]) -> list[list[float]]:
        scores = iter(self.searcher.relevance([pair for pairs in items for pair in pairs]))
        return [[next(scores) for _ in pairs] for pairs in items]


def _slices(texts: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(texts[start : start + _SLICE]) for start in range(0, len(texts), _SLICE)]


def _by_group(items: Sequence[tuple[Key, Value]], run: Callable[[Key, list[Value]], list[Result]]) -> list[Result]:
    """Run a function once for each distinct key, on all values of that key; return the results in the items' order."""
    rows: dict[Key, list[int]] = {}
    for row, (key, _) in enumerate(items):
        rows.setdefault(key, []).append(row)
    results: dict[int, Result] = {}
    for key, of_key in rows.items():
        results |= zip(of_key, run(key, [items[row][1] for row in of_key]), strict=True)
    return [results[row] for row in range(len(items))]
