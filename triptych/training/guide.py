"""A ready reranker as the guide of mining: a second opinion on whether a candidate is a positive."""

from pathlib import Path

import numpy as np

from triptych.errors import UserError
from triptych.params import Params
from triptych.training.pairing import pair_store
from triptych.training.precision import Precision
from triptych.training.reranker import has_fresh_head, load_reranker, model_of, pair_scores
from triptych.triplets.examples import Examples
from triptych.triplets.mining import Scores


def reranker_guide(
    params: Params, tokens: Path, examples: Examples, passages: np.ndarray, precision: Precision
) -> Scores:
    """Return the opinion of ``train_reranker.base`` as it is: the probability that a chunk answers an anchor.

    ``passages`` holds the text id of every chunk of the corpus. Raise `UserError` where no ready reranker is named.
    """
    if params.train_reranker.base is None:
        raise UserError(
            "mine.guide: reranker asks train_reranker.base, which is null; name a ready reranker there, such as"
            " BAAI/bge-reranker-base, or set mine.guide to base or none"
        )
    model = load_reranker(model_of(params))
    if has_fresh_head(model):
        raise UserError(
            f"mine.guide: {params.train_reranker.base} (train_reranker.base) is no reranker: its head would be a fresh"
            " one, whose scores mean nothing; name a ready one, or set mine.guide to base or none"
        )
    store = pair_store(model, tokens, params, params.train_reranker.max_length)

    def scores(rows: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        pairs = np.stack([examples.anchor[rows], passages[chunks]], axis=1)
        logits = pair_scores(model, store, pairs, precision, "mine: guide").astype(np.float64)
        return 1 / (1 + np.exp(-logits))

    return scores
