"""Batched tokenization, and truncation."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from triptych.engine.in_order import in_order
from triptych.params.sections import Tokenize
from triptych.progress import strides
from triptych.tokens.token_rows import TokenRows

_BATCH = 1000  # texts of a call of the tokenizer: it keeps kilobytes for each until the call is done


def token_ids(tokenizer: Any, texts: list[str], special: bool = True) -> list[list[int]]:
    """Return the token ids of each text of one batch, not truncated, with ``special`` tokens or without."""
    encoded = tokenizer(
        texts,
        add_special_tokens=special,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return encoded["input_ids"]


def tokenize(tokenizer: Any, texts: Sequence[str], params: Tokenize | None = None, special: bool = True) -> TokenRows:
    """Return what `token_ids` does for many texts: in batches, by several processes or machines if so set."""
    size, processes = (params.batch_size, params.num_proc) if params else (_BATCH, 1)
    work = partial(_rows, tokenizer, special)
    pieces = (texts[start : start + size] for start in strides(len(texts), size, "tokenize", "texts"))
    return TokenRows.join(list(in_order(work, pieces, processes)))


def truncate(tokenizer: Any, rows: TokenRows, max_length: int) -> TokenRows:
    """Truncate rows to ``max_length`` tokens and keep the special tokens at the end of a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a", add_special_tokens=True)["input_ids"]
    closing = len(framed) - next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain) - len(plain)
    return rows.cut(max_length, closing)


def _rows(tokenizer: Any, special: bool, texts: Sequence[str]) -> TokenRows:
    return TokenRows.of(token_ids(tokenizer, list(texts), special))
