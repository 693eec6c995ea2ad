"""Rate the triplets by the base model: how hard each tier is, and how many of its negatives may be false.

``python -m stages.rate --tokens data/tokens --base models/base --embedder data/triplets/embedder
--reranker data/triplets/reranker0 --metrics metrics/rate.json --tables metrics/rate``
"""

from typing import Any

import numpy as np
import pandas as pd

from stages.command import paths, run, say
from triptych.artifacts import write_json, write_jsonl, write_text
from triptych.params_file import load_params
from triptych.params_triplets import PROFILES
from triptych.tokens.store import open_store
from triptych.training.base import device, tokenizer_fingerprint
from triptych.training.judging import similarities
from triptych.training.precision import resolve_precision
from triptych.training.rounds import load_model
from triptych.triplets.examples import read_examples, read_passages, read_texts
from triptych.triplets.quality import judgment, rate, readable


def main(argv: list[str] | None = None) -> None:
    """Write shares by tier and category, a sentence for each tier, and examples to read, for both profiles."""
    args = paths(__doc__, "tokens", "base", *PROFILES, "metrics", "tables", argv=argv)
    params = load_params()
    model = load_model(args.base, params.model)
    store = open_store(args.tokens, tokenizer_fingerprint(model))
    precision = resolve_precision(params.train.precision, device())
    passages, texts = read_passages(args.tokens / "texts"), read_texts(args.tokens / "texts")[1]
    table: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    said: dict[str, list[str]] = {}
    sampling = params.rate.anchors, params.rate.seed
    made = [read_examples(getattr(args, profile) / "examples.parquet", "triplets") for profile in PROFILES]
    profiles = [examples.sampled(*sampling) for examples in made]
    ratings = similarities(model, store, np.array(passages), precision, *profiles)
    for profile, examples, found in zip(PROFILES, profiles, ratings, strict=True):
        rows = rate(examples, found, params.train.margin, params.rate.suspect)
        said[profile] = judgment(rows, profile)
        table += [{"profile": profile} | row for row in rows]
        read = readable(examples, found, texts, passages, params.rate.shown, params.rate.seed)
        shown += [{"profile": profile} | row for row in read]
    write_text(
        args.tables / "tiers.csv", pd.DataFrame(table).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    )
    write_jsonl(args.tables / "examples.jsonl", shown)
    write_json(args.metrics, {"judgment": said, "tiers": _nested(table)})
    for profile, sentences in said.items():
        for sentence in sentences:
            say(f"rate {profile}: {sentence}")
    say(f"rate: {len(profiles[0])} anchors with their pools, by the base model; {args.metrics}, {args.tables}")


def _nested(table: list[dict[str, Any]]) -> dict[str, Any]:
    """Return profile → category → tier → share."""
    nested: dict[str, Any] = {}
    for row in table:
        values = {key: value for key, value in row.items() if key not in ("profile", "category", "tier")}
        nested.setdefault(row["profile"], {}).setdefault(row["category"], {})[row["tier"]] = values
    return nested


if __name__ == "__main__":
    run(main)
