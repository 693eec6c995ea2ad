"""All queries that people wrote: the user's questions and the links of the documentation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.queries.author_queries import author_queries
from triptych.corpus.queries.equal_queries import merge_equal
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.queries.user_queries import user_queries


@dataclass(frozen=True, slots=True)
class Judgments:
    """The queries with their answers, and what was left out."""

    queries: list[LabeledQuery]
    dropped: dict[str, int]  # links and judgments by reason
    kinds: dict[str, dict[str, Any]]  # of what the authors of the pages judged: found = used + dropped, by reason
    warnings: list[str]

    @property
    def teaching(self) -> int:
        """The number of queries that training may learn."""
        return sum(one.split in (None, "train") and not one.held_out for one in self.queries)


def read_judgments(
    corpus: ChunkTable,
    columns: CorpusColumns,
    links: pa.Table,
    clusters: np.ndarray,
    folder: str | None,
    min_words: int,
) -> Judgments:
    """Return the queries of links and of the user's questions; each text is one query.

    ``clusters`` has the near-duplicate cluster of each chunk; ``folder`` is the BEIR folder of the questions.
    """
    authored = author_queries(corpus, columns, links, min_words, clusters)
    queries, dropped, kinds = authored.queries, authored.dropped, authored.kinds
    warnings: list[str] = []
    if folder is not None:
        own, own_dropped, warnings = user_queries(Path(folder), corpus, columns)
        queries, dropped = own + queries, dropped | {f"user_{reason}": n for reason, n in own_dropped.items()}
        if not own:
            problem = ", ".join(f"{n} {reason}" for reason, n in own_dropped.items()) or "no judgments"
            warnings = [
                f"split.queries: no question of {folder} has an answer among the chunks ({problem}), so none is used;"
                " if they are about other documentation, name the folder of your own questions or set null; corpus-id"
                f" in its qrels must be ids of chunks, such as {columns.chunk_id[0].as_py()}, or names of pages"
            ]
    queries, equal = merge_equal(queries)
    if equal:
        dropped |= {"equal_text": equal}
        warnings.append(f"questions with the text of another one: {equal}; each text is one question with all answers")
    return Judgments(queries, dropped, kinds, warnings)
