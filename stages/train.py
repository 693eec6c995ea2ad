"""Train one round and choose its strength on dev.

``python -m stages.train --corpus data/corpus --texts data/triplets/texts --tokens data/tokens
--round data/triplets/round0 --previous models/base --model models/round0 --metrics metrics/train/round0.json
--curve metrics/train/round0.csv --tables metrics/train/round0 --vectors data/vectors
--checkpoints .checkpoints/round0``

``accelerate launch -m stages.train …`` trains in several processes; the first of them writes. ``--vectors`` is a cache,
no out, nor are ``--checkpoints``: a run that was killed goes on from what lies there, and removes it when it is done.
"""

from dataclasses import asdict
from zlib import crc32

from accelerate import PartialState

from stages.command import paths, print_line, run
from triptych.artifacts import write_json, write_text, writing
from triptych.evaluators.retrieval_evaluator import choose_strength, load_evaluator
from triptych.models.adapter import Blend, difference, make_trainable, save_trained
from triptych.models.loading import describe, load_base
from triptych.models.round_record import RoundRecord, keep_better, keep_previous, read_end, read_round_record
from triptych.params.load import load_params
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare
from triptych.training.loop.accelerations import load_to_train
from triptych.training.loop.early_stopping import DevEvaluation
from triptych.training.loop.trainer import train
from triptych.training.loop.training_logs import dev_csv, steps_csv, strengths_csv
from triptych.training.recovery.checkpoints import clear_checkpoints, run_key
from triptych.triplets.examples import read_examples


def main(argv: list[str] | None = None) -> None:
    """Write the trained weights with the strength that is best on dev."""
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
    churn = read_end(args.round)
    if churn is not None:
        with writing(args.model) as out:
            kept = keep_previous(out, args.previous)
        write_json(args.metrics, {"rows": 0, "strength": kept.strength, "trained_in": kept.trained_in, "churn": churn})
        write_text(args.curve, "step,loss\n")
        write_text(args.tables / "dev.csv", "step,category,mrr@10,weight\n")
        write_text(args.tables / "strengths.csv", "strength,category,mrr@10\n")
        print_line(
            f"train {args.model.name}: not trained, mining renewed only {churn:.1%} of the hard negatives"
            f" (mine.skip_below_churn); {kept.trained_in} is kept; {args.model}"
        )
        return
    params = load_params()
    model = load_to_train(params.model, params.train)
    base = describe(params.model, model)
    store = open_store(args.tokens, base["tokenizer_sha256"])
    examples = read_examples(args.round / "examples.parquet")
    settings, turn = params.train, params.rounds.train[args.model.name]
    # A seed of its own for each round, so that rounds draw different negatives.
    seed = settings.seed + crc32(args.model.name.encode())
    previous = read_round_record(args.previous)
    material = prepare(args.corpus, args.texts, store, examples, args.previous, params, turn, seed)
    rows = len(material.schedule) * material.schedule.batch_size
    make_trainable(model, settings, args.previous if previous.method != "base" else None)
    evaluator = load_evaluator(args.corpus, args.texts, ["dev"], store, settings.precision)
    watch = DevEvaluation(evaluator, material, settings, args.vectors)
    read = [params.model, params.triplets, params.tokenize.padding, settings, turn]
    key = run_key(args.model.name, read, [args.corpus, args.texts, args.tokens, args.round, args.previous])
    trained = train(model, material, settings, turn.learning_rate, args.checkpoints / key, callbacks=[watch])
    if not PartialState().is_main_process:
        return
    max_length = int(store.metadata["max_length"])
    with writing(args.model) as out:
        save_trained(model, settings, out)
        fresh = load_base(params.model)
        strength, dev = choose_strength(
            Blend(fresh, difference(fresh, out)), settings.strengths, evaluator, args.vectors
        )
        overall = {one: evaluator.overall(found) for one, found in dev.items()}
        record = RoundRecord(settings.method, base, max_length, strength, args.model.name, overall[strength])
        kept = keep_better(out, record, args.previous)
    write_json(
        args.metrics,
        {
            "loss": material.loss,
            "rows": rows,
            "mix": material.mix(),
            "strength": kept.strength,
            "trained_in": kept.trained_in,
            "dev": {"mrr@10": {f"strength {one:g}": value for one, value in overall.items()} | {"kept": kept.dev}},
            "final_loss": trained.curve[-1].loss if trained.curve else None,
            "measured_at": [point["step"] for point in watch.points],
            "stopped": watch.stopped,
            "cosine": trained.watched,
            "incidents": asdict(trained.incidents),
        },
    )
    write_text(args.curve, steps_csv(trained.steps))
    write_text(args.tables / "dev.csv", dev_csv(watch.points))
    write_text(args.tables / "strengths.csv", strengths_csv(dev))
    clear_checkpoints(args.checkpoints)
    choice = f"kept at strength {strength:g}" if kept is record else f"no better than {kept.trained_in}, which is kept"
    print_line(
        f"train {args.model.name}: {material.steps} steps, {rows} rows, loss {material.loss}"
        + (f", stopped: {watch.stopped}" if watch.stopped else "")
        + f"; dev mrr@10 base {overall[0.0]:.3f}, this round {overall[strength]:.3f}: {choice}; {args.model}"
    )


if __name__ == "__main__":
    run(main)
