"""The systems that are compared: their names and their order in tables and charts."""

from collections.abc import Mapping
from typing import Any

SYSTEMS = {
    "bm25": "BM25",
    "base": "base",
    "base_hybrid": "base + BM25",
    "base_late": "base + BM25 + MaxSim",
    "tuned": "tuned",
    "tuned_hybrid": "tuned + BM25",
    "tuned_late": "tuned + BM25 + MaxSim",  # late interaction, by its name in a table
    "reranked": "tuned, reranked",  # whatever it is that the reranker orders anew
}
SECOND_STAGES = ("base_late", "tuned_late", "reranked")  # what orders the hits of a first stage anew


def system_name(system: str) -> str:
    """Return what a system is called where people read it."""
    return SYSTEMS.get(system, system.replace("_", " "))


def in_order(systems: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return systems with what belongs to them: those we know in our order, then others."""
    order = [*(name for name in SYSTEMS if name in systems), *sorted(systems.keys() - SYSTEMS.keys())]
    return [(name, systems[name]) for name in order]
