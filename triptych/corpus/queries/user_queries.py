"""The user's own questions with their relevant chunks, from a BEIR folder."""

from collections import Counter
from pathlib import Path

from triptych.corpus.chunk_table import CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.readers.beir import read_beir_queries
from triptych.corpus.records import Query
from triptych.errors import UserError


def user_queries(folder: Path, columns: CorpusColumns) -> tuple[list[LabeledQuery], dict[str, int]]:
    """Read the user's questions from a BEIR folder; qrels files named train, dev and test set the split.

    The questions of a single file named test are the test set; dev has none of them. Those of a single file named dev
    go to dev and test, never to train; those of a single file with another name go to any split.
    Judgments of grade 0 or of unknown chunks are ignored and counted; a query without other judgments is dropped.
    Raises `UserError` if no query is left. Also returns the counts by reason.
    """
    texts, qrels = read_beir_queries(folder)
    other_names = sorted(set(qrels) - {"train", "dev", "test"})
    if len(qrels) > 1 and other_names:
        names = ", ".join(other_names)
        raise UserError(f"{folder}/qrels: expected train, dev and test.tsv, or one file; rename or remove {names}")
    ids = sorted({chunk for table in qrels.values() for grades in table.values() for chunk in grades})
    rows = {chunk_id: row for chunk_id, row in zip(ids, columns.rows(ids).tolist(), strict=True) if row >= 0}
    held_out = qrels.keys() == {"dev"}
    sets_split = len(qrels) > 1 or qrels.keys() == {"test"}
    queries: list[LabeledQuery] = []
    dropped: Counter[str] = Counter()
    for split, table in sorted(qrels.items()):
        for query_id, grades in table.items():
            relevant = {chunk: grade for chunk, grade in grades.items() if grade > 0 and chunk in rows}
            dropped["unknown_chunk"] += sum(chunk not in rows for chunk in grades)
            dropped["grade_zero"] += sum(grade <= 0 for grade in grades.values())
            if query_id not in texts:
                dropped["unknown_query"] += 1
            elif not relevant:
                dropped["nothing_relevant"] += 1
            else:
                best = max(relevant, key=lambda chunk: (relevant[chunk], chunk))
                query = Query(f"user-{query_id}", texts[query_id], "user", columns.category_of(rows[best]))
                queries.append(LabeledQuery(query, relevant, split if sets_split else None, held_out))
    reasons = {reason: number for reason, number in sorted(dropped.items()) if number}
    if not queries:
        problem = ", ".join(f"{number} {reason}" for reason, number in reasons.items()) or "no judgments"
        raise UserError(
            f"split.queries: no question of {folder} has an answer among the chunks ({problem}); corpus-id in its"
            f" qrels must be ids of chunks, such as {columns.chunk_id[0].as_py()}"
        )
    return queries, reasons
