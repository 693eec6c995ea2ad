"""Two profiles of the same anchors: which candidates serve the embedder and which the reranker, tier by tier."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from triptych.params.triplets import Triplets
from triptych.triplets.heuristics.candidates import Candidates

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Rule:
    """Takes for each anchor at most ``quota`` of the candidates in ``mask``, the highest ``order`` first."""

    tier: str
    strategy: str
    mask: np.ndarray  # bool, shape (candidates,)
    order: np.ndarray  # float, shape (candidates,)
    quota: np.ndarray  # int, shape (anchors,)


def rules(
    profile: str, found: Candidates, numbers: np.ndarray, shuffled: np.ndarray, params: Triplets
) -> Iterator[Rule]:
    """Yield the rules of a profile in the order in which they are carried out.

    ``numbers`` are the anchors' places in the whole corpus, by which shares are divided; ``shuffled`` holds a random
    number for each candidate, for rules that prefer none.
    """
    return (_reranker if profile == "reranker" else _embedder)(found, numbers, shuffled, params)


def _embedder(found: Candidates, numbers: np.ndarray, shuffled: np.ndarray, params: Triplets) -> Iterator[Rule]:
    """Yield the embedder's: cross-topic, neighbors, confusing overlap."""
    tiers, full = params.tiers, np.full(len(numbers), params.negatives_per_anchor)
    close = (found.path > tiers.hard.path_min) | (found.lexical > tiers.hard.lexical_min)
    hard = close & (found.lexical <= tiers.hard.lexical_max)
    yield Rule("hard", "cross_category", hard & found.other_category, found.blend, cross_category(numbers, params))
    yield Rule("hard", "overlap", hard & ~found.other_category, found.blend, full)
    yield Rule("hard", "cross_category", hard & found.other_category, found.blend, full)

    low, high = tiers.medium.path
    siblings = ~close & (low <= found.path) & (found.path <= high)
    few, many = tiers.medium.lexical
    moderate = ~close & (few <= found.lexical) & (found.lexical <= many)
    yield Rule("medium", "same_file", ~close & ~found.other_file, shuffled, full)
    yield Rule("medium", "sibling_section", siblings, shuffled, full)
    yield Rule("medium", "moderate_lexical", moderate, shuffled, full)

    far = ~close & ~siblings & found.other_file
    masks = {
        "other_domain": far & found.other_domain,
        "other_file": far,
        "other_path": far & (found.path == 0),
        "low_lexical": far & (found.lexical <= tiers.easy.lexical_max),
        "random": far,
    }
    for strategy, quota in slots(numbers, params).items():
        yield Rule("easy", strategy, masks[strategy], shuffled, quota)
    yield Rule("easy", "other_domain", masks["other_domain"], shuffled, full)
    yield Rule("easy", "other_domain", ~close & found.other_domain, shuffled, full)  # though both stand under one root
    yield Rule("easy", "other_file", ~close & found.other_file, shuffled, full)
    yield Rule("easy", "random", ~close, shuffled, full)


def _reranker(found: Candidates, numbers: np.ndarray, shuffled: np.ndarray, params: Triplets) -> Iterator[Rule]:
    """Yield the reranker's: same topic, near-duplicate, looks right but is wrong."""
    tiers, full = params.tiers, np.full(len(numbers), params.negatives_per_anchor)
    allowed = found.lexical <= tiers.hard.lexical_max
    hit, best = allowed & (found.rank > 0), -found.rank
    own, other = hit & ~found.other_category, hit & found.other_category
    yield Rule("hard", "looks_right_cross_category", other, best, cross_category(numbers, params))
    yield Rule("hard", "looks_right", own, best, full)
    yield Rule("hard", "looks_right_cross_category", other, best, full)

    alike = allowed & (found.lexical > tiers.hard.lexical_min)
    yield Rule("medium", "near_duplicate", alike, found.lexical, full)
    yield Rule("medium", "overlap", allowed & (found.path > tiers.hard.path_min), found.blend, full)
    yield Rule("medium", "moderate_lexical", allowed & (found.lexical >= tiers.medium.lexical[0]), found.lexical, full)

    yield Rule("easy", "same_topic", allowed & found.same_topic, shuffled, full)
    yield Rule("easy", "random", allowed & ~found.other_category, shuffled, full)
    yield Rule("easy", "random", allowed, shuffled, full)


def cross_category(numbers: np.ndarray, params: Triplets) -> np.ndarray:
    """Return how many hard negatives of another category each anchor gets; the share holds over all anchors."""
    quota = params.cross_category_hard * params.negatives_per_anchor
    return (np.floor((numbers + 1) * quota + 1e-9) - np.floor(numbers * quota + 1e-9)).astype(np.int64)


def slots(numbers: np.ndarray, params: Triplets) -> dict[str, np.ndarray]:
    """Divide each anchor's easy slots among the strategies; the shares hold over all anchors.

    Slot after slot goes to where the golden-ratio sequence falls among the shares: even, and without a period.
    """
    shares, size = params.tiers.easy.strategies.model_dump(), params.negatives_per_anchor
    place = (numbers[:, None] * size + np.arange(size)) * _GOLDEN % 1
    chosen = np.minimum(np.searchsorted(np.cumsum(list(shares.values())), place, side="right"), len(shares) - 1)
    return {strategy: (chosen == number).sum(axis=1) for number, strategy in enumerate(shares)}
