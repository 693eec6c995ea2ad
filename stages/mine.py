"""Mine hard negatives with the model just trained, for the next round or for the reranker.

``python -m stages.mine --corpus data/corpus --texts data/triplets/texts --tokens data/tokens
--round data/triplets/round0 --model models/round0
--mined data/triplets/round1 --metrics metrics/mine/round1.json --vectors data/vectors``

``--vectors`` is a cache outside DVC: it saves time and does not change the result. For the reranker nothing is mined
while ``train_reranker.steps`` is 0: its examples are those of stage ``triplets``.
"""

import argparse

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.artifacts import write_json, writing
from triptych.corpus.records import read_chunks, read_links
from triptych.encoding.frozen_passages import FrozenPassages, encode_frozen
from triptych.encoding.mining_vectors import vectors_for_mining, window_overlap, windows_found
from triptych.ids import ChunkRows
from triptych.models.loading import base_weights, device, release_memory, tokenizer_fingerprint
from triptych.models.precision import resolve_precision
from triptych.models.round_loading import load_round
from triptych.models.round_record import write_skipped_round
from triptych.params.load import load_params
from triptych.params.sections import Mine, Params
from triptych.reranker.mining_guide import reranker_guide
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import Examples, read_examples, read_passage_ids, read_texts
from triptych.triplets.exchange.flat import write_round
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.heuristics.candidates import Words
from triptych.triplets.mining.candidate_filter import CandidateFilter, PairScorer
from triptych.triplets.mining.hard_negatives import MiningVectors, mine_hard_negatives, neighbors
from triptych.triplets.mining.mining_metrics import advice
from triptych.triplets.sampling.shortfalls import cross_category_share

from .command import paths, print_line, print_warnings, run


def main(argv: list[str] | None = None) -> None:
    """Write the examples of the next round."""
    names = ("corpus", "texts", "tokens", "round", "model", "mined", "metrics", "vectors")
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    profile = "reranker" if args.mined.name == "reranker" else "embedder"
    if profile == "reranker" and not params.train_reranker.steps:
        _keep_examples(args, params)
        return
    blend, record = load_round(args.model, params.model, base_weights(params.train))
    store = open_store(args.tokens, tokenizer_fingerprint(blend.model))
    precision = resolve_precision(params.train.precision, device())
    chunks = read_chunks(args.corpus / "chunks.parquet")
    links = read_links(args.corpus / "links.parquet")
    passage_ids = read_passage_ids(args.texts)
    examples = read_examples(args.round / "examples.parquet")
    rows = ChunkRows(np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"]))

    def vectors(encoder: SentenceTransformer, frozen: FrozenPassages | None = None) -> MiningVectors:
        return vectors_for_mining(encoder, store, examples, passage_ids, rows, precision, args.vectors, frozen)

    frozen = None
    if record.sides == "query":
        with blend.base() as base:
            frozen = encode_frozen(base, store, passage_ids[rows], precision, args.vectors)
    of_model = vectors(blend.at(record.strength), frozen)
    found = windows_found(of_model, store, passage_ids)
    guide: PairScorer | None = None
    if params.mine.guide == "base":
        guide = vectors(blend.at(0.0)).scores  # the base of the round; a second model would take as much memory again
    elif params.mine.guide != "none":
        del blend
        release_memory()
        guide = reranker_guide(params, args.texts, args.tokens, examples, passage_ids, precision, found)
    candidate_filter = CandidateFilter(
        Relations(chunks, links, params.triplets.exclude_linked),
        PositivesByAnchor(examples.anchor, examples.positive_chunk),
        params.mine,
        Words(chunk.content for chunk in chunks),
        guide,
        window_overlap(found, of_model, store, passage_ids) if found else None,
    )
    candidates = neighbors(examples, of_model, params.mine)
    mined, metrics = mine_hard_negatives(
        examples, candidates, chunks, candidate_filter, params.triplets.negatives_per_anchor
    )
    chunk_ids, total = [chunk.chunk_id for chunk in chunks], metrics["all"]
    with writing(args.mined) as out:
        _, written = write_round(
            out, mined, read_texts(args.texts)[1], passage_ids, chunk_ids, params.triplets, profile
        )
        # Rounds are the embedder's: mining for the reranker never ends them.
        too_little_new = bool(len(examples)) and total["churn"] < params.mine.skip_below_churn
        if ends := profile == "embedder" and too_little_new:
            write_skipped_round(out, total["churn"])
    write_json(args.metrics, {"mined": metrics, "ends": ends} | written)
    print_warnings([*advice(metrics), *_too_few_of_other_categories(mined, params.mine)], args.metrics)
    print_line(
        f"mine {args.mined.name}: {len(examples)} anchors against {len(rows)} train chunks;"
        f" {total['hard_negatives']} hard negatives, {total['churn']:.0%} new; {total['examples_short']} anchors have"
        f" fewer than {params.triplets.negatives_per_anchor}, {total['examples_fallback']} have those of the previous"
        f" round only; {args.mined}"
        + (f"; churn is below mine.skip_below_churn, so the rounds end before {args.mined.name}" if ends else "")
    )


def _keep_examples(args: argparse.Namespace, params: Params) -> None:
    """Write the examples of the reranker as they are."""
    examples, chunks = read_examples(args.round / "examples.parquet"), read_chunks(args.corpus / "chunks.parquet")
    texts, passage_ids = read_texts(args.texts)[1], read_passage_ids(args.texts)
    with writing(args.mined) as out:
        _, written = write_round(
            out, examples, texts, passage_ids, [chunk.chunk_id for chunk in chunks], params.triplets, "reranker"
        )
    reason = "train_reranker.steps is 0"
    write_json(args.metrics, {"mined": {}, "ends": False, "not_mined": reason} | written)
    print_line(f"mine {args.mined.name}: not mined, {reason}; {args.mined}")


def _too_few_of_other_categories(examples: Examples, settings: Mine) -> list[str]:
    share = cross_category_share(examples)
    if len(examples.categories) < 2 or share is None or share >= settings.prefer_other_category - 0.01:
        return []
    return [
        f"{share:.1%} of the hard negatives are from another category, fewer than mine.prefer_other_category"
        f" ({settings.prefer_other_category:.0%}): the model finds too few of them near; raise mine.depth, or accept it"
    ]


if __name__ == "__main__":
    run(main)
