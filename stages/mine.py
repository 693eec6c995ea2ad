"""Mine hard negatives with the model just trained, for the next round or for the reranker; only ids change.

``python -m stages.mine --corpus data/corpus --texts data/triplets/texts --tokens data/tokens --base models/base
--round data/triplets/round0 --model models/round0
--mined data/triplets/round1 --metrics metrics/mine/round1.json --vectors data/vectors``

``--vectors`` is a cache, no out: what lies there saves time and changes nothing.
"""

import numpy as np
from sentence_transformers import SentenceTransformer

from stages.command import paths, print_line, run
from triptych.artifacts import write_json, writing
from triptych.corpus.records import read_chunks, read_links
from triptych.encoding.mining_vectors import vectors_for_mining
from triptych.models.loading import device, tokenizer_fingerprint
from triptych.models.precision import resolve_precision
from triptych.models.round_loading import load_model
from triptych.models.round_record import write_skipped_round
from triptych.params.load import load_params
from triptych.reranker.mining_guide import reranker_guide
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import read_examples, read_passages, read_texts
from triptych.triplets.export.flat import write_round
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.heuristics.candidates import Words
from triptych.triplets.mining.hard_negatives import CandidateFilter, Scores, Vectors, mine_hard_negatives, neighbors
from triptych.triplets.mining.mining_metrics import advice


def main(argv: list[str] | None = None) -> None:
    """Write the examples of the next round."""
    names = ("corpus", "texts", "tokens", "base", "round", "model", "mined", "metrics", "vectors")
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    profile = "reranker" if args.mined.name == "reranker" else "embedder"
    model = load_model(args.model, params.model)
    store = open_store(args.tokens, tokenizer_fingerprint(model))
    precision = resolve_precision(params.train.precision, device())
    chunks = read_chunks(args.corpus / "chunks.parquet")
    links = read_links(args.corpus / "links.parquet")
    passages = np.array(read_passages(args.texts))
    examples = read_examples(args.round / "examples.parquet")
    rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"])

    def vectors(of: SentenceTransformer) -> Vectors:
        return vectors_for_mining(of, store, examples, passages, rows, precision, args.vectors)

    guide: Scores | None = None
    if params.mine.guide == "base":
        guide = vectors(load_model(args.base, params.model)).scores
    elif params.mine.guide != "none":
        guide = reranker_guide(params, args.texts, args.tokens, examples, passages, precision)
    chosen = CandidateFilter(
        Relations(chunks, links, params.triplets.exclude_linked),
        PositivesByAnchor(examples.anchor, examples.positive_chunk),
        params.mine,
        Words(chunk.content for chunk in chunks),
        guide,
    )
    found = neighbors(examples, vectors(model), params.mine)
    mined, figures = mine_hard_negatives(examples, found, chunks, chosen, params.triplets.negatives_per_anchor)
    ids, all_ = [chunk.chunk_id for chunk in chunks], figures["all"]
    with writing(args.mined) as out:
        _, written = write_round(
            out, mined, read_texts(args.texts)[1], passages.tolist(), ids, params.triplets, profile
        )
        # The reranker is no round of the embedder's: what is mined for it ends none.
        if ends := profile == "embedder" and all_["churn"] < params.mine.skip_below_churn:
            write_skipped_round(out, all_["churn"])
    write_json(args.metrics, {"mined": figures, "ends": ends} | written)
    for line in advice(figures):
        print_line(f"warning: {line}")
    print_line(
        f"mine {args.mined.name}: {len(examples)} anchors against {len(rows)} train chunks;"
        f" {all_['hard_negatives']} hard negatives, {all_['churn']:.0%} new, {all_['examples_short']} anchors short,"
        f" {all_['examples_fallback']} of them on the pool of before; {args.mined}"
        + (f"; below mine.skip_below_churn, so the rounds end before {args.mined.name}" if ends else "")
    )


if __name__ == "__main__":
    run(main)
