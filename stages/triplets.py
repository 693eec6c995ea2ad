"""Make anchors, positives and all three tiers of negatives in one pass, for the embedder and for the reranker.

``python -m stages.triplets --corpus data/corpus --texts data/triplets/texts --embedder data/triplets/embedder
--reranker data/triplets/reranker0 --heldout data/triplets/heldout --metrics metrics/triplets.json``
"""

from collections import Counter
from pathlib import Path

from stages.command import paths, print_line, run
from triptych.artifacts import write_json, writing
from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk, read_chunks, read_links, read_qrels, read_queries
from triptych.corpus.texts import normalized
from triptych.errors import UserError
from triptych.params.load import load_params
from triptych.params.triplets import PROFILES
from triptych.triplets.examples import Example, Examples, TextTable, write_examples, write_texts
from triptych.triplets.export.flat import write_round
from triptych.triplets.export.import_export import Imported, read_imported
from triptych.triplets.false_negatives import Relations
from triptych.triplets.heuristics.pools import Pools
from triptych.triplets.negatives import Pool
from triptych.triplets.sampling.shortfalls import shortfall_warnings
from triptych.triplets.views import Anchor, anchors, question_anchors


def main(argv: list[str] | None = None) -> None:
    """Write the text table, the examples of both profiles, and held-out triplets for the test queries."""
    args = paths(__doc__, "corpus", "texts", *PROFILES, "heldout", "metrics", argv=argv)
    params = load_params().triplets
    chunks = read_chunks(args.corpus / "chunks.parquet")
    links = read_links(args.corpus / "links.parquet")
    queries = read_queries(args.corpus)
    judged = {split: read_qrels(args.corpus / "qrels" / f"{split}.tsv") for split in ("train", "dev", "test")}
    forbidden = {normalized(queries[one].text) for split in ("dev", "test") for one in judged[split]}
    relations = Relations(chunks, links, params.exclude_linked)

    table = TextTable()
    passages = [table.add("passage", passage(chunk, params.text_template)) for chunk in chunks]
    query_texts = {one: table.add("query", query.text) for one, query in queries.items()}
    found = anchors(chunks, links, queries, judged["train"], forbidden, params)
    imported = Imported([], [], 0, {})
    if params.imported is not None:
        imported = read_imported(Path(params.imported), chunks, params.text_template, forbidden, relations)
    found += imported.anchors
    if not found:
        shares = ", ".join(view for view, share in params.views.model_dump().items() if share > 0)
        raise UserError(
            f"no anchor found in views {shares}; raise the share of heading, lead or sentence in triplets.views"
        )
    drawn = Pools(chunks, "train", relations, params).draw(found)
    pools = {
        name: pool.preferring(imported.negatives, params.negatives_per_anchor) for name, pool in drawn.pools.items()
    }
    if not any(len(pool.chunk) for pool in pools.values()):
        raise UserError(
            f"no negative for any of {len(found)} anchors: all chunks of the train split are related (near-duplicates,"
            " one section, equal titles or linked); bring more text, or raise split.near_duplicates.threshold"
        )
    asked = question_anchors(chunks, queries, judged["test"], params.text_template)
    heldout = _examples(asked, chunks, Pools(chunks, "test", relations, params).draw(asked).pools["embedder"], table)
    examples = {profile: _examples(found, chunks, pool, table) for profile, pool in pools.items()}
    of_category = Counter(chunk.category for chunk in chunks if chunk.split == "train")
    ids = [chunk.chunk_id for chunk in chunks]
    metrics: dict[str, object] = {"imported": {"kept": imported.kept} | imported.dropped}
    warnings: list[str] = []
    for profile, made in examples.items():
        with writing(getattr(args, profile)) as out:
            draw, figures = write_round(out, made, table.texts, passages, ids, params, profile)
        said = shortfall_warnings(made, draw, drawn.related, drawn.looked, of_category, params, profile)
        metrics[profile] = figures | {"warnings": said}
        warnings += [line for line in said if line not in warnings]
    with writing(args.texts) as out:
        write_texts(out, table, passages, query_texts)
    with writing(args.heldout) as out:
        write_examples(out / "examples.parquet", heldout)
    write_json(args.metrics, metrics)
    for line in warnings:
        print_line(f"warning: {line}")
    views = ", ".join(f"{view} {number}" for view, number in sorted(Counter(one.view for one in found).items()))
    print_line(
        f"triplets: {len(found)} examples ({views}) over {len(table.texts)} distinct texts, for"
        f" {' and '.join(PROFILES)}; {getattr(args, PROFILES[0])}"
    )


def _examples(found: list[Anchor], chunks: list[Chunk], pool: Pool, table: TextTable) -> Examples:
    rows = (
        Example(
            anchor=table.add("passage" if anchor.view == "sibling" else "query", anchor.text),
            positive=table.add("passage", anchor.positive_text),
            positive_chunk=anchor.positive,
            view=anchor.view,
            category=chunks[anchor.positive].category,
            negatives=(),
        )
        for anchor in found
    )
    return Examples.of(rows, pool)


if __name__ == "__main__":
    run(main)
