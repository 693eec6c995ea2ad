"""Dense and lexical search, their fusion, and `Searcher`, which does all of it over the index of a run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych.retrieval.searcher import Searcher

__all__ = ["Searcher"]


def __getattr__(name: str) -> Any:
    """Import `Searcher` when it is asked for: the stages that only fuse or mine need not wait for it."""
    if name != "Searcher":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from triptych.retrieval.searcher import Searcher

    return Searcher
