"""The shares of the splits, what was cut to reach them, and sentences about both."""

import numpy as np

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.records import SPLITS
from triptych.corpus.splits.bounded import Cuts
from triptych.corpus.splits.query_counts import some
from triptych.params.sections import Fractions

MAX_DIFFERENCE = 0.05  # difference to the share that was asked for which a reason is given
_FEW = 40  # documents: below, whole documents cannot give the shares
_EXCERPT = 60  # characters of a text in a sentence


def chunk_shares(split_codes: np.ndarray) -> dict[str, float]:
    """Return the share of the chunks in each split."""
    counts = np.bincount(split_codes, minlength=len(SPLITS))
    return {split: float(counts[code] / len(split_codes)) for code, split in enumerate(SPLITS)}


def share_warnings(
    shares: dict[str, float], fractions: Fractions, columns: CorpusColumns, document_ids: np.ndarray, given: bool
) -> list[str]:
    """Return a sentence with the reason if a share is more than five points from the fraction that was asked.

    ``given``: whether the user's own questions set the split of documents.
    """
    off = [split for split in SPLITS if abs(shares[split] - getattr(fractions, split)) > MAX_DIFFERENCE]
    if not off:
        return []
    sizes = np.bincount(document_ids)
    largest = float(sizes.max() / len(document_ids))
    figures = ", ".join(f"{split} {shares[split]:.0%} of {getattr(fractions, split):.0%}" for split in SPLITS)
    if given:
        reason = "split.queries sets the split of documents"
    elif largest > 2 * MAX_DIFFERENCE:
        reason = f"the largest document contains {largest:.0%} of the chunks and is not divided"
    elif len(sizes) < _FEW:
        reason = f"there are only {len(sizes)} documents, which are not divided"
    else:
        reason = f"queries and chunks of {len(columns.categories)} categories are balanced together"
    return [f"shares of the chunks are not as asked ({figures}): {reason}"]


def cut_warnings(
    corpus: ChunkTable, columns: CorpusColumns, cuts: Cuts, common_titles: dict[str, int], moved: int
) -> list[str]:
    """Return sentences about titles that join nothing, joins that were cut, and what that cost."""
    warnings = []
    if common_titles:
        names = some([f"{name!r} ({files} files)" for name, files in common_titles.items()])
        warnings.append(
            f"{len(common_titles)} titles of many different pages do not keep these in one split: {names};"
            " split.group_titles: true would"
        )
    if cuts:
        rows = [row for _, row in (*cuts.near_duplicates, *cuts.titles)]
        chunks = dict(corpus.chunks_at(rows)) if rows else {}
        parts = []
        if cuts.files:
            parts.append(f"{cuts.files} files are divided into sections")
        if cuts.near_duplicates:
            number, row = max(cuts.near_duplicates)
            text = " ".join(chunks[row].content.split())[:_EXCERPT]
            parts.append(
                f"{len(cuts.near_duplicates)} texts that are nearly equal in several documents leave them"
                f" ({text!r} is in {number})"
            )
        if cuts.queries:
            parts.append(f"{cuts.queries} queries have answers in several documents")
        if cuts.titles:
            number, row = max(cuts.titles)
            parts.append(f"{len(cuts.titles)} titles join nothing ({chunks[row].title!r} is in {number} documents)")
        warnings.append(
            f"one document would contain {cuts.largest:.0%} of the chunks, so its weakest joins are cut:"
            f" {'; '.join(parts)}"
        )
    if moved:
        warnings.append(f"{moved} chunks that answer dev or test queries are taken out of their documents' split")
    return warnings


def cut_metrics(cuts: Cuts, common_titles: dict[str, int], moved: int) -> dict[str, object]:
    """Return the counts of what `cut_warnings` describes."""
    return {
        "largest_without_cuts": cuts.largest,
        "files_divided": cuts.files,
        "near_duplicate_texts": len(cuts.near_duplicates),
        "queries": cuts.queries,
        "titles": len(cuts.titles),
        "common_titles": len(common_titles),
        "answers_moved": moved,
    }
