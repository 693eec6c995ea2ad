"""A ready reranker as the guide of mining: a second model that scores whether a candidate is a positive."""

from pathlib import Path

import numpy as np

from triptych.errors import UserError
from triptych.ids import TextIds
from triptych.models.precision import Precision
from triptych.params.sections import Model, Params
from triptych.reranker.cross_encoder import has_fresh_head, load_reranker, pair_scores
from triptych.reranker.pair_format import pair_store
from triptych.triplets.examples import Examples
from triptych.triplets.mining.candidate_filter import PairScorer, WindowsFound


def reranker_guide(
    params: Params,
    texts: Path,
    tokens: Path,
    examples: Examples,
    passage_ids: TextIds,
    precision: Precision,
    found: WindowsFound | None = None,
) -> PairScorer:
    """Return the scores of the reranker that ``mine.guide`` names: the probability that a chunk answers an anchor.

    ``passage_ids`` has the text id of every chunk of the corpus; of a long chunk the reranker reads the window that
    was ``found``. Raise `UserError` if the model is not a trained reranker.
    """
    guide = Model(base=params.mine.guide, revision=params.mine.guide_revision, query_prompt="", passage_prompt="")
    model = load_reranker(guide, key="mine.guide")
    if has_fresh_head(model):
        raise UserError(
            f"mine.guide: {guide.base} is not a reranker: it has no trained head, so its scores mean nothing; name a"
            " trained reranker, or set mine.guide to base or none"
        )
    store = pair_store(model, texts, tokens, params, params.mine.guide_max_length)

    def scores(rows: np.ndarray, chunks: np.ndarray) -> np.ndarray:
        passages = passage_ids[chunks] if found is None else found(rows, chunks)
        pairs = np.stack([examples.anchor[rows], passages], axis=1)
        logits = pair_scores(model, store, pairs, precision, "mine: guide").astype(np.float64)
        return 1 / (1 + np.exp(-logits))

    return scores
