"""Mine hard negatives with the model just trained; only ids change.

``python -m stages.mine --tokens data/tokens
--round data/triplets/round0 --model models/round0 --mined data/triplets/round1 --metrics metrics/mine/round1.json``
"""

import numpy as np

from stages.command import paths, run, say
from triptych.artifacts import write_json, writing
from triptych.corpus.records import read_chunks, read_links
from triptych.params_file import load_params
from triptych.retrieval.dense import search
from triptych.tokens.store import open_store
from triptych.training.base import device, tokenizer_fingerprint
from triptych.training.encoding import encode
from triptych.training.precision import resolve_precision
from triptych.training.rounds import load_model, maker_of
from triptych.triplets.examples import read_examples, read_passages, read_texts
from triptych.triplets.flat import write_round
from triptych.triplets.mining import Neighbors, remine
from triptych.triplets.relations import Relations


def main(argv: list[str] | None = None) -> None:
    """Write the examples of the next round."""
    args = paths(__doc__, "tokens", "round", "model", "mined", "metrics", argv=argv)
    params = load_params()
    corpus, texts = args.tokens / "corpus", args.tokens / "texts"
    model = load_model(args.model, params.model)
    store = open_store(args.tokens, tokenizer_fingerprint(model))
    precision = resolve_precision(params.train.precision, device())
    chunks = read_chunks(corpus / "chunks.parquet", "split")
    links = read_links(corpus / "links.parquet", "split")
    relations = Relations(chunks, links, params.triplets.exclude_linked)
    passages = np.array(read_passages(texts))
    examples = read_examples(args.round / "examples.parquet", maker_of(args.round))

    train_rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"])
    vectors = encode(model, store, passages[train_rows], precision, "mine: chunks")
    anchors = encode(model, store, examples.anchor, precision, "mine: anchors")
    hits, scores = search(anchors, vectors, params.mine.depth)
    at = np.full(len(chunks), -1)
    at[train_rows] = np.arange(len(train_rows))
    pool = examples.pool
    neighbors = Neighbors(
        chunks=train_rows[hits],
        scores=scores,
        positive=(anchors * vectors[at[examples.positive_chunk]]).sum(axis=1),
        pooled=np.einsum("ij,ij->i", anchors[pool.anchors], vectors[at[pool.chunk]]),
    )
    mined, figures = remine(examples, neighbors, chunks, relations, params.triplets.negatives_per_anchor, params.mine)
    ids = [chunk.chunk_id for chunk in chunks]
    with writing(args.mined) as out:
        _, written = write_round(out, mined, read_texts(texts)[1], passages.tolist(), ids, params.triplets, "embedder")
    write_json(args.metrics, figures | written)
    say(
        f"mine {args.mined.name}: {len(examples)} anchors against {len(train_rows)} train chunks;"
        f" {figures['hard_negatives']} hard negatives, {figures['churn']:.0%} new, {figures['examples_short']} anchors"
        f" short; {args.mined}"
    )


if __name__ == "__main__":
    run(main)
