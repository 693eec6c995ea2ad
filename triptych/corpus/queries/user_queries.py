"""The user's own questions with their relevant chunks, from a BEIR folder."""

from collections import Counter
from pathlib import Path

import numpy as np

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.readers.beir import read_beir_queries
from triptych.corpus.records import Query
from triptych.errors import UserError
from triptych.ids import ChunkRow

_JUDGING = {"dev", "test"}


def user_queries(folder: Path, corpus: ChunkTable, columns: CorpusColumns) -> tuple[list[LabeledQuery], dict[str, int]]:
    """Read the user's questions from a BEIR folder; qrels files named train, dev and test set the split.

    Without a train file, questions of dev and test only judge. Those of a single file named test are the test set; dev
    has none of them. Those of a single file named dev are divided between dev and test. Those of a single file with
    another name go to any split.
    A corpus-id is the id of a chunk, or the file name or the title of a page, any chunk of which is an answer.
    Judgments of grade 0 or of unknown chunks are ignored and counted; a query without other judgments is dropped.
    Also returns the counts by reason.
    """
    texts, qrels = read_beir_queries(folder)
    other_names = sorted(set(qrels) - {"train", *_JUDGING})
    if len(qrels) > 1 and other_names:
        names = ", ".join(other_names)
        raise UserError(f"{folder}/qrels: expected train, dev and test.tsv, or one file; rename or remove {names}")
    rows = _rows(
        sorted({chunk for table in qrels.values() for grades in table.values() for chunk in grades}), corpus, columns
    )
    held_out = qrels.keys() <= _JUDGING
    sets_split = len(qrels) > 1 or qrels.keys() == {"test"}
    queries: list[LabeledQuery] = []
    dropped: Counter[str] = Counter()
    for split, table in sorted(qrels.items()):
        for query_id, grades in table.items():
            relevant, row_of = dict[str, int](), dict[str, ChunkRow]()
            for name, grade in grades.items():
                for row in rows.get(name, []) if grade > 0 else []:
                    chunk = columns.chunk_id[row].as_py()
                    relevant[chunk] = max(grade, relevant.get(chunk, 0))
                    row_of[chunk] = row
            dropped["unknown_chunk"] += sum(name not in rows for name in grades)
            dropped["grade_zero"] += sum(grade <= 0 for grade in grades.values())
            if query_id not in texts:
                dropped["unknown_query"] += 1
            elif not relevant:
                dropped["nothing_relevant"] += 1
            else:
                best = max(relevant, key=lambda chunk: (relevant[chunk], chunk))
                category = columns.category_of(row_of[best])
                query = Query(f"user-{query_id}", texts[query_id], "user", category)
                queries.append(LabeledQuery(query, relevant, split if sets_split else None, held_out))
    return queries, {reason: number for reason, number in sorted(dropped.items()) if number}


def _rows(names: list[str], corpus: ChunkTable, columns: CorpusColumns) -> dict[str, list[ChunkRow]]:
    """Return the rows of the chunks of each name: of a chunk with this id, or else of the one page with this name.

    The name of a page is its file name, or else the title of chunks that no other page has.
    """
    rows = {name: [row] for name, row in zip(names, columns.rows(names).tolist(), strict=True) if row >= 0}
    unknown = set(names) - rows.keys()
    for column in ("filename", "title"):
        if not unknown:
            break
        found: dict[str, list[ChunkRow]] = {}
        start = 0
        for (values,) in corpus.batches(column):
            for row, value in enumerate(values, start):
                if value in unknown:
                    found.setdefault(value, []).append(ChunkRow(row))
            start += len(values)
        one_page = {name: of_name for name, of_name in found.items() if len(np.unique(columns.file[of_name])) == 1}
        rows |= one_page
        unknown -= one_page.keys()
    return rows
