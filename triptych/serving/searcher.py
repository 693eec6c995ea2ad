"""Search as the verdict says: dense, with BM25 where it helps, ordered anew by late interaction and reranker."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from triptych.artifacts import dvc_hash, intact, read_json
from triptych.corpus.records import Chunk, Query, Run, best
from triptych.errors import ArtifactError, UserError
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.late_interaction import late_scores
from triptych.retrieval.rankings import drop_unmatched, to_run
from triptych.retrieval.reranking import Reranking
from triptych.serving.numpy_encoder import NumpyEncoder, TorchEncoder
from triptych.serving.search_index import IndexSettings, open_index, open_tokens
from triptych.serving.snippets import Snippet, snippet

CARD = "README.md"  # of a saved model: words, which decide no vector


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found, with its score in each step that saw it, in order; the last one decided its place."""

    chunk: Chunk
    snippet: Snippet
    scores: dict[str, float]

    @property
    def score(self) -> float:
        """The score that decided."""
        return list(self.scores.values())[-1]

    def metadata(self) -> dict[str, Any]:
        """Return what is known of the hit beside its content and its id."""
        of_chunk = ("category", "title", "header_path", "filename")
        return {name: getattr(self.chunk, name) for name in of_chunk} | {"score": self.score, "scores": self.scores}

    def record(self) -> dict[str, Any]:
        """Return the hit for a program, as JSON takes it."""
        chunk = {"chunk_id": self.chunk.chunk_id, "content": self.chunk.content}
        return chunk | self.metadata() | {"snippet": asdict(self.snippet)}


class Searcher:
    """Finds chunks for questions, with the published embedder and the index that was made with it.

    Opening one takes a second, a question a few milliseconds; a reranker takes longer.
    """

    def __init__(
        self,
        index: str | Path = "data/index",
        embedder: str | Path = "models/embedder",
        reranker: str | Path = "models/reranker",
        verdict: str | Path = "metrics/verdict.json",
    ) -> None:
        """Open what the stages left; raise `UserError` where it is missing or does not fit together."""
        self._embedder, self._reranker = Path(embedder), Path(reranker)
        self._settings = IndexSettings.read(Path(index))
        self._check_embedder(Path(index))
        with intact(Path(verdict)):
            decided = read_json(Path(verdict))
            self._fusion = Fusion(**decided["hybrid"]["fusion"]) if decided["hybrid"]["used"] else None
            self._late, self._reranking = (_way(decided.get(name)) for name in ("late_interaction", "reranker"))
        self._vectors, self._words, self._texts = open_index(Path(index), self._settings)
        if self._late.weight:
            if not self._settings.tokens:
                raise ArtifactError(Path(index), f"has no token vectors, which {verdict} asks for")
            self._tokens = open_tokens(Path(index), len(self._texts))

    @property
    def categories(self) -> list[str]:
        """The categories that a search can be kept to, sorted."""
        return sorted(pc.unique(self._texts.category).to_pylist())

    def search(self, question: str, k: int = 10, category: str | None = None) -> list[Hit]:
        """Return the ``k`` best chunks for a question, best first, of one category or of all."""
        return self.search_all([question], k, category)[0]

    def search_all(self, questions: Sequence[str], k: int = 10, category: str | None = None) -> list[list[Hit]]:
        """Return the ``k`` best chunks for each of some questions; see `search`.

        Raise `UserError` on a question without a word, a category that no chunk has, and a k that is none: hits beyond
        the depth that the verdict was given for would be fused otherwise.
        """
        if not 1 <= k <= self._settings.depth:
            raise UserError(f"k must be 1 to {self._settings.depth} (evaluate.depth), got {k}")
        for number, question in enumerate(questions, start=1):
            if not question.strip():
                which = f"question {number} of {len(questions)}" if len(questions) > 1 else "the question"
                raise UserError(f"{which} is empty; ask something")
        if not questions:
            return []
        among, depth = self._rows(category), self._settings.depth
        asked = [Query(str(number), question, "user", "") for number, question in enumerate(questions)]
        rows, scores = self._vectors.search(self._encoder.encode(questions), depth, among)
        steps = {"dense": to_run(asked, self._texts.chunk_ids, rows, scores, depth)}
        if self._fusion is not None:
            rows_of_words, scores = self._words.search(questions, depth, among)
            steps["bm25"] = drop_unmatched(to_run(asked, self._texts.chunk_ids, rows_of_words, scores, depth))
            steps["hybrid"] = self._fusion.fuse(steps["dense"], steps["bm25"], depth)
            rows = np.concatenate([rows, rows_of_words], axis=1)
        row_of = {self._texts.chunk_ids[row]: row for row in np.unique(rows).tolist()}
        if self._late.weight:
            self._interact(asked, steps, row_of)
        if self._reranking.weight:
            self._rerank(asked, steps, row_of)
        *_, last = steps.values()
        return [self._hits(query, list(last[query.query_id])[:k], steps, row_of) for query in asked]

    def _hits(self, query: Query, chosen: list[str], steps: dict[str, Run], row_of: dict[str, int]) -> list[Hit]:
        texts = self._texts.rows([row_of[one] for one in chosen])
        return [
            Hit(
                chunk := texts[row_of[one]][0],
                snippet(chunk.content, query.text),
                {step: run[query.query_id][one] for step, run in steps.items() if one in run[query.query_id]},
            )
            for one in chosen
        ]

    def _interact(self, asked: list[Query], steps: dict[str, Run], row_of: dict[str, int]) -> None:
        """Let the tokens of question and passage meet, and order the first hits of the last step by both scores."""
        *_, before = steps.values()
        of_tokens = self._encoder.tokens([query.text for query in asked])
        questions = {query.query_id: tokens for query, tokens in zip(asked, of_tokens, strict=True)}
        steps["maxsim"] = late_scores(before, questions, self._tokens, row_of, self._late.depth)
        steps["late"] = self._late.rerank(before, steps["maxsim"])

    def _rerank(self, asked: list[Query], steps: dict[str, Run], row_of: dict[str, int]) -> None:
        """Let a cross-encoder score the first hits of the last step, and order them by both."""
        *_, before = steps.values()
        first = {one: best(hits, self._reranking.depth) for one, hits in before.items()}
        texts = self._texts.rows([row_of[chunk] for hits in first.values() for chunk in hits])
        pairs = [(query.text, texts[row_of[chunk]][1]) for query in asked for chunk in first[query.query_id]]
        said = iter(self._cross_encoder.predict(pairs, show_progress_bar=False).tolist())
        steps["reranker"] = {query.query_id: {chunk: next(said) for chunk in first[query.query_id]} for query in asked}
        steps["reranked"] = self._reranking.rerank(before, steps["reranker"])

    def _rows(self, category: str | None) -> np.ndarray | None:
        if category is None:
            return None
        rows = np.flatnonzero(pc.equal(self._texts.category, category).to_numpy())
        if not len(rows):
            raise UserError(f"no chunk has the category {category!r}; known are {', '.join(self.categories)}")
        return rows

    def _check_embedder(self, index: Path) -> None:
        if not (self._embedder / "modules.json").exists():
            raise ArtifactError(self._embedder, "is missing")
        found = dvc_hash(self._embedder, CARD)
        if found != self._settings.embedder:
            raise ArtifactError(
                index,
                f"was made with another embedder (hash {self._settings.embedder[:12]}) than {self._embedder}"
                f" (hash {found[:12]})",
            )

    @cached_property
    def _encoder(self) -> NumpyEncoder | TorchEncoder:
        if self._settings.light is not None:
            return NumpyEncoder(self._embedder, self._settings.light)
        return TorchEncoder(self._embedder)

    @cached_property
    def _cross_encoder(self) -> Any:
        from sentence_transformers import CrossEncoder

        if not (self._reranker / "config.json").exists():
            raise ArtifactError(self._reranker, "is missing")
        return CrossEncoder(str(self._reranker))


def _way(judged: dict[str, Any] | None) -> Reranking:
    """Return how hits are ordered anew by what the verdict says of it: not at all where it is not used."""
    if not judged or not judged["used"]:
        return Reranking(0, 0.0)
    return Reranking(int(judged["way"]["depth"]), float(judged["way"]["weight"]))
