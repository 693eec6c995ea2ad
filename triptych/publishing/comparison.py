"""The search through a database beside that of the index, on the dev queries."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triptych.corpus.records import Run, best, read_qrels, read_queries
from triptych.errors import UserError
from triptych.evaluation.metrics import mean_metric
from triptych.publishing.database import Database
from triptych.publishing.index_rows import IndexRows
from triptych.retrieval.rankings import search_depth, to_run
from triptych.serving.searcher import Searcher

METRICS = ("recall@10", "mrr@10")
_DEPTH = 10
_MOST_QUERIES = 500  # that are searched for
_MOST_LOST = 0.01  # of a metric
_LEAST_FOUND = 0.95  # of the index's hits: an approximate search may miss some


@dataclass(frozen=True, slots=True)
class Comparison:
    """Metrics on dev of the vectors through the database, of the same vectors in the index, and of the whole search."""

    queries: int
    database: dict[str, float]
    index: dict[str, float]
    search: dict[str, float]  # with BM25 and what else the verdicts take
    found: float  # mean share of the index's ten best chunks that are among the database's
    score_difference: float  # the largest, of a chunk that both found

    def record(self) -> dict[str, Any]:
        """Return the comparison as a dict that JSON can represent."""
        return asdict(self)

    def check(self, shown: str) -> None:
        """Raise `UserError` where the search through the database is worse than that of the index."""
        lost = {name: self.index[name] - self.database[name] for name in METRICS}
        if self.found < _LEAST_FOUND or max(lost.values()) > _MOST_LOST:
            metrics = ", ".join(f"{name} {self.database[name]:.3f} instead of {self.index[name]:.3f}" for name in lost)
            raise UserError(
                f"{shown}: the search there finds {self.found:.1%} of what the index finds, {metrics}, on"
                f" {self.queries} dev queries; if something else wrote there too, publish under another --name; if its"
                " index is approximate, let it visit more vectors"
            )


def compare(database: Database, rows: IndexRows, searcher: Searcher, corpus: Path) -> Comparison | None:
    """Search the dev queries of a corpus through a database, and in the index; None where there are no dev queries."""
    qrels_path = corpus / "qrels" / "dev.tsv"
    if not qrels_path.exists():
        return None
    known, qrels = read_queries(corpus), read_qrels(qrels_path)
    queries = [known[query_id] for query_id in sorted(qrels)][:_MOST_QUERIES]
    if not queries:
        return None
    qrels = {query.query_id: qrels[query.query_id] for query in queries}
    depth = min(search_depth(queries, _DEPTH), rows.settings.depth, len(rows.chunk_ids))
    texts = [query.text for query in queries]
    vectors = searcher.query_vectors(texts)
    index = to_run(queries, rows.chunk_ids, *rows.search.search(vectors, depth), _DEPTH)
    through: Run = {}
    for query, vector in zip(queries, vectors, strict=True):
        hits = database.search(vector, depth)
        through[query.query_id] = best({one: score for one, score in hits.items() if one not in query.exclude}, _DEPTH)
    deployed: Run = {}
    for query, found in zip(queries, searcher.search_all(texts, depth), strict=True):
        kept = [hit for hit in found if hit.chunk.chunk_id not in query.exclude][:_DEPTH]
        deployed[query.query_id] = {hit.chunk.chunk_id: hit.score for hit in kept}
    shares = [len(index[one].keys() & through[one].keys()) / max(len(index[one]), 1) for one in index]
    differences = [
        abs(score - through[query_id][chunk_id])
        for query_id, hits in index.items()
        for chunk_id, score in hits.items()
        if chunk_id in through[query_id]
    ]
    metrics = [{name: mean_metric(name, qrels, run) for name in METRICS} for run in (through, index, deployed)]
    return Comparison(
        len(queries),
        database=metrics[0],
        index=metrics[1],
        search=metrics[2],
        found=sum(shares) / len(shares),
        score_difference=max(differences, default=0.0),
    )
