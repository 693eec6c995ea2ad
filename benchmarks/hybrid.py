"""What code-aware terms and each fusion are worth: BM25, the base model and their hybrid on dev queries.

``python -m benchmarks.hybrid [--corpus data/corpus] [--quick]``; quick asks BM25 alone. Four ways to take terms from
text: plain words, identifiers whole, identifiers by their parts, both (what Triptych does). They are compared on the
dev queries, and on names: each dev chunk that is called by several words in one (``set_index``, ``DataFrame``) is asked
for by its name and by the words of it. Test queries are not read.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from triptych.corpus.embedded_text import passage
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


def _whole(text: str) -> list[str]:
    return [term.casefold() for term in lexical._TERM.findall(text)]


def _parts(text: str) -> list[str]:
    segments = (one for term in lexical._TERM.findall(text) for one in lexical._JOINT.split(term))
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
    """Return id, name and the words of the name of each dev chunk that is called by several words in one."""
    called = [(one.chunk_id, one.title.rsplit(".", 1)[-1]) for one in chunks if one.split == "dev"]
    split = [(chunk_id, name, " ".join(_parts(name))) for chunk_id, name in called if " " not in name]
    return [one for one in split if " " in one[2]]


def _found(index: LexicalIndex, asked: list[tuple[str, str]], title: dict[str, str]) -> float:
    """Return mrr@10 of names: any chunk of the same name is right (numpy.max, DataFrame.max)."""
    queries = [Query(str(row), text, "", "") for row, (_, text) in enumerate(asked)]
    last = {one: name.rsplit(".", 1)[-1] for one, name in title.items()}
    hits = lexical_run(index, queries, 10)
    right = [[last[one] == last[chunk_id] for one in hits[str(row)]] for row, (chunk_id, _) in enumerate(asked)]
    return float(np.mean([1 / (found.index(True) + 1) if any(found) else 0.0 for found in right]))


def main() -> None:
    """Print a row for each way to take terms, and the fusions of base and BM25."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("data/corpus"))
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    params = load_params()
    chunks, dev = read_chunks(args.corpus / "chunks.parquet"), read_qrels(args.corpus / "qrels" / "dev.tsv")
    known = read_queries(args.corpus)
    queries, depth = [known[one] for one in dev], params.evaluate.depth
    ids, passages = [one.chunk_id for one in chunks], [passage(one, params.triplets.text_template) for one in chunks]
    documents = {one.chunk_id: one.document_id for one in chunks}
    clusters = np.array([documents[min(judged)] for judged in dev.values()])
    names, title = _names(chunks), {one.chunk_id: one.title for one in chunks}
    measure = partial(mean_metric, "mrr@10")

    def gain(run: dict[str, dict[str, float]], other: dict[str, dict[str, float]]) -> str:
        ours, theirs = (np.array([per_query(dev, one)["mrr@10"][query] for query in dev]) for one in (run, other))
        found = paired_bootstrap(ours, theirs, clusters, params.evaluate.bootstrap_samples, 0.95, params.evaluate.seed)
        return f"{found.difference:+.3f} [{found.low:.3f}, {found.high:.3f}]"

    dense = None
    if not args.quick:
        model = load_base(params.model)
        if isinstance(params.tokenize.max_length, int):
            model.max_seq_length = params.tokenize.max_length
        with TemporaryDirectory() as vectors:
            retriever = Retriever(model, ids, passages, params.train.precision, Path(vectors), "base")
        dense = retriever.run(queries, depth)
        print(f"base: mrr@10 {measure(dev, dense):.3f} on {len(dev)} dev queries")
    fusions = [Fusion(method, weight) for method in ("zscore", "rrf") for weight in params.evaluate.dense_weights]
    table: dict[str, dict[str, object]] = {}
    for name, terms in _TERMS.items():
        lexical.terms = terms
        index = LexicalIndex(ids, passages)
        words = lexical_run(index, queries, depth)
        row: dict[str, object] = {
            "bm25": measure(dev, words),
            "names": _found(index, [(one, whole) for one, whole, _ in names], title),
            "words of names": _found(index, [(one, parts) for one, _, parts in names], title),
        }
        if dense is not None:
            best, means = choose_fusion(dense, words, fusions, dev, measure)
            row |= {str(one): mean for one, mean in means.items()} | {"best": asdict(best)}
            halves = [Fusion(method, 0.5).fuse(dense, words, depth) for method in ("zscore", "rrf")]
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
