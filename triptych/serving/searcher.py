"""Search as the verdicts say: dense, fused with BM25, reranked by late interaction and a reranker, where they help."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow.compute as pc

from triptych.artifacts import dvc_hash, intact
from triptych.corpus.records import Chunk, Query, Run, best
from triptych.errors import ArtifactError, UserError
from triptych.evaluation.verdict import RerankingVerdict, Verdicts
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.late_interaction import late_scores
from triptych.retrieval.quantization import truncated
from triptych.retrieval.rankings import drop_unmatched, to_run
from triptych.retrieval.reranking import Reranking
from triptych.serving.numpy_encoder import NumpyEncoder, Role, TorchEncoder
from triptych.serving.search_index import IndexSettings, open_index, open_tokens
from triptych.serving.snippets import Snippet, snippet
from triptych.threads import one_thread

CARD = "README.md"  # of a saved model; no vector depends on it


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk with its score in each search step that ranked it, in the order of the steps."""

    chunk: Chunk
    snippet: Snippet
    scores: dict[str, float]
    written_question: str | None = None  # nearer to the question than the text, where written questions are searched

    @property
    def score(self) -> float:
        """The score of the last step, by which hits are ranked."""
        return list(self.scores.values())[-1]

    def metadata(self) -> dict[str, Any]:
        """Return the hit's metadata and scores, without content and id."""
        fields = ("category", "title", "header_path", "filename")
        return {name: getattr(self.chunk, name) for name in fields} | {"score": self.score, "scores": self.scores}

    def record(self) -> dict[str, Any]:
        """Return the hit as a dict that JSON can represent."""
        chunk = {"chunk_id": self.chunk.chunk_id, "content": self.chunk.content}
        found_by = {"written_question": self.written_question} if self.written_question is not None else {}
        return chunk | self.metadata() | {"snippet": asdict(self.snippet)} | found_by


class Searcher:
    """Finds chunks for questions, with the published embedder and the index that was built with it.

    Opening takes a second, a question a few milliseconds; a reranker takes longer. Several threads may use one.
    """

    def __init__(
        self,
        index: str | Path = "data/index",
        embedder: str | Path = "models/embedder",
        reranker: str | Path = "models/reranker",
        verdict: str | Path = "metrics/verdict.json",
    ) -> None:
        """Open index, models and verdicts; raise `UserError` where one is missing or they do not fit together."""
        self._index, self._embedder, self._reranker = Path(index), Path(embedder), Path(reranker)
        self._loading, self._scoring = Lock(), Lock()  # the reranker's tokenizer serves one thread at a time
        self._settings = IndexSettings.read(Path(index))
        self._check_embedder(Path(index))
        self._verdicts = verdicts = Verdicts.read(Path(verdict))
        fusion = verdicts.fusion
        self._fusion = Fusion(fusion.method, fusion.dense_weight) if fusion.dense_weight < 1.0 else None
        self._late, self._reranking = (_reranking(one) for one in (verdicts.late_interaction, verdicts.reranker))
        self._vectors, self._lexical, self._texts, self._windows, self._written = open_index(
            Path(index), self._settings
        )
        if self._vectors.has_questions != verdicts.questions:
            has = "has" if self._vectors.has_questions else "has no"
            raise ArtifactError(Path(index), f"{has} vectors of written questions, against what {verdict} says")
        if self._late.weight:
            if not self._settings.tokens:
                raise ArtifactError(Path(index), f"has no token vectors, which {verdict} requires")
            self._tokens = open_tokens(Path(index), len(self._texts))

    @cached_property
    def categories(self) -> list[str]:
        """The categories that a search can be restricted to, sorted."""
        return sorted(pc.unique(self._texts.category).to_pylist())

    @property
    def depth(self) -> int:
        """The most hits that a search returns; the verdicts hold for these only."""
        return self._settings.depth

    @property
    def dimensions(self) -> int | None:
        """The number of a vector's first dimensions that the index keeps; None: all."""
        return self._settings.dimensions

    @property
    def prompts(self) -> dict[Role, str]:
        """What the embedder puts before a text, by role."""
        return self._loaded_encoder().prompts

    @property
    def no_reranker(self) -> str | None:
        """Why searches use no reranker; None if they use one."""
        return None if self._reranking.weight else self._verdicts.reranker.reason

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self._texts)

    def warm(self) -> None:
        """Load the models, so that the first question does not wait for them; raise `UserError` if one is missing."""
        self.search("warm")

    def encode(self, texts: Sequence[str], role: Role) -> np.ndarray:
        """Encode at least one text as the embedder does: float32 of shape (texts, dimensions), rows of length 1."""
        with one_thread():
            return np.asarray(self._loaded_encoder().encode(texts, role), np.float32)

    def token_counts(self, texts: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens `encode` reads of each text."""
        return self._loaded_encoder().token_counts(texts, role)

    def relevance(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score pairs of question and passage with the reranker; raise `UserError` if none was promoted."""
        if self.no_reranker is not None:
            raise UserError(f"no reranker was promoted: {self.no_reranker}")
        with self._scoring:
            scores: list[float] = self._cross_encoder.predict(list(pairs), show_progress_bar=False).tolist()
        return scores

    def read(self, chunk_id: str, around: int = 0) -> list[Chunk]:
        """Return a chunk with up to ``around`` chunks of its file before and after it, in the order of the file.

        Raise `UserError` if there is no such chunk.
        """
        if chunk_id not in self._texts.chunk_ids:
            raise UserError(f"no chunk has the id {chunk_id!r}; take a chunk_id from the hits of a search")
        row = self._texts.chunk_ids.index(chunk_id)
        rows = range(max(0, row - around), min(len(self._texts), row + around + 1))
        chunks = {one: chunk for one, (chunk, _) in self._texts.rows(rows).items()}
        first = last = row
        while first - 1 in chunks and chunks[first - 1].filename == chunks[row].filename:
            first -= 1
        while last + 1 in chunks and chunks[last + 1].filename == chunks[row].filename:
            last += 1
        return [chunks[one] for one in range(first, last + 1)]

    def check(self, questions: Sequence[str], k: int = 10, category: str | None = None) -> None:
        """Raise `UserError` on an empty question, a category that no chunk has, and a k out of range.

        A k is out of range above ``evaluate.depth``: the verdicts hold for so many hits only.
        """
        if not 1 <= k <= self.depth:
            raise UserError(f"k must be 1 to {self.depth} (evaluate.depth), got {k}")
        for number, question in enumerate(questions, start=1):
            if not question.strip():
                which = f"question {number} of {len(questions)}" if len(questions) > 1 else "the question"
                raise UserError(f"{which} is empty; ask something")
        if category is not None and category not in self.categories:
            raise UserError(f"no chunk has the category {category!r}; known are {', '.join(self.categories)}")

    def search(self, question: str, k: int = 10, category: str | None = None) -> list[Hit]:
        """Return the ``k`` best chunks for a question, best first, from one category or from all."""
        return self.search_all([question], k, category)[0]

    def search_all(self, questions: Sequence[str], k: int = 10, category: str | None = None) -> list[list[Hit]]:
        """Return the ``k`` best chunks for each question; see `search` and `check`."""
        self.check(questions, k, category)
        if not questions:
            return []
        questions = [unicodedata.normalize("NFC", question) for question in questions]  # as the texts are
        with one_thread():
            return self._found(questions, k, category)

    def _found(self, questions: list[str], k: int, category: str | None) -> list[list[Hit]]:
        among, depth = self._rows(category), self._settings.depth
        queries = [Query(str(number), question, "user", "") for number, question in enumerate(questions)]
        vectors = self.query_vectors(questions)
        with intact(self._index):  # not all damage is found when an index is opened
            rows, scores = self._vectors.search(vectors, depth, among)
        steps = {"dense": to_run(queries, self._texts.chunk_ids, rows, scores, depth)}
        if self._fusion is not None:
            with intact(self._index):
                lexical_rows, scores = self._lexical.search(questions, depth, among)
            steps["bm25"] = drop_unmatched(to_run(queries, self._texts.chunk_ids, lexical_rows, scores, depth))
            steps["hybrid"] = self._fusion.fuse(steps["dense"], steps["bm25"], depth)
            rows = np.concatenate([rows, lexical_rows], axis=1)
        row_of = {self._texts.chunk_ids[row]: row for row in np.unique(rows).tolist()}
        if self._late.weight:
            self._late_interaction(queries, steps, row_of)
        if self._reranking.weight:
            self._rerank(queries, vectors, steps, row_of)
        *_, last = steps.values()
        return [
            self._hits(query, vector, list(last[query.query_id])[:k], steps, row_of)
            for query, vector in zip(queries, vectors, strict=True)
        ]

    def query_vectors(self, questions: Sequence[str]) -> np.ndarray:
        """Encode questions as a search does: float32 of shape (questions, dimensions of the index), of length 1."""
        texts = [unicodedata.normalize("NFC", question) for question in questions]  # as those of the index are
        return truncated(self._loaded_encoder().encode(texts), self._settings.dimensions)

    def _hits(
        self,
        query: Query,
        vector: np.ndarray,
        chunk_ids: list[str],
        steps: dict[str, Run],
        row_of: dict[str, int],
    ) -> list[Hit]:
        texts = self._texts.rows([row_of[one] for one in chunk_ids])
        found = [one for one in chunk_ids if one in steps["dense"][query.query_id]]  # else by its words, anywhere
        window_of = self._closest_windows(vector, found, row_of)
        hits = []
        for one in chunk_ids:
            chunk, _ = texts[row_of[one]]
            within = None
            if self._windows is not None and one in window_of:
                within = self._windows.span(window_of[one], chunk.content)
            shown = snippet(chunk.content, query.text, language=self._settings.language, within=within)
            scores = {step: run[query.query_id][one] for step, run in steps.items() if one in run[query.query_id]}
            hits.append(Hit(chunk, shown, scores, self._written_question(vector, row_of[one])))
        return hits

    def _written_question(self, vector: np.ndarray, row: int) -> str | None:
        question = self._vectors.best_question(vector, row)
        return None if question is None else self._written.text(question)

    def _closest_windows(self, vector: np.ndarray, chunk_ids: list[str], row_of: dict[str, int]) -> dict[str, int]:
        """Return the window of each chunk that is closest to a question; nothing where chunks have one window each."""
        if self._windows is None or not chunk_ids:
            return {}
        rows = self._vectors.best_windows(vector, np.array([row_of[one] for one in chunk_ids]))
        return dict(zip(chunk_ids, rows.tolist(), strict=True))

    def _late_interaction(self, queries: list[Query], steps: dict[str, Run], row_of: dict[str, int]) -> None:
        """Rerank the top hits of the last step by late interaction (MaxSim)."""
        *_, before = steps.values()
        token_vectors = self._loaded_encoder().tokens([query.text for query in queries])
        questions = {query.query_id: tokens for query, tokens in zip(queries, token_vectors, strict=True)}
        steps["maxsim"] = late_scores(before, questions, self._tokens, row_of, self._late.depth)
        steps["late"] = self._late.rerank(before, steps["maxsim"])

    def _rerank(self, queries: list[Query], vectors: np.ndarray, steps: dict[str, Run], row_of: dict[str, int]) -> None:
        """Rerank the top hits of the last step by a cross-encoder, which reads the window that was found."""
        *_, before = steps.values()
        top = {query: best(hits, self._reranking.depth) for query, hits in before.items()}
        texts = self._texts.rows([row_of[chunk] for hits in top.values() for chunk in hits])
        pairs = []
        for query, vector in zip(queries, vectors, strict=True):
            chunk_ids = list(top[query.query_id])
            window_of = self._closest_windows(vector, chunk_ids, row_of)
            for chunk in chunk_ids:
                window = self._windows[window_of[chunk]] if self._windows is not None else None
                pairs.append((query.text, texts[row_of[chunk]][1] if window is None else window.text))
        scores = iter(self.relevance(pairs))
        steps["reranker"] = {
            query.query_id: {chunk: next(scores) for chunk in top[query.query_id]} for query in queries
        }
        steps["reranked"] = self._reranking.rerank(before, steps["reranker"])

    def _rows(self, category: str | None) -> np.ndarray | None:
        if category is None:
            return None
        return np.flatnonzero(pc.equal(self._texts.category, category).to_numpy())

    def _check_embedder(self, index: Path) -> None:
        if not (self._embedder / "modules.json").exists():
            raise ArtifactError(self._embedder, "is missing")
        actual = dvc_hash(self._embedder, CARD)
        if actual != self._settings.embedder:
            raise ArtifactError(
                index,
                f"was built with another embedder (hash {self._settings.embedder[:12]}) than {self._embedder}"
                f" (hash {actual[:12]})",
            )

    def _loaded_encoder(self) -> NumpyEncoder | TorchEncoder:
        with self._loading:  # once, whichever thread comes first
            return self._encoder

    @cached_property
    def _encoder(self) -> NumpyEncoder | TorchEncoder:
        if self._settings.numpy_encoder is not None:
            return NumpyEncoder(self._embedder, self._settings.numpy_encoder)
        return TorchEncoder(self._embedder)

    @cached_property
    def _cross_encoder(self) -> Any:
        from sentence_transformers import CrossEncoder

        if not (self._reranker / "config.json").exists():
            raise ArtifactError(self._reranker, "is missing")
        with intact(self._reranker):
            return CrossEncoder(str(self._reranker), model_kwargs={"use_safetensors": True})


def _reranking(verdict: RerankingVerdict) -> Reranking:
    """Return how to rerank; at weight 0, which is not at all, where the verdict is against it."""
    if not verdict.used or verdict.reranking is None:
        return Reranking(0, 0.0)
    return Reranking(verdict.reranking.depth, verdict.reranking.weight)
