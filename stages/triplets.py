"""Extract anchors and positives, and choose negatives of all three tiers for the embedder and the reranker.

``python -m stages.triplets --corpus data/corpus --questions data/questions --texts data/triplets/texts
--embedder data/triplets/embedder --reranker data/triplets/reranker0 --heldout data/triplets/heldout
--metrics metrics/triplets.json``
"""

from collections import Counter
from pathlib import Path

import numpy as np

from triptych.artifacts import write_json, writing
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.records import category_label, read_chunks, read_links, read_qrels, read_queries
from triptych.corpus.texts import normalized
from triptych.ids import TextIds
from triptych.params.load import load_params
from triptych.params.triplets import PROFILES, Triplets
from triptych.triplets.examples import Examples, QuestionIds, TextTable, write_examples, write_texts
from triptych.triplets.exchange.flat import write_round
from triptych.triplets.exchange.import_export import Imported, read_imported
from triptych.triplets.false_negatives import Relations
from triptych.triplets.heuristics.pools import PoolBuilder
from triptych.triplets.sampling.anchor_sample import sample_anchors
from triptych.triplets.sampling.shortfalls import cross_category_share, shortfall_warnings
from triptych.triplets.views import anchors, query_anchors, same_source_share

from .command import paths, print_line, print_warnings, run

_SAME_SOURCE_FROM = 0.01  # print where more than this is missing


def main(argv: list[str] | None = None) -> None:
    """Write the text table, the examples of both profiles, and held-out triplets of the test queries."""
    args = paths(__doc__, "corpus", "questions", "texts", *PROFILES, "heldout", "metrics", argv=argv)
    params = load_params().triplets
    chunks = read_chunks(args.corpus / "chunks.parquet")
    links = read_links(args.corpus / "links.parquet")
    queries = read_queries(args.corpus)
    qrels = {split: read_qrels(args.corpus / "qrels" / f"{split}.tsv") for split in ("train", "dev", "test")}
    forbidden = {normalized(queries[query_id].text) for split in ("dev", "test") for query_id in qrels[split]}
    relations = Relations(chunks, links, params.exclude_linked)
    chunk_ids = [chunk.chunk_id for chunk in chunks]
    questions = ChunkQuestions.read(args.questions, chunk_ids)

    warnings: list[str] = []  # about the corpus
    if questions.unknown:
        warnings.append(
            f"{questions.unknown} of {questions.unknown + len(questions)} written questions are about chunks that"
            " the corpus does not have, and are left out"
        )
    shortfalls: list[str] = []  # about its categories
    table = TextTable()
    text_ids = [table.add_passage(framed_passage(chunk, params.text_template)) for chunk in chunks]
    passage_ids = TextIds(np.array(text_ids, np.int64))
    query_text_ids = {query_id: table.add("query", query.text) for query_id, query in queries.items()}
    # Judgments that only judge are not learned, and links are such judgments.
    judge_only = not qrels["train"] and any(query.kind != "pseudo" for query in queries.values())
    learned = [] if judge_only else links
    passages = [table.texts[text_id] for text_id in text_ids]
    train_anchors = anchors(chunks, learned, queries, qrels["train"], forbidden, params, questions, passages)
    imported = Imported([], [], 0, {})
    if params.imported is not None:
        imported = read_imported(Path(params.imported), chunks, params.text_template, forbidden, relations)
    train_anchors += imported.anchors
    found = len(train_anchors)
    categories = [category_label(chunk.category) for chunk in chunks]
    train_anchors = sample_anchors(train_anchors, categories, params.max_anchors, params.seed)
    if found > len(train_anchors):
        print_line(f"triplets: {len(train_anchors)} of {found} anchors, a sample (triplets.max_anchors)")
    if not train_anchors:
        shares = ", ".join(view for view, share in params.views.model_dump().items() if share > 0)
        train_chunks = sum(chunk.split == "train" for chunk in chunks)
        warnings.append(
            f"no anchor found in views {shares} of {train_chunks} train chunks, so no model is trained; bring texts"
            " with headings and sentences, or questions (split.queries)"
        )
    same_source = same_source_share(train_anchors)
    if message := _same_source_message(same_source, params):
        warnings.append(message)
    built = PoolBuilder(chunks, "train", relations, params).build(train_anchors)
    pools = {
        name: pool.preferring(imported.negatives, params.negatives_per_anchor) for name, pool in built.pools.items()
    }
    if train_anchors and not any(len(pool.chunk) for pool in pools.values()):
        no_negatives = (
            f"no negative for any of {len(train_anchors)} anchors: all chunks of the train split are related"
            " (near-duplicates, one section, equal titles or linked); bring more text, or raise"
            " split.near_duplicates.threshold"
        )
        warnings.append(no_negatives)
    # Queries that only judge may be about chunks of other splits, which have no pool of test chunks.
    test_anchors = query_anchors(chunks, queries, qrels["test"], params.text_template)
    test_anchors = [anchor for anchor in test_anchors if chunks[anchor.positive].split == "test"]
    test_pools = PoolBuilder(chunks, "test", relations, params).build(test_anchors).pools
    heldout = Examples.of_anchors(test_anchors, chunks, test_pools["embedder"], table)
    chunk_counts = Counter(category_label(chunk.category) for chunk in chunks if chunk.split == "train")
    metrics: dict[str, object] = {
        "anchors": {"found": found, "kept": len(train_anchors)},
        "imported": {"kept": imported.kept} | imported.dropped,
        "same_source_positives": {"share": same_source, "wanted": params.same_source_positives},
    }
    by_profile = {name: Examples.of_anchors(train_anchors, chunks, pool, table) for name, pool in pools.items()}
    for profile, examples in by_profile.items():
        with writing(getattr(args, profile)) as out:
            triplets, round_metrics = write_round(out, examples, table.texts, passage_ids, chunk_ids, params, profile)
        of_profile = []
        if train_anchors:
            of_profile = shortfall_warnings(
                examples, triplets, built.related, built.considered, chunk_counts, params, profile
            )
        cross_category = {"share": cross_category_share(examples), "wanted": params.cross_category_hard}
        metrics[profile] = round_metrics | {"cross_category_hard": cross_category, "warnings": of_profile}
        shortfalls += of_profile
    # Last, so that the ids of the other texts are the same with and without questions.
    question_ids = QuestionIds.added(questions, table)
    with writing(args.texts) as out:
        write_texts(out, table, passage_ids, query_text_ids, question_ids)
    with writing(args.heldout) as out:
        write_examples(out / "examples.parquet", heldout)
    write_json(args.metrics, metrics)
    for line in warnings:
        print_line(f"warning: {line}")
    print_warnings(shortfalls, args.metrics)
    view_counts = Counter(anchor.view for anchor in train_anchors)
    views = ", ".join(f"{view} {number}" for view, number in sorted(view_counts.items()))
    print_line(
        f"triplets: {len(train_anchors)} examples ({views or 'no view'}) over {len(table.texts)} distinct texts, for"
        f" {' and '.join(PROFILES)}; {getattr(args, PROFILES[0])}"
    )


def _same_source_message(share: float | None, params: Triplets) -> str | None:
    """Return what to print where ``same_source_positives`` is set, but decides nothing, or cannot be reached."""
    wanted = params.same_source_positives
    if wanted is None:
        return None
    key = f"triplets.same_source_positives: {wanted:g}"
    if share is None:
        return (
            f"{key} decides nothing: no anchor comes from a link, the only kind that leads into another category; give"
            " view crossref or sibling a share, or leave the key out"
        )
    if share > wanted + _SAME_SOURCE_FROM:
        return (
            f"{key} cannot be reached: {share:.0%} of the positives that links give are in the category of their"
            " anchor, since authors link into other categories so seldom; raise it, or bring such links"
        )
    return None


if __name__ == "__main__":
    run(main)
