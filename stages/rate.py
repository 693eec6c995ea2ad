"""Rate the triplets by the base model: how hard each tier is, and how many of its negatives may be false.

``python -m stages.rate --texts data/triplets/texts --tokens data/tokens --base models/base
--embedder data/triplets/embedder --reranker data/triplets/reranker0 --metrics metrics/rate.json --tables metrics/rate``
"""

from typing import Any

import numpy as np
import pandas as pd

from stages.command import paths, print_line, run
from triptych.artifacts import write_json, write_jsonl, write_text
from triptych.evaluators.retrieval_evaluator import similarities
from triptych.models.loading import device, tokenizer_fingerprint
from triptych.models.precision import resolve_precision
from triptych.models.round_loading import load_model
from triptych.params.load import load_params
from triptych.params.triplets import PROFILES
from triptych.tokens.token_store import open_store
from triptych.triplets.difficulty import judgment, rate, readable
from triptych.triplets.examples import read_examples, read_passages, read_texts


def main(argv: list[str] | None = None) -> None:
    """Write shares by tier and category, a sentence for each tier, and examples to read, for both profiles."""
    args = paths(__doc__, "texts", "tokens", "base", *PROFILES, "metrics", "tables", argv=argv)
    params = load_params()
    model = load_model(args.base, params.model)
    store = open_store(args.tokens, tokenizer_fingerprint(model))
    precision = resolve_precision(params.train.precision, device())
    passages, texts = read_passages(args.texts), read_texts(args.texts)[1]
    table: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    said: dict[str, list[str]] = {}
    sampling = params.rate.anchors, params.rate.seed
    made = [read_examples(getattr(args, profile) / "examples.parquet") for profile in PROFILES]
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
            print_line(f"rate {profile}: {sentence}")
    print_line(f"rate: {len(profiles[0])} anchors with their pools, by the base model; {args.metrics}, {args.tables}")


def _nested(table: list[dict[str, Any]]) -> dict[str, Any]:
    """Return profile → category → tier → share."""
    nested: dict[str, Any] = {}
    for row in table:
        values = {key: value for key, value in row.items() if key not in ("profile", "category", "tier")}
        nested.setdefault(row["profile"], {}).setdefault(row["category"], {})[row["tier"]] = values
    return nested


if __name__ == "__main__":
    run(main)
