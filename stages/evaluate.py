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

from triptych.artifacts import dvc_hash, read_json, write_json, write_rows, writing
from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.last_publication import LastPublication, read_last
from triptych.corpus.records import ALL, SMALL_CATEGORIES, read_qrels, read_queries
from triptych.encoding.frozen_passages import encode_frozen
from triptych.evaluation.against_previous import compare_exams
from triptych.evaluation.candidates import against_tuned
from triptych.evaluation.comparison import compare, missing_from_top, write_intervals
from triptych.evaluation.held_out_triplets import against_base
from triptych.evaluation.run_files import write_runs
from triptych.evaluators.candidates import CandidateSearch
from triptych.evaluators.dev_queries import DevQueries, queries_of
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator, held_out_triplet_metrics, load_evaluator
from triptych.evaluators.systems import Systems, ablation_intervals
from triptych.models.loading import base_weights, release_memory, tokenizer_fingerprint
from triptych.models.round_loading import load_round
from triptych.models.round_record import RoundRecord, read_round_record
from triptych.params.load import load_params
from triptych.params.sections import Params
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
    elif record.strength:
        of_base = encode_frozen(base, store, evaluator.passage_ids, evaluator.precision, args.vectors)
        systems.add_tuned_queries(blend.at(record.strength), of_base)
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

    last = read_last(args.corpus)
    if last is not None:
        del blend, base, tuned, of_tuned
        _add_previous(systems, evaluator, last, record, params)

    free = systems.free(params.promote.worthwhile)
    on_test = {name: queries_of(one, test) for name, one in systems.runs.items()}
    queries = {query.query_id: query for query in evaluator.queries}
    document_of_chunk = {chunk.chunk_id: chunk.document_id for chunk in evaluator.chunks}
    document_of_query = {query: document_of_chunk[min(judged)] for query, judged in test.items()}
    train, learned = read_qrels(args.corpus / "qrels/train.tsv"), read_examples(args.embedder / "examples.parquet")
    taught = taught_kinds(learned, read_queries(args.corpus), train)
    compared = compare(on_test, test, queries, document_of_query, free.system, settings, taught)
    of_exams = compare_exams(on_test, test, queries, document_of_query, settings, last.exam) if last else ([], {})
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
        | ({"candidates": candidates} if settings.candidates else {})
        | ({"previous": _before(last) | {"exams": of_exams[1]}} if last else {}),
    )
    with writing(args.runs) as out:
        write_runs(out / "runs.parquet", on_test)
    added = ablation_intervals(on_test, test, queries, document_of_query, settings, taught)
    write_intervals(args.tables / "intervals.csv", compared.intervals)
    added += of_exams[0]
    added += against_tuned(on_test, test, queries, document_of_query, settings)
    write_intervals(args.tables / "added.csv", added)
    write_rows(args.tables / "heldout_triplets.csv", _with_kinds(against_base(triplets), compared.kinds))
    write_rows(args.tables / "recall.csv", _with_kinds(_recall_curves(compared.measures), compared.kinds))
    metrics = ", ".join(f"{name} {values['mrr@10']:.3f}" for name, values in compared.measures[ALL].items())
    print_line(
        f"evaluate: {len(test)} test {'query' if len(test) == 1 else 'queries'} ({compared.kinds[ALL]}); mrr@10:"
        f" {metrics}; compared with {free.system}; {args.metrics}"
    )


def _add_previous(
    systems: Systems, evaluator: RetrievalEvaluator, last: LastPublication, record: RoundRecord, params: Params
) -> None:
    """Add the systems of the last publication, if a tuned embedder was published from the base model of today."""
    release_memory()  # the model that was judged has done its part
    if last.round is None:
        print_line(f"evaluate: {last.folder} published the base model, which the new embedder is compared with")
        return
    before = read_round_record(last.round)
    if before.base != record.base:
        print_line(
            f"warning: {last.folder} was tuned from {before.base['base']}, not from {params.model.base} as it is now:"
            " its embedder is not compared, its questions are judged"
        )
        return
    blend, _ = load_round(last.round, params.model)
    frozen = None
    if before.sides == "query":
        with blend.base() as base:
            frozen = encode_frozen(
                base, evaluator.store, evaluator.passage_ids, evaluator.precision, evaluator.vectors_folder
            )
    systems.add_previous(blend.at(before.strength), frozen)


def _before(last: LastPublication) -> dict[str, Any]:
    """Return which publication was before, and what was measured of it then."""
    measures = read_json(last.metrics / "evaluate.json")["measures"][ALL]
    verdict = read_json(last.metrics / "verdict.json")
    return {
        "folder": last.folder,
        "kept": last.kept,
        "published": last.published,
        "then": {"published": verdict["published"], "measures": measures},
    }


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
