"""Triptych: tune a retriever and a reranker to documentation, and prove per category what they are worth."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych.serving.searcher import Searcher

__all__ = ["Searcher", "__version__"]

try:
    __version__ = version("triptych")
except PackageNotFoundError:  # run from a folder that was never installed
    __version__ = "0"


def __getattr__(name: str) -> Any:
    """Import `Searcher` on first use: importing it takes a second, which no stage should wait for."""
    if name != "Searcher":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from triptych.serving.searcher import Searcher

    return Searcher
