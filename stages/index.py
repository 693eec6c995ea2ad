"""Embed every chunk with the published embedder and write the index that a search opens.

Token vectors are written where the verdict is for late interaction.

``python -m stages.index --corpus data/corpus --embedder models/embedder --verdict metrics/verdict.json
--index data/index --metrics metrics/index.json --vectors data/vectors``

``--vectors`` is a cache, no out: chunks whose text and model are known there are not embedded again.
"""

from time import perf_counter

from stages.command import paths, print_line, run
from triptych.artifacts import dvc_hash, intact, read_json, write_json, writing
from triptych.corpus.passages import passage
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.encoding.numpy_encoder_check import numpy_encoder_settings
from triptych.encoding.text_encoder import TextEncoder, load_saved
from triptych.params.load import load_params
from triptych.retrieval.quantization_loss import quantization_loss
from triptych.retrieval.vector_index import VectorIndex
from triptych.serving.search_index import IndexSettings, write_index
from triptych.serving.searcher import CARD


def main(argv: list[str] | None = None) -> None:
    """Write vectors, words and chunks, and what the precision costs against an exact search in float32."""
    args = paths(__doc__, "corpus", "embedder", "verdict", "index", "metrics", "vectors", argv=argv)
    params = load_params()
    settings, depth = params.index, params.evaluate.depth
    chunks = read_chunks(args.corpus / "chunks.parquet")
    ids = [chunk.chunk_id for chunk in chunks]
    passages = [passage(chunk, params.triplets.text_template) for chunk in chunks]
    model = load_saved(args.embedder)
    encoder = TextEncoder(model, params.train.precision, "index")
    vectors = encoder.passages(passages, args.vectors)
    stored = VectorIndex.build(vectors, settings.precision, settings.clip_percentile, settings.rescore)
    light = numpy_encoder_settings(args.embedder, model)
    with intact(args.verdict):
        late = bool(read_json(args.verdict)["late_interaction"]["used"])
    made_with = IndexSettings(dvc_hash(args.embedder, CARD), settings.precision, settings.rescore, depth, light, late)
    with writing(args.index) as out:
        size = write_index(out, chunks, passages, stored, made_with, encoder.passage_tokens(passages, args.vectors))

    queries = read_queries(args.corpus)
    measures, speed = {}, 0.0
    for split in ("dev", "test"):  # described; nothing is chosen here
        qrels = read_qrels(args.corpus / "qrels" / f"{split}.tsv")
        asked = [queries[one] for one in qrels]
        questions = encoder.queries([query.text for query in asked])
        started = perf_counter()
        stored.search(questions, depth)
        speed = len(asked) / (perf_counter() - started)
        measures[split] = quantization_loss(stored, vectors, questions, asked, ids, qrels, depth)
    each = {name: bytes_ / len(chunks) for name, bytes_ in size.items()}
    share = each["vectors"] / (vectors.itemsize * vectors.shape[1])
    write_json(
        args.metrics,
        {
            "chunks": len(chunks),
            "dimensions": vectors.shape[1],
            "precision": settings.precision,
            "bytes_per_chunk": each,
            "share_of_float32": share,
            "measures": measures,
        },
    )
    print_line(
        f"index: {len(chunks)} chunks at {settings.precision}, {each['vectors']:.0f} bytes a vector ({share:.1%});"
        f" of float32's ten best {measures['test']['index']['recall@10']:.1%} are found; {speed:.0f} vector searches a"
        f" second; {args.index}"
    )


if __name__ == "__main__":
    run(main)
