"""The split of a corpus: documents and splits of the chunks, the queries of each split, and sentences about both."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.corpus.chunk_table import ChunkTable, CorpusColumns
from triptych.corpus.duplicates.duplicate_report import near_duplicate_metrics
from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters, renumber
from triptych.corpus.duplicates.query_overlap import query_overlap_metrics
from triptych.corpus.queries.judgments import Judgments, read_judgments
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.queries.pseudo_queries import queries_of_empty_splits
from triptych.corpus.records import SMALL_CATEGORIES, SPLITS
from triptych.corpus.splits.balance import assigned, balanced
from triptych.corpus.splits.bounded import Cuts, bounded_documents
from triptych.corpus.splits.by_document import assign_queries, count_leaks, rows_of_answers
from triptych.corpus.splits.held_out import hold_out_answers, judge_only
from triptych.corpus.splits.last_split import LastSplit
from triptych.corpus.splits.query_counts import Counts, count_by_category, count_warnings, pooled, small_categories
from triptych.corpus.splits.shares import chunk_shares, cut_metrics, cut_warnings, share_warnings
from triptych.corpus.splits.titles import joining_titles
from triptych.errors import UserError
from triptych.params.sections import Split


@dataclass(frozen=True, slots=True)
class SplitChunks:
    """The document and the split of each chunk, and the queries with the answers that are left to them."""

    queries: list[LabeledQuery]  # without ``held_out``
    held_out: list[LabeledQuery]  # they only judge, and decide nothing here
    document_ids: np.ndarray  # int32 of shape (chunks,)
    codes: np.ndarray  # int8 of shape (chunks,), indices in `SPLITS`
    judge_only: bool  # whether no query is learned, so that answers may be in any split
    cuts: Cuts
    common_titles: dict[str, int]  # titles that join nothing, with the number of their files
    moved: int  # chunks that were taken out of their documents' split

    @property
    def documents(self) -> int:
        """The number of documents."""
        return int(self.document_ids.max()) + 1


@dataclass(frozen=True, slots=True)
class CorpusSplit:
    """The splits of a corpus, and its queries by split."""

    columns: CorpusColumns
    judgments: Judgments
    chunks: SplitChunks
    queries: dict[str, list[LabeledQuery]]  # by split, under the categories that they are judged in
    counts: Counts
    small: list[str]  # categories that are judged together
    dropped: dict[str, int]  # links and judgments by reason
    leaks: dict[str, int]
    warnings: list[str]

    @property
    def shares(self) -> dict[str, float]:
        """The share of the chunks in each split."""
        return chunk_shares(self.chunks.codes)

    def kinds(self) -> dict[str, dict[str, int]]:
        """Return the number of queries by split and kind."""
        return {split: dict(Counter(one.query.kind for one in self.queries[split])) for split in SPLITS}

    def held_out(self) -> dict[str, dict[str, int]]:
        """Return the number of questions that only judge, by split, and how many of them are about chunks of train.

        Training reads the text of those chunks, as the positive of other anchors.
        """
        of_split: dict[str, list[LabeledQuery]] = {"dev": [], "test": []}
        for one in self.chunks.held_out:
            of_split[one.split or "test"].append(one)
        train = SPLITS.index("train")
        return {
            split: {
                "questions": len(questions),
                "about_train_chunks": sum(
                    bool((self.chunks.codes[rows] == train).any()) for rows in rows_of_answers(questions, self.columns)
                ),
            }
            for split, questions in of_split.items()
        }

    def qrels(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the qrels of each split."""
        return {split: {one.query.query_id: one.relevant for one in self.queries[split]} for split in SPLITS}


def split_corpus(
    corpus: ChunkTable,
    columns: CorpusColumns,
    links: pa.Table,
    clusters: NearDuplicateClusters,
    params: Split,
    min_words: int,
    last: LastSplit | None = None,
) -> CorpusSplit:
    """Split a corpus by documents; build its queries, and assign them to the splits.

    Link texts with fewer than ``min_words`` words are not queries. ``last`` is the split of the publication before,
    which is respected. Raises `UserError` if the splits leak.
    """
    judgments = read_judgments(corpus, columns, links, clusters.cluster, params.queries, min_words)
    chunks = split_chunks(corpus, columns, clusters.cluster, judgments, params, last)
    few = chunks.judge_only
    queries, dropped = assign_queries(chunks.queries, columns, chunks.codes, anywhere=few)
    judging, dropped_judging = assign_queries(chunks.held_out, columns, chunks.codes, anywhere=True)
    queries = {split: queries[split] + judging[split] for split in SPLITS}
    dropped += dropped_judging
    if few and queries["train"]:
        raise RuntimeError(f"{len(queries['train'])} queries that only judge are in train")
    warnings = list(judgments.warnings)
    if judgments.queries and dropped:
        warnings += [f"{n} queries are dropped: {reason}" for reason, n in sorted(dropped.items())]
    pseudo, dropped_pseudo = queries_of_empty_splits(corpus, columns, chunks.codes, queries, params.seed, min_words)
    queries |= pseudo
    dropped += dropped_pseudo
    leaks = count_leaks(clusters, chunks.document_ids, chunks.codes, queries)
    if any(leaks.values()):
        raise UserError(f"the splits leak: {leaks}; this is a bug in Triptych, please report it with your params.yaml")
    counts = count_by_category(columns, chunks.codes, queries)
    small = small_categories(counts, queries["test"], columns, chunks.document_ids, params.min_queries)
    given = not few and last is None and any(one.split is not None for one in chunks.queries)
    warnings += count_warnings(counts, params, small)
    warnings += cut_warnings(corpus, columns, chunks.cuts, chunks.common_titles, chunks.moved)
    warnings += share_warnings(chunk_shares(chunks.codes), params.fractions, columns, chunks.document_ids, given)
    warnings = [*_evidence_warnings(judgments, pseudo, few, params), *warnings]
    all_dropped = judgments.dropped | dict(dropped)
    pooled_queries = pooled(queries, small)
    return CorpusSplit(columns, judgments, chunks, pooled_queries, counts, small, all_dropped, leaks, warnings)


def split_chunks(
    corpus: ChunkTable,
    columns: CorpusColumns,
    clusters: np.ndarray,
    judgments: Judgments,
    params: Split,
    last: LastSplit | None = None,
) -> SplitChunks:
    """Return documents and splits of the chunks. Few judgments judge and do not teach: none of them is learned.

    Questions that only judge move no document: what they are about is learned from everything but their words.
    ``last`` is the split of the publication before: its documents and its questions keep theirs.
    """
    queries = last.marked(judgments.queries, columns) if last else judgments.queries
    held_out = [one for one in queries if one.held_out]
    queries = [one for one in queries if not one.held_out]
    teaching = sum(one.split in (None, "train") for one in queries)
    few = teaching < params.min_train_queries and not any(one.split == "train" for one in queries)
    few = few and not (last and last.taught)
    titles, common_titles = joining_titles(corpus, columns, params.group_titles)
    document_ids, cuts = bounded_documents(columns, clusters, [] if few else queries, titles)
    if last:
        document_ids, last = last.divided(document_ids)
    kept = last.codes if last else None
    if few:  # all documents may answer them
        codes = balanced(columns, document_ids, [], params, kept)
        moved = 0
        queries = judge_only(queries, columns, document_ids, params.fractions, params.seed)
    else:
        document_ids, codes = assigned(columns, clusters, document_ids, queries, params, kept)
        queries = last.learned(queries, columns) if last else queries
        queries, codes, document_ids, moved = hold_out_answers(queries, columns, clusters, document_ids, codes)
        document_ids = renumber(document_ids)
    held_out = judge_only(held_out, columns, document_ids, params.fractions, params.seed)
    return SplitChunks(queries, held_out, document_ids, codes, few, cuts, common_titles, moved)


def split_metrics(columns: CorpusColumns, clusters: NearDuplicateClusters, split: CorpusSplit) -> dict[str, Any]:
    """Return the metrics of a split, except the language."""
    chunks = split.chunks
    return {
        "splits": split.counts,
        "shares": split.shares,
        "judgments": {
            "queries": len(split.judgments.queries),
            "judge_only": chunks.judge_only,
            "kinds": split.judgments.kinds,
            **({"held_out": split.held_out()} if split.chunks.held_out else {}),
        },
        "small_categories": {"name": SMALL_CATEGORIES, "categories": split.small},
        "cuts": cut_metrics(chunks.cuts, chunks.common_titles, chunks.moved),
        "kinds": split.kinds(),
        "leaks": split.leaks,
        "nearest_train_query": query_overlap_metrics(
            *([one.query for one in split.queries[name]] for name in ("test", "train"))
        ),
        "near_duplicates": near_duplicate_metrics(columns, clusters),
        "documents": chunks.documents,
        "queries_dropped": split.dropped,
        "warnings": split.warnings,
    }


def _evidence_warnings(
    judgments: Judgments, pseudo: dict[str, list[LabeledQuery]], few: bool, params: Split
) -> list[str]:
    """Return a sentence if pseudo-queries stand in for judgments, or if no judgment is learned."""
    number = len(judgments.queries)
    if pseudo:
        real = f"question or usable link for {' and '.join(pseudo)}" if number else "questions and no usable links"
        made = sum(map(len, pseudo.values()))
        return [f"no {real}: {made} pseudo-queries are used instead, which prove nothing"]
    if few and not judgments.teaching:
        return [f"all {number} questions only judge, and no link is usable: training uses no judgment"]
    if few:
        return [
            f"{judgments.teaching} questions and links that may be learned, fewer than split.min_train_queries"
            f" ({params.min_train_queries}): all of them are in dev and test, and training uses no judgment"
        ]
    return []
