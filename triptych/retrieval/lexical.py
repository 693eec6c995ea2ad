"""Lexical search: BM25 over words and identifiers."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Self

import bm25s
import numpy as np
import regex
import stopwordsiso
from bm25s import stopwords as bm25s_stopwords
from bm25s.tokenization import Tokenizer
from scipy.sparse import csr_array

from triptych.corpus.language import ENGLISH
from triptych.corpus.texts import PAIRED_RUN, SPACED_WORD, pair_spans

# A word, or a dotted name such as np.linalg.svd or std::sort.
_ASCII_TERM = re.compile(r"\w+(?:(?:\.|::)\w+)*")
_TERM = regex.compile(rf"{PAIRED_RUN}|{SPACED_WORD}(?:(?:\.|::){SPACED_WORD})*", regex.V1)
_K1, _B = 1.5, 0.75  # of BM25
_BLOCK = 65_536  # texts whose weights are computed at once: a few numbers for each of their terms are in memory
_JOINT = re.compile(r"\.|::")
# As in snake_case, camelCase, HTTPError.
_WORD_BOUNDARY = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Full-width Latin and half-width kana, which are equal to the usual forms.
_WIDE = regex.compile(r"[\uff00-\uffef]")
# Accents, vowel points and the lengthening line are optional in these scripts; queries leave them out.
_OPTIONAL_MARKS = regex.compile(r"[\p{Greek}\p{scx=Arabic}\p{Hebrew}]")
_MARK = regex.compile(r"[\p{Mn}\u0640]")
# Snowball's lists, shorter than those of stopwordsiso, which contain words such as the Russian one for water.
_SHORT_LISTS = {
    "en": bm25s_stopwords.STOPWORDS_EN,
    "da": bm25s_stopwords.STOPWORDS_DANISH,
    "de": bm25s_stopwords.STOPWORDS_GERMAN,
    "es": bm25s_stopwords.STOPWORDS_SPANISH,
    "fr": bm25s_stopwords.STOPWORDS_FRENCH,
    "it": bm25s_stopwords.STOPWORDS_ITALIAN,
    "nl": bm25s_stopwords.STOPWORDS_DUTCH,
    "no": bm25s_stopwords.STOPWORDS_NORWEGIAN,
    "pt": bm25s_stopwords.STOPWORDS_PORTUGUESE,
    "ru": bm25s_stopwords.STOPWORDS_RUSSIAN,
    "sv": bm25s_stopwords.STOPWORDS_SWEDISH,
    "tr": bm25s_stopwords.STOPWORDS_TURKISH,
}


def terms(text: str) -> list[str]:
    """Split text into casefolded words and identifiers, each identifier whole and by its parts.

    >>> terms("Use DataFrame.set_index")
    ['use', 'dataframe.set_index', 'dataframe', 'set_index', 'data', 'frame', 'set', 'index']

    Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese text gives its pairs of adjacent characters.

    >>> terms("用np.max清洗过滤器")
    ['用', 'np.max', 'np', 'max', '清洗', '洗过', '过滤', '滤器']
    """
    if text.isascii():
        return [form for term in _ASCII_TERM.findall(text) for form in _forms(term)]
    return [form for _, _, forms in term_spans(text) for form in forms]


def term_spans(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Yield start, end and `terms` of each word, identifier or pair of characters; pairs overlap."""
    for match in _TERM.finditer(text):
        if match["paired"]:
            for start, end in pair_spans(match[0]):
                yield match.start() + start, match.start() + end, (_folded(match[0][start:end]),)
        else:
            yield *match.span(), _forms(match[0])


@lru_cache
def stop_words(language: str) -> frozenset[str]:
    """Return the `terms` of a language, given as a two-letter code, that are too frequent to tell texts apart.

    A language without a list has none.
    """
    if language not in _SHORT_LISTS and not stopwordsiso.has_lang(language):
        return frozenset()
    forms = map(terms, _SHORT_LISTS.get(language) or stopwordsiso.stopwords(language))
    return frozenset(form[0] for form in forms if len(form) == 1)


class LexicalIndex:
    """BM25 over chunks (bm25s: Lù 2024; Lucene's variant of Robertson et al. 1994, k1 1.5, b 0.75).

    Vocabulary and order of summation depend only on the texts, and one thread searches: equal inputs give equal bytes
    under any hash seed and any number of cores.
    """

    def __init__(self, chunk_ids: Sequence[str], texts: Sequence[str], language: str = ENGLISH) -> None:
        """Index ``texts[i]`` as chunk ``chunk_ids[i]``, without the stop words of a language, a two-letter code.

        Raise ValueError if the numbers of ids and texts differ or are 0.
        """
        if not chunk_ids or len(chunk_ids) != len(texts):
            raise ValueError(f"expected one text for each chunk, at least one, got {len(chunk_ids)} and {len(texts)}")
        self.chunk_ids = list(chunk_ids)
        self._tokenizer = _tokenizer(language)
        # A text without terms becomes the empty token, so that no length is 0 and the vocabulary is not empty.
        tokenized = self._tokenizer.tokenize(
            list(texts), update_vocab=True, show_progress=False, return_as="tuple", allow_empty=True
        )
        # Name both backends: numba, if installed, could sum in another order.
        self._scorer = bm25s.BM25(method="lucene", backend="numpy", csc_backend="numpy")
        self._scorer.index(tokenized, create_empty_token=False, show_progress=False)

    def save(self, folder: Path) -> None:
        """Write everything except the chunk ids into a folder."""
        self._scorer.save(folder, show_progress=False)
        self._tokenizer.save_vocab(folder)

    @classmethod
    def load(cls, folder: Path, chunk_ids: Sequence[str], language: str = ENGLISH) -> Self:
        """Open what `save` wrote, memory-mapped; ``chunk_ids`` and ``language`` are those it was built with."""
        index = cls.__new__(cls)
        index.chunk_ids = list(chunk_ids)
        index._tokenizer = _tokenizer(language)
        index._tokenizer.load_vocab(folder)
        index._scorer = bm25s.BM25.load(folder, mmap=True, load_vocab=False, show_progress=False)
        return index

    def search(
        self, queries: Sequence[str], depth: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the best chunks of each query: rows (int64) and scores (float32).

        Both have shape (queries, min(depth, chunks)), best first, equal scores by row ascending. A row is an index in
        ``chunk_ids``; ``among`` restricts the search to some rows, ascending. Chunks that share no term with a query
        come last with score 0, so that every query has the same number of results. Raise ValueError on a depth below
        1.
        """
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        width = min(depth, len(self.chunk_ids) if among is None else len(among))
        rows = np.empty((len(queries), width), dtype=np.int64)
        scores = np.empty((len(queries), width), dtype=np.float32)
        for number, of_query in enumerate(self._score(queries)):
            # Not bm25s' own retrieve: its partition leaves equal scores in an arbitrary order.
            rows[number] = _best(of_query, width) if among is None else among[_best(of_query[among], width)]
            scores[number] = of_query[rows[number]]
        return rows, scores

    def _score(self, queries: Sequence[str]) -> Iterator[np.ndarray]:
        tokenized = self._tokenizer.tokenize(
            list(queries), update_vocab=False, show_progress=False, return_as="ids", allow_empty=False
        )
        return map(self._scorer.get_scores_from_ids, tokenized)


def _tokenizer(language: str) -> Tokenizer:
    # `terms` casefolds after it has split camelCase.
    return Tokenizer(lower=False, splitter=terms, stopwords=sorted(stop_words(language)))


def bm25_weights(counts: csr_array) -> csr_array:
    """Turn counts of terms, float32 of shape (texts, terms), into weights whose sum over a query's terms is BM25.

    Robertson et al. 1994 with Lucene's idf, k1 1.5, b 0.75. `LexicalIndex` gives the same scores from texts, query by
    query; this keeps the sparse matrix, which callers truncate or multiply with many queries at once.
    """
    number, lengths = counts.shape[0], counts.sum(axis=1)
    starts = range(0, number, _BLOCK)
    blocks = [slice(*counts.indptr[[start, min(start + _BLOCK, number)]]) for start in starts]
    document_counts = np.zeros(counts.shape[1], np.int64)
    for block in blocks:
        document_counts += np.bincount(counts.indices[block], minlength=counts.shape[1])
    idf = np.log1p((number - document_counts + 0.5) / (document_counts + 0.5)).astype(np.float32)
    length_norms = _K1 * (1 - _B + _B * lengths / max(float(lengths.mean()), 1e-9)) if number else lengths
    weights = np.empty(len(counts.indices), np.float32)
    for start, block in zip(starts, blocks, strict=True):
        terms_of_text = np.diff(counts.indptr[start : start + _BLOCK + 1])
        norms = np.repeat(length_norms[start : start + _BLOCK].astype(np.float32), terms_of_text)
        weights[block] = idf[counts.indices[block]] * counts.data[block] / (counts.data[block] + norms)
    return csr_array((weights, counts.indices, counts.indptr), counts.shape)


@lru_cache(maxsize=1 << 16)  # a few terms make up most of any text
def _forms(term: str) -> tuple[str, ...]:
    """Return a term whole, then its dotted segments, then their words, each once and casefolded."""
    segments = _JOINT.split(term)
    words = [word for segment in segments for word in _WORD_BOUNDARY.split(segment) if word]
    return tuple(dict.fromkeys(map(_folded, (term, *segments, *words))))


def _folded(form: str) -> str:
    """Fold case, and of other scripts than Latin what is written in several ways."""
    if form.isascii():
        return form.lower()
    form = unicodedata.normalize("NFKC" if _WIDE.search(form) else "NFC", form.casefold())
    if _OPTIONAL_MARKS.search(form):
        form = unicodedata.normalize("NFC", _MARK.sub("", unicodedata.normalize("NFD", form))) or form
    return form


def _best(scores: np.ndarray, width: int) -> np.ndarray:
    """Return the ``width`` best positions, equal scores by position, without sorting all of them."""
    lowest = np.partition(scores, scores.size - width)[scores.size - width]
    above = np.flatnonzero(scores > lowest)
    ties = np.flatnonzero(scores == lowest)[: width - above.size]
    kept = np.concatenate([above, ties])
    return kept[np.lexsort((kept, -scores[kept]))]
