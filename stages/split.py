"""Cluster near-duplicates, split by document, build the queries, and check for leaks.

``python -m stages.split --chunks data/chunks --corpus data/corpus --metrics metrics/split.json``
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.command import paths, print_line, run
from triptych.artifacts import open_table, read_table, write_json, write_table, writing
from triptych.corpus.chunk_table import ChunkTable, CorpusColumns, read_columns
from triptych.corpus.duplicates.duplicate_report import near_duplicate_metrics, near_duplicate_table
from triptych.corpus.duplicates.near_duplicates import cluster, renumber
from triptych.corpus.duplicates.query_overlap import query_overlap_metrics
from triptych.corpus.language import corpus_language, sampled_rows, write_language
from triptych.corpus.queries.author_queries import author_queries
from triptych.corpus.queries.equal_queries import merge_equal
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.queries.pseudo_queries import any_queries, pseudo_queries
from triptych.corpus.queries.user_queries import user_queries
from triptych.corpus.records import SMALL_CATEGORIES, SPLITS, write_queries
from triptych.corpus.splits.bounded import bounded_documents
from triptych.corpus.splits.by_document import assign_queries, assign_splits, count_leaks
from triptych.corpus.splits.held_out import answers_alone, hold_out_answers, judge_only
from triptych.corpus.splits.query_counts import count_by_category, count_warnings, pooled, small_categories
from triptych.corpus.splits.shares import MAX_DIFFERENCE, chunk_shares, cut_metrics, cut_warnings, share_warnings
from triptych.corpus.splits.titles import joining_titles
from triptych.corpus.texts import normalized
from triptych.errors import UserError
from triptych.ids import ChunkRows
from triptych.params.load import load_params
from triptych.params.sections import Split
from triptych.progress import progress

_ORDERS = 20  # orders of the documents that are tried where the shares are not as asked


def main(argv: list[str] | None = None) -> None:
    """Write the corpus with clusters, documents, splits, queries and qrels."""
    args = paths(__doc__, "chunks", "corpus", "metrics", argv=argv)
    all_params = load_params()
    params, min_words = all_params.split, all_params.ingest.min_link_words
    corpus = ChunkTable(open_table(args.chunks / "chunks.parquet"))
    columns = read_columns(corpus)
    links = read_table(args.chunks / "links.parquet", ["from_chunk_id", "to_chunk_id", "text", "context", "kind"])
    clusters = cluster(_texts(corpus), params.near_duplicates)
    authored = author_queries(corpus, columns, links, min_words, clusters.cluster)
    queries, dropped = authored.queries, authored.dropped
    warnings: list[str] = []
    if params.queries is not None:
        own, own_dropped = user_queries(Path(params.queries), columns)
        queries, dropped = own + queries, dropped | {f"user_{reason}": n for reason, n in own_dropped.items()}
        warnings = [f"split.queries: left out {n} of {reason}" for reason, n in own_dropped.items()]
    sampled = ChunkRows(np.array(sampled_rows(len(corpus))))
    sample = [chunk.content for _, chunk in corpus.chunks_at(sampled)]
    language = corpus_language(sample, params.language)
    queries, equal = merge_equal(queries)
    if equal:
        dropped |= {"equal_text": equal}
        warnings.append(f"{equal} questions have the text of another one: each text is one question with all answers")

    # Few judgments judge and do not teach: all documents may answer them, and none of them is learned.
    few = len(queries) < params.min_train_queries and not any(one.split == "train" for one in queries)
    titles, common_titles = joining_titles(corpus, columns, params.group_titles)
    document_ids, cuts = bounded_documents(columns, clusters.cluster, [] if few else queries, titles)
    if few:
        split_codes = _balanced(columns, document_ids, [], params)
        queries, moved = judge_only(queries, columns, document_ids, params.fractions, params.seed), 0
    else:
        queries = _held_out(queries, columns, document_ids, params)
        document_ids, split_codes = _assigned(columns, clusters.cluster, document_ids, queries, params)
        queries, split_codes, document_ids, moved = hold_out_answers(
            queries, columns, clusters.cluster, document_ids, split_codes
        )
        document_ids = renumber(document_ids)
    by_split, dropped_by_split = assign_queries(queries, columns, split_codes, anywhere=few)
    if few and by_split["train"]:
        raise RuntimeError(f"{len(by_split['train'])} queries that only judge are in train")
    if queries and dropped_by_split:
        warnings += [f"{n} queries are dropped: {reason}" for reason, n in sorted(dropped_by_split.items())]
    empty = [split for split in ("dev", "test") if not by_split[split]]
    pseudo: dict[str, list[LabeledQuery]] = {}
    if empty:
        pseudo, dropped_pseudo = pseudo_queries(corpus, columns, split_codes, params.seed, min_words)
        judged = {normalized(one.query.text) for of_split in by_split.values() for one in of_split}
        pseudo = {one: [two for two in pseudo[one] if normalized(two.query.text) not in judged] for one in empty}
        without: list[str] = [one for one in ("test", "dev") if one in pseudo and not pseudo[one]]
        if without:
            judged |= {normalized(two.query.text) for of_split in pseudo.values() for two in of_split}
            pseudo |= any_queries(corpus, columns, without, judged, params.seed)
        by_split |= pseudo
        dropped_by_split += dropped_pseudo
    leaks = count_leaks(clusters, document_ids, split_codes, by_split)
    if any(leaks.values()):
        raise UserError(f"the splits leak: {leaks}; this is a bug in Triptych, please report it with your params.yaml")
    counts = count_by_category(columns, split_codes, by_split)
    small = small_categories(counts, params.min_queries)
    shares = chunk_shares(split_codes)
    given = not few and any(one.split is not None for one in queries)
    warnings += count_warnings(counts, params, small)
    warnings += cut_warnings(corpus, columns, cuts, common_titles, moved)
    warnings += share_warnings(shares, params.fractions, columns, document_ids, given)
    if pseudo:
        number = sum(map(len, pseudo.values()))
        real = "questions and no usable links" if not queries else f"question or usable link for {' and '.join(pseudo)}"
        warnings.insert(0, f"no {real}: {number} pseudo-queries are used instead, which prove nothing")
    elif few:
        warnings.insert(
            0,
            f"{len(queries)} questions and usable links, fewer than split.min_train_queries"
            f" ({params.min_train_queries}): all of them are in dev and test, and training uses no judgment",
        )
    by_split = pooled(by_split, small)
    with writing(args.corpus) as out:
        splits = pa.DictionaryArray.from_arrays(pa.array(split_codes), list(SPLITS)).cast(pa.string())
        numbers = {"cluster_id": pa.array(clusters.cluster), "document_id": pa.array(document_ids)}
        corpus.write_with(out / "chunks.parquet", **numbers, split=splits)
        write_table(out / "near_duplicates.parquet", near_duplicate_table(columns, clusters))
        shutil.copyfile(args.chunks / "links.parquet", out / "links.parquet")
        qrels = {split: {one.query.query_id: one.relevant for one in by_split[split]} for split in SPLITS}
        write_language(out, language)
        write_queries(out, [one.query for split in SPLITS for one in by_split[split]], qrels)
    redundancy = near_duplicate_metrics(columns, clusters)
    metrics = {
        "language": language,
        "splits": counts,
        "shares": shares,
        "judgments": {"queries": len(queries), "judge_only": few, "kinds": authored.kinds},
        "small_categories": {"name": SMALL_CATEGORIES, "categories": small},
        "cuts": cut_metrics(cuts, common_titles, moved),
        "kinds": {split: dict(Counter(one.query.kind for one in by_split[split])) for split in SPLITS},
        "leaks": leaks,
        "nearest_train_query": query_overlap_metrics(
            *([one.query for one in by_split[split]] for split in ("test", "train"))
        ),
        "near_duplicates": redundancy,
        "documents": int(document_ids.max()) + 1,
        "queries_dropped": dropped | dict(dropped_by_split),
        "warnings": warnings,
    }
    write_json(args.metrics, metrics)
    for warning in warnings:
        print_line(f"warning: {warning}")
    sizes = ", ".join(
        f"{split} {np.sum(split_codes == code)}/{len(by_split[split])}" for code, split in enumerate(SPLITS)
    )
    print_line(
        f"split: {len(columns)} chunks in {metrics['documents']} documents,"
        f" {redundancy['redundant_share']:.1%} redundant,"
        f" {redundancy['across_categories']['clusters']} near-duplicate clusters across categories;"
        f" chunks/queries: {sizes}; no leak; {args.corpus}"
    )


def _held_out(
    queries: list[LabeledQuery], columns: CorpusColumns, document_ids: np.ndarray, params: Split
) -> list[LabeledQuery]:
    """Return the queries, those that must not be learned with split dev or test."""
    held_out = [one for one in queries if one.held_out and one.split is None]
    judging = judge_only(held_out, columns, document_ids, params.fractions, params.seed)
    splits = {one.query.query_id: one.split for one in judging}
    return [replace(one, split=splits[one.query.query_id]) if one.query.query_id in splits else one for one in queries]


def _assigned(
    columns: CorpusColumns, clusters: np.ndarray, document_ids: np.ndarray, queries: list[LabeledQuery], params: Split
) -> tuple[np.ndarray, np.ndarray]:
    """Return document and split of each chunk. Queries with a split fix the documents of their answers.

    If the shares suffer, only the answers themselves are fixed, as documents of their own.
    """
    codes = _balanced(columns, document_ids, queries, params)
    given = [one for one in queries if one.split is not None]
    if given and _distance(codes, params) > MAX_DIFFERENCE:
        alone = answers_alone(given, columns, clusters, document_ids)
        of_answers = _balanced(columns, alone, queries, params)
        if _distance(of_answers, params) < _distance(codes, params):
            return alone, of_answers
    return document_ids, codes


def _balanced(
    columns: CorpusColumns, document_ids: np.ndarray, queries: list[LabeledQuery], params: Split
) -> np.ndarray:
    """Return the splits of the first order of the documents that gives the shares, or else of the best order."""
    best: np.ndarray | None = None
    for attempt in range(_ORDERS):
        seed = params.seed + attempt * 1_000_003
        codes = assign_splits(columns, document_ids, queries, params.fractions, seed)
        if best is None or _distance(codes, params) < _distance(best, params):
            best = codes
        if _distance(best, params) <= MAX_DIFFERENCE:
            break
    assert best is not None
    return best


def _distance(codes: np.ndarray, params: Split) -> float:
    """Return the largest difference of a share to the fraction that was asked."""
    return max(abs(share - getattr(params.fractions, split)) for split, share in chunk_shares(codes).items())


def _texts(corpus: ChunkTable) -> Iterator[list[str]]:
    """Yield the contents batch by batch, with a progress bar."""
    with progress("split", len(corpus), "chunks") as update:
        for (texts,) in corpus.batches("content"):
            yield texts
            update(len(texts))


if __name__ == "__main__":
    run(main)
