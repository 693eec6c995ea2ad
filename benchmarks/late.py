"""Effect of late interaction on top of the hybrid, for each weight, with intervals.

``python -m benchmarks.late [--embedder models/embedder] [--quick]`` after ``dvc repro split``. The base model was
trained on none of the queries, so it is evaluated on those of train and dev, with the fusion that is best on dev; a
tuned embedder is evaluated on dev only. Test queries are not read.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.records import Run, read_chunks, read_qrels, read_queries
from triptych.encoding.encode_tokens import encode_tokens
from triptych.encoding.text_encoder import Retriever, TextEncoder, load_saved, tokenized
from triptych.evaluation.metrics import mean_metric, per_query
from triptych.evaluation.significance import paired_bootstrap
from triptych.models.loading import device, load_base
from triptych.models.precision import resolve_precision
from triptych.params.load import load_params
from triptych.retrieval.fusion import Fusion, choose_fusion
from triptych.retrieval.late_interaction import TokenVectors, late_scores
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run
from triptych.retrieval.reranking import Reranking

_METRIC = "mrr@10"


def main() -> None:
    """Print a row for each split and weight, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("data/corpus"))
    parser.add_argument("--embedder", type=Path, help="a tuned embedder; default: the base model")
    parser.add_argument("--quick", action="store_true", help="dev queries only")
    args = parser.parse_args()
    params = load_params()
    chunks, all_queries = read_chunks(args.corpus / "chunks.parquet"), read_queries(args.corpus)
    splits = ["dev"] if args.embedder or args.quick else ["dev", "train"]
    qrels = {split: read_qrels(args.corpus / "qrels" / f"{split}.tsv") for split in splits}
    queries = [all_queries[one] for judged in qrels.values() for one in judged]
    ids, framed = (
        [one.chunk_id for one in chunks],
        [framed_passage(one, params.triplets.text_template) for one in chunks],
    )
    passages = [one.text for one in framed]
    documents = {one.chunk_id: one.document_id for one in chunks}
    depth, metric = params.evaluate.depth, partial(mean_metric, _METRIC)

    model = load_saved(args.embedder) if args.embedder else load_base(params.model)
    if isinstance(params.tokenize.max_length, int):
        model.max_seq_length = params.tokenize.max_length
    encoder = TextEncoder(model, params.train.precision, "late")
    with TemporaryDirectory() as vectors:
        dense = Retriever(model, ids, framed, params.train.precision, Path(vectors), "late").run(queries, depth)
        blocks = list(encoder.passage_tokens(encoder.cut(framed, 1), Path(vectors)))
    tokens = TokenVectors.join(blocks)
    query_store = tokenized(model, [query.text for query in queries], "query")
    precision = resolve_precision(params.train.precision, device())
    query_tokens = encode_tokens(model, query_store, np.arange(len(queries)), precision, "late: queries")
    query_vectors = {query.query_id: query_tokens.vectors([row]) for row, query in enumerate(queries)}
    bm25 = lexical_run(LexicalIndex(ids, passages), queries, depth)
    fusions = [Fusion(method, weight) for method in params.evaluate.fusions for weight in params.evaluate.dense_weights]

    def only(run: Run, split: str) -> Run:
        return {query: run[query] for query in qrels[split]}

    fusion, _ = choose_fusion(only(dense, "dev"), only(bm25, "dev"), fusions, qrels["dev"], metric)
    first = fusion.fuse(dense, bm25, depth)
    deepest = max(params.evaluate.rerank_depths)
    scores = late_scores(first, query_vectors, tokens, {chunk: row for row, chunk in enumerate(ids)}, deepest)
    rows = []
    for split, judged in qrels.items():
        before = per_query(judged, only(first, split))[_METRIC]
        clusters = np.array([documents[min(answers)] for answers in judged.values()])
        dense_mean = metric(judged, only(dense, split))
        print(f"{split}, {len(judged)} queries: alone {dense_mean:.3f}, {fusion} {np.mean(list(before.values())):.3f}")
        for weight in filter(None, params.evaluate.late_weights):
            after = per_query(judged, Reranking(deepest, weight).rerank(only(first, split), scores))[_METRIC]
            ours, theirs = (np.array([values[query] for query in judged]) for values in (after, before))
            interval = paired_bootstrap(ours, theirs, clusters, params.evaluate.bootstrap_samples, 0.95, 13)
            gain = f"{interval.difference:+.3f} [{interval.low:.3f}, {interval.high:.3f}]"
            print(f"  weight {weight:g}: {ours.mean():.3f}, {gain}")
            rows.append({"split": split, "weight": weight, _METRIC: float(ours.mean()), "gain": interval.difference})
    print(json.dumps({"embedder": str(args.embedder or params.model.base), "fusion": str(fusion), "rows": rows}))


if __name__ == "__main__":
    main()
