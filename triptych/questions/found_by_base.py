"""The filter by retrieval: which written questions the search that needs no training leads to their chunk."""

from collections.abc import Sequence
from dataclasses import dataclass

from triptych.corpus.records import Chunk, Query, ranked
from triptych.corpus.written_questions import WrittenQuestion
from triptych.ids import Vectors
from triptych.progress import strides
from triptych.retrieval.dense import DenseIndex
from triptych.retrieval.fusion import PRIOR
from triptych.retrieval.lexical import LexicalIndex
from triptych.retrieval.rankings import lexical_run, to_run

_BLOCK = 1024  # questions searched at a time
_RIVAL_RANK = 10  # a chunk at this rank or before it is found well enough: no other one answers better


@dataclass(frozen=True, slots=True)
class Finding:
    """Where the base search finds the chunk of a question."""

    rank: int | None  # of the chunk or a near-duplicate, from 1; None if it is not found
    better: str | None  # the chunk that surely answers better


@dataclass(frozen=True, slots=True)
class BaseSearch:
    """The base model's vectors of all chunks and BM25, fused with the usual weight."""

    chunks: Sequence[Chunk]
    vectors: Vectors
    lexical: LexicalIndex

    def find(self, questions: Sequence[WrittenQuestion], question_vectors: Vectors, depth: int) -> list[Finding]:
        """Search the questions; return whether and where each finds its chunk among ``depth`` hits.

        Another chunk surely answers better where vectors and BM25 agree that it is first, it is of another document,
        and the question's own is not among the first ten. The search alone is no judge of that: questions in users'
        words are those that it fails on (docs/experiments.md).
        """
        index, chunk_of = DenseIndex(self.vectors), {chunk.chunk_id: chunk for chunk in self.chunks}
        findings = list[Finding]()
        for start in strides(len(questions), _BLOCK, "ask: search", "questions"):
            block = questions[start : start + _BLOCK]
            queries = [Query(str(row), one.text, "generated", "") for row, one in enumerate(block)]
            hits, scores = index.search(question_vectors[start : start + _BLOCK], depth)
            dense = to_run(queries, self.lexical.chunk_ids, hits, scores, depth)
            lexical = lexical_run(self.lexical, queries, depth)
            fused = PRIOR.fuse(dense, lexical, depth)
            for query, one in zip(queries, block, strict=True):
                own, order = chunk_of[one.chunk_id], ranked(fused[query.query_id])
                ranks = (rank for rank, hit in enumerate(order, start=1) if _same(chunk_of[hit], own))
                rank = next(ranks, None)
                firsts = {next(iter(run[query.query_id]), None) for run in (dense, lexical)}
                rival = chunk_of[order[0]] if firsts == {order[0]} else None
                beaten = rival is not None and (rank or depth + 1) > _RIVAL_RANK and not _same_document(rival, own)
                findings.append(Finding(rank, order[0] if beaten else None))
        return findings


def _same(one: Chunk, other: Chunk) -> bool:
    return one.chunk_id == other.chunk_id or one.cluster_id == other.cluster_id >= 0


def _same_document(one: Chunk, other: Chunk) -> bool:
    return _same(one, other) or one.document_id == other.document_id >= 0
