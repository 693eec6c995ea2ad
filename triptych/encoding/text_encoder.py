"""A saved embedder over chunks, as a user would search with it; no stage's tokens are needed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Query, Run
from triptych.encoding.encode_texts import encode
from triptych.encoding.encode_tokens import encode_tokens
from triptych.encoding.token_vector_cache import TokenCache
from triptych.encoding.vector_cache import VectorCache
from triptych.errors import ArtifactError
from triptych.models.loading import device, load_base
from triptych.models.precision import resolve_precision
from triptych.params.sections import Model
from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.late_interaction import TokenVectors
from triptych.retrieval.rankings import search_depth, to_run
from triptych.tokens.token_store import TokenStore, pack
from triptych.tokens.tokenizing import truncate

_BLOCK = 500_000  # tokens whose vectors are held at once


def load_saved(folder: Path) -> SentenceTransformer:
    """Load an embedder that was saved with its prompts, such as ``models/embedder``."""
    if not (folder / "modules.json").exists():
        raise ArtifactError(folder, "does not hold a saved embedder (modules.json)")
    here = folder.resolve().as_posix()
    return load_base(Model(base=here, revision=None, query_prompt="", passage_prompt=""))


def load_with_prompts(model: Model) -> SentenceTransformer:
    """Load the base model with the prompts that ``params.yaml`` gives it."""
    loaded = load_base(model)
    loaded.prompts = {"query": model.query_prompt, "document": model.passage_prompt}
    return loaded


class TextEncoder:
    """Encodes texts as a saved embedder would: with its prompts, cut where it cuts them, no stage's tokens needed."""

    def __init__(self, model: SentenceTransformer, precision: str, label: str) -> None:
        self._model, self._label = model, label
        self._precision = resolve_precision(precision, device())

    def queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 of shape (texts, dimensions), rows of length 1."""
        return self._encode(texts, "query", None)

    def passages(self, texts: Sequence[str], vectors: Path) -> np.ndarray:
        """Return the like for passages; what lies in ``vectors`` is not encoded again, the rest is put there."""
        return self._encode(texts, "document", VectorCache(vectors, self._model, self._precision))

    def query_tokens(self, texts: Sequence[str]) -> TokenVectors:
        """Return the token vectors of queries."""
        store = self._tokens(texts, (self._model.prompts or {}).get("query") or "")
        return encode_tokens(self._model, store, np.arange(len(texts)), self._precision, f"{self._label}: tokens")

    def passage_tokens(self, texts: Sequence[str], vectors: Path) -> Iterator[TokenVectors]:
        """Yield the token vectors of passages, some at a time; ``vectors`` is used as by `passages`."""
        store = self._tokens(texts, (self._model.prompts or {}).get("document") or "")
        cache = TokenCache(vectors, self._model, self._precision)
        block = np.cumsum(store.lengths) // _BLOCK
        for rows in np.split(np.arange(len(texts)), np.flatnonzero(np.diff(block)) + 1):
            yield encode_tokens(self._model, store, rows, self._precision, f"{self._label}: tokens", cache)

    def _encode(self, texts: Sequence[str], role: str, cache: VectorCache | None) -> np.ndarray:
        store = self._tokens(texts, (self._model.prompts or {}).get(role) or "")
        return encode(self._model, store, np.arange(len(texts)), self._precision, self._label, cache)

    def _tokens(self, texts: Sequence[str], prompt: str) -> TokenStore:
        tokenizer, limit = self._model.tokenizer, self._model.max_seq_length
        rows = tokenizer([prompt + text for text in texts], truncation=False, padding=False, verbose=False)["input_ids"]
        limit = limit or max(map(len, rows))
        metadata = {
            "max_length": limit,
            "pad_token_id": tokenizer.pad_token_id,
            "padding_side": tokenizer.padding_side,
        }
        return pack(truncate(tokenizer, rows, limit), metadata)


class Retriever:
    """Ranks chunks for queries by the cosine similarity of an embedder's vectors.

    The vectors of chunks are kept in ``vectors``, so that a second start is quick.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        chunk_ids: Sequence[str],
        passages: Sequence[str],
        precision: str,
        vectors: Path,
        label: str,
    ) -> None:
        self._encoder, self._chunk_ids = TextEncoder(model, precision, label), list(chunk_ids)
        self._index = DenseIndex(self._encoder.passages(passages, vectors))

    def run(self, queries: Sequence[Query], depth: int) -> Run:
        """Keep the best ``depth`` chunks of each query, after leaving out what it excludes."""
        questions = self._encoder.queries([query.text for query in queries])
        rows, scores = self._index.search(questions, search_depth(queries, depth))
        return to_run(queries, self._chunk_ids, rows, scores, depth)
