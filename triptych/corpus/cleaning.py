"""Normalization of every text that is read, and counts of the changes."""

import math
import re
import unicodedata
from collections import Counter
from decimal import Decimal
from typing import Any

_LINE_END = re.compile(r"\r\n|[\r\v\f\x85]")  # a form feed becomes a line end: removed, it would join two words
# Includes lone surrogates: JSON can escape them, UTF-8 cannot encode them.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def cleaned(text: str, changes: Counter[str] | None = None) -> str:
    r"""Return NFC text with LF line ends and no control characters except ``\n`` and ``\t``.

    Each kind of change is counted once in ``changes``. NFC comes last: a removed character may have separated a letter
    from its accent.

    >>> cleaned("one\r\ntwo\x07")
    'one\ntwo'
    """
    if text.isascii() and not _ASCII_CONTROL.search(text):
        return text
    plain, ends = _LINE_END.subn("\n", text)
    plain, controls = _CONTROL.subn("", plain)
    composed = unicodedata.normalize("NFC", plain)
    if changes is not None:
        if ends:
            changes["line_ends"] += 1
        if controls:
            changes["control_characters"] += 1
        if composed != plain:
            changes["unicode_nfc"] += 1
    return composed


def one_line(value: Any, changes: Counter[str] | None = None) -> str | None:
    r"""Return an id, a name or a heading as text on one line: "" if it is missing, None if it has a wrong type.

    >>> one_line("  a\tb "), one_line(12.0), one_line(None), one_line([1])
    ('a b', '12', '', None)
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas writes an integer column with missing values as 12.0
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal) or value in _INFINITE:
        return None
    return " ".join(cleaned(str(value), changes).split())


_INFINITE = (math.inf, -math.inf)
