"""Cluster near-duplicates, split by document, build the queries, and prove that nothing leaks.

``python -m stages.split --chunks data/chunks --corpus data/corpus --metrics metrics/split.json``
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from stages.command import paths, run, say
from triptych.artifacts import write_json, writing
from triptych.corpus.near_duplicates import cluster
from triptych.corpus.queries import Judged, crossref_queries, user_queries
from triptych.corpus.records import Chunk, read_chunks, read_links, write_chunks, write_links, write_queries
from triptych.corpus.splits import SPLITS, assign, documents, leaks, place
from triptych.errors import UserError
from triptych.params import Split
from triptych.params_file import load_params


def main(argv: list[str] | None = None) -> None:
    """Write the corpus with clusters, documents, splits, queries and qrels."""
    args = paths(__doc__, "chunks", "corpus", "metrics", argv=argv)
    all_params = load_params()
    params = all_params.split
    chunks = read_chunks(args.chunks / "chunks.parquet", "ingest")
    links = read_links(args.chunks / "links.parquet", "ingest")
    judged, dropped = crossref_queries(chunks, links, all_params.ingest.min_link_words)
    if params.queries is not None:
        own, own_dropped = user_queries(Path(params.queries), chunks)
        judged, dropped = own + judged, dropped | {f"user_{reason}": n for reason, n in own_dropped.items()}
    clusters = cluster([chunk.content for chunk in chunks], params.near_duplicates)
    document_ids = documents(chunks, clusters, judged, params.group_titles)
    sides = assign(chunks, document_ids, judged, params.fractions, params.seed)
    chunks = [
        replace(chunk, cluster_id=int(near), document_id=int(document), split=side)
        for chunk, near, document, side in zip(chunks, clusters, document_ids, sides, strict=True)
    ]
    placed, moved = place(judged, chunks)
    found = leaks(chunks, placed)
    if any(found.values()):
        raise UserError(
            f"the splits leak: {found}; this is a fault of Triptych, please report it with your params.yaml"
        )
    _refuse_thin(chunks, placed, params)
    with writing(args.corpus) as out:
        write_chunks(out / "chunks.parquet", chunks)
        write_links(out / "links.parquet", links)
        queries = [item.query for split in SPLITS for item in placed[split]]
        qrels = {split: {item.query.query_id: item.relevant for item in placed[split]} for split in SPLITS}
        write_queries(out, queries, qrels)
    counts = {
        split: {
            category: {
                "chunks": sum(chunk.split == split and chunk.category == category for chunk in chunks),
                "queries": sum(item.query.category == category for item in placed[split]),
            }
            for category in sorted({chunk.category for chunk in chunks})
        }
        for split in SPLITS
    }
    write_json(
        args.metrics,
        {
            "splits": counts,
            "leaks": found,
            "near_duplicates": len(chunks) - len(set(clusters.tolist())),
            "documents": len(set(document_ids.tolist())),
            "queries_dropped": dropped | dict(moved),
        },
    )
    sizes = ", ".join(f"{split} {sum(c.split == split for c in chunks)}/{len(placed[split])}" for split in SPLITS)
    say(
        f"split: {len(chunks)} chunks in {len(set(document_ids.tolist()))} documents,"
        f" {len(set(clusters.tolist()))} near-duplicate clusters; chunks/queries: {sizes}; no leak; {args.corpus}"
    )


def _refuse_thin(chunks: list[Chunk], placed: dict[str, list[Judged]], params: Split) -> None:
    """Refuse a category that could not be judged: too few dev or test queries, or no chunk to train on."""
    problems = []
    for category in sorted({chunk.category for chunk in chunks}):
        number = sum(chunk.category == category for chunk in chunks)
        if not any(chunk.category == category and chunk.split == "train" for chunk in chunks):
            problems.append(f"category {category!r} has {number} chunks, none of which could go to train")
        for split in ("dev", "test"):
            queries = sum(item.query.category == category for item in placed[split])
            if queries < params.min_queries:
                problems.append(f"category {category!r} has {queries} {split} queries, fewer than {params.min_queries}")
    if problems:
        big = Counter(chunk.document_id for chunk in chunks).most_common(1)[0][1] / len(chunks)
        held = f"; the largest document holds {big:.0%} of the chunks" if big > 0.2 else ""
        if held and params.group_titles:
            held += ": set split.group_titles: false"
        raise UserError(
            "\n  ".join(["not enough queries to judge every category" + held, *problems])
            + "\n  add questions (split.queries), join categories (ingest.sources), or lower split.min_queries"
        )


if __name__ == "__main__":
    run(main)
