"""Evaluate a saved embedder and the base model on the user's own queries; search before there is an index."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych.artifacts import intact, read_json
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.language import corpus_language
from triptych.corpus.records import Chunk, Qrels, Query
from triptych.encoding.text_encoder import Retriever, load_sides
from triptych.evaluation.chosen_on_dev import ChosenOnDev
from triptych.evaluation.comparison import Comparison, compare
from triptych.models.loading import base_weights, load_frozen, release_memory
from triptych.params.sections import Params
from triptych.retrieval.fusion import PRIOR, Fusion
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run
from triptych.serving.searcher import Searcher


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How base and tuned embedder are searched with."""

    fusions: Mapping[str, Fusion]  # with BM25, by embedder: base, tuned
    windows: bool  # whether windows of the passages are searched, or their beginnings alone
    questions: bool = False  # whether the questions written for the chunks are searched too


def read_search_settings(metrics: Path) -> SearchSettings:
    """Return the settings that were chosen on dev, or what was best over several corpora before that."""
    embedders = ("base", "tuned")
    path = metrics / "evaluate.json"
    if not path.exists():
        return SearchSettings(dict.fromkeys(embedders, PRIOR), windows=True)
    record = read_json(path)
    with intact(path):
        chosen = ChosenOnDev.from_record(record["chosen_on_dev"])
        hybrids = {name: chosen.fusions[f"{name}_hybrid"] for name in embedders}
    fusions = {name: Fusion(one.method, one.dense_weight) for name, one in hybrids.items()}
    return SearchSettings(fusions, chosen.windows, chosen.questions)


def compare_on_questions(
    embedder: Path,
    chunks: list[Chunk],
    queries: list[Query],
    qrels: Qrels,
    params: Params,
    settings: SearchSettings,
    vectors: Path,
    written: Path,
) -> Comparison:
    """Evaluate BM25, the base model, the saved embedder (``tuned``) and both hybrids.

    All but BM25 search the questions that stage ``ask`` wrote into the folder ``written``, if the settings say so.
    Nothing is chosen on the queries. The bootstrap draws documents: those of stage ``split`` where the chunks have
    them, else files. ``vectors`` is the folder of the vector cache.
    """
    ids, depth = [chunk.chunk_id for chunk in chunks], params.evaluate.depth
    framed = [framed_passage(chunk, params.triplets.text_template) for chunk in chunks]
    passages = [one.text for one in framed]
    asked = ChunkQuestions.read(written, ids) if settings.questions else ChunkQuestions.none()
    lexical = lexical_run(_lexical_index(chunks, passages, params), queries, depth)
    runs = {"bm25": lexical}
    if len(asked):
        lexical = lexical_run(_lexical_index(chunks, asked.added_to(passages), params), queries, depth)
    max_windows = params.tokenize.known_windows if settings.windows else 1
    max_length = None
    for system in ("tuned", "base"):  # one after the other: one model is in memory
        if system == "tuned":
            model, of_passages = load_sides(embedder)
        else:
            model = of_passages = load_frozen(params.model, base_weights(params.train))
        max_length = max_length or model.max_seq_length
        model.max_seq_length = of_passages.max_seq_length = max_length  # both are cut as they were in training
        retriever = Retriever(
            model, ids, framed, params.train.precision, vectors, system, max_windows, asked, of_passages
        )
        runs[system] = retriever.run(queries, depth)
        runs[f"{system}_hybrid"] = settings.fusions[system].fuse(runs[system], lexical, depth)
        del model, of_passages, retriever
        release_memory()
    runs = {name: runs[name] for name in ("bm25", "base", "base_hybrid", "tuned", "tuned_hybrid")}
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


def base_search(
    chunks: list[Chunk], params: Params, settings: SearchSettings, vectors: Path, written: Path, k: int
) -> Callable[[str], list[str]]:
    """Return a search like `deployed_search` for the time before: base model and BM25.

    Folders are as in `compare_on_questions`, but ``written`` may be missing: stage ``ask`` has not run yet.
    """
    ids, depth = [chunk.chunk_id for chunk in chunks], params.evaluate.depth
    framed = [framed_passage(chunk, params.triplets.text_template) for chunk in chunks]
    passages = [one.text for one in framed]
    are_written = settings.questions and written.exists()
    asked = ChunkQuestions.read(written, ids) if are_written else ChunkQuestions.none()
    lexical = _lexical_index(chunks, asked.added_to(passages), params)
    model = load_frozen(params.model, base_weights(params.train))
    if isinstance(params.tokenize.max_length, int):
        model.max_seq_length = min(model.max_seq_length or params.tokenize.max_length, params.tokenize.max_length)
    max_windows = params.tokenize.known_windows if settings.windows else 1
    dense = Retriever(model, ids, framed, params.train.precision, vectors, "chunks", max_windows, asked)

    def search(question: str) -> list[str]:
        queries = [Query("question", question, "user", "")]
        fused = settings.fusions["base"].fuse(dense.run(queries, depth), lexical_run(lexical, queries, depth), k)
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
