"""A checksum in each line of a journal: a flipped bit makes another letter of a text, which nothing else sees."""

import json
from typing import Any
from zlib import crc32

_CHECK = "check"


def with_checksum(row: dict[str, Any]) -> str:
    """Return a row as a line of JSON, without a line end, that has the CRC-32 of the row as ``check``."""
    return _line(row | {_CHECK: _checksum(row)})


def without_checksum(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its ``check``; raise ValueError if it is not that of the row. A row may have none."""
    rest = {name: value for name, value in row.items() if name != _CHECK}
    if _CHECK in row and row[_CHECK] != _checksum(rest):
        raise ValueError('it was changed since it was written; if you changed it, take out its "check"')
    return rest


def _checksum(row: dict[str, Any]) -> str:
    return f"{crc32(_line(row).encode()):08x}"


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True)
