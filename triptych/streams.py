"""Standard input and output in UTF-8, whatever the code page of the console."""

import codecs
import io
import sys


def use_utf8() -> None:
    """Read and write standard streams that are files or pipes in UTF-8; to be called before the first read.

    On Windows they have the code page of the system (cp1252, cp437, ...), which lacks most letters: questions are
    misread, and printing a title ends a stage. A byte order mark before the input is skipped, and bytes that are not
    UTF-8 become surrogates, for the reader to refuse. A terminal keeps its encoding; what it lacks is escaped.
    """
    if isinstance(sys.stdin, io.TextIOWrapper) and not sys.stdin.isatty():
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
