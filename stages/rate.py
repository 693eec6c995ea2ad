"""Rate the triplets with the base model: how hard each tier is, and how many of its negatives may be false.

``python -m stages.rate --texts data/triplets/texts --tokens data/tokens --base models/base
--embedder data/triplets/embedder --reranker data/triplets/reranker0 --metrics metrics/rate.json --tables metrics/rate
--vectors data/vectors``

``--vectors`` is a cache outside DVC, which the stages after this one read too.
"""

from typing import Any

import pandas as pd

from triptych.artifacts import write_json, write_jsonl, write_text
from triptych.encoding.vector_cache import VectorCache
from triptych.evaluators.retrieval_evaluator import similarities
from triptych.models.loading import base_weights, device, tokenizer_fingerprint
from triptych.models.precision import resolve_precision
from triptych.models.round_loading import load_model
from triptych.params.load import load_params
from triptych.params.triplets import PROFILES
from triptych.tokens.token_store import open_store
from triptych.triplets.difficulty import sample_with_texts, tier_difficulty, tier_sentences
from triptych.triplets.examples import read_examples, read_passage_ids, read_texts

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Write shares by tier and category, a sentence for each tier, and sampled triplets, for both profiles."""
    args = paths(__doc__, "texts", "tokens", "base", *PROFILES, "metrics", "tables", "vectors", argv=argv)
    params = load_params()
    model = load_model(args.base, params.model, base_weights(params.train))
    store = open_store(args.tokens, tokenizer_fingerprint(model))
    precision = resolve_precision(params.train.precision, device())
    passage_ids, texts = read_passage_ids(args.texts), read_texts(args.texts)[1]
    tiers: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    sentences: dict[str, list[str]] = {}
    by_profile = [
        read_examples(getattr(args, profile) / "examples.parquet").sample(params.rate.anchors, params.rate.seed)
        for profile in PROFILES
    ]
    cache = VectorCache(args.vectors, model, precision)
    of_profiles = similarities(model, store, passage_ids, precision, *by_profile, cache=cache)
    for profile, examples, scores in zip(PROFILES, by_profile, of_profiles, strict=True):
        rows = tier_difficulty(examples, scores, params.train.margin, params.rate.suspect)
        sentences[profile] = tier_sentences(rows, profile)
        tiers += [{"profile": profile} | row for row in rows]
        of_profile = sample_with_texts(examples, scores, texts, passage_ids, params.rate.shown, params.rate.seed)
        samples += [{"profile": profile} | row for row in of_profile]
    write_text(
        args.tables / "tiers.csv", pd.DataFrame(tiers).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    )
    write_jsonl(args.tables / "examples.jsonl", samples)
    write_json(args.metrics, {"judgment": sentences, "tiers": _nested(tiers)})
    for profile, of_tiers in sentences.items():
        for sentence in of_tiers:
            print_line(f"rate {profile}: {sentence}")
    anchors = len(by_profile[0])
    print_line(f"rate: {anchors} anchors with their pools, by the base model; {args.metrics}, {args.tables}")


def _nested(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return profile → category → tier → shares."""
    nested: dict[str, Any] = {}
    for row in rows:
        values = {key: value for key, value in row.items() if key not in ("profile", "category", "tier")}
        nested.setdefault(row["profile"], {}).setdefault(row["category"], {})[row["tier"]] = values
    return nested


if __name__ == "__main__":
    run(main)
