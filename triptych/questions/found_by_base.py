"""The filter by retrieval: which written questions the search that needs no training leads to their chunk."""

from collections.abc import Sequence
from dataclasses import dataclass

from triptych.corpus.records import Chunk, Query, ranked
from triptych.corpus.written_questions import WrittenQuestion
from triptych.encoding.text_encoder import Retriever
from triptych.progress import strides
from triptych.retrieval.fusion import PRIOR
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run

_BLOCK = 1024  # questions searched at a time
_MARGIN = 2.0  # of fused standard scores, from which another chunk surely answers better


@dataclass(frozen=True, slots=True)
class Finding:
    """Where the base search finds the chunk of a question."""

    rank: int | None  # of the chunk or a near-duplicate, from 1; None if it is not found
    better: str | None  # the first chunk where it surely answers better


def find(
    questions: Sequence[WrittenQuestion],
    chunks: Sequence[Chunk],
    dense: Retriever,
    lexical: LexicalIndex,
    depth: int,
) -> list[Finding]:
    """Search each question with the base model's vectors and BM25, fused with the usual weight; look at ``depth`` hits.

    Another chunk answers better where it is first, its score is higher by `_MARGIN` (of standard scores over the hits)
    and it is of another document.
    """
    chunk_of = {chunk.chunk_id: chunk for chunk in chunks}
    findings = list[Finding]()
    for start in strides(len(questions), _BLOCK, "ask: search", "questions"):
        block = questions[start : start + _BLOCK]
        queries = [Query(str(row), one.text, "generated", "") for row, one in enumerate(block)]
        run = PRIOR.fuse(dense.run(queries, depth), lexical_run(lexical, queries, depth), depth)
        for row, one in enumerate(block):
            findings.append(_finding(run[str(row)], chunk_of[one.chunk_id], chunk_of))
    return findings


def _finding(hits: dict[str, float], own: Chunk, chunk_of: dict[str, Chunk]) -> Finding:
    order = ranked(hits)
    ranks = [rank for rank, hit in enumerate(order, start=1) if _same(chunk_of[hit], own)]
    if not ranks:
        return Finding(None, None)
    first, target = order[0], order[ranks[0] - 1]
    other = chunk_of[first].document_id != own.document_id or own.document_id < 0
    return Finding(ranks[0], first if other and hits[first] - hits[target] > _MARGIN else None)


def _same(one: Chunk, other: Chunk) -> bool:
    return one.chunk_id == other.chunk_id or (one.cluster_id == other.cluster_id >= 0)
