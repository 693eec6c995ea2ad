"""Values and names of a user's file in messages, which stay short whatever the file contains."""

import reprlib
from collections.abc import Iterable
from itertools import islice

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2
_LONGEST = 200
_NAMES, _NAME = 12, 40  # names in a message, and characters of one


def shortened(value: object) -> str:
    """Return the representation of a value, shortened if it is long or deeply nested."""
    return _clipped(_SHORT.repr(value), _LONGEST)


def listed(names: Iterable[str], shown: int = _NAMES) -> str:
    """Return the first names, separated by commas, with a sign that there are more.

    >>> listed(["a", "b", "c"], shown=2)
    'a, b, …'
    """
    first = list(islice(names, shown + 1))
    parts = [_clipped(str(name), _NAME) for name in first[:shown]]
    return ", ".join(parts + ["…"] * (len(first) > shown))


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
