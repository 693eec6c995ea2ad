"""Embed every chunk with the published embedder and write the index that a search opens.

Token vectors are written where late interaction is used.

``python -m stages.index --corpus data/corpus --questions data/questions --embedder models/embedder
--verdict metrics/verdict.json --index data/index --metrics metrics/index.json --vectors data/vectors
--tokens data/tokens/metadata.json``

``--vectors`` is a cache outside DVC: vectors in it are not computed again.
"""

from time import perf_counter

import numpy as np

from triptych.artifacts import dvc_hash, write_json, writing
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.language import read_language
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.encoding.numpy_encoder_check import numpy_encoder_settings
from triptych.encoding.text_encoder import TextEncoder, load_sides
from triptych.errors import UserError
from triptych.evaluation.verdict import Verdicts
from triptych.params.load import load_params
from triptych.retrieval.quantization import truncated
from triptych.retrieval.quantization_loss import quantization_loss
from triptych.retrieval.vector_index import VectorIndex
from triptych.retrieval.windows import ChunkSearch, IndexedQuestions
from triptych.serving.search_index import IndexSettings, write_index
from triptych.serving.searcher import CARD
from triptych.serving.window_texts import write_window_texts
from triptych.tokens.token_store import read_max_windows

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Write vectors, BM25 index and chunks, and compare the precision with an exact search in float32."""
    names = ("corpus", "questions", "embedder", "verdict", "index", "metrics", "vectors", "tokens")
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    settings, depth = params.index, params.evaluate.depth
    chunks = read_chunks(args.corpus / "chunks.parquet")
    ids = [chunk.chunk_id for chunk in chunks]
    framed = [framed_passage(chunk, params.triplets.text_template) for chunk in chunks]
    passages = [one.text for one in framed]
    verdicts = Verdicts.read(args.verdict)
    model, passage_model = load_sides(args.embedder)
    encoder = TextEncoder(model, params.train.precision, "index", passage_model)
    max_windows = read_max_windows(args.tokens) if verdicts.windows else 1
    windows = encoder.cut(framed, max_windows)
    of_windows, chunk_of_window = encoder.window_vectors(windows, args.vectors)
    questions = ChunkQuestions.read(args.questions, ids) if verdicts.questions else ChunkQuestions.none()
    vectors: np.ndarray = of_windows
    if len(questions):
        vectors = np.concatenate([of_windows, encoder.questions(questions.texts, args.vectors)])
    if settings.dimensions is not None and settings.dimensions > vectors.shape[1]:
        raise UserError(
            f"index.dimensions: {settings.dimensions}, but the vectors of {args.embedder} have {vectors.shape[1]}; give"
            " fewer, or null"
        )
    kept = truncated(vectors, settings.dimensions)
    index = VectorIndex.build(kept, settings.precision, settings.clip_percentile, settings.rescore)
    numpy_encoder = numpy_encoder_settings(args.embedder, model)
    index_settings = IndexSettings(
        dvc_hash(args.embedder, CARD),
        settings.precision,
        settings.rescore,
        depth,
        numpy_encoder,
        verdicts.late_interaction.used,
        read_language(args.corpus),
        settings.dimensions,
    )
    with writing(args.index) as out:
        tokens = encoder.passage_tokens(windows, args.vectors)
        size = write_index(out, chunks, passages, index, chunk_of_window, questions, index_settings, tokens)
        size["texts"] += write_window_texts(out, windows)

    queries = read_queries(args.corpus)
    searched = ChunkSearch(index.search, chunk_of_window, IndexedQuestions(questions.chunk, index.vectors))
    metrics, speed = {}, 0.0
    for split in ("dev", "test"):  # reported only; nothing is chosen by it
        qrels = read_qrels(args.corpus / "qrels" / f"{split}.tsv")
        judged = [queries[one] for one in qrels]
        query_vectors = encoder.queries([query.text for query in judged])
        started = perf_counter()
        searched.search(truncated(query_vectors, settings.dimensions), depth)
        speed = len(judged) / (perf_counter() - started)
        metrics[split] = quantization_loss(
            index,
            vectors,
            chunk_of_window,
            questions.chunk,
            query_vectors,
            judged,
            ids,
            qrels,
            depth,
            settings.dimensions,
        )
    bytes_per_chunk = {name: bytes_ / len(chunks) for name, bytes_ in size.items()}
    share = size["vectors"] / vectors.nbytes
    write_json(
        args.metrics,
        {
            "chunks": len(chunks),
            "windows": len(of_windows),
            "questions": len(questions),
            "dimensions": kept.shape[1],
            "precision": settings.precision,
            "bytes_per_chunk": bytes_per_chunk,
            "share_of_float32": share,
            "measures": metrics,
        },
    )
    with_questions = f" with {len(questions)} written questions" if len(questions) else ""
    print_line(
        f"index: {len(chunks)} chunks in {len(of_windows)} windows{with_questions} at {settings.precision},"
        f" {size['vectors'] / len(vectors):.0f} bytes per vector"
        f" ({share:.1%}); recall@10 of float32's hits {metrics['test']['index']['recall@10']:.1%}; {speed:.0f} vector"
        f" searches per second; {args.index}"
    )


if __name__ == "__main__":
    run(main)
