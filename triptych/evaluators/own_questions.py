"""A trial: a saved embedder and the base model on questions and chunks that a user brings, or on one question."""

from collections.abc import Callable, Mapping
from pathlib import Path

from triptych.artifacts import read_json
from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk, Qrels, Query
from triptych.encoding.text_encoder import Retriever, load_saved, load_with_prompts
from triptych.evaluation.comparison import Comparison, compare
from triptych.params.sections import Params
from triptych.retrieval.fusion import Fusion
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run

_UNTUNED = Fusion("rrf", 0.5)  # what needs no choice


def fusions_on_record(metrics: Path) -> dict[str, Fusion]:
    """Return how base and tuned are fused with BM25, as chosen on dev; plain reciprocal ranks before any choice."""
    names = ("base", "tuned")
    if not (metrics / "evaluate.json").exists():
        return dict.fromkeys(names, _UNTUNED)
    chosen = read_json(metrics / "evaluate.json")["chosen_on_dev"]
    return {name: Fusion(**chosen[f"{name}_hybrid"]) for name in names}


def compare_on_questions(
    embedder: Path,
    chunks: list[Chunk],
    queries: list[Query],
    qrels: Qrels,
    params: Params,
    fusions: Mapping[str, Fusion],
    vectors: Path,
) -> Comparison:
    """Measure BM25, the base model, the saved embedder (``tuned``) and both hybrids.

    Nothing is chosen on the questions. Intervals draw documents: those of stage ``split`` where the chunks have them,
    else files.
    """
    ids, depth = [chunk.chunk_id for chunk in chunks], params.evaluate.depth
    passages = [passage(chunk, params.triplets.text_template) for chunk in chunks]
    runs = {"bm25": lexical_run(LexicalIndex(ids, passages), queries, depth)}
    for system, model in (("base", load_with_prompts(params.model)), ("tuned", load_saved(embedder))):
        runs[system] = Retriever(model, ids, passages, params.train.precision, vectors, system).run(queries, depth)
        runs[f"{system}_hybrid"] = fusions[system].fuse(runs[system], runs["bm25"], depth)
    documents = _documents(chunks)
    return compare(
        runs,
        qrels,
        {query.query_id: query for query in queries},
        {query_id: documents[min(judged)] for query_id, judged in qrels.items()},
        "base",
        params.evaluate,
    )


def current_search(
    embedder: Path, chunks: list[Chunk], params: Params, metrics: Path, vectors: Path, depth: int
) -> Callable[[str], list[str]]:
    """Return what finds the ids of ``depth`` chunks for a question, best first.

    It is BM25 with the published embedder or, before there is one, the base model, fused as the verdict says, or by
    plain reciprocal ranks before any verdict.
    """
    published = (embedder / "modules.json").exists()
    model = load_saved(embedder) if published else load_with_prompts(params.model)
    verdict = metrics / "verdict.json"
    fusion = Fusion(**read_json(verdict)["hybrid"]["fusion"]) if verdict.exists() else _UNTUNED
    ids = [chunk.chunk_id for chunk in chunks]
    passages = [passage(chunk, params.triplets.text_template) for chunk in chunks]
    index = LexicalIndex(ids, passages)
    retriever = Retriever(model, ids, passages, params.train.precision, vectors, "chunks")

    def search(question: str) -> list[str]:
        asked, deep = [Query("asked", question, "user", "")], params.evaluate.depth
        return list(fusion.fuse(retriever.run(asked, deep), lexical_run(index, asked, deep), depth)["asked"])

    return search


def _documents(chunks: list[Chunk]) -> dict[str, int]:
    """Return the document of each chunk, by id."""
    files: dict[tuple[str, str], int] = {}
    return {
        chunk.chunk_id: chunk.document_id
        if chunk.document_id >= 0
        else files.setdefault((chunk.category, chunk.filename), len(files))
        for chunk in chunks
    }
