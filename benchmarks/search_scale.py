"""Search over a million chunks: milliseconds a question, and recall of the exact hits, for each precision of the index.

``python -m benchmarks.search_scale [--sizes 10000 100000 1000000] [--questions 200] [--rescore 4 16] [--vectors-only]``

The vectors have the dimensions and the neighborhoods of a real model's: those of numpy's and pandas' documentation by
the base model, each mixed with another one at random and with noise, as often as it takes; the questions are the first
sentences of other sections. Words are searched in sections as `benchmarks.scale` makes them. One question after the
other, one thread; *hybrid* is the vectors' search, BM25 and their fusion, without encoding the question. With
``--rescore`` the binary index is searched with each of these values of ``index.rescore``.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.scale import SIZES, Sections
from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.docstrings import read_package
from triptych.corpus.records import Chunk, Query, Run
from triptych.corpus.texts import sentence_spans
from triptych.models.loading import load_base
from triptych.params.load import load_params
from triptych.params.sections import Source
from triptych.retrieval.dense import search
from triptych.retrieval.fusion import PRIOR
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import drop_unmatched, to_run
from triptych.retrieval.vector_index import IndexPrecision, VectorIndex

_REAL, _NOISE, _K = 1_000, 0.02, 10  # real texts; noise of a dimension; hits that are compared


def real_vectors(questions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the base model's vectors of sections, and of the first sentences of other ones."""
    model = load_base(load_params().model)
    contents = [
        chunk.content
        for name in ("numpy", "pandas")
        for chunk in read_package(Source(path=name, format="package"), SourceCounts(name))
        if isinstance(chunk, Chunk) and sentence_spans(chunk.content)
    ]
    np.random.default_rng(7).shuffle(contents)
    asked = [text[slice(*sentence_spans(text)[0])] for text in contents[_REAL : _REAL + questions]]
    encoded = [model.encode(texts, normalize_embeddings=True) for texts in (contents[:_REAL], asked)]
    return np.asarray(encoded[0], np.float32), np.asarray(encoded[1], np.float32)


def mixed(real: np.ndarray, size: int) -> np.ndarray:
    """Return ``size`` unit vectors like the real ones: float32 of shape (size, dimensions)."""
    random = np.random.default_rng(7)
    vectors = np.empty((size, real.shape[1]), np.float32)
    for start in range(0, size, 65_536):
        block = vectors[start : start + 65_536]
        one, other = random.integers(len(real), size=(2, len(block)))
        block[:] = real[one] + random.random((len(block), 1), np.float32) * real[other]
        block += _NOISE * random.standard_normal(block.shape, np.float32)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def milliseconds(ask: Callable[[int], object], questions: int) -> dict[str, float]:
    """Return the median and the 95th percentile of the time of a question, after one that warms up."""
    ask(0)
    times = []
    for number in range(questions):
        started = time.perf_counter()
        ask(number)
        times.append(1000 * (time.perf_counter() - started))
    return {"median": float(np.median(times)), "p95": float(np.percentile(times, 95))}


def word_index(size: int, questions: int) -> tuple[LexicalIndex, list[Query]]:
    """Return BM25 over sections, and questions of seven words each out of some of them."""
    sections = Sections()
    texts = [sections.content(row) for row in range(size)]
    asked = [" ".join(text.split()[5:12]) for text in texts[:: size // questions]]
    queries = [Query(str(number), one, "user", "") for number, one in enumerate(asked)]
    return LexicalIndex([f"c{row}" for row in range(size)], texts), queries


def measure(
    size: int, real: np.ndarray, asked: np.ndarray, rescores: list[int], vectors_only: bool
) -> dict[str, dict[str, float]]:
    """Build each index of a size; return recall@10 of the exact hits, bytes of a vector, and milliseconds."""
    params = load_params()
    settings, depth = params.index, params.evaluate.depth
    kinds: list[tuple[IndexPrecision, int]] = [("float32", settings.rescore), ("int8", settings.rescore)]
    kinds += [("binary", rescore) for rescore in rescores or [settings.rescore]]
    vectors = mixed(real, size)
    exact, _ = search(asked, vectors, _K)
    figures: dict[str, dict[str, float]] = {}
    lexical, queries = (None, []) if vectors_only else word_index(size, len(asked))
    if lexical is not None:
        figures["bm25"] = milliseconds(lambda number: lexical.search([queries[number].text], depth), len(asked))
    for precision, rescore in kinds:
        built = VectorIndex.build(vectors, precision, settings.clip_percentile, rescore)
        with TemporaryDirectory() as folder:
            per_vector = built.save(Path(folder)) / size
            index = VectorIndex.open(Path(folder), rescore)
            hits = np.concatenate([index.search(one[None], depth)[0][:, :_K] for one in asked])
            recall = np.mean([len({*a} & {*b}) / _K for a, b in zip(hits.tolist(), exact.tolist(), strict=True)])
            times = milliseconds(lambda number, index=index: index.search(asked[number][None], depth), len(asked))
            of_kind = {"recall@10": float(recall), "bytes": per_vector, **times}
            if lexical is not None:
                of_both = milliseconds(partial(_hybrid, index, lexical, asked, queries, depth), len(asked))
                of_kind |= {f"hybrid {name}": value for name, value in of_both.items()}
        name = f"{precision} x{rescore}" if precision == "binary" else precision
        figures[name] = of_kind
        print(f"{size:>9,}  {name:10}", of_kind, flush=True)
    return figures


def _hybrid(
    index: VectorIndex, lexical: LexicalIndex, asked: np.ndarray, queries: list[Query], depth: int, number: int
) -> Run:
    one = [queries[number]]
    dense = to_run(one, lexical.chunk_ids, *index.search(asked[number][None], depth), depth)
    by_words = to_run(one, lexical.chunk_ids, *lexical.search([one[0].text], depth), depth)
    return PRIOR.fuse(dense, drop_unmatched(by_words), depth)


def main() -> None:
    """Measure each size; print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="chunks")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rescore", type=int, nargs="+", default=[], help="of the binary index")
    parser.add_argument("--vectors-only", action="store_true", help="no BM25, whose index of 1 M takes minutes")
    args = parser.parse_args()
    real, asked = real_vectors(args.questions)
    print(json.dumps({size: measure(size, real, asked, args.rescore, args.vectors_only) for size in args.sizes}))


if __name__ == "__main__":
    main()
