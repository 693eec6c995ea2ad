"""A ready reranker as the guide of mining: a second opinion on whether a candidate is a positive."""

from pathlib import Path

import numpy as np

from triptych.errors import UserError
from triptych.models.precision import Precision
from triptych.params.sections import Model, Params
from triptych.reranker.cross_encoder import has_fresh_head, load_reranker, pair_scores
from triptych.reranker.pair_format import pair_store
from triptych.triplets.examples import Examples
from triptych.triplets.mining.hard_negatives import PairScorer


def reranker_guide(
    params: Params, tokens: Path, examples: Examples, passages: np.ndarray, precision: Precision
) -> PairScorer:
    """Return the opinion of the reranker ``mine.guide`` names: the probability that a chunk answers an anchor.

    ``passages`` holds the text id of every chunk of the corpus. Raise `UserError` where it is no ready reranker.
    """
    named = Model(base=params.mine.guide, revision=params.mine.guide_revision, query_prompt="", passage_prompt="")
    model = load_reranker(named, key="mine.guide")
    if has_fresh_head(model):
        raise UserError(
            f"mine.guide: {named.base} is no reranker: its head would be a fresh one, whose scores mean nothing; name a"
            " ready one, or set it to base or none"
        )
    store = pair_store(model, tokens, params, params.mine.guide_max_length)

    def scores(rows: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        pairs = np.stack([examples.anchor[rows], passages[chunks]], axis=1)
        logits = pair_scores(model, store, pairs, precision, "mine: guide").astype(np.float64)
        return 1 / (1 + np.exp(-logits))

    return scores
