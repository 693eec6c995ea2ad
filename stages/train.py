"""Train one round and choose its strength on dev.

``python -m stages.train --corpus data/corpus --texts data/triplets/texts --tokens data/tokens
--round data/triplets/round0 --previous models/base --model models/round0 --metrics metrics/train/round0.json
--curve metrics/train/round0.csv --tables metrics/train/round0 --vectors data/vectors
--checkpoints .checkpoints/round0``

``accelerate launch -m stages.train …`` trains in several processes; the main process writes. ``--vectors`` is a cache,
not an output. Nor is ``--checkpoints``: a run that was killed continues from it, and removes it when it is done.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from triptych.artifacts import write_json, write_text, writing
from triptych.corpus.last_publication import LastPublication, read_known, read_last
from triptych.errors import NothingToTrainOnError, UserError
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator, choose_strength, load_evaluator
from triptych.models.adapter import make_trainable, save_trained
from triptych.models.loading import base_weights, describe, load_frozen, release_memory
from triptych.models.round_loading import load_blend, load_round, require_base
from triptych.models.round_record import (
    RoundRecord,
    copy_round,
    read_round_record,
    read_skipped_round,
    write_better_round,
    write_round_record,
)
from triptych.models.starting_round import started, starting_round
from triptych.models.weight_form import form_of
from triptych.params.load import load_params
from triptych.params.sections import Params
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare_training_data
from triptych.training.distributed import is_main_process
from triptych.training.loop.accelerations import load_to_train
from triptych.training.loop.early_stopping import DevEvaluation
from triptych.training.loop.trainer import train
from triptych.training.loop.training_logs import dev_csv, steps_csv, strengths_csv
from triptych.training.recovery.checkpoints import clear_checkpoints, run_key
from triptych.triplets.examples import read_examples
from triptych.triplets.sampling.old_examples import limit_old

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Train a round and write its weights with the strength that is best on dev."""
    names = (
        "corpus",
        "texts",
        "tokens",
        "round",
        "previous",
        "model",
        "metrics",
        "curve",
        "tables",
        "vectors",
        "checkpoints",
    )
    args = paths(__doc__, *names, argv=argv)
    params = load_params()
    metric = params.promote.measure
    args.start = args.previous
    churn = read_skipped_round(args.round)
    if churn is not None:
        reason = f"mining renewed only {churn:.1%} of the hard negatives"
        _keep_previous(args, params, f"{reason} (mine.skip_below_churn)", {"churn": churn})
        return
    last = read_last(args.corpus)
    args.start = _start(args, params, last)
    previous = read_round_record(args.start)
    store = open_store(args.tokens, previous.base["tokenizer_sha256"])
    examples = read_examples(args.round / "examples.parquet")
    settings, round_params = params.train, params.rounds.train[args.model.name]
    if previous.method != "base" and previous.sides != settings.sides:
        raise UserError(
            f"train.sides: {settings.sides}, but {args.previous} was trained with {previous.sides}; all rounds need the"
            " same, so train that round again"
        )
    if last is not None and settings.old_examples is not None:
        examples = limit_old(examples, read_known(args.corpus), settings.old_examples, settings.seed)
    # Each round has its own seed, so that rounds draw different negatives.
    seed = settings.seed + crc32(args.model.name.encode())
    try:
        training_data = prepare_training_data(
            args.corpus, args.texts, store, examples, args.start, params, round_params, seed, args.vectors
        )
    except NothingToTrainOnError as error:
        if is_main_process():
            _keep_previous(args, params, str(error), {"nothing_to_train_on": str(error)})
        return
    if settings.mine_every and training_data.miner is None and is_main_process():
        negatives = "loss distill draws" if training_data.loss == "distill" else "negatives: batch has"
        print_line(f"train {args.model.name}: train.mine_every does nothing here: {negatives} no stored negatives")
    if training_data.steps < round_params.steps and is_main_process():
        print_line(
            f"train {args.model.name}: {training_data.steps} of {round_params.steps} steps: without written"
            " questions more of them gained nothing (train.distill.max_steps)"
        )
    release_memory()  # the model of the round before has done its part: at no time are two models in memory
    model = load_to_train(params.model, settings)
    base, weights = describe(params.model, model), form_of(model)
    require_base(args.start, previous, params.model, model)
    dimensions = model.get_embedding_dimension()
    if too_many := [size for size in settings.matryoshka if size >= dimensions]:
        raise UserError(
            f"train.matryoshka: {too_many[0]}, but the vectors of {params.model.base} have {dimensions} dimensions;"
            " give smaller sizes"
        )
    rows = len(training_data.schedule) * training_data.schedule.batch_size
    make_trainable(model, settings, args.start if previous.method != "base" else None)
    evaluator = load_evaluator(args.corpus, args.texts, ["dev"], store, settings.precision)
    evaluator = replace(evaluator, frozen=training_data.frozen)
    dev_evaluation = DevEvaluation(evaluator, metric, training_data, settings, args.vectors)
    used = [params.model, params.triplets, params.tokenize.padding, settings, params.mine, round_params, metric]
    key = run_key(args.model.name, used, [args.corpus, args.texts, args.tokens, args.round, args.start])
    result = train(
        model,
        training_data,
        settings,
        round_params.learning_rate,
        args.checkpoints / key,
        callbacks=[dev_evaluation],
    )
    if not is_main_process():
        return
    max_length = int(store.metadata["max_length"])
    with writing(args.model) as out:
        save_trained(model, settings, out)
        del model
        release_memory()
        record = RoundRecord(settings.method, base, max_length, 1.0, args.model.name, None, weights, settings.sides)
        blend = load_blend(out, record, load_frozen(params.model, weights))
        strength, dev = choose_strength(blend, settings.strengths, evaluator, metric, args.vectors)
        overall = {one: evaluator.overall(by_category) for one, by_category in dev.items()}
        record = replace(record, strength=strength, dev=overall[strength])
        del blend
        of_start = None if args.start == args.previous else _measured_start(args.start, params, evaluator, max_length)
        kept = write_better_round(out, record, args.start, of_start)
    write_json(
        args.metrics,
        {
            "loss": training_data.loss,
            "rows": rows,
            "mix": training_data.mix(),
            "strength": kept.strength,
            "trained_in": kept.trained_in,
            "dev": {metric: {f"strength {one:g}": value for one, value in overall.items()} | {"kept": kept.dev}},
            "final_loss": result.curve[-1].loss if result.curve else None,
            "measured_at": [point["step"] for point in dev_evaluation.points],
            "stopped": dev_evaluation.stop_reason,
            "cosine": result.collapse,
            "incidents": asdict(result.incidents),
        }
        | ({"mined": result.mined} if result.mined else {})
        | ({"previous": {metric: of_start.dev}, "started_from": last.folder} if of_start and last else {}),
    )
    write_text(args.curve, steps_csv(result.steps))
    write_text(args.tables / "dev.csv", dev_csv(dev_evaluation.points, metric))
    write_text(args.tables / "strengths.csv", strengths_csv(dev, metric))
    clear_checkpoints(args.checkpoints)
    choice = f"kept at strength {strength:g}" if strength else "no better than the base model, which is kept"
    if kept is not record:
        choice = f"no better than {kept.trained_in}, which is kept"
    print_line(
        f"train {args.model.name}: {training_data.steps} steps, {rows} rows, loss {training_data.loss}"
        + (f", stopped: {dev_evaluation.stop_reason}" if dev_evaluation.stop_reason else "")
        + f"; dev {metric} base {overall[0.0]:.3f}, this round {overall[strength]:.3f}: {choice}; {args.model}"
    )


def _start(args: argparse.Namespace, params: Params, last: LastPublication | None) -> Path:
    """Return the folder of the weights from which the round starts: of the previous round, or of `split.previous`."""
    previous: Path = args.previous
    if params.train.start_from == "base" or params.rounds.train[args.model.name].previous != "base":
        return previous
    start = starting_round(last, read_round_record(previous), params.train)
    if start is None and is_main_process():
        print_line(f"train {args.model.name}: the base model was published last, so training starts from it")
    return start or previous


def _measured_start(start: Path, params: Params, evaluator: RetrievalEvaluator, max_length: int) -> RoundRecord:
    """Return the record of the last publication as a round before the first, with its metric on dev."""
    release_memory()
    model = load_round(start, params.model)[0].model
    dev = evaluator.overall(evaluator.measured(model, params.promote.measure, "dev, last publication"))
    return started(start, max_length, dev)


def _keep_previous(args: argparse.Namespace, params: Params, reason: str, why: dict[str, Any]) -> None:
    """Write the previous round as this one, which is not trained; ``why`` goes to its metrics."""
    metric = params.promote.measure
    with writing(args.model) as out:
        kept = copy_round(out, args.start, base_weights(params.train))
        if args.start != args.previous:
            kept = started(args.start, kept.max_length, None)
            write_round_record(out, kept)
    write_json(args.metrics, {"rows": 0, "strength": kept.strength, "trained_in": kept.trained_in} | why)
    write_text(args.curve, "step,loss\n")
    write_text(args.tables / "dev.csv", dev_csv([], metric))
    write_text(args.tables / "strengths.csv", strengths_csv({}, metric))
    print_line(f"train {args.model.name}: not trained, {reason}; {kept.trained_in} is kept; {args.model}")


if __name__ == "__main__":
    run(main)
