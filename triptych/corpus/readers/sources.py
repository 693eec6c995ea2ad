"""From the sources in ``params.yaml`` to a stream of chunks with unique ids, nothing lost silently."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from triptych.corpus.chunking import cut, join_short
from triptych.corpus.files import BadFileError, has_suffix
from triptych.corpus.outcomes import Outcome, Rejected, SourceCounts
from triptych.corpus.pages.html import SUFFIXES as HTML
from triptych.corpus.pages.html import read_html
from triptych.corpus.pages.markdown import SUFFIXES as MARKDOWN
from triptych.corpus.pages.markdown import read_markdown
from triptych.corpus.readers.beir import read_beir
from triptych.corpus.readers.docstrings import read_package
from triptych.corpus.readers.tabular import Kind, read_records
from triptych.corpus.records import Chunk, Link
from triptych.errors import UserError
from triptych.params.sections import Fields, Ingest, Source

_BY_SUFFIX = {
    (".json",): "json",
    (".jsonl", ".ndjson"): "jsonl",
    (".csv", ".tsv"): "csv",
    (".parquet",): "parquet",
    MARKDOWN: "markdown",  # before HTML: a folder of both is one of Markdown
    HTML: "html",
}
_PAGES = ("markdown", "html")  # what a folder may hold

Reader = Callable[[Source, Fields, SourceCounts], Iterator[Outcome]]


class SourceReader:
    """Reads all sources once, as a stream; what it keeps of a chunk are two digests."""

    def __init__(self, params: Ingest) -> None:
        seen: set[Path] = set()
        for one in params.sources:
            if Path(one.path) in seen:
                raise UserError(f"ingest.sources: {one.path} is listed twice; remove one of the entries")
            seen.add(Path(one.path))
        self._params = params
        self._kinds = [_format_of(source) for source in params.sources]
        skip = params.on_bad_file == "skip"
        self.accounts = [SourceCounts(source.path, skip) for source in params.sources]
        self._ids = _Ids()
        self._links: list[Link] = []
        self._moved: dict[str, str] = {}  # id of a chunk that was joined to another → that one's
        self.written: Counter[str] = Counter()

    def chunks(self, reject: Callable[[str, Rejected], object]) -> Iterator[Chunk]:
        """Yield the chunks of all sources, cut and joined as the params ask for.

        ``reject`` is given each record that is left out, with the path of its source.
        """
        for source, kind, account in zip(self._params.sources, self._kinds, self.accounts, strict=True):
            chunks = self._accepted(source, kind, account, reject)
            if self._params.min_content_chars:
                limits = self._params.min_content_chars, self._params.max_content_chars
                chunks = join_short(chunks, *limits, self._moved)
            for chunk in chunks:
                parts = cut(chunk, self._params.max_content_chars, headings=kind in _RECORDS)
                yield parts[0]
                yield from (replace(part, chunk_id=self._ids.free(part.chunk_id)) for part in parts[1:])
                self.written["chunks"] += len(parts)
                self.written["parts_added"] += len(parts) - 1
                self.written["longer_than_max"] += sum(
                    len(part.content) > self._params.max_content_chars for part in parts
                )
        self.written["joined"] = len(self._moved)
        if not self.written["chunks"]:
            problems = [problem for account in self.accounts for problem in account.bad_files]
            raise UserError("ingest.sources: no file could be read; " + "; ".join(problems))

    def links(self) -> Iterator[Link]:
        """Yield the links between chunks that were yielded; what is missing of the accounts' number led nowhere."""
        for one in self._links:
            if one.from_chunk_id in self._ids and one.to_chunk_id in self._ids:
                self.written["links"] += 1
                yield _redirected(one, self._moved)

    def _accepted(
        self, source: Source, kind: str, account: SourceCounts, reject: Callable[[str, Rejected], object]
    ) -> Iterator[Chunk]:
        given = self._ids.of_next_source()
        links: list[Link] = []
        for one in self._outcomes(source, kind, account):
            if isinstance(one, Link):
                links.append(one)
            elif isinstance(one, Rejected):
                account.reject(one)
                reject(source.path, one)
            elif isinstance(one, Chunk) and (chunk_id := self._ids.claim(one)):
                account.accepted += 1
                account.renamed += chunk_id != one.chunk_id
                yield one if chunk_id == one.chunk_id else replace(one, chunk_id=chunk_id)
            else:
                account.merged += 1
        account.close(self._params.max_rejected_share)
        account.links = len(links)
        self._links += (_redirected(one, given) for one in links)

    def _outcomes(self, source: Source, kind: str, account: SourceCounts) -> Iterator[Outcome]:
        try:
            yield from _READERS[kind](source, self._params.fields, account)
        except BadFileError as error:
            account.bad_file(error)


def _redirected(link: Link, ids: dict[str, str]) -> Link:
    start, end = (ids.get(one, one) for one in (link.from_chunk_id, link.to_chunk_id))
    return Link(start, end, link.text, link.context)


class _Ids:
    """Gives each chunk an id of its own: equal repeats are merged, another text gets ``~2``, ``~3``."""

    def __init__(self) -> None:
        self._source = 0
        self._taken: dict[bytes, int] = {}  # id → the source that has it
        self._said: set[bytes] = set()  # id as it was given, category and content
        self._last: dict[str, int] = {}  # number that an id was given last
        self._given: dict[str, str] = {}

    def __contains__(self, chunk_id: str) -> bool:
        return _digest(chunk_id) in self._taken

    def of_next_source(self) -> dict[str, str]:
        """Begin a source; what is returned fills with ids that an earlier one has too, and what they are here."""
        self._source += 1
        self._given = {}
        return self._given

    def claim(self, chunk: Chunk) -> str | None:
        """Return the id that a chunk is to bear, None for a repeat."""
        said = _digest(chunk.chunk_id, chunk.category, chunk.content)
        owner = self._taken.get(_digest(chunk.chunk_id), self._source)
        if said in self._said:
            chunk_id = None
        else:
            self._said.add(said)
            chunk_id = self.free(chunk.chunk_id)
        if owner != self._source:
            self._given.setdefault(chunk.chunk_id, chunk_id or chunk.chunk_id)
        return chunk_id

    def free(self, chunk_id: str) -> str:
        """Take an id, or the first of its numbered forms that no chunk has."""
        found, number = chunk_id, self._last.get(chunk_id, 1)
        while (key := _digest(found)) in self._taken:
            number += 1
            found = f"{chunk_id}~{number}"
        if found != chunk_id:
            self._last[chunk_id] = number
        self._taken[key] = self._source
        return found


def _digest(*parts: str) -> bytes:
    return blake2b("\0".join(parts).encode(), digest_size=16).digest()


def _format_of(source: Source) -> str:
    path = Path(source.path)
    if source.format == "package":
        return "package"
    if not path.exists():
        raise UserError(f"ingest.sources: {source.path} does not exist; correct its path in params.yaml")
    if source.format != "auto":
        return source.format
    if path.is_dir() and (path / "corpus.jsonl").exists():
        return "beir"
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    for suffixes, kind in _BY_SUFFIX.items():
        if any(has_suffix(one, suffixes) for one in files) and (kind in _PAGES or path.is_file()):
            return kind
    if any(has_suffix(one, (".rst",)) for one in files):
        raise UserError(
            f"ingest.sources: {source.path} is reStructuredText; build it (sphinx-build -b html) and name the folder of"
            " pages that makes"
        )
    raise UserError(f"ingest.sources: cannot tell the format of {source.path}; set format in params.yaml")


def _records(kind: Kind) -> Reader:
    return lambda source, fields, account: read_records(
        Path(source.path), kind, fields, account, category=source.category, encoding=source.encoding
    )


# The fields of records have many names; those of BEIR are fixed, and pages have none.
_RECORDS: dict[str, Reader] = {
    "json": _records("json"),
    "jsonl": _records("jsonl"),
    "csv": _records("csv"),
    "parquet": _records("parquet"),
    "beir": lambda source, _, account: read_beir(source, account),
}
_READERS: dict[str, Reader] = _RECORDS | {
    "package": lambda source, _, account: read_package(source, account),
    "markdown": lambda source, _, account: read_markdown(source, account),
    "html": lambda source, _, account: read_html(source, account),
}
