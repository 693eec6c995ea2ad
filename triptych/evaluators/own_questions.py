"""Evaluate a saved embedder and the base model on the user's own queries; search before there is an index."""

from collections.abc import Callable, Mapping
from pathlib import Path

from triptych.artifacts import intact, read_json
from triptych.corpus.embedded_text import passage
from triptych.corpus.language import corpus_language
from triptych.corpus.records import Chunk, Qrels, Query
from triptych.encoding.text_encoder import Retriever, load_saved
from triptych.evaluation.chosen_on_dev import ChosenOnDev
from triptych.evaluation.comparison import Comparison, compare
from triptych.models.loading import load_base
from triptych.params.sections import Params
from triptych.retrieval.fusion import PRIOR, Fusion
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run
from triptych.serving.searcher import Searcher


def read_fusions(metrics: Path) -> dict[str, Fusion]:
    """Return how base and tuned are fused with BM25: as chosen on dev, or by `PRIOR` before that."""
    embedders = ("base", "tuned")
    path = metrics / "evaluate.json"
    if not path.exists():
        return dict.fromkeys(embedders, PRIOR)
    record = read_json(path)
    with intact(path):
        chosen = ChosenOnDev.from_record(record["chosen_on_dev"]).fusions
        hybrids = {name: chosen[f"{name}_hybrid"] for name in embedders}
    return {name: Fusion(one.method, one.dense_weight) for name, one in hybrids.items()}


def compare_on_questions(
    embedder: Path,
    chunks: list[Chunk],
    queries: list[Query],
    qrels: Qrels,
    params: Params,
    fusions: Mapping[str, Fusion],
    vectors: Path,
) -> Comparison:
    """Evaluate BM25, the base model, the saved embedder (``tuned``) and both hybrids.

    Nothing is chosen on the queries. The bootstrap draws documents: those of stage ``split`` where the chunks have
    them, else files. ``vectors`` is the folder of the vector cache.
    """
    ids, depth = [chunk.chunk_id for chunk in chunks], params.evaluate.depth
    passages = [passage(chunk, params.triplets.text_template) for chunk in chunks]
    runs = {"bm25": lexical_run(_lexical_index(chunks, passages, params), queries, depth)}
    for system, model in (("base", load_base(params.model)), ("tuned", load_saved(embedder))):
        runs[system] = Retriever(model, ids, passages, params.train.precision, vectors, system).run(queries, depth)
        runs[f"{system}_hybrid"] = fusions[system].fuse(runs[system], runs["bm25"], depth)
    documents = _documents(chunks)
    return compare(
        runs,
        qrels,
        {query.query_id: query for query in queries},
        {query_id: documents[min(judged)] for query_id, judged in qrels.items()},
        "base_hybrid",
        params.evaluate,
    )


def deployed_search(searcher: Searcher, chunks: list[Chunk], k: int) -> Callable[[str], list[str]]:
    """Return the search that users have, as a function from a question to the ids of the ``k`` best chunks.

    Hits that are not among ``chunks``, because the index is of another corpus, are left out.
    """
    known = {chunk.chunk_id for chunk in chunks}

    def search(question: str) -> list[str]:
        ids = [hit.chunk.chunk_id for hit in searcher.search(question, k)]
        return [one for one in ids if one in known]

    return search


def base_search(chunks: list[Chunk], params: Params, vectors: Path, k: int) -> Callable[[str], list[str]]:
    """Return a search like `deployed_search` for the time before: base model and BM25.

    ``vectors`` is the folder of the vector cache.
    """
    ids, depth = [chunk.chunk_id for chunk in chunks], params.evaluate.depth
    passages = [passage(chunk, params.triplets.text_template) for chunk in chunks]
    lexical = _lexical_index(chunks, passages, params)
    model = load_base(params.model)
    dense = Retriever(model, ids, passages, params.train.precision, vectors, "chunks")

    def search(question: str) -> list[str]:
        queries = [Query("question", question, "user", "")]
        fused = PRIOR.fuse(dense.run(queries, depth), lexical_run(lexical, queries, depth), k)
        return list(fused["question"])

    return search


def _lexical_index(chunks: list[Chunk], passages: list[str], params: Params) -> LexicalIndex:
    language = corpus_language([chunk.content for chunk in chunks], params.split.language)
    return LexicalIndex([chunk.chunk_id for chunk in chunks], passages, language)


def _documents(chunks: list[Chunk]) -> dict[str, int]:
    """Return the document of each chunk, by id."""
    files: dict[tuple[str, str], int] = {}
    return {
        chunk.chunk_id: chunk.document_id
        if chunk.document_id >= 0
        else files.setdefault((chunk.category, chunk.filename), len(files))
        for chunk in chunks
    }
