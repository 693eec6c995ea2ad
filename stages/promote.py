"""Decide on embedder, late interaction and reranker; publish the embedder that won, or the base model.

``python -m stages.promote --intervals metrics/evaluate/intervals.csv --evaluation metrics/evaluate.json
--added metrics/evaluate/added.csv --model models/round1 --candidate models/reranker-candidate
--verdict metrics/verdict.json --embedder models/embedder --reranker models/reranker``

A reranker is published only if it adds to the search without it; else the README in its folder gives the reason.
"""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from triptych.artifacts import read_json, write_text, writing
from triptych.corpus.last_publication import open_unchanged
from triptych.evaluation.candidates import worth_more
from triptych.evaluation.chosen_on_dev import ChosenOnDev
from triptych.evaluation.comparison import read_intervals
from triptych.evaluation.decisions import decide
from triptych.models.publishing import publish
from triptych.models.round_loading import load_base_of, load_passage_model, load_round
from triptych.models.round_record import read_round_record
from triptych.models.starting_round import started
from triptych.params.load import load_params
from triptych.report.model_card import RunFacts, embedder_card, reranker_card
from triptych.reranker.saved_reranker import has_reranker, model_of, no_reranker, reason_of_no_reranker

from .command import paths, print_line, run

_PATHS = ("intervals", "evaluation", "added", "model", "candidate", "verdict", "embedder", "reranker")


def main(argv: list[str] | None = None) -> None:
    """Write the verdicts, and models that load with plain sentence-transformers."""
    args = paths(__doc__, *_PATHS, argv=argv)
    params = load_params()
    evaluation, intervals = read_json(args.evaluation), read_intervals(args.intervals)
    chosen = ChosenOnDev.from_record(evaluation["chosen_on_dev"])
    none_trained = "train_reranker.steps is 0"
    if params.train_reranker.steps and not has_reranker(args.candidate):
        none_trained = reason_of_no_reranker(args.candidate)
    added, confidence = read_intervals(args.added), params.evaluate.confidence
    verdicts = decide(intervals, added, chosen, params.promote, confidence, none_trained, evaluation["taught"])
    if other_bases := worth_more(added, params.promote.measure, confidence):
        embedder = replace(verdicts.embedder, reasons=[*verdicts.embedder.reasons, *other_bases])
        verdicts = replace(verdicts, embedder=embedder)
    record, published = read_round_record(args.model), args.model
    if verdicts.published == "previous":
        last = open_unchanged(Path(evaluation["previous"]["folder"]), evaluation["previous"]["kept"])
        published = last.round or args.model
        record = started(published, record.max_length, None)
        verdicts = replace(verdicts, sides=record.sides)
    run_facts = RunFacts(
        params, record, verdicts, evaluation["measures"], evaluation["by_kind"], intervals, evaluation["corpus"]
    )

    with writing(args.reranker) as out:
        if verdicts.reranker.used:
            shutil.copytree(args.candidate, out, copy_function=shutil.copyfile, dirs_exist_ok=True)
            write_text(out / "README.md", reranker_card(run_facts, model_of(params), args.reranker))
        else:
            no_reranker(out, verdicts.reranker.reason)
    with writing(args.embedder) as out:
        tuned = verdicts.published != "base"
        card = embedder_card(run_facts, args.embedder)
        if tuned:
            passages = partial(load_passage_model, published, params.model) if record.sides == "query" else None
            publish(load_round(published, params.model)[0], record.strength, out, card, passages)
        else:
            publish(load_base_of(args.model, params.model), 0.0, out, card)
    verdicts.write(args.verdict)

    late, reranker = verdicts.late_interaction, verdicts.reranker
    print_line(f"promote: {verdicts.sentence}; {'; '.join(verdicts.embedder.reasons)}; {args.embedder}")
    if verdicts.previous:
        print_line(f"promote: {'; '.join(verdicts.previous.reasons)}")
    print_line(f"promote: compared with {verdicts.free.system}, {verdicts.free.reason}")
    print_line(f"promote: {'use' if late.used else 'no'} late interaction; {late.reason}")
    print_line(f"promote: {'use the' if reranker.used else 'no'} reranker; {reranker.reason}; {args.reranker}")


if __name__ == "__main__":
    run(main)
