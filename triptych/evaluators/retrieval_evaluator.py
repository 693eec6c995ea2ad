"""Rank all chunks for the queries of a split with a model, evaluate it, and choose the strength of tuning on dev."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.language import ENGLISH, read_language
from triptych.corpus.records import ALL, Chunk, Qrels, Query, Run, read_chunks, read_qrels, read_queries
from triptych.encoding.encode_texts import encode
from triptych.encoding.encode_windows import Closest, closest_windows
from triptych.encoding.frozen_passages import FrozenPassages
from triptych.encoding.vector_cache import VectorCache
from triptych.evaluation.metrics import mean, per_query, triplet_metrics
from triptych.evaluators.chunk_vectors import ChunkVectors
from triptych.ids import TextIds, Vectors
from triptych.models.adapter import Blend
from triptych.models.loading import device
from triptych.models.precision import Precision, resolve_precision
from triptych.retrieval.best_windows import WindowVectors
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run, search_depth, to_run
from triptych.tokens.token_store import TokenStore
from triptych.triplets.difficulty import Similarities
from triptych.triplets.examples import Examples, QuestionIds, read_passage_ids, read_query_text_ids, read_question_ids
from triptych.triplets.negatives import TIERS

# Strengths between the base and the strongest rank only the best chunks of those two for each dev query, as many as
# this times the depth of the metric, by the windows that those two found best: every metric was that of a search among
# all (docs/benchmarks.md).
_POOL = 2


@dataclass(frozen=True, slots=True)
class RetrievalEvaluator:
    """The queries of some splits, with all chunks and their tokens."""

    chunks: list[Chunk]
    passage_ids: TextIds  # of each chunk's passage
    queries: list[Query]
    query_text_ids: TextIds  # of each query
    qrels: Qrels
    store: TokenStore
    precision: Precision
    language: str = ENGLISH  # two-letter code
    questions: QuestionIds = field(default_factory=QuestionIds.none)  # written for the chunks
    vectors_folder: Path | None = None  # of the cache of vectors that is used where no other is given
    window_ids: TextIds | None = None  # of the only windows that are searched; None: all
    frozen: FrozenPassages | None = None  # where queries alone are encoded by the model that is evaluated

    def cache(self, model: SentenceTransformer) -> VectorCache | None:
        """Return the cache of a model's vectors; None without ``vectors_folder``."""
        return VectorCache(self.vectors_folder, model, self.precision) if self.vectors_folder else None

    def among(self, window_ids: TextIds) -> "RetrievalEvaluator":
        """Return an evaluator that ranks only the chunks that some windows belong to, by these windows alone."""
        windows, position = self.store.windows_of(self.passage_ids)
        rows = np.unique(position[np.isin(windows, window_ids)])
        return replace(
            self,
            chunks=[self.chunks[row] for row in rows.tolist()],
            passage_ids=TextIds(self.passage_ids[rows]),
            questions=QuestionIds.none(),
            window_ids=window_ids,
        )

    def vectors(
        self,
        model: SentenceTransformer,
        label: str,
        cache: VectorCache | None = None,
        *,
        windows: bool = False,
        questions: bool = False,
    ) -> ChunkVectors:
        """Encode all chunks by their beginnings or ``windows``, the ``questions`` written for them, and the queries.

        Where passages are `frozen`, only questions and queries are encoded.
        """
        cache = cache or self.cache(model)

        def encoded(text_ids: TextIds) -> Vectors:
            return encode(model, self.store, text_ids, self.precision, label, cache)

        text_ids, chunk_of_window = self.passage_ids, np.arange(len(self.passage_ids))
        if windows:
            text_ids, chunk_of_window = self.store.windows_of(self.passage_ids)
        if self.window_ids is not None:
            kept = np.isin(text_ids, self.window_ids)
            text_ids, chunk_of_window = TextIds(text_ids[kept]), chunk_of_window[kept]
        written = self.questions if questions else QuestionIds.none()
        of_windows = self.frozen.of(text_ids) if self.frozen else encoded(text_ids)
        of_questions = encoded(written.text) if len(written) else Vectors(of_windows[:0])
        return ChunkVectors(of_windows, chunk_of_window, of_questions, written.chunk, encoded(self.query_text_ids))

    def run_of(self, vectors: ChunkVectors, depth: int) -> Run:
        """Rank all chunks for each query by their vectors; return the best ``depth``."""
        rows, scores = vectors.search(search_depth(self.queries, depth))
        return to_run(self.queries, [chunk.chunk_id for chunk in self.chunks], rows, scores, depth)

    def dense_run(
        self,
        model: SentenceTransformer,
        depth: int,
        label: str,
        cache: VectorCache | None = None,
        *,
        windows: bool = False,
    ) -> Run:
        """Rank all chunks for each query by their beginnings or ``windows``; return the best ``depth``."""
        return self.run_of(self.vectors(model, label, cache, windows=windows), depth)

    def measured(
        self, model: SentenceTransformer, metric: str, label: str, cache: VectorCache | None = None
    ) -> dict[str, float]:
        """Return category → metric of a model, one of `triptych.evaluation.metrics.METRICS`, by windows."""
        return self.by_category(self.dev_run(model, int(metric.rpartition("@")[2]), label, cache), metric)

    def dev_run(self, model: SentenceTransformer, depth: int, label: str, cache: VectorCache | None = None) -> Run:
        """Rank all chunks as they are ranked where weights are chosen: by windows."""
        return self.dense_run(model, depth, label, cache, windows=self.has_windows)

    def dev_windows(
        self, model: SentenceTransformer, depth: int, label: str, cache: VectorCache | None = None
    ) -> tuple[Run, TextIds]:
        """Do the same; return the windows too that answer best in the hits and the relevant chunks, by text id."""
        vectors = self.vectors(model, label, cache, windows=self.has_windows)
        run = self.run_of(vectors, depth)
        row_of = {chunk.chunk_id: row for row, chunk in enumerate(self.chunks)}
        wanted = [[*run[query.query_id], *self.qrels[query.query_id]] for query in self.queries]
        queries = np.repeat(np.arange(len(wanted)), [len(chunk_ids) for chunk_ids in wanted])
        rows = np.array([row_of[chunk_id] for chunk_ids in wanted for chunk_id in chunk_ids], np.int64)
        of_chunks = WindowVectors.of(vectors.windows, vectors.chunk_of_window, len(self.chunks))
        best, _ = of_chunks.best(vectors.queries, queries, rows)
        window_ids = self.store.windows_of(self.passage_ids)[0] if self.has_windows else self.passage_ids
        return run, TextIds(np.unique(window_ids[best]))

    def by_category(self, run: Run, metric: str) -> dict[str, float]:
        """Return category → metric of a run."""
        found = per_query(self.qrels, run)[metric]
        of: dict[str, list[str]] = defaultdict(list)
        for query in self.queries:
            of[query.category].append(query.query_id)
        return {category: mean(found, queries) for category, queries in sorted(of.items())}

    def overall(self, measured: dict[str, float]) -> float:
        """Return the mean over all queries of the means by category that `measured` returns."""
        times = Counter(query.category for query in self.queries)
        return math.fsum(measured[name] * times[name] for name in measured) / times.total()

    def text_of_query(self) -> dict[str, int]:
        """Return query id → text id."""
        return dict(zip((query.query_id for query in self.queries), self.query_text_ids.tolist(), strict=True))

    @property
    def has_windows(self) -> bool:
        """Whether any passage is longer than the model's cut, and was cut into windows."""
        return len(self.store.windows_of(self.passage_ids)[0]) > len(self.passage_ids)

    def closest_windows(self, model: SentenceTransformer) -> Closest:
        """Return which windows of passages a model finds closest to queries."""
        return lambda queries, passages: closest_windows(
            model, self.store, queries, passages, self.precision, "evaluate: windows", frozen=self.frozen
        )

    def text_of_chunk(self) -> dict[str, int]:
        """Return chunk id → text id of its passage."""
        return dict(zip((chunk.chunk_id for chunk in self.chunks), self.passage_ids.tolist(), strict=True))

    def lexical_run(self, passage_texts: list[str], depth: int) -> Run:
        """Rank all chunks for each query by BM25, but for chunks without a term of the query."""
        index = LexicalIndex([chunk.chunk_id for chunk in self.chunks], passage_texts, self.language)
        return lexical_run(index, self.queries, depth)


def similarities(
    model: SentenceTransformer,
    store: TokenStore,
    passage_ids: TextIds,
    precision: Precision,
    *profiles: Examples,
    cache: VectorCache | None = None,
    frozen: FrozenPassages | None = None,
) -> list[Similarities]:
    """Encode the distinct texts of examples and their pools, and compare each anchor to its positive and negatives.

    A positive or negative with several windows is compared by the one that is closest to the anchor. ``frozen`` has
    the vectors of passages where anchors alone are encoded by ``model``.
    """
    anchors = np.unique(np.concatenate([one.anchor for one in profiles]))
    passages = np.unique(
        np.concatenate([part for one in profiles for part in (one.positive, passage_ids[one.pool.chunk])])
    )
    window_ids, position = store.windows_of(passages)
    text_ids = anchors if frozen else np.unique(np.concatenate([anchors, window_ids]))
    vectors = encode(model, store, text_ids, precision, "triplets", cache)
    of_windows = frozen.of(window_ids) if frozen else Vectors(vectors[np.searchsorted(text_ids, window_ids)])
    windows = WindowVectors.of(of_windows, position, len(passages))

    def cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return windows.best(vectors, np.searchsorted(text_ids, left), np.searchsorted(passages, right))[1]

    return [
        Similarities(
            cosine(one.anchor, one.positive),
            cosine(one.anchor[one.pool.anchors], passage_ids[one.pool.chunk]),
        )
        for one in profiles
    ]


def held_out_triplet_metrics(
    model: SentenceTransformer, evaluator: RetrievalEvaluator, examples: Examples
) -> list[dict[str, Any]]:
    """Return triplet metrics of a model: a row for each category and tier, and for all categories and all tiers."""
    pool = examples.pool
    cache, frozen = evaluator.cache(model), evaluator.frozen
    (cosines,) = similarities(
        model, evaluator.store, evaluator.passage_ids, evaluator.precision, examples, cache=cache, frozen=frozen
    )
    positive, negative = cosines.positive[pool.anchors], cosines.negative
    category, tier = np.array(examples.categories)[examples.category[pool.anchors]], np.array(TIERS)[pool.tier]
    rows: list[dict[str, Any]] = []
    for name in [ALL, *examples.categories]:
        for level in [ALL, *TIERS]:
            chosen = ((category == name) | (name == ALL)) & ((tier == level) | (level == ALL))
            if chosen.any():
                metrics = triplet_metrics(positive[chosen], negative[chosen])
                rows.append({"category": name, "tier": level, "triplets": int(chosen.sum())} | metrics)
    return rows


def load_evaluator(
    corpus: Path,
    texts: Path,
    splits: Sequence[str],
    store: TokenStore,
    precision: str,
    vectors_folder: Path | None = None,
) -> RetrievalEvaluator:
    """Read the queries of some splits, their qrels, and all chunks."""
    qrels = {
        query: judged for split in splits for query, judged in read_qrels(corpus / "qrels" / f"{split}.tsv").items()
    }
    queries = read_queries(corpus)
    text_ids = read_query_text_ids(texts)
    return RetrievalEvaluator(
        chunks=read_chunks(corpus / "chunks.parquet"),
        passage_ids=read_passage_ids(texts),
        queries=[queries[query_id] for query_id in qrels],
        query_text_ids=TextIds(np.array([text_ids[query_id] for query_id in qrels])),
        qrels=qrels,
        store=store,
        precision=resolve_precision(precision, device()),
        language=read_language(corpus),
        questions=read_question_ids(texts),
        vectors_folder=vectors_folder,
    )


def choose_strength(
    blend: Blend, strengths: list[float], evaluator: RetrievalEvaluator, metric: str, cache: Path | None = None
) -> tuple[float, dict[float, dict[str, float]]]:
    """Return the strength with the best metric on dev and the metric of each, by category; of equals the weaker.

    0, the base model, is always among them, so that on dev a choice is never worse than the base. The strengths between
    it and the strongest rank only what either of those ranks among its best, and what is relevant, by the windows that
    answer best: a chunk that is far down for both is not among the best of their blend. Vectors are read from ``cache``
    and added to it, for the stages that encode with the same weights.
    """
    strongest, depth = max(strengths, default=0.0), _POOL * int(metric.rpartition("@")[2])
    found, windows = {}, [TextIds(np.empty(0, np.int64))]

    def of(strength: float) -> tuple[SentenceTransformer, str, VectorCache | None]:
        model = blend.at(strength)
        vectors = VectorCache(cache, model, evaluator.precision) if cache else None
        return model, f"dev, strength {strength:g}", vectors

    for strength in sorted({0.0, strongest}):
        model, label, vectors = of(strength)
        run, best_windows = evaluator.dev_windows(model, depth, label, vectors)
        found[strength] = evaluator.by_category(run, metric)
        windows.append(best_windows)
    among_best = evaluator.among(TextIds(np.unique(np.concatenate(windows))))
    for strength in sorted(set(strengths) - found.keys()):
        model, label, vectors = of(strength)
        found[strength] = among_best.measured(model, metric, label, vectors)
    best = max(found, key=lambda strength: (evaluator.overall(found[strength]), -strength))
    return best, dict(sorted(found.items()))
