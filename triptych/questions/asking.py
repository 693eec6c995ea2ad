"""Ask a language model about chunks: which ones, in what order, within a budget; every answer goes into the journal."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from time import perf_counter

from triptych.corpus.records import Chunk
from triptych.corpus.texts import word_count
from triptych.errors import UserError
from triptych.params.questions import Ask
from triptych.questions.answers import questions_in
from triptych.questions.endpoint import Endpoint, UnansweredError
from triptych.questions.journal import Journal, Record
from triptych.questions.prompt import FORMS, messages, most_tokens, prompt_name, shown_text, text_key

_FEWEST_WORDS = 5  # a chunk with fewer answers nothing
_FAILURES = 3  # in a row, of as many requests as are sent at a time, after which the endpoint is given up
_BYTES_PER_TOKEN = 4  # of English, for an estimate
_INTERVAL = 10.0  # seconds between two lines about progress


@dataclass(frozen=True, slots=True)
class Candidates:
    """The chunks to ask about, in order, and how many are left out."""

    chunks: list[Chunk]
    copies: int  # near-duplicates of another one, which alone is asked about
    short: int


def candidates(chunks: list[Chunk], most: int | None) -> Candidates:
    """Return the first ``most`` chunks, taking from each category in turn, from longest to shortest.

    Of near-duplicates only the first by id is asked about: the same question for each of them would have several
    answers, and the index shows one of them in any case.
    """
    first = dict[int, str]()
    for chunk in chunks:
        if chunk.cluster_id >= 0:
            first[chunk.cluster_id] = min(chunk.chunk_id, first.get(chunk.cluster_id, chunk.chunk_id))
    single = [chunk for chunk in chunks if first.get(chunk.cluster_id, chunk.chunk_id) == chunk.chunk_id]
    by_category = defaultdict[str, list[Chunk]](list)
    for chunk in sorted(single, key=lambda one: (one.category, -len(one.content), one.chunk_id)):
        if word_count(chunk.content) >= _FEWEST_WORDS:
            by_category[chunk.category].append(chunk)
    in_turn = [chunk for turn in zip_longest(*by_category.values()) for chunk in turn if chunk is not None]
    return Candidates(in_turn[:most], len(chunks) - len(single), len(single) - len(in_turn))


@dataclass(slots=True)
class Budget:
    """Tokens that may be spent; those of requests in flight are set aside at their most."""

    most: int
    spent: int
    in_flight: int = 0

    def fits(self, tokens: int) -> bool:
        """Return whether a request of at most ``tokens`` can be sent without ever exceeding the budget."""
        return self.spent + self.in_flight + tokens <= self.most

    def settle(self, set_aside: int, spent: int) -> None:
        """Replace what was set aside for a request with what it cost."""
        self.in_flight -= set_aside
        self.spent += spent


@dataclass(frozen=True, slots=True)
class _Request:
    chunk: Chunk
    messages: list[dict[str, str]]
    key: str  # of the shown text
    most_tokens: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What one run of asking did."""

    answered: int
    failed: dict[str, int]  # requests without an answer, by reason
    unaffordable: int  # chunks that the budget did not reach


def estimate(chunks: list[Chunk], settings: Ask) -> tuple[int, int]:
    """Return about how many tokens asking about chunks costs, and the most that it can cost."""
    requests = [_request(chunk, settings) for chunk in chunks]
    prompts = sum(one.most_tokens - settings.max_answer_tokens for one in requests)
    about = prompts // _BYTES_PER_TOKEN + len(requests) * 30 * settings.questions_per_chunk
    return about, sum(one.most_tokens for one in requests)


async def ask_all(
    endpoint: Endpoint, chunks: list[Chunk], journal: Journal, settings: Ask, report: Callable[[str], object]
) -> Asked:
    """Ask about chunks, ``settings.concurrency`` at a time, until all are asked or the budget is used up.

    The answers, and requests that may have cost tokens without one, are added to the journal, which must be open. Which
    chunks are asked does not depend on the concurrency: where a request might not fit, the answers before are awaited.
    Raise `UserError` if the endpoint answers nothing any more. A killed run does not know what its requests in flight
    cost, at most ``settings.concurrency`` of them. ``report`` is called with a line about progress every
    ten seconds.
    """
    run = _Run(journal, settings, Budget(settings.max_tokens, journal.tokens), len(chunks), report)
    waiting: Iterator[_Request] = (_request(chunk, settings) for chunk in chunks)
    request = next(waiting, None)
    pending = dict[asyncio.Task[Record], _Request]()
    try:
        while request is not None or pending:
            while request and len(pending) < settings.concurrency and run.budget.fits(request.most_tokens):
                run.budget.in_flight += request.most_tokens
                pending[asyncio.create_task(_answer(endpoint, request, settings))] = request
                request = next(waiting, None)
            if not pending:
                break  # the next request does not fit
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                run.settle(pending.pop(task), task)
    finally:
        for task in pending:
            task.cancel()
        for outcome in await asyncio.gather(*pending, return_exceptions=True):
            if isinstance(outcome, Record):  # answered while another request ended the run
                journal.add(outcome)
    return Asked(run.answered, dict(sorted(run.failed.items())), sum(1 for _ in waiting) + (request is not None))


class _Run:
    """Counts of a run, and what is done with each outcome."""

    def __init__(
        self, journal: Journal, settings: Ask, budget: Budget, total: int, report: Callable[[str], object]
    ) -> None:
        self.budget, self.answered, self.failed = budget, 0, defaultdict[str, int](int)
        self._journal, self._settings, self._total, self._report = journal, settings, total, report
        self._in_a_row = 0  # failures
        self._rejected = list[Record]()  # kept back until an answer shows that the requests are not all wrong
        self._started = self._last_line = perf_counter()

    def settle(self, request: _Request, task: asyncio.Task[Record]) -> None:
        """Write an outcome into the journal; raise `UserError` after too many failures in a row."""
        try:
            record = task.result()
        except UnansweredError as failure:
            spent = request.most_tokens if failure.may_cost else 0
            record = _record(request, self._settings, reason=failure.reason, tokens=spent)
            self._fail(record, failure)
        else:
            self.answered += 1
            self._in_a_row = 0
            self._journal.add(record)
            for rejected in self._rejected:
                self._journal.add(rejected)
            self._rejected.clear()
        self.budget.settle(request.most_tokens, record.tokens)
        self._print_progress()

    def _fail(self, record: Record, failure: UnansweredError) -> None:
        self.failed[failure.reason] += 1
        self._in_a_row += 1
        if failure.may_cost or (failure.reason == "rejected" and self.answered):
            self._journal.add(record)
        elif failure.reason == "rejected":
            self._rejected.append(record)
        if self._in_a_row >= max(_FAILURES, self._settings.concurrency):
            raise UserError(
                f"ask.base_url: {self._settings.base_url}: the last {self._in_a_row} requests have no answer"
                f" ({failure}); what was answered before is in the journal, and the next run goes on from there"
            ) from failure

    def _print_progress(self) -> None:
        now, number = perf_counter(), self.answered + sum(self.failed.values())
        if now - self._last_line < _INTERVAL:
            return
        self._last_line, rate = now, number / (now - self._started)
        self._report(
            f"ask: {number:,} of {self._total:,} chunks, {rate:,.1f} a second; {self.budget.spent:,} of at most"
            f" {self.budget.most:,} tokens"
        )


async def _answer(endpoint: Endpoint, request: _Request, settings: Ask) -> Record:
    answer = await endpoint.ask(request.messages, settings.max_answer_tokens)
    questions, reason = questions_in(answer, settings.questions_per_chunk, tuple(FORMS))
    tokens = request.most_tokens if answer.tokens is None else answer.tokens
    return _record(request, settings, tuple(questions), reason, tokens)


def _record(
    request: _Request,
    settings: Ask,
    questions: tuple[tuple[str, str], ...] = (),
    reason: str | None = None,
    tokens: int = 0,
) -> Record:
    prompt, model = prompt_name(settings.questions_per_chunk), settings.model or ""
    return Record(request.chunk.chunk_id, questions, request.key, prompt, model, reason, tokens)


def _request(chunk: Chunk, settings: Ask) -> _Request:
    text = shown_text(chunk)
    request = messages(text, settings.questions_per_chunk)
    return _Request(chunk, request, text_key(text), most_tokens(request, settings.max_answer_tokens))
