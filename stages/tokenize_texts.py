"""Tokenize each distinct text once and choose ``max_length``.

``python -m stages.tokenize_texts --texts data/triplets/texts --examples data/triplets/embedder
--tokens data/tokens --round data/triplets/round0 --base models/base``
"""

import shutil

from stages.command import paths, print_line, run
from triptych.artifacts import writing
from triptych.models.loading import describe, load_base
from triptych.models.round_record import RoundRecord, write_round_record
from triptych.params.load import load_params
from triptych.tokens.length_statistics import statistics
from triptych.tokens.token_store import write_store
from triptych.tokens.tokenizing import choose_max_length, tokenize, truncate
from triptych.triplets.examples import read_examples, read_texts


def main(argv: list[str] | None = None) -> None:
    """Write the token store with its metadata, the examples of the first round, and the record of the base model."""
    args = paths(__doc__, "texts", "examples", "tokens", "round", "base", argv=argv)
    params = load_params()
    roles, texts = read_texts(args.texts)
    examples = read_examples(args.examples / "examples.parquet")
    model = load_base(params.model, report=lambda line: print_line(f"tokenize: {line}"))
    prompts = {"query": model.prompts["query"], "passage": model.prompts["document"]}
    rows = tokenize(
        model.tokenizer,
        [prompts[role] + text for role, text in zip(roles, texts, strict=True)],
        params.tokenize,
    )
    max_length = choose_max_length(rows, params.tokenize.max_length, model.max_seq_length)
    base = describe(params.model, model)
    metadata = statistics(rows, examples.anchor.tolist(), max_length) | {
        "tokenizer": params.model.base,
        "tokenizer_sha256": base["tokenizer_sha256"],
        "prompts": prompts,
        "max_length": max_length,
        "padding": params.tokenize.padding,
        "padding_side": model.tokenizer.padding_side,
        "pad_token_id": model.tokenizer.pad_token_id,
        "num_proc": params.tokenize.num_proc,
        "batch_size": params.tokenize.batch_size,
        "num_examples": len(examples),
        "num_texts": len(texts),
    }
    with writing(args.tokens) as out:
        write_store(out, truncate(model.tokenizer, rows, max_length), metadata)
    with writing(args.round) as out:
        shutil.copytree(args.examples, out, copy_function=shutil.copyfile, dirs_exist_ok=True)
    with writing(args.base) as out:
        write_round_record(out, RoundRecord("base", base, max_length, strength=0.0, trained_in="base", dev=None))
    print_line(
        f"tokenize: {len(texts)} distinct texts, max_length {max_length}, {metadata['share_truncated']:.1%} truncated,"
        f" p95 {metadata['p95_length']} tokens; {args.tokens}"
    )


if __name__ == "__main__":
    run(main)
