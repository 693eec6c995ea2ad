"""Make anchors, positives and all three tiers of negatives in one pass.

``python -m stages.triplets --corpus data/corpus --texts data/triplets/texts --round data/triplets/heuristic
--heldout data/triplets/heldout --metrics metrics/triplets.json``
"""

from stages.command import paths, run, say
from triptych.artifacts import write_json, writing
from triptych.corpus.records import Chunk, read_chunks, read_links, read_qrels, read_queries
from triptych.corpus.texts import normalized
from triptych.errors import UserError
from triptych.params import load_params
from triptych.triplets.examples import Example, TextTable, write_examples, write_texts
from triptych.triplets.flat import write_round
from triptych.triplets.relations import Relations
from triptych.triplets.tiers import Pools
from triptych.triplets.views import Anchor, anchors, passage, question_anchors


def main(argv: list[str] | None = None) -> None:
    """Write the text table, the examples of the first round, and held-out triplets for the test queries."""
    args = paths(__doc__, "corpus", "texts", "round", "heldout", "metrics", argv=argv)
    params = load_params().triplets
    chunks = read_chunks(args.corpus / "chunks.parquet", "split")
    links = read_links(args.corpus / "links.parquet", "split")
    queries = read_queries(args.corpus, "split")
    judged = {split: read_qrels(args.corpus / "qrels" / f"{split}.tsv") for split in ("train", "dev", "test")}
    forbidden = {normalized(queries[one].text) for split in ("dev", "test") for one in judged[split]}

    table = TextTable()
    passages = [table.add("passage", passage(chunk, params.text_template)) for chunk in chunks]
    query_texts = {one: table.add("query", query.text) for one, query in queries.items()}
    found = anchors(chunks, queries, judged["train"], forbidden, params)
    if not found:
        shares = ", ".join(view for view, share in params.views.model_dump().items() if share > 0)
        raise UserError(
            f"no anchor found in views {shares}; raise the share of heading, lead or sentence in triplets.views"
        )
    relations = Relations(chunks, links, params.exclude_linked)
    examples = _examples(found, chunks, Pools(chunks, "train", relations, params), table)
    asked = question_anchors(chunks, queries, judged["test"], params.text_template)
    heldout = _examples(asked, chunks, Pools(chunks, "test", relations, params), table)
    with writing(args.texts) as out:
        write_texts(out, table, passages, query_texts)
    with writing(args.round) as out:
        metrics = write_round(out, examples, table.texts, passages, params)
    with writing(args.heldout) as out:
        write_examples(out / "examples.parquet", heldout)
    write_json(args.metrics, metrics)
    views = ", ".join(f"{view} {number}" for view, number in metrics["examples_by_view"].items())
    say(
        f"triplets: {len(examples)} examples ({views}) over {len(table.texts)} distinct texts;"
        f" {metrics['triplets']} triplets in the mix {params.mix.easy:g}/{params.mix.medium:g}/{params.mix.hard:g},"
        f" {metrics['triplets_missing']} without a candidate; {args.round}"
    )


def _examples(found: list[Anchor], chunks: list[Chunk], pools: Pools, table: TextTable) -> list[Example]:
    return [
        Example(
            anchor=table.add("passage" if anchor.view == "sibling" else "query", anchor.text),
            positive=table.add("passage", anchor.positive_text),
            positive_chunk=anchor.positive,
            view=anchor.view,
            category=chunks[anchor.positive].category,
            negatives=tuple(pool),
        )
        for anchor, pool in zip(found, pools.draw(found), strict=True)
    ]


if __name__ == "__main__":
    run(main)
