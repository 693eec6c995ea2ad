"""Rank all chunks for the queries of a split with a model; choose the strength of tuning on dev."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Chunk, Qrels, Query, Run, read_chunks, read_qrels, read_queries
from triptych.encoding.encode_texts import encode
from triptych.encoding.vector_cache import VectorCache
from triptych.evaluation.comparison import ALL
from triptych.evaluation.metrics import mean, per_query, triplet_metrics
from triptych.models.adapter import Blend
from triptych.models.loading import device
from triptych.models.precision import Precision, resolve_precision
from triptych.retrieval.dense import search
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import deepest, lexical_run, to_run
from triptych.tokens.token_store import TokenStore
from triptych.triplets.difficulty import Similarities
from triptych.triplets.examples import Examples, read_passages, read_query_texts
from triptych.triplets.negatives import TIERS

_ROWS = 65_536  # pairs multiplied at a time


@dataclass(frozen=True, slots=True)
class RetrievalEvaluator:
    """Queries of one split with what their ranking needs: all chunks, in tokens."""

    chunks: list[Chunk]
    passages: np.ndarray  # text id of each chunk
    queries: list[Query]
    query_texts: np.ndarray  # text id of each query
    qrels: Qrels
    store: TokenStore
    precision: Precision

    def dense_run(self, model: SentenceTransformer, depth: int, label: str, cache: VectorCache | None = None) -> Run:
        """Rank all chunks for each query with a model; ``depth`` hits are kept."""
        vectors = encode(model, self.store, self.passages, self.precision, label, cache)
        questions = encode(model, self.store, self.query_texts, self.precision, label, cache)
        rows, scores = search(questions, vectors, deepest(self.queries, depth))
        return to_run(self.queries, [chunk.chunk_id for chunk in self.chunks], rows, scores, depth)

    def measured(
        self, model: SentenceTransformer, metric: str, label: str, cache: VectorCache | None = None
    ) -> dict[str, float]:
        """Return category → metric of a model, one of `triptych.evaluation.metrics.METRICS`."""
        depth = int(metric.rpartition("@")[2])
        found = per_query(self.qrels, self.dense_run(model, depth, label, cache))[metric]
        of: dict[str, list[str]] = defaultdict(list)
        for query in self.queries:
            of[query.category].append(query.query_id)
        return {category: mean(found, queries) for category, queries in sorted(of.items())}

    def overall(self, measured: dict[str, float]) -> float:
        """Return the mean over all queries of what `measured` gives by category."""
        times = Counter(query.category for query in self.queries)
        return math.fsum(measured[name] * times[name] for name in measured) / times.total()

    def text_of_query(self) -> dict[str, int]:
        """Return query id → text id."""
        return dict(zip((query.query_id for query in self.queries), self.query_texts.tolist(), strict=True))

    def text_of_chunk(self) -> dict[str, int]:
        """Return chunk id → text id of its passage."""
        return dict(zip((chunk.chunk_id for chunk in self.chunks), self.passages.tolist(), strict=True))

    def lexical_run(self, passages: list[str], depth: int) -> Run:
        """Rank all chunks for each query by BM25; chunks without a term of the query are no hits."""
        return lexical_run(LexicalIndex([chunk.chunk_id for chunk in self.chunks], passages), self.queries, depth)


def similarities(
    model: SentenceTransformer, store: TokenStore, passages: np.ndarray, precision: Precision, *profiles: Examples
) -> list[Similarities]:
    """Encode the distinct texts of some examples and their pools, and compare each anchor to positive and negatives."""
    wanted = [np.concatenate([one.anchor, one.positive, passages[one.pool.chunk]]) for one in profiles]
    text_ids, places = np.unique(np.concatenate(wanted), return_inverse=True)
    vectors = encode(model, store, text_ids, precision, "triplets")

    def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        blocks = (slice(start, start + _ROWS) for start in range(0, len(left), _ROWS))
        found = [np.einsum("ij,ij->i", vectors[left[rows]], vectors[right[rows]]) for rows in blocks]
        return np.concatenate([np.empty(0, np.float32), *found])

    made = []
    for one, own in zip(profiles, np.split(places, np.cumsum([len(texts) for texts in wanted])[:-1]), strict=True):
        anchors, positives, negatives = np.split(own, [len(one), 2 * len(one)])
        made.append(Similarities(cosine(anchors, positives), cosine(anchors[one.pool.anchors], negatives)))
    return made


def held_out_triplet_metrics(
    model: SentenceTransformer, evaluator: RetrievalEvaluator, examples: Examples
) -> list[dict[str, Any]]:
    """Return triplet measures of a model: a row for each category and tier, with all of each together."""
    pool = examples.pool
    (found,) = similarities(model, evaluator.store, evaluator.passages, evaluator.precision, examples)
    near, far = found.positive[pool.anchors], found.negative
    category, tier = np.array(examples.categories)[examples.category[pool.anchors]], np.array(TIERS)[pool.tier]
    rows: list[dict[str, Any]] = []
    for name in [ALL, *examples.categories]:
        for level in [ALL, *TIERS]:
            chosen = ((category == name) | (name == ALL)) & ((tier == level) | (level == ALL))
            if chosen.any():
                measures = triplet_metrics(near[chosen], far[chosen])
                rows.append({"category": name, "tier": level, "triplets": int(chosen.sum())} | measures)
    return rows


def load_evaluator(
    corpus: Path, texts: Path, splits: Sequence[str], store: TokenStore, precision: str
) -> RetrievalEvaluator:
    """Read what ranking the queries of some splits needs."""
    qrels = {
        query: judged for split in splits for query, judged in read_qrels(corpus / "qrels" / f"{split}.tsv").items()
    }
    queries = read_queries(corpus)
    text_ids = read_query_texts(texts)
    return RetrievalEvaluator(
        chunks=read_chunks(corpus / "chunks.parquet"),
        passages=np.array(read_passages(texts)),
        queries=[queries[query_id] for query_id in qrels],
        query_texts=np.array([text_ids[query_id] for query_id in qrels]),
        qrels=qrels,
        store=store,
        precision=resolve_precision(precision, device()),
    )


def choose_strength(
    blend: Blend, strengths: list[float], evaluator: RetrievalEvaluator, metric: str, cache: Path | None = None
) -> tuple[float, dict[float, dict[str, float]]]:
    """Return the strength with the best metric on dev and the metric of each, by category; of equals the weaker.

    0, the base model, is always among them, so that on dev a choice is never worse than the base; its vectors are read
    from ``cache`` where they lie there.
    """
    found = {}
    for strength in sorted({0.0, *strengths}):
        model = blend.at(strength)
        of_base = VectorCache(cache, model, evaluator.precision) if cache and not strength else None
        found[strength] = evaluator.measured(model, metric, f"dev, strength {strength:g}", of_base)
    best = max(found, key=lambda strength: (evaluator.overall(found[strength]), -strength))
    blend.at(best)
    return best, found
