"""Mines the hard negatives of a round again while it trains, with the model as it then is."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Chunk
from triptych.encoding.frozen_passages import FrozenPassages
from triptych.encoding.mining_vectors import vectors_for_mining, window_overlap, windows_found
from triptych.ids import ChunkRows, TextIds
from triptych.models.precision import Precision
from triptych.params.sections import Mine
from triptych.tokens.token_store import TokenStore
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.heuristics.candidates import Words
from triptych.triplets.mining.candidate_filter import CandidateFilter
from triptych.triplets.mining.hard_negatives import mine_hard_negatives, neighbors


class MinedPools(NamedTuple):
    """What one mining found."""

    examples: Examples
    negatives: TextIds | None  # text id of each negative in the pools; None where it is that of its chunk
    churn: float  # share of the hard negatives that are new


@dataclass(frozen=True)
class PoolMiner:
    """Mines as stage mine does, without a guide."""

    store: TokenStore
    chunks: list[Chunk]
    relations: Relations
    passage_ids: TextIds
    params: Mine
    size: int  # of a pool per tier
    precision: Precision
    frozen: FrozenPassages | None = None  # where queries alone are trained

    @cached_property
    def _words(self) -> Words:
        return Words(chunk.content for chunk in self.chunks)

    def mine(self, model: SentenceTransformer, examples: Examples) -> MinedPools:
        """Return the examples with the hard negatives that the model finds near their anchors."""
        rows = ChunkRows(np.array([row for row, chunk in enumerate(self.chunks) if chunk.split == "train"]))
        vectors = vectors_for_mining(
            model, self.store, examples, self.passage_ids, rows, self.precision, frozen=self.frozen
        )
        found = windows_found(vectors, self.store, self.passage_ids)
        candidate_filter = CandidateFilter(
            self.relations,
            PositivesByAnchor(examples.anchor, examples.positive_chunk),
            self.params,
            self._words,
            windows=window_overlap(found, vectors, self.store, self.passage_ids) if found else None,
        )
        candidates = neighbors(examples, vectors, self.params)
        mined, metrics = mine_hard_negatives(examples, candidates, self.chunks, candidate_filter, self.size)
        negatives = found(mined.pool.anchors, mined.pool.chunk) if found else None
        return MinedPools(mined, negatives, metrics["all"]["churn"])
