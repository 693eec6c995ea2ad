"""Read the sources in ``params.yaml`` as one stream of chunks with unique ids, and count every record."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from triptych.corpus.chunking import cut, join_short
from triptych.corpus.files import MARKDOWN, BadFileError, has_suffix
from triptych.corpus.outcomes import Outcome, Rejected, SourceCounts
from triptych.corpus.pages.html import SUFFIXES as HTML
from triptych.corpus.pages.html import read_html
from triptych.corpus.pages.markdown import read_markdown
from triptych.corpus.readers.beir import read_beir
from triptych.corpus.readers.docstrings import read_package
from triptych.corpus.readers.other_formats import unread_format
from triptych.corpus.readers.tabular import Kind, read_records
from triptych.corpus.records import WITHOUT_ORIGIN, Chunk, Link
from triptych.errors import UserError
from triptych.params.sections import Fields, Ingest, Source

_BY_SUFFIX = {
    (".json",): "json",
    (".jsonl", ".ndjson"): "jsonl",
    (".csv", ".tsv"): "csv",
    (".parquet",): "parquet",
    MARKDOWN: "markdown",
    HTML: "html",
}
_PAGES = ("markdown", "html")  # formats of folders

Reader = Callable[[Source, Fields, SourceCounts], Iterator[Outcome]]


class SourceReader:
    """Reads all sources once, as a stream; of each chunk it keeps only two digests in memory."""

    def __init__(self, params: Ingest) -> None:
        seen: set[Path] = set()
        for source in params.sources:
            if Path(source.path) in seen:
                raise UserError(f"ingest.sources: {source.path} is listed twice; remove one of the entries")
            seen.add(Path(source.path))
        self._params = params
        self.formats = [_format_of(source) for source in params.sources]
        skip = params.on_bad_file == "skip"
        self.counts = [SourceCounts(source.path, skip) for source in params.sources]
        self._ids = _Ids()
        self._links: list[Link] = []
        self._moved: dict[str, str] = {}  # id of a joined chunk → id of the chunk that contains it
        self.written: Counter[str] = Counter()  # chunks, links and what was done to them; complete after reading

    def chunks(self, reject: Callable[[str, Rejected], object]) -> Iterator[Chunk]:
        """Yield the chunks of all sources, cut and joined as set in the params.

        ``reject`` is called with the path of the source and each rejected record.
        """
        for source, kind, counts in zip(self._params.sources, self.formats, self.counts, strict=True):
            chunks = self._accepted(source, kind, counts, reject)
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
            problems = [problem for counts in self.counts for problem in counts.bad_files]
            raise UserError("ingest.sources: no file could be read; " + "; ".join(problems))

    def links(self) -> Iterator[Link]:
        """Yield the links between the chunks, after all chunks were yielded; links to unknown chunks are dropped."""
        for link in self._links:
            if link.from_chunk_id in self._ids and link.to_chunk_id in self._ids:
                self.written["links"] += link.kind not in WITHOUT_ORIGIN
                yield _with_ids(link, self._moved)

    def _accepted(
        self, source: Source, kind: str, counts: SourceCounts, reject: Callable[[str, Rejected], object]
    ) -> Iterator[Chunk]:
        new_ids = self._ids.start_source()
        links: list[Link] = []
        for outcome in self._outcomes(source, kind, counts):
            if isinstance(outcome, Link):
                links.append(outcome)
            elif isinstance(outcome, Rejected):
                counts.reject(outcome)
                reject(source.path, outcome)
            elif isinstance(outcome, Chunk) and (chunk_id := self._ids.claim(outcome)):
                counts.accepted += 1
                counts.renamed += chunk_id != outcome.chunk_id
                yield outcome if chunk_id == outcome.chunk_id else replace(outcome, chunk_id=chunk_id)
            else:
                counts.merged += 1
        counts.close(self._params.max_rejected_share)
        counts.links = sum(link.kind not in WITHOUT_ORIGIN for link in links)
        self._links += (_with_ids(link, new_ids) for link in links)

    def _outcomes(self, source: Source, kind: str, counts: SourceCounts) -> Iterator[Outcome]:
        try:
            yield from _READERS[kind](source, self._params.fields, counts)
        except BadFileError as error:
            counts.bad_file(error)


def _with_ids(link: Link, new_ids: dict[str, str]) -> Link:
    from_id, to_id = (new_ids.get(chunk_id, chunk_id) for chunk_id in (link.from_chunk_id, link.to_chunk_id))
    return replace(link, from_chunk_id=from_id, to_chunk_id=to_id)


class _Ids:
    """Assigns unique chunk ids: equal chunks are merged, another text with the same id gets ``~2``, ``~3``."""

    def __init__(self) -> None:
        self._source = 0
        self._taken: dict[bytes, int] = {}  # digest of an id → number of the source that has it
        self._seen: set[bytes] = set()  # digests of (id in the source, category, content)
        self._last: dict[str, int] = {}  # id → number of its last suffix
        self._new_ids: dict[str, str] = {}

    def __contains__(self, chunk_id: str) -> bool:
        return _digest(chunk_id) in self._taken

    def start_source(self) -> dict[str, str]:
        """Start a source; return a dict that is filled with its ids that an earlier source has, and their new ids."""
        self._source += 1
        self._new_ids = {}
        return self._new_ids

    def claim(self, chunk: Chunk) -> str | None:
        """Return the unique id of a chunk, None for a repeated chunk."""
        digest = _digest(chunk.chunk_id, chunk.category, chunk.content)
        owner = self._taken.get(_digest(chunk.chunk_id), self._source)
        if digest in self._seen:
            chunk_id = None
        else:
            self._seen.add(digest)
            chunk_id = self.free(chunk.chunk_id)
        if owner != self._source:
            self._new_ids.setdefault(chunk.chunk_id, chunk_id or chunk.chunk_id)
        return chunk_id

    def free(self, chunk_id: str) -> str:
        """Take and return an id or, if it is taken, the first free id with a suffix."""
        unique, number = chunk_id, self._last.get(chunk_id, 1)
        while (key := _digest(unique)) in self._taken:
            number += 1
            unique = f"{chunk_id}~{number}"
        if unique != chunk_id:
            self._last[chunk_id] = number
        self._taken[key] = self._source
        return unique


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
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    numbers = {
        kind: sum(has_suffix(file, suffixes) for file in files)
        for suffixes, kind in _BY_SUFFIX.items()
        if kind in _PAGES or path.is_file()
    }
    # A README beside built pages does not make a folder one of Markdown, nor a few layouts one of HTML.
    kind = max(numbers, key=lambda one: (numbers[one], one == "markdown"))
    if numbers[kind]:
        return kind
    if known := unread_format(files):
        raise UserError(f"ingest.sources: {source.path} is {known}")
    raise UserError(f"ingest.sources: cannot infer the format of {source.path}; set format in params.yaml")


def _records(kind: Kind) -> Reader:
    return lambda source, fields, counts: read_records(
        Path(source.path), kind, fields, counts, category=source.category, encoding=source.encoding
    )


# Records have fields with many names; those of BEIR have fixed names, and pages have none.
_RECORDS: dict[str, Reader] = {
    "json": _records("json"),
    "jsonl": _records("jsonl"),
    "csv": _records("csv"),
    "parquet": _records("parquet"),
    "beir": lambda source, _, counts: read_beir(source, counts),
}
_READERS: dict[str, Reader] = _RECORDS | {
    "package": lambda source, _, counts: read_package(source, counts),
    "markdown": lambda source, _, counts: read_markdown(source, counts),
    "html": lambda source, _, counts: read_html(source, counts),
}
