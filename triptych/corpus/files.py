"""Read files as text: gzip, encodings, and no links out of the folder of a source."""

import codecs
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, cast

from triptych.corpus.cleaning import one_line
from triptych.errors import UserError, disk_message

_BOMS = {  # UTF-32 first: its byte order mark starts with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MARKDOWN = (".md", ".mdx", ".markdown", ".mdown", ".mkd", ".qmd", ".rmd")
_LANGUAGE = re.compile(r"(?<=\.html)\.[a-z]{2}(?:-[a-z]{2})?(?:\.[a-z][\w-]*)?$")  # also with an encoding
_GZIP = b"\x1f\x8b"
_HEAD = 8192  # bytes that are inspected before a file is read
_LONGEST_LINE = 64 * 2**20  # characters: no record is longer, but a file without line ends is
_LARGEST_PAGE = 64 * 2**20  # bytes of a page, decompressed
_PART = 2**16  # bytes read at a time
_MOST_EXPANDED = 50  # bytes that a byte of gzip may give: of texts it is 3 to 30, of a file made to fill memory 1000
_ALWAYS_EXPANDED = 16 * 2**20  # bytes that any gzip file may give
_CHECK = "check its path in params.yaml (ingest.sources or split.queries)"
_MANY_NULS = 0.1  # share of the head: UTF-16 without a byte order mark, or not text at all


class BadFileError(UserError):
    """A file that cannot be read to its end; ``ingest.on_bad_file`` sets whether the stage stops."""


@contextmanager
def open_text(path: Path, encoding: str | None = None, newline: str = "\n") -> Iterator[TextIO]:
    """Open a text file as a stream: in the encoding of its byte order mark, else ``encoding``, else UTF-8.

    A byte that cannot be decoded becomes a lone surrogate (`surrogateescape`), so that only its record is rejected.
    Raises `BadFileError` where the file cannot be read further.
    """
    with _bytes_of(path) as stream:
        buffered = io.BufferedReader(cast(io.RawIOBase, stream), _HEAD)
        head = buffered.peek(_HEAD)[:_HEAD]
        name = bom_encoding(head) or encoding
        if name is None:
            _refuse_binary(path, head)
        text = io.TextIOWrapper(buffered, name or "utf-8", errors="surrogateescape", newline=newline)
        try:
            yield text
        except UnicodeError as error:
            raise BadFileError(f"{path}: is not {name}, {error}; save it as UTF-8") from error


def bounded_lines(path: Path, text: TextIO) -> Iterator[str]:
    """Yield the lines of a stream; raise `BadFileError` at one that would fill memory."""
    number = 0
    while line := text.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise BadFileError(
                f"{path}:{number}: a line of more than {_LONGEST_LINE:,} characters; correct the format of the source"
                " (format: json for an array of records), or divide the line"
            )
        yield line


def read_bytes(path: Path, largest: int | None = None) -> bytes:
    """Read a whole file, decompressed; raise `BadFileError` if it has more than ``largest`` bytes."""
    parts, size = list[bytes](), 0
    with _bytes_of(path) as stream:
        while part := stream.read(_PART):  # a limit as the size would take that much memory for each page
            parts.append(part)
            size += len(part)
            if largest is not None and size > largest:
                raise BadFileError(f"{path}: is larger than a page may be ({largest:,} bytes); divide it or remove it")
    return b"".join(parts)


def read_page(path: Path) -> bytes:
    """Read a page of Markdown or HTML as `read_bytes` does, with a limit of 64 MiB."""
    return read_bytes(path, _LARGEST_PAGE)


def read_text(path: Path, encoding: str | None = None, page: bool = False) -> str:
    """Read a whole text file, or a ``page``, encodings as in `open_text`; line ends are kept."""
    data = read_page(path) if page else read_bytes(path)
    name = bom_encoding(data) or encoding
    if name is None:
        _refuse_binary(path, data[:_HEAD])
    advice = "save the file as UTF-8 or name its encoding in ingest.sources"
    return decode(path, data, name or "utf-8", advice)


def bom_encoding(data: bytes) -> str | None:
    """Return the encoding of the byte order mark, or None without one."""
    return next((name for bom, name in _BOMS.items() if data.startswith(bom)), None)


def decode(path: Path, data: bytes, encoding: str, advice: str) -> str:
    """Decode the content of a file; raise `BadFileError` with the line of the first invalid byte and ``advice``."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        name, byte = encoding.removesuffix("-sig").upper(), data[error.start]
        raise BadFileError(f"{path}:{line}: byte 0x{byte:02x} is not {name}; {advice}") from error
    except UnicodeError as error:  # from codecs that are not for files, such as idna
        raise BadFileError(f"{path}: is not {encoding}, {error}; {advice}") from error


def files_under(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files under a folder, or a single file, by relative path, in the order of their paths.

    Names are normalized to one line; names that become equal get the suffix ``~2``, ``~3``.
    """
    if folder.is_file():
        paths: Iterable[Path] = [folder]
        folder = folder.parent
    else:
        paths = [path for path in folder.rglob("*") if has_suffix(path, suffixes) and path.is_file()]
        if not paths:
            problem = f"contains no {' or '.join(suffixes)} file" if folder.is_dir() else "does not exist"
            raise UserError(f"{folder} {problem}; correct its path in ingest.sources of params.yaml")
    by_name: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: path.relative_to(folder).as_posix()):
        name = plain = one_line(path.relative_to(folder).as_posix()) or "unnamed"
        number = 1
        while name in by_name:
            number += 1
            name = f"{plain}~{number}"
        by_name[name] = path
    return by_name


class OtherFiles(NamedTuple):
    """What a folder contains apart from the files that are read."""

    names: list[str]  # relative paths
    counts: Counter[str]  # by suffix; linked folders and links without a target by those words


def other_files(folder: Path, suffixes: tuple[str, ...]) -> OtherFiles:
    """Return the files under a folder that do not have one of the suffixes, and the links that are not followed."""
    others = OtherFiles([], Counter())
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_dir():
            if path.is_symlink():
                others.counts["linked folders"] += 1
        elif not path.exists():
            others.counts["links without a target"] += 1
        elif not has_suffix(path, suffixes):
            others.names.append(path.relative_to(folder).as_posix())
            others.counts[path.suffix.lower() or "no suffix"] += 1
    return others


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Return whether a file name has one of the suffixes, in any case.

    It may be followed by ``.gz``, and that of an HTML page by its language, as in ``index.html.en``.
    """
    name = path.name.lower().removesuffix(".gz")
    return name.endswith(suffixes) or (".htm" in name and _LANGUAGE.sub("", name).endswith(suffixes))


def links_outside(path: Path, folder: Path) -> bool:
    """Return whether a file in a folder is a link to a file outside it."""
    return not path.resolve().is_relative_to(folder.resolve())


class _BoundedGzip(gzip.GzipFile):
    """A gzip file that may not give far more bytes than texts do: one made to fill memory or a disk."""

    def __init__(self, path: Path, raw: BinaryIO) -> None:
        super().__init__(fileobj=raw)
        self._most = max(_ALWAYS_EXPANDED, _MOST_EXPANDED * path.stat().st_size)
        self._path, self._given = path, 0

    def read(self, size: int | None = -1) -> bytes:
        """Read at most ``size`` bytes, or the rest; raise `BadFileError` above the limit."""
        if size is not None and size >= 0:
            return self._counted(super().read(size))
        parts = []
        while part := self._counted(super().read(_PART)):
            parts.append(part)
        return b"".join(parts)

    def read1(self, size: int = -1) -> bytes:
        """Read at most ``size`` bytes with one call of the stream."""
        return self._counted(super().read1(size))

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _counted(self, data: bytes) -> bytes:
        self._given += len(data)
        if self._given > self._most:
            raise BadFileError(
                f"{self._path}: gives more than {self._most:,} bytes, as only a file does that is made to fill memory;"
                " decompress it yourself if you trust it"
            )
        return data


@contextmanager
def _bytes_of(path: Path) -> Iterator[BinaryIO]:
    try:
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            kind = "a folder" if path.is_dir() else "a pipe, socket or device"
            raise BadFileError(f"{path}: is {kind}, not a file; {_CHECK}")
        with path.open("rb") as raw:
            is_gzip = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            yield cast(BinaryIO, _BoundedGzip(path, raw)) if is_gzip else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadFileError(f"{path}: gzip data is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise BadFileError(disk_message(error) or f"{path}: {error.strerror or error}; {_CHECK}") from error


def _refuse_binary(path: Path, head: bytes) -> None:
    nuls = head.count(0)
    if not nuls:
        return
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # incremental: the last character may be incomplete
    except UnicodeDecodeError:
        nuls = len(head)
    if nuls > _MANY_NULS * len(head):
        raise BadFileError(
            f"{path}: is not text; {_CHECK}, and its format (of UTF-16 without a byte order mark, set encoding:"
            " utf-16-le or utf-16-be)"
        )
