"""How the text of a passage is shown: without marks of reStructuredText, and shortened."""

import re

_ROLE = re.compile(r":[a-z][\w:.+-]*:`~?([^`<]*[^`<\s])(?:\s*<[^`>]*>)?`")  # :func:`x`, :ref:`the title <target>`
_LITERAL = re.compile(r"``(.+?)``")


def readable(text: str) -> str:
    """Return text without the marks that reStructuredText puts around literals and references."""
    return _LITERAL.sub(r"\1", _ROLE.sub(r"\1", text))


def shortened(text: str, length: int) -> str:
    """Return the first ``length`` characters of a text, with an ellipsis where it is longer."""
    return text if len(text) <= length else f"{text[:length].rstrip()} …"
