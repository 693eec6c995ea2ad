"""Evaluate BM25, base, tuned, hybrids, late interaction and the reranker on test; both embedders on held-out triplets.

``python -m stages.evaluate --corpus data/corpus --texts data/triplets/texts --embedder data/triplets/embedder
--heldout data/triplets/heldout
--tokens data/tokens --model models/round1 --metrics metrics/evaluate.json
--tables metrics/evaluate --runs data/runs --reranker models/reranker-candidate --vectors data/vectors``

``--vectors`` is a cache outside DVC: vectors in it are not computed again.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from triptych.artifacts import dvc_hash, write_json, write_rows, writing
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.records import ALL, SMALL_CATEGORIES, read_qrels, read_queries
from triptych.encoding.frozen_passages import encode_frozen
from triptych.evaluation.candidates import against_tuned
from triptych.evaluation.comparison import compare, missing_from_top, write_intervals
from triptych.evaluation.held_out_triplets import against_base
from triptych.evaluation.run_files import write_runs
from triptych.evaluators.candidates import CandidateSearch
from triptych.evaluators.dev_queries import DevQueries, queries_of
from triptych.evaluators.retrieval_evaluator import held_out_triplet_metrics, load_evaluator
from triptych.evaluators.systems import Systems, ablation_intervals
from triptych.models.loading import base_weights, tokenizer_fingerprint
from triptych.models.round_loading import load_round
from triptych.params.load import load_params
from triptych.reranker.cross_encoder import load_saved_reranker
from triptych.reranker.pair_format import pair_store
from triptych.reranker.run_scorer import cross_encoder_scorer
from triptych.reranker.saved_reranker import has_reranker
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import read_examples, read_texts
from triptych.triplets.taught_kinds import taught_kinds

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Write the metrics, differences with intervals, the settings chosen on dev, and the hits of each system."""
    names = (
        "corpus",
        "texts",
        "embedder",
        "heldout",
        "tokens",
        "model",
        "metrics",
        "tables",
        "runs",
        "reranker",
        "vectors",
    )
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    blend, record = load_round(args.model, params.model, base_weights(params.train))
    store = open_store(args.tokens, tokenizer_fingerprint(blend.model))
    evaluator = load_evaluator(args.corpus, args.texts, ["dev", "test"], store, params.train.precision, args.vectors)
    dev, test = (read_qrels(args.corpus / "qrels" / f"{split}.tsv") for split in ("dev", "test"))
    heldout = read_examples(args.heldout / "examples.parquet")

    settings = params.evaluate
    framed = [framed_passage(chunk, params.triplets.text_template) for chunk in evaluator.chunks]
    dev_queries = DevQueries.of(evaluator.queries, dev, params.promote.measure)
    questions = ChunkQuestions.none()
    if len(evaluator.questions):
        _, texts = read_texts(args.texts)
        written = evaluator.questions
        questions = ChunkQuestions(written.chunk, [texts[text_id] for text_id in written.text.tolist()])
    systems = Systems(evaluator, [one.text for one in framed], dev_queries, settings, questions)
    triplets: list[dict[str, Any]] = []
    of_tuned, base = evaluator, blend.at(0.0)
    systems.add_base(base)
    triplets += [{"system": "base"} | row for row in held_out_triplet_metrics(base, evaluator, heldout)]
    if record.sides == "query":
        text_ids = np.concatenate([evaluator.passage_ids, heldout.positive])
        of_tuned = replace(evaluator, frozen=encode_frozen(base, store, text_ids, evaluator.precision, args.vectors))
    tuned = blend.at(record.strength)
    systems.add_tuned(tuned, of_tuned.frozen, blend.base if of_tuned.frozen else None)
    triplets += [{"system": "tuned"} | row for row in held_out_triplet_metrics(tuned, of_tuned, heldout)]
    if has_reranker(args.reranker):
        reranker = load_saved_reranker(args.reranker)
        pairs = pair_store(reranker, args.texts, args.tokens, params, reranker.max_seq_length)
        closest = of_tuned.closest_windows(blend.model) if systems.windows else None
        systems.add_reranker(cross_encoder_scorer(reranker, pairs, evaluator, closest))

    max_windows = int(store.metadata["max_windows"]) if systems.windows else 1
    searched = questions if systems.questions else ChunkQuestions.none()
    search = CandidateSearch(evaluator, framed, settings, max_windows, searched, args.vectors)
    candidates = search.add_to(systems, blend.at(0.0), print_line)

    free = systems.free(params.promote.worthwhile)
    on_test = {name: queries_of(one, test) for name, one in systems.runs.items()}
    queries = {query.query_id: query for query in evaluator.queries}
    document_of_chunk = {chunk.chunk_id: chunk.document_id for chunk in evaluator.chunks}
    document_of_query = {query: document_of_chunk[min(judged)] for query, judged in test.items()}
    train, learned = read_qrels(args.corpus / "qrels/train.tsv"), read_examples(args.embedder / "examples.parquet")
    taught = taught_kinds(learned, read_queries(args.corpus), train)
    compared = compare(on_test, test, queries, document_of_query, free.system, settings, taught)
    deepest = max(settings.rerank_depths)
    write_json(
        args.metrics,
        {
            "measures": compared.measures,
            "macro": compared.macro,
            "by_kind": compared.by_kind,
            "untaught": compared.untaught,
            "taught": taught,
            "kinds": compared.kinds,
            "chosen_on_dev": {
                "strength": record.strength,
                "windows": systems.windows,
                "questions": systems.questions,
                "free": asdict(free),
            }
            | ({"sides": record.sides} if record.sides != "both" else {})
            | systems.chosen,
            "corpus": dvc_hash(args.corpus),
            f"missing_from_top_{deepest}": missing_from_top(on_test["tuned_hybrid"], test, queries, deepest),
        }
        | ({"candidates": candidates} if settings.candidates else {}),
    )
    with writing(args.runs) as out:
        write_runs(out / "runs.parquet", on_test)
    added = ablation_intervals(on_test, test, queries, document_of_query, settings, taught)
    write_intervals(args.tables / "intervals.csv", compared.intervals)
    added += against_tuned(on_test, test, queries, document_of_query, settings)
    write_intervals(args.tables / "added.csv", added)
    write_rows(args.tables / "heldout_triplets.csv", _with_kinds(against_base(triplets), compared.kinds))
    write_rows(args.tables / "recall.csv", _with_kinds(_recall_curves(compared.measures), compared.kinds))
    metrics = ", ".join(f"{name} {values['mrr@10']:.3f}" for name, values in compared.measures[ALL].items())
    print_line(
        f"evaluate: {len(test)} test {'query' if len(test) == 1 else 'queries'} ({compared.kinds[ALL]}); mrr@10:"
        f" {metrics}; compared with {free.system}; {args.metrics}"
    )


def _recall_curves(metrics: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Return recall by depth, one curve for each category and system."""
    return [
        {"category": category, "system": system, "k": k, "recall": values[f"recall@{k}"]}
        for category, systems in metrics.items()
        for system, values in systems.items()
        for k in (1, 5, 10, 50)
    ]


def _with_kinds(rows: list[dict[str, Any]], kinds: dict[str, str]) -> list[dict[str, Any]]:
    """Add to each row the kinds of queries of its category, or of the small categories that it is judged with."""
    of_small = kinds.get(SMALL_CATEGORIES, kinds[ALL])
    return [row | {"kinds": kinds.get(row["category"], of_small)} for row in rows]


if __name__ == "__main__":
    run(main)
