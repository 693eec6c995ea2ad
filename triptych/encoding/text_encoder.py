"""Encode plain texts with a saved embedder, and search chunks with it; no stage's token store is needed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import FramedText
from triptych.corpus.records import Query, Run
from triptych.encoding.encode_texts import encode
from triptych.encoding.encode_tokens import encode_tokens
from triptych.encoding.token_vector_cache import TokenVectorCache
from triptych.encoding.vector_cache import VectorCache
from triptych.errors import ArtifactError, UserError
from triptych.ids import Vectors
from triptych.models.loading import device, load_base
from triptych.models.precision import resolve_precision
from triptych.models.two_sided import sides_of
from triptych.models.weight_form import saved_form
from triptych.params.sections import Model
from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.late_interaction import TokenVectors
from triptych.retrieval.rankings import search_depth, to_run
from triptych.retrieval.windows import ChunkSearch, IndexedQuestions
from triptych.tokens.token_store import TokenStore, pack
from triptych.tokens.tokenizing import tokenize, truncate
from triptych.tokens.windows import WindowCutter

_BLOCK = 500_000  # tokens whose vectors are in memory at once

Role = Literal["query", "document"]  # as sentence-transformers names a model's prompts


def load_saved(folder: Path) -> SentenceTransformer:
    """Load an embedder that was saved with its prompts, such as ``models/embedder``, in the dtype it was saved in.

    Raise `UserError` where it encodes queries and passages by two models; `load_sides` loads both.
    """
    queries, passages = load_sides(folder)
    if queries is not passages:
        raise UserError(f"{folder} has a model for queries and one for passages (train.sides: query), not one for both")
    return queries


def load_sides(folder: Path) -> tuple[SentenceTransformer, SentenceTransformer]:
    """Load the models of queries and of passages of a saved embedder: the same one, unless queries alone were tuned."""
    if not (folder / "modules.json").exists():
        raise ArtifactError(folder, "does not contain a saved embedder (modules.json)")
    path = folder.resolve().as_posix()
    return sides_of(load_base(Model(base=path), weights=saved_form(folder)))


def prompt_of(model: SentenceTransformer, role: Role) -> str:
    """Return the prompt that a model puts before texts of a role; empty if it has none."""
    return (model.prompts or {}).get(role) or ""


def tokenized(model: SentenceTransformer, texts: Sequence[str], role: Role) -> TokenStore:
    """Return the token ids of texts as a model reads them: after its prompt, truncated at its ``max_seq_length``.

    The text id of each is its position in ``texts``.
    """
    tokenizer, prompt = model.tokenizer, prompt_of(model, role)
    rows = tokenize(tokenizer, [prompt + text for text in texts])
    max_length = model.max_seq_length or int(rows.lengths.max())
    metadata = {
        "max_length": max_length,
        "pad_token_id": tokenizer.pad_token_id,
        "padding_side": tokenizer.padding_side,
    }
    return pack(truncate(tokenizer, rows, max_length), metadata)


class TextEncoder:
    """Encodes texts as the saved embedder itself does: with its prompts, truncation and normalization."""

    def __init__(
        self, model: SentenceTransformer, precision: str, label: str, passages: SentenceTransformer | None = None
    ) -> None:
        """``passages`` is the model of passages, where ``model`` is that of queries alone."""
        self._model, self._passages, self._label = model, passages or model, label
        self._precision = resolve_precision(precision, device())

    def queries(self, texts: Sequence[str]) -> Vectors:
        """Encode queries: float32 of shape (texts, dimensions), rows of length 1."""
        return self._encode(texts, "query", None)

    def questions(self, texts: Sequence[str], cache_folder: Path) -> Vectors:
        """Encode written questions, as queries are; ``cache_folder`` is used as by `passages`."""
        if not texts:
            return Vectors(np.empty((0, self._model.get_embedding_dimension() or 0), np.float32))
        return self._encode(texts, "query", VectorCache(cache_folder, self._model, self._precision))

    def passages(self, texts: Sequence[str], cache_folder: Path) -> Vectors:
        """Encode passages likewise; vectors that ``cache_folder`` contains are read, the others are added to it."""
        return self._encode(texts, "document", VectorCache(cache_folder, self._passages, self._precision))

    def windows(self, texts: Sequence[FramedText], max_windows: int, cache_folder: Path) -> tuple[Vectors, np.ndarray]:
        """Cut passages into windows and encode them; see `window_vectors`."""
        return self.window_vectors(self.cut(texts, max_windows), cache_folder)

    def window_vectors(self, windows: Sequence[Sequence[FramedText]], folder: Path) -> tuple[Vectors, np.ndarray]:
        """Encode the windows of passages likewise; return their vectors, and the passage of each, int64 ascending."""
        texts, passage_of_window = _flat(windows)
        return self.passages(texts, folder), passage_of_window

    def cut(self, texts: Sequence[FramedText], max_windows: int) -> list[list[FramedText]]:
        """Return the windows of each passage, of which the first is the passage itself, as the model truncates it."""
        model, prompt = self._passages, prompt_of(self._passages, "document")
        further: list[list[FramedText]] = [[] for _ in texts]
        if model.max_seq_length and model.tokenizer.is_fast:
            further = WindowCutter(model.tokenizer, prompt, model.max_seq_length, max_windows).framed(texts)
        return [[one, *rest] for one, rest in zip(texts, further, strict=True)]

    def passage_tokens(self, windows: Sequence[Sequence[FramedText]], cache_folder: Path) -> Iterator[TokenVectors]:
        """Yield the token vectors of passages block by block, of all ``windows`` of each, as `cut` returns them.

        ``cache_folder`` is used as by `passages`.
        """
        texts, passage_of_window = _flat(windows)
        store = tokenized(self._passages, texts, "document")
        cache = TokenVectorCache(cache_folder, self._passages, self._precision)
        starts = np.searchsorted(passage_of_window, np.arange(len(windows) + 1))
        block = np.cumsum(np.add.reduceat(store.lengths, starts[:-1])) // _BLOCK
        for rows in np.split(np.arange(len(windows)), np.flatnonzero(np.diff(block)) + 1):
            first, last = starts[rows[0]], starts[rows[-1] + 1]
            label = f"{self._label}: tokens"
            tokens = encode_tokens(self._passages, store, np.arange(first, last), self._precision, label, cache)
            yield tokens.merged(starts[rows[0] : rows[-1] + 2] - first)

    def _encode(self, texts: Sequence[str], role: Role, cache: VectorCache | None) -> Vectors:
        model = self._model if role == "query" else self._passages
        store = tokenized(model, texts, role)
        return encode(model, store, np.arange(len(texts)), self._precision, self._label, cache)


def _flat(windows: Sequence[Sequence[FramedText]]) -> tuple[list[str], np.ndarray]:
    """Return the texts of all windows, passage by passage, and the passage of each."""
    counts = [len(of_passage) for of_passage in windows]
    return [window.text for of_passage in windows for window in of_passage], np.repeat(np.arange(len(counts)), counts)


class Retriever:
    """Ranks chunks for queries by the cosine similarity of an embedder's vectors, those of written questions included.

    The vectors of chunks are cached in ``cache_folder``, so that a second start is quick; ``bytes`` is their size.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        chunk_ids: Sequence[str],
        passages: Sequence[FramedText],
        precision: str,
        cache_folder: Path,
        label: str,
        max_windows: int = 1,
        questions: ChunkQuestions | None = None,
        passage_model: SentenceTransformer | None = None,
    ) -> None:
        """``passage_model`` encodes passages, where ``model`` encodes queries alone."""
        self._encoder, self._chunk_ids = TextEncoder(model, precision, label, passage_model), list(chunk_ids)
        written = questions or ChunkQuestions.none()
        vectors, chunk_of_window = self._encoder.windows(passages, max_windows, cache_folder)
        of_questions = self._encoder.questions(written.texts, cache_folder)
        index = DenseIndex(np.concatenate([vectors, of_questions]))
        self.bytes = vectors.nbytes + of_questions.nbytes
        indexed = IndexedQuestions(written.chunk, index.vectors)
        self._index = ChunkSearch(lambda asked, depth, _: index.search(asked, depth), chunk_of_window, indexed)

    def run(self, queries: Sequence[Query], depth: int) -> Run:
        """Return the best ``depth`` chunks of each query, without those that the query excludes."""
        vectors = self._encoder.queries([query.text for query in queries])
        rows, scores = self._index.search(vectors, search_depth(queries, depth))
        return to_run(queries, self._chunk_ids, rows, scores, depth)
