"""The language of a corpus, which decides what stop words BM25 leaves out."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from triptych.artifacts import intact, read_json, write_json
from triptych.ids import ChunkRows

if TYPE_CHECKING:  # a search reads the language and has no pandas
    from triptych.corpus.chunk_table import ChunkTable

ENGLISH = "en"
_FILE = "corpus.json"
_SAMPLE, _CHARACTERS = 200, 500  # texts looked at, up to twice as many, and characters of each


def corpus_language(texts: Sequence[str], language: str) -> str:
    """Return ``language``, or for ``auto`` the two-letter code of the language of most texts, else English.

    Some hundred texts are looked at, evenly spaced, each by itself: equal texts give equal answers.
    """
    if language != "auto":
        return language
    import py3langid  # loads its model in a second

    sample = [texts[row][:_CHARACTERS] for row in sampled_rows(len(texts)) if texts[row].strip()]
    votes = Counter(py3langid.classify(text)[0] for text in sample)
    found, number = max(votes.items(), key=lambda vote: (vote[1], vote[0]), default=(ENGLISH, 0))
    return found if 2 * number > len(sample) else ENGLISH


def language_of(corpus: "ChunkTable", language: str) -> str:
    """Return the language of a corpus as `corpus_language` does, without reading all of its texts."""
    rows = ChunkRows(np.array(sampled_rows(len(corpus))))
    return corpus_language([chunk.content for _, chunk in corpus.chunks_at(rows)], language)


def sampled_rows(number: int) -> range:
    """Return the rows of ``number`` texts that `corpus_language` looks at; sampled texts are all looked at again."""
    return range(0, number, max(1, number // _SAMPLE))


def write_language(folder: Path, language: str) -> None:
    """Write the language into a corpus folder."""
    write_json(folder / _FILE, {"language": language})


def read_language(folder: Path) -> str:
    """Return the language of a corpus folder; English where it contains none, as that of an earlier version."""
    path = folder / _FILE
    if not path.exists():
        return ENGLISH
    with intact(path):
        return str(read_json(path)["language"])
