"""Batched tokenization, and truncation."""

from typing import Any

import datasets

from triptych.params.sections import Tokenize
from triptych.progress import strides

_BLOCK = 65_536  # texts per update of the progress bar; worker processes are started again for each block


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


def tokenize(tokenizer: Any, texts: list[str], params: Tokenize, special: bool = True) -> list[list[int]]:
    """Return what `token_ids` does for many texts: in batches, in several processes if ``params`` says so."""
    datasets.disable_caching()  # a cache file beside tracked data would make DVC run the stage again

    def ids(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {"input_ids": token_ids(tokenizer, batch["text"], special)}

    datasets.disable_progress_bars()
    rows: list[list[int]] = []
    for start in strides(len(texts), _BLOCK, "tokenize", "texts"):
        table = datasets.Dataset.from_dict({"text": texts[start : start + _BLOCK]}).map(
            ids,
            batched=True,
            batch_size=params.batch_size,
            num_proc=params.num_proc if params.num_proc > 1 else None,
            remove_columns=["text"],
        )
        rows += table.with_format("python")["input_ids"][:]
    return rows


def truncate(tokenizer: Any, rows: list[list[int]], max_length: int) -> list[list[int]]:
    """Truncate rows to ``max_length`` tokens and keep the special tokens at the end of a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a", add_special_tokens=True)["input_ids"]
    closing = len(framed) - next(i for i in range(len(framed)) if framed[i : i + len(plain)] == plain) - len(plain)
    return [
        row if len(row) <= max_length else row[: max_length - closing] + (row[-closing:] if closing else [])
        for row in rows
    ]
