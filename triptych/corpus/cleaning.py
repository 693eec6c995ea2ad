"""What every text from outside goes through, and how often each change was needed."""

import math
import re
import unicodedata
from collections import Counter
from decimal import Decimal
from typing import Any

_LINE_END = re.compile(r"\r\n|[\r\v\f\x85]")  # removing a form feed would glue two words together
# Lone surrogates too: JSON can spell them, UTF-8 cannot hold them.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def cleaned(text: str, done: Counter[str] | None = None) -> str:
    r"""Return NFC text with LF line ends and no control character but ``\n`` and ``\t``.

    Each kind of change is counted in ``done``. NFC comes last: a removed character may have kept a letter from its
    accent.
    """
    plain, ends = _LINE_END.subn("\n", text)
    plain, controls = _CONTROL.subn("", plain)
    composed = unicodedata.normalize("NFC", plain)
    if done is not None:
        if ends:
            done["line_ends"] += 1
        if controls:
            done["control_characters"] += 1
        if composed != plain:
            done["unicode_nfc"] += 1
    return composed


def one_line(value: Any, done: Counter[str] | None = None) -> str | None:
    """Return an id, a name or a heading as text on one line: "" for a missing one, None for a wrong type."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # an id column that once had gaps comes as 12.0
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal) or value in _INFINITE:
        return None
    return " ".join(cleaned(str(value), done).split())


_INFINITE = (math.inf, -math.inf)
