"""From the sources in ``params.yaml`` to one list of chunks with unique ids, nothing lost silently."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from triptych.corpus.beir import read_beir
from triptych.corpus.html import SUFFIXES as HTML
from triptych.corpus.html import read_html
from triptych.corpus.markdown import SUFFIXES as MARKDOWN
from triptych.corpus.markdown import read_markdown
from triptych.corpus.packages import read_package
from triptych.corpus.pages import holds
from triptych.corpus.reading import Reading
from triptych.corpus.records import Link
from triptych.corpus.tables import read_records
from triptych.errors import UserError
from triptych.params import Fields, Source

_BY_SUFFIX = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    **dict.fromkeys(MARKDOWN, "markdown"),
    **dict.fromkeys(HTML, "html"),
}


def read_source(source: Source, fields: Fields) -> Reading:
    """Read one source; raise `UserError` when it is missing, of an unknown kind, or holds no chunk."""
    kind = _format_of(source)
    path = Path(source.path)
    readers: dict[str, Callable[[], Reading]] = {
        "package": lambda: read_package(source.path, source.category),
        "beir": lambda: read_beir(path, source.category),
        "markdown": lambda: read_markdown(path, source.category),
        "html": lambda: read_html(path, source.category),
    }
    read = readers.get(kind, lambda: read_records(path, kind, fields, source.category))  # type: ignore[arg-type]
    reading = read()
    if not reading.chunks:
        reasons = ", ".join(f"{count} {reason}" for reason, count in reading.rejected_by_reason().items())
        raise UserError(
            f"ingest.sources: {source.path} ({kind}) has no usable record"
            f" ({reading.read} read{': ' + reasons if reasons else ''}); check the path and ingest.fields"
        )
    return reading


def join(readings: list[tuple[Source, Reading]]) -> Reading:
    """Join readings into one; ids that two sources share are prefixed with the later source's path.

    Links whose target is no chunk are left out; their number is the difference to the readings' links.
    """
    twice = [path for path, number in Counter(source.path for source, _ in readings).items() if number > 1]
    if twice:
        raise UserError(f"ingest.sources: {twice[0]} is listed twice; remove one of the entries")
    joined = Reading()
    taken: set[str] = set()
    for source, reading in readings:
        ids = {chunk.chunk_id for chunk in reading.chunks}
        rename = {one: f"{source.path}:{one}" for one in ids} if ids & taken else {}
        taken |= set(rename.values()) or ids
        joined.chunks += [replace(one, chunk_id=rename.get(one.chunk_id, one.chunk_id)) for one in reading.chunks]
        joined.links += [
            Link(
                rename.get(one.from_chunk_id, one.from_chunk_id),
                rename.get(one.to_chunk_id, one.to_chunk_id),
                one.text,
                one.context,
            )
            for one in reading.links
        ]
        joined.rejected += reading.rejected
        joined.merged += reading.merged
    joined.links = [one for one in joined.links if one.from_chunk_id in taken and one.to_chunk_id in taken]
    return joined


def _format_of(source: Source) -> str:
    path = Path(source.path)
    if source.format == "package":
        return "package"
    if not path.exists():
        raise UserError(f"ingest.sources: {source.path} does not exist; correct its path in params.yaml")
    if source.format != "auto":
        return source.format
    if path.is_dir():
        if (path / "corpus.jsonl").exists():
            return "beir"
        return "html" if holds(path, HTML) and not holds(path, MARKDOWN) else "markdown"
    if path.suffix.lower() in _BY_SUFFIX:
        return _BY_SUFFIX[path.suffix.lower()]
    raise UserError(f"ingest.sources: cannot tell the format of {source.path}; set format in params.yaml")
