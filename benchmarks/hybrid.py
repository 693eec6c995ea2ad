"""Effect of code-aware terms and of each fusion: BM25, the base model and their hybrid on dev queries.

``python -m benchmarks.hybrid [--corpus data/corpus] [--quick]``; ``--quick`` runs BM25 only. Compares four
tokenizations: plain words, whole identifiers, parts of identifiers, both (the one that Triptych uses). They run on the
dev queries, and on names: for each dev chunk with a compound name (``set_index``, ``DataFrame``), one query is the name
and one is its words. Test queries are not read.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.records import Chunk, Query, read_chunks, read_qrels, read_queries
from triptych.encoding.text_encoder import Retriever
from triptych.evaluation.metrics import mean_metric, per_query
from triptych.evaluation.significance import paired_bootstrap
from triptych.models.loading import load_base
from triptych.params.load import load_params
from triptych.retrieval import lexical
from triptych.retrieval.fusion import Fusion, choose_fusion
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run

_CODE_AWARE = lexical.terms


def _identifiers(text: str) -> list[str]:
    """Return each word, identifier or pair of characters as it is written."""
    return [text[start:end] for start, end, _ in lexical.term_spans(text)]


def _whole(text: str) -> list[str]:
    return [term.casefold() for term in _identifiers(text)]


def _parts(text: str) -> list[str]:
    segments = (one for term in _identifiers(text) for one in lexical._JOINT.split(term))
    return [word.casefold() for one in segments for word in lexical._WORD_BOUNDARY.split(one) if word]


def _plain(text: str) -> list[str]:
    return [word.casefold() for term in _whole(text) for word in lexical._JOINT.split(term)]


_TERMS: dict[str, Callable[[str], list[str]]] = {
    "plain words": _plain,
    "whole": _whole,
    "parts": _parts,
    "whole and parts": _CODE_AWARE,
}


def _names(chunks: list[Chunk]) -> list[tuple[str, str, str]]:
    """Return chunk id, name and the words of the name, for each dev chunk with a compound name."""
    names = [(one.chunk_id, one.title.rsplit(".", 1)[-1]) for one in chunks if one.split == "dev"]
    split = [(chunk_id, name, " ".join(_parts(name))) for chunk_id, name in names if " " not in name]
    return [one for one in split if " " in one[2]]


def _mrr_of_names(index: LexicalIndex, names: list[tuple[str, str]], title: dict[str, str]) -> float:
    """Return mrr@10 of pairs of chunk id and query; any chunk of the same name is relevant.

    ``numpy.max`` and ``DataFrame.max`` have the same name.
    """
    queries = [Query(str(row), text, "", "") for row, (_, text) in enumerate(names)]
    last = {one: name.rsplit(".", 1)[-1] for one, name in title.items()}
    run = lexical_run(index, queries, 10)
    relevant = [[last[one] == last[chunk_id] for one in run[str(row)]] for row, (chunk_id, _) in enumerate(names)]
    return float(np.mean([1 / (hits.index(True) + 1) if any(hits) else 0.0 for hits in relevant]))


def main() -> None:
    """Print a row for each tokenization, with the fusions of base and BM25."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("data/corpus"))
    parser.add_argument("--quick", action="store_true", help="BM25 only")
    args = parser.parse_args()
    params = load_params()
    chunks, dev = read_chunks(args.corpus / "chunks.parquet"), read_qrels(args.corpus / "qrels" / "dev.tsv")
    all_queries = read_queries(args.corpus)
    queries, depth = [all_queries[one] for one in dev], params.evaluate.depth
    ids, framed = (
        [one.chunk_id for one in chunks],
        [framed_passage(one, params.triplets.text_template) for one in chunks],
    )
    passages = [one.text for one in framed]
    documents = {one.chunk_id: one.document_id for one in chunks}
    clusters = np.array([documents[min(judged)] for judged in dev.values()])
    names, title = _names(chunks), {one.chunk_id: one.title for one in chunks}
    metric = partial(mean_metric, "mrr@10")

    def gain(run: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> str:
        ours, theirs = (np.array([per_query(dev, one)["mrr@10"][query] for query in dev]) for one in (run, other))
        interval = paired_bootstrap(
            ours, theirs, clusters, params.evaluate.bootstrap_samples, 0.95, params.evaluate.seed
        )
        return f"{interval.difference:+.3f} [{interval.low:.3f}, {interval.high:.3f}]"

    dense = None
    if not args.quick:
        model = load_base(params.model)
        if isinstance(params.tokenize.max_length, int):
            model.max_seq_length = params.tokenize.max_length
        with TemporaryDirectory() as vectors:
            retriever = Retriever(model, ids, framed, params.train.precision, Path(vectors), "base")
        dense = retriever.run(queries, depth)
        print(f"base: mrr@10 {metric(dev, dense):.3f} on {len(dev)} dev queries")
    fusions = [Fusion(method, weight) for method in ("zscore", "rrf") for weight in params.evaluate.dense_weights]
    table: dict[str, dict[str, object]] = {}
    for name, terms in _TERMS.items():
        lexical.terms = terms
        index = LexicalIndex(ids, passages)
        bm25 = lexical_run(index, queries, depth)
        row: dict[str, object] = {
            "bm25": metric(dev, bm25),
            "names": _mrr_of_names(index, [(one, whole) for one, whole, _ in names], title),
            "words of names": _mrr_of_names(index, [(one, parts) for one, _, parts in names], title),
        }
        if dense is not None:
            best, means = choose_fusion(dense, bm25, fusions, dev, metric)
            row |= {str(one): mean for one, mean in means.items()} | {"best": asdict(best)}
            halves = [Fusion(method, 0.5).fuse(dense, bm25, depth) for method in ("zscore", "rrf")]
            row |= {"zscore - base": gain(halves[0], dense), "zscore - rrf": gain(*halves)}
        table[name] = row
        print(
            f"{name}: "
            + ", ".join(f"{key} {f'{one:.3f}' if isinstance(one, float) else one}" for key, one in row.items())
        )
    lexical.terms = _CODE_AWARE
    print(json.dumps({"dev_queries": len(dev), "names": len(names), "terms": table}, ensure_ascii=False))


if __name__ == "__main__":
    main()
