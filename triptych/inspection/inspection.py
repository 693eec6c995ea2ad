"""Read and split a documentation folder as a run with the default params would, and record what it gives."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import yaml

from triptych.artifacts import open_table
from triptych.corpus.chunk_table import ChunkTable, read_columns
from triptych.corpus.duplicates.near_duplicates import cluster
from triptych.corpus.files import MARKDOWN, has_suffix
from triptych.corpus.language import language_of
from triptych.corpus.link_counts import link_counts
from triptych.corpus.outcomes import NOTHING_TO_READ, SourceCounts
from triptych.corpus.pages.html import SUFFIXES as HTML
from triptych.corpus.readers.other_formats import SUFFIXES as UNREAD
from triptych.corpus.readers.other_formats import unread_pages
from triptych.corpus.readers.sources import SourceReader
from triptych.corpus.records import SPLITS, Chunk, link_table, write_chunks
from triptych.corpus.splits.corpus_split import CorpusSplit, split_corpus
from triptych.errors import UserError
from triptych.inspection.generators import Generator, recognized
from triptych.inspection.run_time import RunTime, estimate_run_time
from triptych.inspection.text_lengths import TextLengths, text_lengths
from triptych.params.sections import Ingest, Source, Split, Tokenize, Triplets
from triptych.progress import track

_PAGES = {"markdown": MARKDOWN, "html": HTML}
_SUFFIXES = (*MARKDOWN, *HTML)
_RECORDS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
# Bytes that are read and split in a second, measured on real sites.
_RATES = {HTML: 1.4e6, MARKDOWN: 0.7e6, _RECORDS: 5.0e6}
_LONG = 10.0  # seconds from which the expected time is reported before reading
_PROBED = 100  # records that are looked at for a category

Report = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class SourceInspection:
    """What one path contains."""

    path: str
    format: str
    generator: Generator | None  # None for records, which no site generator writes
    pages: int  # files with text
    files: dict[str, int]  # all files by suffix, those that are read included
    read: int  # sections or records
    accepted: int
    merged: int  # repeated texts
    rejected: dict[str, int]  # by reason
    examples: dict[str, str]  # a rejected section or record, by reason
    left_out: dict[str, int]  # files that are not read, by suffix
    normalized: dict[str, int]  # texts or files by kind of change
    notes: list[str]  # bad files, and what else the reader lists
    entry: str  # of ingest.sources


@dataclass(frozen=True, slots=True)
class CategoryInspection:
    """Chunks and queries of a category."""

    name: str
    chunks: int
    queries: dict[str, int]  # by split
    alone: bool  # whether it is judged by itself


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a run with the default params would make of some paths."""

    sources: list[SourceInspection]
    chunks: int
    documents: int
    lengths: TextLengths
    language: str
    links: dict[str, Any]  # as in metrics/ingest.json
    judgments: dict[str, dict[str, Any]]  # by kind, as in metrics/split.json: found = used + dropped, by reason
    dropped: dict[str, int]  # links and queries that are left out, by reason
    judge_only: bool  # whether they are too few to learn from
    queries: dict[str, dict[str, int]]  # by split and kind
    shares: dict[str, float]  # of the chunks, by split
    categories: list[CategoryInspection]
    warnings: list[str]
    params: str  # what to write into params.yaml
    run_time: RunTime
    seconds: float  # that the inspection took


def inspect(paths: list[Path], report: Report = lambda _line: None) -> Inspection:
    """Read and split some folders or files together, with default params; nothing is written but temporary files.

    ``report`` is called with a line if this will take long. Raises `UserError` if nothing can be read.
    """
    started = perf_counter()
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError("a path is given twice; give each once")
    files = [_files(path) for path in paths]
    params = Ingest(sources=list(map(_source, paths)), on_bad_file="skip", max_rejected_share=1.0)
    split_params = Split()
    reader = SourceReader(params)
    expected = sum(map(_expected_seconds, reader.formats, files))
    if expected > _LONG:
        number, size = sum(map(len, files)), sum(size for one in files for size in one.values())
        report(f"{number:,} files of {size / 1e6:,.0f} MB: up to {expected:.0f} s")
    pages: list[set[str]] = [set() for _ in paths]
    with TemporaryDirectory(prefix="triptych-inspect-") as folder:
        chunks = _counting_pages(reader.chunks(lambda _path, _record: None), reader, pages)
        write_chunks(Path(folder) / "chunks.parquet", track(chunks, "inspect", "chunks"))
        links = link_table(list(reader.links()))
        corpus = ChunkTable(open_table(Path(folder) / "chunks.parquet"))
        columns = read_columns(corpus)
        clusters = cluster((texts for (texts,) in corpus.batches("content")), split_params.near_duplicates)
        split = split_corpus(corpus, columns, links, clusters, split_params, params.min_link_words)
        reading = perf_counter() - started
        lengths = text_lengths(corpus, Triplets().text_template, _max_length(), Tokenize().known_windows)
        language = language_of(corpus, split_params.language)
    queries = split.kinds()
    categories = _categories(split)
    # Categories that are all too small to be judged alone prove more as one.
    written = sum(number for kind, number in queries["test"].items() if kind != "pseudo")
    all_small = len(categories) > 1 and not any(one.alone for one in categories)
    one_category = all_small and len(paths) == 1 and written >= split_params.min_queries
    sources = [
        _inspected(source, kind, counts, sizes, len(names), one_category)
        for source, kind, counts, sizes, names in zip(
            params.sources, reader.formats, reader.counts, files, pages, strict=True
        )
    ]
    judging, train = (sum(sum(queries[name].values()) for name in names) for names in (("dev", "test"), ("train",)))
    run_time = estimate_run_time(len(corpus), judging, train, reading, lengths.read, lengths.max_length)
    return Inspection(
        sources=sources,
        chunks=len(corpus),
        documents=split.chunks.documents,
        lengths=lengths,
        language=language,
        links=link_counts(reader.counts, reader.written["links"]),
        judgments=split.judgments.kinds,
        dropped=split.dropped,
        judge_only=split.chunks.judge_only,
        queries=queries,
        shares=split.shares,
        categories=categories,
        warnings=_warnings(sources, reader.counts) + split.warnings,
        params=_params(sources, any(counts.bad_files for counts in reader.counts), one_category),
        run_time=run_time,
        seconds=perf_counter() - started,
    )


def _files(path: Path) -> dict[str, int]:
    """Return the size of each file under a path, in bytes, by relative path; links to folders are not followed."""
    if not path.exists():
        raise UserError(f"{path} does not exist")
    if path.is_file():
        if not has_suffix(path, (*_SUFFIXES, *_RECORDS, *UNREAD)):
            raise UserError(
                f"{path} is neither a page ({_listed(_SUFFIXES)}) nor a file of chunks ({_listed(_RECORDS)})"
            )
        return {path.name: path.stat().st_size}
    # The size of a link to a file is that of the link: its target is read once, if at all.
    files = {one.relative_to(path).as_posix(): one.lstat().st_size for one in sorted(path.rglob("*")) if one.is_file()}
    if not files:
        raise UserError(f"{path} contains no files")
    readable = any(has_suffix(Path(name), (*_SUFFIXES, *UNREAD)) for name in files) or "corpus.jsonl" in files
    if not readable:
        suffixes = Counter(Path(name).suffix.lower() or "no suffix" for name in files)
        found = ", ".join(f"{number} {suffix}" for suffix, number in suffixes.most_common(5))
        records = sorted(name for name in files if has_suffix(Path(name), _RECORDS))
        advice = f"name a file of chunks itself, such as {path / records[0]}" if records else "name another folder"
        raise UserError(f"{path} contains no page ({_listed(_SUFFIXES)}), only {found}; {advice}")
    return files


def _listed(suffixes: tuple[str, ...]) -> str:
    return ", ".join(suffixes)


def _expected_seconds(kind: str, files: dict[str, int]) -> float:
    """Return the seconds that reading and splitting some files in one format takes, other languages included."""
    suffixes = _PAGES.get(kind, _RECORDS)
    return sum(size for name, size in files.items() if has_suffix(Path(name), suffixes)) / _RATES[suffixes]


def _source(path: Path) -> Source:
    """Return the source of a path; a file of records without a category gets its name as one."""
    source = Source(path=str(path))
    reader = SourceReader(Ingest(sources=[source], on_bad_file="skip", max_rejected_share=1.0))
    if reader.formats[0] in _PAGES:
        return source
    reasons: Counter[str] = Counter()
    try:
        for _ in reader.chunks(lambda _path, record: _count(reasons, record.reason)):
            return source
    except (UserError, _EnoughError):
        pass
    return source.model_copy(update={"category": path.resolve().stem}) if "no category" in reasons else source


class _EnoughError(Exception):
    """Enough records were looked at."""


def _count(reasons: Counter[str], reason: str) -> None:
    reasons[reason] += 1
    if reasons.total() >= _PROBED:
        raise _EnoughError


def _max_length() -> int:
    length = Tokenize().max_length
    return length if isinstance(length, int) else 512


def _counting_pages(chunks: Iterable[Chunk], reader: SourceReader, pages: list[set[str]]) -> Iterator[Chunk]:
    """Yield the chunks; add the file name of each to the set of its source, the last that something was read from."""
    for chunk in chunks:
        pages[max(index for index, counts in enumerate(reader.counts) if counts.read)].add(chunk.filename)
        yield chunk


def _categories(split: CorpusSplit) -> list[CategoryInspection]:
    return [
        CategoryInspection(
            name,
            sum(split.counts[one][name]["chunks"] for one in SPLITS),
            {one: split.counts[one][name]["queries"] for one in SPLITS},
            name not in split.small,
        )
        for name in split.counts["train"]
    ]


def _inspected(
    source: Source,
    kind: str,
    counts: SourceCounts,
    files: dict[str, int],
    pages: int,
    one_category: bool,
) -> SourceInspection:
    """Return the record of one source, and the entry to write for it."""
    path, summary = Path(source.path), counts.summary()
    read = [name for name in files if has_suffix(Path(name), _PAGES.get(kind, ()))]
    entry = {"path": source.path, "format": kind}
    if source.category or one_category:
        entry["category"] = source.category or path.resolve().stem
    return SourceInspection(
        path=source.path,
        format=kind,
        generator=recognized(path, files, read) if kind in _PAGES else None,
        pages=pages,
        files=dict(Counter(Path(name).suffix.lower() or "no suffix" for name in files).most_common()),
        read=counts.read,
        accepted=counts.accepted,
        merged=counts.merged,
        rejected=dict(counts.rejected.most_common()),
        examples={reason: str(one) for reason, one in counts.examples.items()},
        left_out=dict(counts.left_out.most_common()),
        normalized={kind: number for kind, number in counts.normalized.most_common() if number},
        notes=[note for value in summary.values() if isinstance(value, list) for note in map(str, value)],
        entry=_flow(entry),
    )


def _flow(entry: dict[str, str]) -> str:
    """Return an entry as YAML on one line."""
    return yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000).strip()


def _params(sources: list[SourceInspection], bad_files: bool, one_category: bool) -> str:
    """Return the section of params.yaml that reads these sources."""
    lines = ["ingest:", "  sources:", *(f"  - {source.entry}" for source in sources)]
    if one_category:
        lines.insert(2, "  # One category: each folder alone has too few test queries. Without it they are categories.")
    return "\n".join(lines + ["  on_bad_file: skip"] * bad_files) + "\n"


def _warnings(sources: list[SourceInspection], counts: list[SourceCounts]) -> list[str]:
    """Return sentences about what a run would stop at, or not read."""
    warnings = []
    for source, of_source in zip(sources, counts, strict=True):
        if of_source.bad_files:
            number = len(of_source.bad_files)
            warnings.append(
                f"{source.path}: {number} files cannot be read; a run stops at them unless they are skipped"
            )
        if missing := of_source.left_out.get("links without a target"):
            warnings.append(
                f"{source.path}: {missing} links to files that do not exist; DVC stops at them in data/raw: remove them"
            )
        if unknown := unread_pages(of_source.left_out, source.pages):
            warnings.append(f"{source.path}: {unknown}")
        faulty = {reason: n for reason, n in of_source.rejected.items() if reason not in NOTHING_TO_READ}
        readable = of_source.accepted + of_source.merged + sum(faulty.values())
        most = Ingest.model_fields["max_rejected_share"].default
        if sum(faulty.values()) > most * readable:
            warnings.append(
                f"{source.path}: {sum(faulty.values())} of {readable} records would be rejected, more than"
                f" ingest.max_rejected_share ({most:g}): the run would stop"
            )
        unread = {
            kind: sum(number for suffix, number in of_source.left_out.items() if suffix in suffixes)
            for kind, suffixes in _PAGES.items()
            if kind != source.format
        }
        for kind, number in unread.items():
            if source.format in _PAGES and number > source.pages:
                warnings.append(
                    f"{source.path}: {number} {kind} files are not read, more than the {source.pages} {source.format}"
                    f" files that are: set format: {kind}, or name the folder with the documentation"
                )
    return warnings
