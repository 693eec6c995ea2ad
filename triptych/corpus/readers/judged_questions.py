"""Read a corpus and judged questions for an evaluation, from BEIR files or from the outputs of stages."""

from collections import Counter
from pathlib import Path

from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.beir import read_beir, read_qrels_file, read_query_file
from triptych.corpus.readers.shortening import listed, shortened
from triptych.corpus.records import Chunk, Qrels, Query, read_chunks, read_qrels, read_queries
from triptych.errors import ArtifactError, UserError
from triptych.params.sections import Source

_SHOWN = 3  # ids in a message


def read_corpus(folder: Path) -> tuple[list[Chunk], Counter[str]]:
    """Read the chunks of ``data/corpus``, ``data/chunks`` or a BEIR folder; also return rejected records by reason.

    If any record of a BEIR folder has no category, all chunks get the name of the folder as their category.
    """
    if (folder / "chunks.parquet").exists():
        chunks, rejected = read_chunks(folder / "chunks.parquet"), Counter[str]()
    elif (folder / "corpus.jsonl").exists():
        outcomes = _read_records(folder, None)
        if any(isinstance(one, Rejected) and one.reason == "no category" for one in outcomes):
            outcomes = _read_records(folder, folder.resolve().name)
        chunks = [one for one in outcomes if isinstance(one, Chunk)]
        rejected = Counter(one.reason for one in outcomes if isinstance(one, Rejected))
    else:
        raise ArtifactError(folder, "holds neither chunks.parquet nor corpus.jsonl")
    repeated = [chunk_id for chunk_id, n in Counter(chunk.chunk_id for chunk in chunks).items() if n > 1]
    if repeated:
        raise UserError(f"{folder}: {len(repeated)} ids belong to several chunks ({_some(repeated)}); rename them")
    if not chunks:
        raise UserError(f"{folder} contains no chunk ({dict(rejected) or 'it is empty'})")
    return chunks, rejected


def read_questions(queries: Path, qrels: Path, chunks: list[Chunk]) -> tuple[list[Query], Qrels, int]:
    """Read the questions of a BEIR file that have qrels; return them, the qrels, and the number of other questions.

    The category of a question is that of its best answer. Its kind and the chunks that its ranking excludes are taken
    from its metadata; by default its kind is ``user`` and nothing is excluded. Raises `UserError` if the qrels are
    empty, name unknown chunks or questions, or contain a question without an answer.
    """
    texts, judged = read_query_file(queries), read_qrels_file(qrels)
    category = {chunk.chunk_id: chunk.category for chunk in chunks}
    unknown_chunks = sorted({chunk_id for grades in judged.values() for chunk_id in grades} - category.keys())
    unknown_queries = sorted(judged.keys() - texts.keys())
    unanswered = sorted(query_id for query_id, grades in judged.items() if max(grades.values()) < 1)
    for column, ids, problem in (
        (
            "corpus-id",
            unknown_chunks,
            f"are not chunks of the corpus, whose ids look like {listed([chunks[0].chunk_id])}",
        ),
        ("query-id", unknown_queries, f"are not in {queries}"),
        ("query-id", unanswered, "have no answer of score 1 or more; judge one, or remove their lines"),
    ):
        if ids:
            raise UserError(f"{qrels}: {len(ids)} values of {column} ({_some(ids)}) {problem}")
    if not judged:
        raise UserError(f"{qrels} contains no judgments; write a line for each answer: query-id, corpus-id, score")
    questions = []
    for query_id, grades in judged.items():
        text, metadata = texts[query_id]
        best = max(grades, key=lambda chunk: (grades[chunk], chunk))
        exclude = metadata.get("exclude", [])
        kind = metadata.get("kind", "user")
        if not isinstance(exclude, list) or not isinstance(kind, str):
            raise UserError(
                f"{queries}: {shortened(query_id)}: metadata: expected kind as text and exclude as a list of ids"
            )
        questions.append(Query(query_id, text, kind, category[best], tuple(map(str, exclude))))
    return questions, judged, len(texts) - len(questions)


def answered_chunks(folder: Path) -> frozenset[str]:
    """Return the ids of chunks that answer a question written by a person; empty without queries and qrels."""
    if not (folder / "queries.jsonl").exists() or not (folder / "chunks.parquet").exists():
        return frozenset()
    pseudo = {query.query_id for query in read_queries(folder).values() if query.kind == "pseudo"}
    tables = [read_qrels(path) for path in sorted((folder / "qrels").glob("*.tsv"))]
    return frozenset(
        chunk_id
        for qrels in tables
        for query_id, grades in qrels.items()
        if query_id not in pseudo
        for chunk_id in grades
    )


def _read_records(folder: Path, category: str | None) -> list[Chunk | Rejected]:
    return list(read_beir(Source(path=str(folder), category=category), SourceCounts(str(folder))))


def _some(ids: list[str]) -> str:
    return listed(ids, _SHOWN)
