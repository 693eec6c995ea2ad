"""Equal questions are one question with the answers of all."""

from dataclasses import replace

from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import SPLITS
from triptych.corpus.texts import normalized


def merge_equal(queries: list[LabeledQuery]) -> tuple[list[LabeledQuery], int]:
    """Merge queries with the same normalized text into the first of them; also return how many were merged away.

    The result has the answers of all with the highest grade of each, and excludes what any of them excludes. Of
    different splits test wins over dev, and dev over train, as on every conflict.
    """
    by_text: dict[str, LabeledQuery] = {}
    for query in queries:
        first = by_text.setdefault(normalized(query.query.text) or query.query.query_id, query)
        if first is not query:
            by_text[normalized(query.query.text) or query.query.query_id] = _merged(first, query)
    return list(by_text.values()), len(queries) - len(by_text)


def _merged(first: LabeledQuery, second: LabeledQuery) -> LabeledQuery:
    relevant = {
        chunk: max(first.relevant.get(chunk, 0), second.relevant.get(chunk, 0))
        for chunk in [*first.relevant, *second.relevant]
    }
    splits = [one.split for one in (first, second) if one.split is not None]
    exclude = tuple(sorted({*first.query.exclude, *second.query.exclude} - relevant.keys()))
    return LabeledQuery(
        replace(first.query, exclude=exclude),
        relevant,
        max(splits, key=SPLITS.index) if splits else None,
        first.held_out or second.held_out,
    )
