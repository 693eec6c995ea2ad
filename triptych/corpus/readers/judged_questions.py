"""A corpus and judged questions from wherever they lie, to be measured as they are: what does not fit is refused."""

from collections import Counter
from pathlib import Path

from triptych.corpus.outcomes import Rejected, SourceCounts
from triptych.corpus.readers.beir import read_asked, read_beir, read_judgments
from triptych.corpus.records import Chunk, Qrels, Query, read_chunks, read_qrels, read_queries
from triptych.errors import ArtifactError, UserError
from triptych.params.sections import Source

_SHOWN = 3  # ids in a message


def read_corpus(folder: Path) -> tuple[list[Chunk], Counter[str]]:
    """Read the chunks of ``data/corpus``, ``data/chunks`` or a BEIR folder, and count what was left out by reason.

    Where records of a BEIR folder name no category, all are of one that is called like the folder.
    """
    if (folder / "chunks.parquet").exists():
        chunks, left_out = read_chunks(folder / "chunks.parquet"), Counter[str]()
    elif (folder / "corpus.jsonl").exists():
        found = _records(folder, None)
        if any(isinstance(one, Rejected) and one.reason == "no category" for one in found):
            found = _records(folder, folder.resolve().name)
        chunks = [one for one in found if isinstance(one, Chunk)]
        left_out = Counter(one.reason for one in found if isinstance(one, Rejected))
    else:
        raise ArtifactError(folder, "holds neither chunks.parquet nor corpus.jsonl")
    repeated = [one for one, times in Counter(chunk.chunk_id for chunk in chunks).items() if times > 1]
    if repeated:
        raise UserError(f"{folder}: {len(repeated)} ids stand for several chunks ({_some(repeated)}); rename them")
    if not chunks:
        raise UserError(f"{folder} holds no chunk ({dict(left_out) or 'it is empty'})")
    return chunks, left_out


def read_questions(queries: Path, qrels: Path, chunks: list[Chunk]) -> tuple[list[Query], Qrels, int]:
    """Read the questions of a BEIR file that a table judges; return them, the judgments, and the number left out.

    Left out are questions that the table does not judge. A question's category is that of its best answer; its kind and
    what its ranking excludes are taken from its metadata where they stand, else it is a user's and excludes nothing.
    Raise `UserError` on judgments of unknown chunks or questions, on questions without an answer, and where there is
    nothing to measure.
    """
    asked, judged = read_asked(queries), read_judgments(qrels)
    category = {chunk.chunk_id: chunk.category for chunk in chunks}
    unknown = sorted({one for grades in judged.values() for one in grades} - category.keys())
    strangers = sorted(judged.keys() - asked.keys())
    barren = sorted(query for query, grades in judged.items() if max(grades.values()) < 1)
    for problem, found, advice in (
        ("corpus-id", unknown, f"are no chunks of the corpus, whose ids look like {chunks[0].chunk_id}"),
        ("query-id", strangers, f"are not in {queries}"),
        ("query-id", barren, "have no answer of score 1 or more; judge one, or remove their lines"),
    ):
        if found:
            raise UserError(f"{qrels}: {len(found)} values of {problem} ({_some(found)}) {advice}")
    if not judged:
        raise UserError(f"{qrels} judges nothing; write a line for each answer: query-id, corpus-id, score")
    read = []
    for query_id, grades in judged.items():
        text, metadata = asked[query_id]
        best = max(grades, key=lambda chunk: (grades[chunk], chunk))
        exclude = metadata.get("exclude", [])
        kind = metadata.get("kind", "user")
        if not isinstance(exclude, list) or not isinstance(kind, str):
            raise UserError(f"{queries}: {query_id!r}: metadata: expected kind as text and exclude as a list of ids")
        read.append(Query(query_id, text, kind, category[best], tuple(map(str, exclude))))
    return read, judged, len(asked) - len(read)


def answered_chunks(folder: Path) -> frozenset[str]:
    """Return the chunks to which a question that people wrote leads, in a corpus of stage ``split``; else none."""
    if not (folder / "queries.jsonl").exists() or not (folder / "chunks.parquet").exists():
        return frozenset()
    made_up = {one.query_id for one in read_queries(folder).values() if one.kind == "pseudo"}
    tables = [read_qrels(path) for path in sorted((folder / "qrels").glob("*.tsv"))]
    return frozenset(
        one for qrels in tables for query, judged in qrels.items() if query not in made_up for one in judged
    )


def _records(folder: Path, category: str | None) -> list[Chunk | Rejected]:
    return list(read_beir(Source(path=str(folder), category=category), SourceCounts(str(folder))))


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
