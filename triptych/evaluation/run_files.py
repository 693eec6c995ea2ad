"""The runs of all systems as one Parquet table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from triptych.artifacts import open_table, writing_table
from triptych.corpus.records import Qrels, Run
from triptych.evaluation.metrics import ranked_finite

_SCHEMA = pa.schema(
    [
        ("system", pa.string()),
        ("query_id", pa.string()),
        ("rank", pa.int32()),
        ("chunk_id", pa.string()),
        ("score", pa.float32()),
    ]
)


@dataclass(frozen=True, slots=True)
class SystemHits:
    """The best hits of several systems, and the ranks of the answers."""

    systems: list[str]
    ranks: (
        np.ndarray
    )  # int32 (systems, queries): of the best-ranked answer, from 1; 0 where no answer is among the hits
    top: np.ndarray  # int32 (systems, queries, shown): rows of chunks, best first; padded with -1


def write_runs(path: Path, runs: Mapping[str, Run]) -> None:
    """Write a row per hit, system by system, ranked as by the metrics."""
    with writing_table(path, _SCHEMA) as write:
        for system, run in runs.items():
            rows = [
                (query, rank, chunk, hits[chunk])
                for query, hits in run.items()
                for rank, chunk in enumerate(ranked_finite(query, hits), start=1)
            ]
            columns = list(zip(*rows, strict=True)) or [()] * 4
            write(pa.table([pa.array([system] * len(rows), pa.string()), *columns], schema=_SCHEMA))


def read_hits(path: Path, qrels: Qrels, chunk_ids: Sequence[str], shown: int) -> SystemHits:
    """Read the ``shown`` best hits of each judged query and the ranks of its answers, a batch at a time.

    Queries are in the order of ``qrels``, hits are rows of ``chunk_ids``.
    """
    queries, chunks = pa.array(list(qrels), pa.string()), pa.array(chunk_ids, pa.string())
    row_of = {chunk: row for row, chunk in enumerate(chunk_ids)}
    answers = np.array(
        [
            number * len(chunk_ids) + row_of[chunk]
            for number, judged in enumerate(qrels.values())
            for chunk, grade in judged.items()
            if grade > 0
        ],
        np.int64,
    )
    systems: list[str] = []
    ranks: list[np.ndarray] = []
    top: list[np.ndarray] = []
    for batch in open_table(path).iter_batches():
        query = pc.fill_null(pc.index_in(batch["query_id"], queries), -1).to_numpy(zero_copy_only=False)
        chunk = pc.fill_null(pc.index_in(batch["chunk_id"], chunks), -1).to_numpy(zero_copy_only=False)
        rank = batch["rank"].to_numpy()
        known = (query >= 0) & (chunk >= 0)
        answer = np.isin(query.astype(np.int64) * len(chunk_ids) + chunk, answers)
        for name in pc.unique(batch["system"]).to_pylist():
            if name not in systems:
                systems.append(name)
                ranks.append(np.zeros(len(queries), np.int32))
                top.append(np.full((len(queries), shown), -1, np.int32))
            system = systems.index(name)
            own = known & pc.equal(batch["system"], name).to_numpy(zero_copy_only=False)
            near = own & (rank <= shown)
            top[system][query[near], rank[near] - 1] = chunk[near]
            hits = np.flatnonzero(own & answer)[::-1]  # the best last, so that it is the one kept
            better = (ranks[system][query[hits]] == 0) | (rank[hits] < ranks[system][query[hits]])
            ranks[system][query[hits[better]]] = rank[hits[better]]
    return SystemHits(systems, np.array(ranks), np.array(top))
