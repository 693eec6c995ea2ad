"""The systems that are compared: their display names and their order in tables and charts."""

from collections.abc import Mapping
from typing import Any

from triptych.evaluation.candidates import name_of

SYSTEMS = {
    "bm25": "BM25",
    "base_cut": "base, beginnings",
    "base_unasked": "base, no questions",  # without those written for the chunks
    "base_hybrid_unasked": "base + BM25, no questions",
    "base": "base",
    "base_hybrid": "base + BM25",
    "base_late": "base + BM25 + MaxSim",
    "previous": "published before",
    "previous_hybrid": "published before + BM25",
    "tuned_unasked": "tuned, no questions",
    "tuned_queries": "queries tuned",  # over the base model's vectors of passages
    "tuned_queries_hybrid": "queries tuned + BM25",
    "tuned": "tuned",
    "tuned_hybrid": "tuned + BM25",
    "tuned_late": "tuned + BM25 + MaxSim",  # MaxSim: the short name of late interaction
    "reranked": "tuned, reranked",  # the hybrid or late interaction, reranked
}
SECOND_STAGES = ("base_late", "tuned_late", "reranked")  # they rerank the hits of a first stage


def system_name(system: str) -> str:
    """Return a system's display name."""
    if system.startswith("candidate:"):
        return f"{name_of(system)}{' + BM25' if system.endswith('_hybrid') else ''}, untuned"
    return SYSTEMS.get(system, system.replace("_", " "))


def in_order(systems: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the items of ``systems``: known systems in the order of `SYSTEMS`, then others by name."""
    order = [*(name for name in SYSTEMS if name in systems), *sorted(systems.keys() - SYSTEMS.keys())]
    return [(name, systems[name]) for name in order]
