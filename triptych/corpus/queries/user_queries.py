"""The user's own questions with their relevant chunks, from a BEIR folder."""

from pathlib import Path

import numpy as np

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.files import MARKDOWN, has_suffix
from triptych.corpus.pages.html import SUFFIXES as HTML
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.readers.beir import read_beir_queries
from triptych.corpus.records import Query
from triptych.errors import UserError
from triptych.ids import ChunkRow

LABELS = "labels.jsonl"  # the journal of `triptych label`, whose answers are chunks
_JUDGING = {"dev", "test"}
_NAMED = 3  # of what is left out
_REASONS = {
    "grade_zero": "judgments of grade 0",
    "nothing_relevant": "questions without a known answer",
    "unknown_chunk": "answers that are neither a chunk nor a page",
    "unknown_query": "judgments of questions that queries.jsonl lacks",
}


def user_queries(
    folder: Path, corpus: ChunkTable, columns: CorpusColumns
) -> tuple[list[LabeledQuery], dict[str, int], list[str]]:
    """Read the user's questions from a BEIR folder; qrels files named train, dev and test set the split.

    Without a train file, questions of dev and test only judge. Those of a single file named test are the test set; dev
    has none of them. Those of a single file named dev are divided between dev and test. Those of a single file with
    another name go to any split.
    A corpus-id is the id of a chunk, or the file name or the title of a page, any chunk of which is an answer.
    Judgments of grade 0 or of unknown chunks are ignored and counted; a query without other judgments is dropped.
    Also returns the counts by reason, and warnings that name what was left out and how names of pages were taken.
    """
    texts, qrels = read_beir_queries(folder)
    other_names = sorted(set(qrels) - {"train", *_JUDGING})
    if len(qrels) > 1 and other_names:
        raise UserError(
            f"{folder}/qrels: expected train, dev and test.tsv, or one file; rename or remove {', '.join(other_names)}"
        )
    names = sorted({chunk for table in qrels.values() for grades in table.values() for chunk in grades})
    rows, warnings = _rows(names, corpus, columns, of_chunks=(folder / LABELS).exists())
    held_out = qrels.keys() <= _JUDGING
    sets_split = len(qrels) > 1 or qrels.keys() == {"test"}
    queries: list[LabeledQuery] = []
    dropped: dict[str, list[str]] = {reason: [] for reason in _REASONS}
    for split, table in sorted(qrels.items()):
        for query_id, grades in table.items():
            relevant, row_of = dict[str, int](), dict[str, ChunkRow]()
            for name, grade in grades.items():
                for row in rows.get(name, []) if grade > 0 else []:
                    chunk = columns.chunk_id[row].as_py()
                    relevant[chunk] = max(grade, relevant.get(chunk, 0))
                    row_of[chunk] = row
            dropped["unknown_chunk"] += [f"{name} of question {query_id}" for name in grades if name not in rows]
            dropped["grade_zero"] += [f"{name} of question {query_id}" for name, grade in grades.items() if grade <= 0]
            if query_id not in texts:
                dropped["unknown_query"].append(query_id)
            elif not relevant:
                dropped["nothing_relevant"].append(f"question {query_id}")
            else:
                best = max(relevant, key=lambda chunk: (relevant[chunk], chunk))
                category = columns.category_of(row_of[best])
                query = Query(f"user-{query_id}", texts[query_id], "user", category)
                queries.append(LabeledQuery(query, relevant, split if sets_split else None, held_out))
    for reason, examples in dropped.items():
        if examples:
            warnings.append(f"split.queries: left out {_REASONS[reason]}: {len(examples)} ({_some(examples)})")
    return queries, {reason: len(examples) for reason, examples in sorted(dropped.items()) if examples}, warnings


def _some(names: list[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _rows(
    names: list[str], corpus: ChunkTable, columns: CorpusColumns, *, of_chunks: bool
) -> tuple[dict[str, list[ChunkRow]], list[str]]:
    """Return the rows of the chunks of each name: of a chunk with this id, or else of the one page with this name.

    The name of a page is its file name, or else the title of chunks that no other page has. The id of the first chunk
    of a file of Markdown or HTML may be the file name too. Where all names are names of pages, it means the page,
    unless the answers are known to be ``of_chunks``; else the chunk. A warning says so.
    """
    rows = {name: [row] for name, row in zip(names, columns.rows(names).tolist(), strict=True) if row >= 0}
    pages = _pages(set(names), "filename", corpus, columns)
    both = [name for name in rows if len(pages.get(name, ())) > 1 and has_suffix(Path(name), (*MARKDOWN, *HTML))]
    unknown = set(names) - rows.keys() - pages.keys()
    by_title = _pages(unknown, "title", corpus, columns) if unknown else {}
    warnings = list[str]()
    if both and not of_chunks:
        if rows.keys() <= pages.keys():
            rows |= {name: pages[name] for name in both}
            warnings.append(f"split.queries: any chunk of a page counts where the page is named, as in {_some(both)}")
        else:
            warnings.append(
                f"split.queries: {_some(both)} may be a page or its first chunk, and is taken as the chunk, since other"
                " answers are ids of chunks; to mean the page, name the ids of all its chunks"
            )
    return by_title | pages | rows, warnings


def _pages(names: set[str], column: str, corpus: ChunkTable, columns: CorpusColumns) -> dict[str, list[ChunkRow]]:
    """Return the rows of the chunks that have each name in a column, where they are of one page."""
    found: dict[str, list[ChunkRow]] = {}
    start = 0
    for (values,) in corpus.batches(column):
        for row, value in enumerate(values, start):
            if value in names:
                found.setdefault(value, []).append(ChunkRow(row))
        start += len(values)
    return {name: of_name for name, of_name in found.items() if len(np.unique(columns.file[of_name])) == 1}
