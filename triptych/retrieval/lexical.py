"""Lexical search: BM25 over words and identifiers."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

import bm25s
import numpy as np
from bm25s.tokenization import Tokenizer
from scipy.sparse import csr_array

from triptych.corpus.texts import WORD

# A word, or a dotted name such as np.linalg.svd or std::sort.
_TERM = re.compile(rf"{WORD.pattern}(?:(?:\.|::){WORD.pattern})*")
_K1, _B = 1.5, 0.75  # of BM25
_JOINT = re.compile(r"\.|::")
# As in snake_case, camelCase, HTTPError.
_WORD_BOUNDARY = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def terms(text: str) -> list[str]:
    """Split text into casefolded words and identifiers, each identifier whole and by its parts.

    ``DataFrame.set_index`` gives itself, ``dataframe``, ``set_index``, ``data``, ``frame``, ``set``,
    ``index``.
    """
    return [term for found in _TERM.findall(text) for term in _forms(found)]


def spotted(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield where each word or identifier stands, start and end, and its `terms`."""
    for found in _TERM.finditer(text):
        yield *found.span(), _forms(found[0])


class LexicalIndex:
    """BM25 over chunks (bm25s: Lù 2024; Lucene's variant of Robertson et al. 1994, k1 1.5, b 0.75).

    Vocabulary and order of summation follow the texts alone, and one thread searches: equal inputs give equal
    bytes under any hash seed and any number of cores.
    """

    def __init__(self, chunk_ids: Sequence[str], texts: Sequence[str]) -> None:
        """Index ``texts[i]`` as chunk ``chunk_ids[i]``; raise ValueError if they do not pair or are empty."""
        if not chunk_ids or len(chunk_ids) != len(texts):
            raise ValueError(f"expected one text for each chunk, at least one, got {len(chunk_ids)} and {len(texts)}")
        self.chunk_ids = list(chunk_ids)
        self._tokenizer = _tokenizer()
        # A text without a term becomes the empty token: no length is 0 and no vocabulary empty.
        tokenized = self._tokenizer.tokenize(
            list(texts), update_vocab=True, show_progress=False, return_as="tuple", allow_empty=True
        )
        # Both backends are named, lest numba, where installed, sum in another order some day.
        self._scorer = bm25s.BM25(method="lucene", backend="numpy", csc_backend="numpy")
        self._scorer.index(tokenized, create_empty_token=False, show_progress=False)

    def save(self, folder: Path) -> None:
        """Write all but the chunk ids into a folder."""
        self._scorer.save(folder, show_progress=False)
        self._tokenizer.save_vocab(folder)

    @classmethod
    def load(cls, folder: Path, chunk_ids: Sequence[str]) -> Self:
        """Open what `save` wrote, memory-mapped; ``chunk_ids`` are those it was made with."""
        index = cls.__new__(cls)
        index.chunk_ids = list(chunk_ids)
        index._tokenizer = _tokenizer()
        index._tokenizer.load_vocab(folder)
        index._scorer = bm25s.BM25.load(folder, mmap=True, load_vocab=False, show_progress=False)
        return index

    def search(
        self, queries: Sequence[str], depth: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best chunks of each query: rows (int64) and scores (float32).

        Both are of shape (queries, min(depth, chunks)). A row is a position in ``chunk_ids``; ``among`` are those to
        choose from, ascending, all by default. Best first, equal scores by row ascending. Every query fills its row:
        chunks that share no term with it follow with score 0, as all do for a query of unknown words. Raise ValueError
        on a depth below 1.
        """
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        width = min(depth, len(self.chunk_ids) if among is None else len(among))
        rows = np.empty((len(queries), width), dtype=np.int64)
        scores = np.empty((len(queries), width), dtype=np.float32)
        for number, of_chunks in enumerate(self._score(queries)):
            # Not bm25s' own retrieve: its partition leaves equal scores in an order of its own.
            rows[number] = _best(of_chunks, width) if among is None else among[_best(of_chunks[among], width)]
            scores[number] = of_chunks[rows[number]]
        return rows, scores

    def _score(self, queries: Sequence[str]) -> Iterator[np.ndarray]:
        found = self._tokenizer.tokenize(
            list(queries), update_vocab=False, show_progress=False, return_as="ids", allow_empty=False
        )
        return map(self._scorer.get_scores_from_ids, found)


def _tokenizer() -> Tokenizer:
    # The splitter lowers the case itself: camelCase is seen only before that.
    return Tokenizer(lower=False, splitter=terms, stopwords="english")


def bm25_weights(counts: csr_array) -> csr_array:
    """Weigh terms counted in texts, float32 of shape (texts, terms), so that a sum over a query's terms is BM25.

    Robertson et al. 1994 with Lucene's idf, k1 1.5, b 0.75: what `LexicalIndex` computes, for counts that are at hand.
    """
    number, lengths = counts.shape[0], counts.sum(axis=1)
    found_in = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log1p((number - found_in + 0.5) / (found_in + 0.5)).astype(np.float32)
    damp = _K1 * (1 - _B + _B * lengths / max(float(lengths.mean()), 1e-9)) if number else lengths
    texts = np.repeat(np.arange(number), np.diff(counts.indptr))
    weights = idf[counts.indices] * counts.data / (counts.data + damp[texts].astype(np.float32))
    return csr_array((weights, counts.indices, counts.indptr), counts.shape)


@lru_cache(maxsize=1 << 16)  # few terms make up most of any text
def _forms(term: str) -> tuple[str, ...]:
    """Return a term whole, then its dotted segments, then their words, each once and casefolded."""
    segments = _JOINT.split(term)
    words = [word for segment in segments for word in _WORD_BOUNDARY.split(segment) if word]
    return tuple(dict.fromkeys(form.casefold() for form in (term, *segments, *words)))


def _best(scores: np.ndarray, width: int) -> np.ndarray:
    """Return the ``width`` best positions, equal scores by position, without sorting all of them."""
    lowest = np.partition(scores, scores.size - width)[scores.size - width]
    above = np.flatnonzero(scores > lowest)
    level = np.flatnonzero(scores == lowest)[: width - above.size]
    kept = np.concatenate([above, level])
    return kept[np.lexsort((kept, -scores[kept]))]
