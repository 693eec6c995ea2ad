"""How many links of all sources lead to a chunk, and why the others do not."""

from collections import Counter
from typing import Any

from triptych.corpus.outcomes import EXAMPLES, SourceCounts


def link_counts(sources: list[SourceCounts], kept: int) -> dict[str, Any]:
    """Return the counts of links, over all sources; ``found`` = kept + target_unknown, external links apart.

    ``unknown_by_reason`` adds up to ``target_unknown``; of each reason that pages have, there are ten examples.
    """
    references, unknown, examples = Counter[str](), Counter[str](), dict[str, list[str]]()
    resolved = 0
    for counts in sources:
        resolved += counts.links
        references.update(counts.references)
        unknown.update(counts.unknown_targets)
        for reason, links in counts.unknown_examples.items():
            examples.setdefault(reason, []).extend(links[: EXAMPLES - len(examples.get(reason, []))])
    found = resolved + unknown.total()
    if resolved > kept:
        unknown["no such chunk"] += resolved - kept
    return {
        "found": found,
        "kept": kept,
        "target_unknown": found - kept,
        "external": references["external"],
        "in_no_chunk": references["in_no_chunk"],
        "repeated": references["repeated"],
        "to_page_instead_of_anchor": references["to_page_instead_of_anchor"],
        "unknown_by_reason": dict(sorted(unknown.items())),
        "unknown_examples": dict(sorted(examples.items())),
    }
