"""Time to the quality of sentence-transformers' documented recipe, including everything after the corpus.

``python -m benchmarks.time_to_quality [--project .] [--steps 200] [--seeds 1 2 3] [--set …] [--quick]``

The peer, as in its documentation: `mine_hard_negatives` (candidates 10 to 50, 5 % below the positive, 5 negatives),
`SentenceTransformerTrainer`, multiple negatives ranking loss, no duplicates in a batch of 16, learning rate 2e-5, 10 %
of warm-up, all weights; bf16 where the hardware supports it. It gets our pairs at no cost in time, sampled by the
shares of the views, and its texts are truncated as ours are, which makes it faster. The target is its mrr@10 on the dev
queries after ``--steps`` steps. Reported are each side's seconds to its first evaluation that reaches the target: for
the peer, mining and training; for us, pools of negatives, tokens, and training of round 0 with params.yaml and
``--set``. Both sides are evaluated on dev every ``--every`` steps, with the clock stopped, also while our side reads
the evaluation data, which the peer has already. All runs share one process and the sides alternate seed by seed, so
that neither has the machine when it is cooler.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.losses import MultipleNegativesRankingLoss
from sentence_transformers.training_args import BatchSamplers
from sentence_transformers.util import mine_hard_negatives
from transformers import TrainerCallback

from benchmarks.recipes import Recipe, prepare_recipe, run_stages
from triptych.evaluation.metrics import mean_metric
from triptych.evaluators.retrieval_evaluator import RetrievalEvaluator, load_evaluator
from triptych.models.adapter import make_trainable
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.models.precision import resolve_precision
from triptych.tokens.token_store import open_store
from triptych.training.data.training_data import prepare_training_data
from triptych.training.fast.malloc import keep_freed_memory
from triptych.training.loop.trainer import train
from triptych.triplets.examples import read_examples, read_texts
from triptych.triplets.sampling.epoch_sampler import anchors_for_run

_METRIC = "mrr@10"
_ROWS = 16  # pairs in a step of the peer


@dataclass
class Clock(TrainerCallback):
    """Evaluates a model on dev every few steps, with the clock stopped; ends the run at the target."""

    evaluator: RetrievalEvaluator
    every: int
    target: float = float("inf")
    spent: float = 0.0
    since: float = field(default_factory=time.perf_counter)
    evaluations: list[tuple[float, float]] = field(default_factory=list)  # seconds so far, metric

    def evaluate(self, model: SentenceTransformer) -> float:
        """Return the metric of the model on dev; the time it takes is not counted."""
        self.spent += time.perf_counter() - self.since
        training = model.training
        metric = mean_metric(_METRIC, self.evaluator.qrels, self.evaluator.dense_run(model.eval(), 10, "dev"))
        model.train(training)
        self.evaluations.append((self.spent, metric))
        self.since = time.perf_counter()
        return metric

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Evaluate after the last step and every few steps; stop at the target."""
        last = state.global_step >= args.max_steps
        if (state.global_step % self.every == 0 or last) and self.evaluate(model) >= self.target:
            control.should_training_stop = True

    def reached(self, target: float) -> float | None:
        """Return the seconds to the first evaluation with at least ``target``; None if none reached it."""
        return next((seconds for seconds, metric in self.evaluations if metric >= target), None)


def pairs(recipe: Recipe, number: int, seed: int) -> Dataset:
    """Return texts of anchors and positives, sampled by the shares of the views and categories."""
    _, texts = read_texts(recipe.folder / "data/triplets/texts")
    examples = read_examples(recipe.folder / "data/triplets/round0/examples.parquet")
    rows = anchors_for_run(examples, recipe.params.triplets, number, seed)
    anchor, positive = examples.anchor[rows].tolist(), examples.positive[rows].tolist()
    return Dataset.from_dict({"anchor": [texts[one] for one in anchor], "positive": [texts[one] for one in positive]})


def theirs(recipe: Recipe, seed: int, steps: int, every: int) -> Clock:
    """Mine and train as in the peer's documentation."""
    rows = pairs(recipe, steps * _ROWS, seed)
    _, texts = read_texts(recipe.folder / "data/triplets/texts")
    corpus = [
        texts[recipe.evaluator.passage_ids[row]]
        for row, one in enumerate(recipe.evaluator.chunks)
        if one.split == "train"
    ]
    model = load_base(recipe.params.model)
    model.max_seq_length = int(recipe.evaluator.store.metadata["max_length"])
    clock = Clock(recipe.evaluator, every)
    mined = mine_hard_negatives(
        rows,
        model,
        corpus=corpus,
        range_min=10,
        range_max=50,
        relative_margin=0.05,
        num_negatives=5,
        sampling_strategy="top",
        batch_size=128,
        use_faiss=True,
        output_format="n-tuple",
        verbose=False,
    )
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=_ROWS,
            learning_rate=2e-5,
            warmup_steps=0.1,
            bf16=resolve_precision("auto", model.device) == "bf16",
            use_cpu=not torch.cuda.is_available(),
            batch_sampler=BatchSamplers.NO_DUPLICATES,
            save_strategy="no",
            report_to="none",
            seed=seed,
        )
        loss = MultipleNegativesRankingLoss(model)
        trainer = SentenceTransformerTrainer(
            model=model, args=arguments, train_dataset=mined, loss=loss, callbacks=[clock]
        )
        trainer.train()
    return clock


def ours(project: Path, settings: list[str], seed: int, every: int, target: float) -> Clock:
    """Build pools and tokens, and train round 0 up to the target."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, started = Path(scratch), time.perf_counter()
        params = run_stages(project, folder, settings, False)
        train_params = params.train.model_copy(update={"seed": seed})
        params = params.model_copy(update={"train": train_params})
        round_params, model = params.rounds.train["round0"], load_base(params.model)
        corpus, texts = folder / "data/corpus", folder / "data/triplets/texts"
        store = open_store(folder / "data/tokens", tokenizer_fingerprint(model))
        examples = read_examples(folder / "data/triplets/round0/examples.parquet")
        training_data = prepare_training_data(
            corpus, texts, store, examples, folder / "models/base", params, round_params, seed
        )
        make_trainable(model, train_params, None)
        spent = time.perf_counter() - started
        evaluator = load_evaluator(corpus, texts, ["dev"], store, params.train.precision)
        clock = Clock(evaluator, every, target, spent)
        train(model, training_data, train_params, round_params.learning_rate, callbacks=[clock])
    return clock


def main() -> None:
    """Run both sides seed by seed; print a row for each and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=200, help="steps of the peer")
    parser.add_argument("--every", type=int, default=10, help="steps between evaluations on dev")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="our params, section.key=value")
    parser.add_argument("--quick", action="store_true", help="four steps, one seed")
    args = parser.parse_args()
    keep_freed_memory()  # as our training does; for the peer too
    settings: list[str] = args.settings
    if args.quick:
        args.steps, args.every, args.seeds = 4, 2, args.seeds[:1]
        settings = ["rounds.train.round0.steps=4"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch, redirect_stdout(sys.stderr):
        recipe = prepare_recipe(args.project, Path(scratch), settings, False, ["dev"])
        base = Clock(recipe.evaluator, args.every).evaluate(load_base(recipe.params.model))
        for seed in args.seeds:
            peer = theirs(recipe, seed, args.steps, args.every)
            target = peer.evaluations[-1][1]
            our_run = ours(args.project, settings, seed, args.every, target)
            rows.append(row(seed, base, target, peer, our_run))
            print(rows[-1], flush=True)
    ratios = [one["ratio"] for one in rows if one["ratio"] is not None]
    print("seed | base | target | peer, s | peer to its end, s | ours, s | best of ours | ratio")
    for one in rows:
        print(
            " | ".join(
                str(one[name]) for name in ("seed", "base", "target", "peer", "peer_end", "ours", "best", "ratio")
            )
        )
    print(json.dumps({"ratio": statistics.median(ratios) if ratios else None, "of_seeds": rows}))


def row(seed: int, base: float, target: float, peer: Clock, our_run: Clock) -> dict[str, Any]:
    """Return the results of one seed; the ratio is the peer's seconds to the target over ours, None if we missed it."""
    rounded = partial(round, ndigits=4)
    at, end, reached = peer.reached(target), peer.evaluations[-1][0], our_run.reached(target)
    assert at is not None
    return {
        "seed": seed,
        "base": rounded(base),
        "target": rounded(target),
        "peer": round(at, 1),
        "peer_end": round(end, 1),
        "ours": None if reached is None else round(reached, 1),
        "best": rounded(float(np.max([metric for _, metric in our_run.evaluations]))),
        "ratio": None if reached is None else rounded(at / reached),
        "peer_evaluations": [(round(seconds, 1), rounded(metric)) for seconds, metric in peer.evaluations],
        "our_evaluations": [(round(seconds, 1), rounded(metric)) for seconds, metric in our_run.evaluations],
    }


if __name__ == "__main__":
    main()
