"""Measure BM25, base, tuned, hybrids, late interaction and the reranker on test; look at both embedders' triplets.

``python -m stages.evaluate --corpus data/corpus --texts data/triplets/texts --heldout data/triplets/heldout
--tokens data/tokens --model models/round1 --metrics metrics/evaluate.json
--tables metrics/evaluate --runs data/runs --reranker models/reranker-candidate``
"""

from dataclasses import asdict
from functools import partial
from typing import Any

from stages.command import paths, print_line, run
from triptych.artifacts import dvc_hash, write_json, write_rows, writing
from triptych.corpus.passages import passage
from triptych.corpus.records import Run, read_qrels
from triptych.evaluation.comparison import ALL, NamedInterval, compare, missing_from_top, write_intervals
from triptych.evaluation.held_out_triplets import against_base
from triptych.evaluation.metrics import mean_metric
from triptych.evaluation.run_files import write_runs
from triptych.evaluators.retrieval_evaluator import held_out_triplet_metrics, load_evaluator
from triptych.models.loading import tokenizer_fingerprint
from triptych.models.round_loading import load_round
from triptych.params.load import load_params
from triptych.reranker.cross_encoder import load_saved
from triptych.reranker.pair_format import pair_store
from triptych.reranker.rerank_runs import by_pairs, by_tokens, rerank
from triptych.reranker.saved_reranker import has_reranker
from triptych.retrieval.fusion import Fusion, choose_fusion
from triptych.retrieval.reranking import Reranking
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import read_examples

# What orders hits anew is compared with the same search without it, too. Where dev leaves the order as it is there is
# no such system: it would be the one before under another name, and count in Holm's correction.
WITHOUT = [
    ("base_late", "base_hybrid"),
    ("tuned_late", "tuned_hybrid"),
    ("reranked", "tuned_late"),
    ("reranked", "tuned_hybrid"),
]


def main(argv: list[str] | None = None) -> None:
    """Write measures, differences with intervals, what was chosen on dev, and what each system found."""
    names = ("corpus", "texts", "heldout", "tokens", "model", "metrics", "tables", "runs", "reranker")
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    blend, record = load_round(args.model, params.model)
    store = open_store(args.tokens, tokenizer_fingerprint(blend.model))
    evaluator = load_evaluator(args.corpus, args.texts, ["dev", "test"], store, params.train.precision)
    dev, test = (read_qrels(args.corpus / "qrels" / f"{split}.tsv") for split in ("dev", "test"))
    heldout = read_examples(args.heldout / "examples.parquet")

    settings, measure = params.evaluate, partial(mean_metric, params.promote.measure)
    fusions = [Fusion(method, weight) for method in settings.fusions for weight in settings.dense_weights]
    passages = [passage(chunk, params.triplets.text_template) for chunk in evaluator.chunks]
    runs = {"bm25": evaluator.lexical_run(passages, settings.depth)}
    triplets: list[dict[str, Any]] = []
    chosen: dict[str, Any] = {"strength": record.strength}
    for system, strength in (("base", 0.0), ("tuned", record.strength)):
        model, hybrid = blend.at(strength), f"{system}_hybrid"
        runs[system] = evaluator.dense_run(model, settings.depth, f"evaluate: {system}")
        fusion, _ = choose_fusion(_only(runs[system], dev), _only(runs["bm25"], dev), fusions, dev, measure)
        runs[hybrid] = fusion.fuse(runs[system], runs["bm25"], settings.depth)
        chosen[hybrid] = asdict(fusion)
        late, scorer = f"{system}_late", by_tokens(model, evaluator, f"evaluate: {system}")
        ways = _ways(settings.rerank_depths, settings.late_weights)
        ordered, way = rerank(runs[hybrid], dev, ways, measure, scorer)
        chosen[late] = asdict(way)
        if way.weight:
            runs[late] = ordered
        triplets += [{"system": system} | row for row in held_out_triplet_metrics(model, evaluator, heldout)]
    if has_reranker(args.reranker):
        reranker = load_saved(args.reranker)
        pairs = pair_store(reranker, args.texts, args.tokens, params, reranker.max_seq_length)
        first = runs.get("tuned_late", runs["tuned_hybrid"])
        ordered, way = rerank(
            first,
            dev,
            _ways(settings.rerank_depths, settings.rerank_weights),
            measure,
            by_pairs(reranker, pairs, evaluator),
        )
        chosen["reranked"] = asdict(way)
        if way.weight:
            runs["reranked"] = ordered
    document = {chunk.chunk_id: chunk.document_id for chunk in evaluator.chunks}
    tested = {system: _only(found, test) for system, found in runs.items()}
    queries = {query.query_id: query for query in evaluator.queries}
    documents = {query: document[min(judged)] for query, judged in test.items()}
    compared = compare(tested, test, queries, documents, "base", settings)
    added: list[NamedInterval] = []
    for system, without in WITHOUT:
        if {system, without} <= tested.keys():
            both = {name: tested[name] for name in (without, system)}
            added += compare(both, test, queries, documents, without, settings).intervals
    deepest = max(settings.rerank_depths)
    write_json(
        args.metrics,
        {
            "measures": compared.measures,
            "macro": compared.macro,
            "by_kind": compared.by_kind,
            "kinds": compared.kinds,
            "chosen_on_dev": chosen,
            "corpus": dvc_hash(args.corpus),
            f"missing_from_top_{deepest}": missing_from_top(tested["tuned_hybrid"], test, queries, deepest),
        },
    )
    with writing(args.runs) as out:
        write_runs(out / "runs.parquet", tested)
    write_intervals(args.tables / "intervals.csv", compared.intervals)
    write_intervals(args.tables / "added.csv", added)
    write_rows(args.tables / "heldout_triplets.csv", _labeled(against_base(triplets), compared.kinds))
    write_rows(args.tables / "recall.csv", _labeled(_recall(compared.measures), compared.kinds))
    tuned, base = (compared.measures[ALL][system]["mrr@10"] for system in ("tuned", "base"))
    print_line(
        f"evaluate: {len(test)} test queries ({compared.kinds[ALL]}); mrr@10 base {base:.3f}, tuned {tuned:.3f};"
        f" {args.metrics}"
    )


def _ways(depths: list[int], weights: list[float]) -> list[Reranking]:
    return [Reranking(depth, weight) for depth in depths for weight in weights]


def _only(found: Run, qrels: dict[str, Any]) -> Run:
    return {query: found.get(query, {}) for query in qrels}


def _recall(measures: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Return recall by depth, one curve for each category and system."""
    return [
        {"category": category, "system": system, "k": k, "recall": values[f"recall@{k}"]}
        for category, systems in measures.items()
        for system, values in systems.items()
        for k in (1, 5, 10, 50)
    ]


def _labeled(rows: list[dict[str, Any]], kinds: dict[str, str]) -> list[dict[str, Any]]:
    """Add to each row the kinds of queries that it rests on."""
    return [row | {"kinds": kinds[row["category"]]} for row in rows]


if __name__ == "__main__":
    run(main)
