"""Files as text: compressed or not, in their encoding, and none from outside the folder that was named."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from triptych.corpus.cleaning import one_line
from triptych.errors import UserError

_BOMS = {  # UTF-32 first: its mark begins as that of UTF-16 does
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GZIP = b"\x1f\x8b"
_HEAD = 8192  # bytes that are looked at before a file is read
_MANY_NULS = 0.1  # of the head: UTF-16 without a mark, or no text at all


class BadFileError(UserError):
    """A file that cannot be read on; ``ingest.on_bad_file`` says whether the stage stops."""


@contextmanager
def opened(path: Path, encoding: str | None = None, newline: str = "\n") -> Iterator[TextIO]:
    """Open a text file to be read in pieces, in ``encoding`` or UTF-8 unless it has a byte order mark.

    A byte that is no UTF-8 becomes a lone surrogate (`surrogateescape`), so that one bad record does not cost the
    others; what cannot be read on raises `BadFileError`.
    """
    with _bytes_of(path) as stream:
        buffered = io.BufferedReader(cast(io.RawIOBase, stream), _HEAD)
        head = buffered.peek(_HEAD)[:_HEAD]
        name = marked(head) or encoding
        if name is None:
            _refuse_binary(path, head)
        text = io.TextIOWrapper(buffered, name or "utf-8", errors="surrogateescape", newline=newline)
        try:
            yield text
        except UnicodeError as error:
            raise BadFileError(f"{path}: is not {name}, {error}; save it as UTF-8") from error


def read_bytes(path: Path) -> bytes:
    """Read a whole file, decompressed."""
    with _bytes_of(path) as stream:
        return stream.read()


def read_text(path: Path, encoding: str | None = None) -> str:
    """Read a whole text file in ``encoding`` or UTF-8 unless it has a byte order mark; line ends stay as they are."""
    data = read_bytes(path)
    name = marked(data) or encoding
    if name is None:
        _refuse_binary(path, data[:_HEAD])
    advice = "save the file as UTF-8 or name its encoding in ingest.sources"
    return decoded(path, data, name or "utf-8", advice)


def marked(data: bytes) -> str | None:
    """Return the encoding that a byte order mark tells."""
    return next((name for bom, name in _BOMS.items() if data.startswith(bom)), None)


def decoded(path: Path, data: bytes, encoding: str, advice: str) -> str:
    """Decode what a file holds; refuse it with the line of the first byte that is wrong."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        name, byte = encoding.removesuffix("-sig").upper(), data[error.start]
        raise BadFileError(f"{path}:{line}: byte 0x{byte:02x} is not {name}; {advice}") from error
    except UnicodeError as error:  # of codecs for other ends, such as idna
        raise BadFileError(f"{path}: is not {encoding}, {error}; {advice}") from error


def files_under(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files under a folder, or a single file, by their names in it, in the order of their paths.

    Names are put on one line of clean text; two that then are equal are told apart by ``~2``.
    """
    if folder.is_file():
        found: Iterable[Path] = [folder]
        folder = folder.parent
    else:
        found = [path for path in folder.rglob("*") if has_suffix(path, suffixes) and path.is_file()]
        if not found:
            problem = f"holds no {' or '.join(suffixes)} file" if folder.is_dir() else "does not exist"
            raise UserError(f"{folder} {problem}; correct its path in ingest.sources of params.yaml")
    named: dict[str, Path] = {}
    for path in sorted(found, key=lambda path: path.relative_to(folder).as_posix()):
        name = plain = one_line(path.relative_to(folder).as_posix()) or "unnamed"
        number = 1
        while name in named:
            number += 1
            name = f"{plain}~{number}"
        named[name] = path
    return named


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a file's name ends so, in any case and with or without ``.gz``."""
    return path.name.lower().removesuffix(".gz").endswith(suffixes)


def escapes(path: Path, folder: Path) -> bool:
    """Tell whether a file in a folder is a link to one outside it."""
    return not path.resolve().is_relative_to(folder.resolve())


@contextmanager
def _bytes_of(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadFileError(f"{path}: gzip data is damaged ({error}); fetch the file again") from error
    except OSError as error:
        raise BadFileError(f"{path}: {error.strerror or error}; check ingest.sources in params.yaml") from error


def _refuse_binary(path: Path, head: bytes) -> None:
    nuls = head.count(0)
    if not nuls:
        return
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut off
    except UnicodeDecodeError:
        nuls = len(head)
    if nuls > _MANY_NULS * len(head):
        raise BadFileError(
            f"{path}: is no text (or UTF-16 without a byte order mark: then set encoding: utf-16-le or utf-16-be);"
            " correct its path or its format in ingest.sources"
        )
