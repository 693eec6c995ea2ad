"""The tier rules of both profiles: which candidates become negatives of the embedder and of the reranker."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from triptych.params.triplets import Triplets
from triptych.triplets.heuristics.candidates import Candidates
from triptych.triplets.negatives import fractional_quota

_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class Rule:
    """For each anchor take at most ``quota`` of the candidates in ``mask``, the highest ``order`` first."""

    tier: str
    strategy: str
    mask: np.ndarray  # bool, shape (candidates,)
    order: np.ndarray  # float, shape (candidates,)
    quota: np.ndarray  # int, shape (anchors,)


def rules(
    profile: str, candidates: Candidates, anchors: np.ndarray, random_order: np.ndarray, params: Triplets
) -> Iterator[Rule]:
    """Yield the rules of a profile in the order in which they are applied.

    ``anchors`` are the indices of the batch's anchors among all anchors, over which shares are divided;
    ``random_order`` holds a random number for each candidate, for rules without a preference.
    """
    return (_reranker if profile == "reranker" else _embedder)(candidates, anchors, random_order, params)


def _embedder(
    candidates: Candidates, anchors: np.ndarray, random_order: np.ndarray, params: Triplets
) -> Iterator[Rule]:
    """Yield the embedder's rules: hard, overlapping chunks; medium, neighbors; easy, other topics."""
    tiers, full = params.tiers, np.full(len(anchors), params.negatives_per_anchor)
    path, lexical, blend = candidates.path, candidates.lexical, candidates.blend
    close = (path > tiers.hard.path_min) | (lexical > tiers.hard.lexical_min)
    hard = close & (lexical <= tiers.hard.lexical_max)
    across = hard & candidates.other_category
    yield Rule("hard", "cross_category", across, blend, cross_category_quota(anchors, params))
    yield Rule("hard", "overlap", hard & ~candidates.other_category, blend, full)
    yield Rule("hard", "cross_category", across, blend, full)

    path_low, path_high = tiers.medium.path
    siblings = ~close & (path_low <= path) & (path <= path_high)
    lexical_low, lexical_high = tiers.medium.lexical
    moderate = ~close & (lexical_low <= lexical) & (lexical <= lexical_high)
    yield Rule("medium", "same_file", ~close & ~candidates.other_file, random_order, full)
    yield Rule("medium", "sibling_section", siblings, random_order, full)
    yield Rule("medium", "moderate_lexical", moderate, random_order, full)

    far = ~close & ~siblings & candidates.other_file
    masks = {
        "other_domain": far & candidates.other_domain,
        "other_file": far,
        "other_path": far & (path == 0),
        "low_lexical": far & (lexical <= tiers.easy.lexical_max),
        "random": far,
    }
    for strategy, quota in easy_quotas(anchors, params).items():
        yield Rule("easy", strategy, masks[strategy], random_order, quota)
    yield Rule("easy", "other_domain", masks["other_domain"], random_order, full)
    # Even if both paths begin alike.
    yield Rule("easy", "other_domain", ~close & candidates.other_domain, random_order, full)
    yield Rule("easy", "other_file", ~close & candidates.other_file, random_order, full)
    yield Rule("easy", "random", ~close, random_order, full)


def _reranker(
    candidates: Candidates, anchors: np.ndarray, random_order: np.ndarray, params: Triplets
) -> Iterator[Rule]:
    """Yield the reranker's rules: hard, top lexical hits; medium, near-duplicates; easy, the same topic."""
    tiers, full = params.tiers, np.full(len(anchors), params.negatives_per_anchor)
    path, lexical, other_category = candidates.path, candidates.lexical, candidates.other_category
    allowed = lexical <= tiers.hard.lexical_max
    hit, best_first = allowed & (candidates.rank > 0), -candidates.rank
    inside, across = hit & ~other_category, hit & other_category
    yield Rule("hard", "looks_right_cross_category", across, best_first, cross_category_quota(anchors, params))
    yield Rule("hard", "looks_right", inside, best_first, full)
    yield Rule("hard", "looks_right_cross_category", across, best_first, full)

    alike = allowed & (lexical > tiers.hard.lexical_min)
    yield Rule("medium", "near_duplicate", alike, lexical, full)
    yield Rule("medium", "overlap", allowed & (path > tiers.hard.path_min), candidates.blend, full)
    yield Rule("medium", "moderate_lexical", allowed & (lexical >= tiers.medium.lexical[0]), lexical, full)

    yield Rule("easy", "same_topic", allowed & candidates.same_topic, random_order, full)
    yield Rule("easy", "random", allowed & ~other_category, random_order, full)
    yield Rule("easy", "random", allowed, random_order, full)


def cross_category_quota(anchors: np.ndarray, params: Triplets) -> np.ndarray:
    """Return how many hard negatives of another category each anchor gets; the share holds over all anchors."""
    return fractional_quota(anchors, params.cross_category_hard * params.negatives_per_anchor)


def easy_quotas(anchors: np.ndarray, params: Triplets) -> dict[str, np.ndarray]:
    """Return how many easy negatives of each strategy each anchor gets; the shares hold over all anchors.

    Each negative gets the strategy into whose share the golden-ratio sequence falls: even, and without a period.
    """
    shares, size = params.tiers.easy.strategies.model_dump(), params.negatives_per_anchor
    sequence = (anchors[:, None] * size + np.arange(size)) * _GOLDEN % 1
    chosen = np.minimum(np.searchsorted(np.cumsum(list(shares.values())), sequence, side="right"), len(shares) - 1)
    return {strategy: (chosen == number).sum(axis=1) for number, strategy in enumerate(shares)}
