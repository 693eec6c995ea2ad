"""Tokenize each distinct text once and choose ``max_length`` and ``max_windows``.

``python -m stages.tokenize_texts --texts data/triplets/texts --examples data/triplets/embedder
--tokens data/tokens --round data/triplets/round0 --base models/base``
"""

import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from triptych.artifacts import ROW_GROUP, writing
from triptych.models.loading import describe, device, encoder_parameters, load_without_weights
from triptych.models.precision import machine_kind
from triptych.models.round_record import RoundRecord, write_round_record
from triptych.params.load import load_params
from triptych.params.sections import Tokenize
from triptych.tokens.length_budget import Lengths, choose_lengths
from triptych.tokens.length_statistics import statistics
from triptych.tokens.token_rows import TokenRows
from triptych.tokens.token_store import ExampleTexts, FurtherWindows, write_store
from triptych.tokens.tokenizing import tokenize, truncate
from triptych.tokens.windows import WindowCutter
from triptych.triplets.examples import read_examples, read_framed_texts, read_passage_ids, read_texts

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Write the token store with its metadata, the examples of the first round, and the record of the base model."""
    args = paths(__doc__, "texts", "examples", "tokens", "round", "base", argv=argv)
    params = load_params()
    model = load_without_weights(params.model, report=lambda line: print_line(f"tokenize: {line}"))
    prompts = {"query": model.prompts["query"], "passage": model.prompts["document"]}
    rows, passages = _tokenized(model.tokenizer, args.texts, prompts, params.tokenize)
    lengths = choose_lengths(
        rows, passages, params.tokenize, model.max_seq_length, machine_kind(device()), encoder_parameters(model)
    )
    max_length = lengths.max_length
    windows = _windows(model.tokenizer, prompts["passage"], args.texts, len(rows), lengths, params.tokenize)
    examples = read_examples(args.examples / "examples.parquet")
    base = describe(params.model, model)
    metadata = statistics(rows, examples.anchor, max_length) | {
        "tokenizer": params.model.base,
        "tokenizer_sha256": base["tokenizer_sha256"],
        "prompts": prompts,
        "max_length": max_length,
        "max_windows": 1 + int(windows.counts.max(initial=0)),  # of a text, not what was allowed
        "auto": lengths.reason,
        "windows": len(windows.rows),
        "share_seen": _share_seen(passages, rows, windows, max_length),
        "padding": params.tokenize.padding,
        "padding_side": model.tokenizer.padding_side,
        "pad_token_id": model.tokenizer.pad_token_id,
        "num_proc": params.tokenize.num_proc,
        "batch_size": params.tokenize.batch_size,
        "num_examples": len(examples),
        "num_texts": len(rows),
    }
    negatives = read_passage_ids(args.texts)[examples.pool.chunk]
    of_examples = ExampleTexts(examples.anchor, examples.positive, negatives, examples.pool.offsets)
    with writing(args.tokens) as out:
        write_store(out, truncate(model.tokenizer, rows, max_length), metadata, windows, of_examples)
    with writing(args.round) as out:
        shutil.copytree(args.examples, out, copy_function=shutil.copyfile, dirs_exist_ok=True)
    with writing(args.base) as out:
        write_round_record(out, RoundRecord("base", base, max_length, strength=0.0, trained_in="base", dev=None))
    if lengths.reason:
        print_line(f"tokenize: {lengths.reason}; write them into params.yaml for equal results on other machines")
    seen = metadata["share_seen"]
    print_line(
        f"tokenize: {len(rows)} distinct texts, max_length {max_length}, {metadata['share_truncated']:.1%} truncated,"
        f" p95 {metadata['p95_length']} tokens; {args.tokens}"
    )
    print_line(
        f"tokenize: the first {max_length} tokens are {seen['beginning']:.0%} of the passages' text"
        + (f", with {metadata['windows']} further windows {seen['windows']:.0%}" if metadata["windows"] else "")
        + "; BM25 reads all of it"
        + (f"; vectors of all of it take {1 / seen['beginning']:.1f} times the time" if seen["windows"] < 1.0 else "")
    )


def _tokenized(
    tokenizer: Any, folder: Path, prompts: dict[str, str], settings: Tokenize
) -> tuple[TokenRows, np.ndarray]:
    """Return the token ids of all texts, not truncated, and the text ids of the passages."""
    roles, texts = read_texts(folder)
    passages = np.flatnonzero([role == "passage" for role in roles])
    texts = [prompts[role] + text for role, text in zip(roles, texts, strict=True)]
    return tokenize(tokenizer, texts, settings), passages


def _windows(
    tokenizer: Any, prompt: str, folder: Path, number: int, lengths: Lengths, settings: Tokenize
) -> FurtherWindows:
    """Return the further windows of each text; one that is not truncated, or no passage, has none."""
    counts, parts = np.zeros(number, np.int64), list[TokenRows]()
    if lengths.max_windows > 1 and tokenizer.is_fast:
        cutter = WindowCutter(tokenizer, prompt, lengths.max_length, lengths.max_windows)
        texts = ((text_id, text) for text_id, text in enumerate(read_framed_texts(folder)) if text is not None)
        while block := dict(islice(texts, ROW_GROUP)):  # texts take much more memory than their tokens
            pieces = cutter.further(list(block.values()))
            counts[list(block)] = list(map(len, pieces))
            flat = tokenize(tokenizer, [prompt + one for of_text in pieces for one in of_text], settings)
            parts.append(truncate(tokenizer, flat, lengths.max_length))
    return FurtherWindows(TokenRows.join(parts), counts)


def _share_seen(passages: np.ndarray, rows: TokenRows, windows: FurtherWindows, max_length: int) -> dict[str, float]:
    """Return the share of the passages' tokens in their beginnings, and in all windows.

    The latter is an estimate from above: the headings that windows repeat are not subtracted.
    """
    lengths, further = rows.lengths[passages], windows.lengths[passages]
    total = int(lengths.sum())
    beginning = int(np.minimum(lengths, max_length).sum())
    seen = int(np.minimum(lengths, max_length + further).sum())
    return {"beginning": beginning / max(total, 1), "windows": seen / max(total, 1)}


if __name__ == "__main__":
    run(main)
