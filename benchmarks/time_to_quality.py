"""How long it takes to be as good as sentence-transformers' documented recipe, everything from the corpus on included.

``python -m benchmarks.time_to_quality [--project .] [--steps 200] [--seeds 1 2 3] [--set …] [--quick]``

The peer, as its documentation shows it: `mine_hard_negatives` (candidates 10 to 50, 5 % below the positive, 5 of
them), `SentenceTransformerTrainer`, multiple negatives ranking loss, no duplicates in a batch of 16, rate 2e-5, a
tenth of warm-up, all weights; bf16 where the machine computes in it. It gets our pairs for nothing, drawn by the
shares of the views, and texts are cut where ours are, which makes it faster. After ``--steps`` steps its mrr@10 on the
dev queries is the mark. Then each side's seconds to the first look at which it is at the mark: the peer's mining and
training; our pools of negatives, tokens, and training of round 0 with params.yaml and ``--set``. Both are looked at on
dev every ``--every`` steps, with the clock stopped; it is stopped too while ours reads what a look needs, as the peer
finds that ready. Seeds in turn, one process, so that neither side has the machine when it is cooler.
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

from benchmarks.recipes import Made, make, run_stages
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

_MEASURE = "mrr@10"
_ROWS = 16  # pairs in a step of the peer


@dataclass
class Clock(TrainerCallback):
    """Looks at a model on dev every few steps, with the clock stopped; ends the run at ``mark``."""

    evaluator: RetrievalEvaluator
    every: int
    mark: float = float("inf")
    spent: float = 0.0
    since: float = field(default_factory=time.perf_counter)
    looks: list[tuple[float, float]] = field(default_factory=list)  # seconds so far, what was found

    def look(self, model: SentenceTransformer) -> float:
        """Judge the model."""
        self.spent += time.perf_counter() - self.since
        was = model.training
        found = mean_metric(_MEASURE, self.evaluator.qrels, self.evaluator.dense_run(model.eval(), 10, "dev"))
        model.train(was)
        self.looks.append((self.spent, found))
        self.since = time.perf_counter()
        return found

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Look, and stop at the mark."""
        last = state.global_step >= args.max_steps
        if (state.global_step % self.every == 0 or last) and self.look(model) >= self.mark:
            control.should_training_stop = True

    def reached(self, mark: float) -> float | None:
        """Return the seconds to the first look that found at least ``mark``."""
        return next((seconds for seconds, found in self.looks if found >= mark), None)


def pairs(made: Made, number: int, seed: int) -> Dataset:
    """Return anchors with their positives, as texts, drawn by the shares of the views and categories."""
    _, texts = read_texts(made.folder / "data/triplets/texts")
    examples = read_examples(made.folder / "data/triplets/round0/examples.parquet")
    rows = anchors_for_run(examples, made.params.triplets, number, seed)
    anchor, positive = examples.anchor[rows].tolist(), examples.positive[rows].tolist()
    return Dataset.from_dict({"anchor": [texts[one] for one in anchor], "positive": [texts[one] for one in positive]})


def theirs(made: Made, seed: int, steps: int, every: int) -> Clock:
    """Mine and train as the peer's documentation shows it."""
    rows = pairs(made, steps * _ROWS, seed)
    _, texts = read_texts(made.folder / "data/triplets/texts")
    corpus = [
        texts[made.evaluator.passage_ids[row]] for row, one in enumerate(made.evaluator.chunks) if one.split == "train"
    ]
    model = load_base(made.params.model)
    model.max_seq_length = int(made.evaluator.store.metadata["max_length"])
    clock = Clock(made.evaluator, every)
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


def ours(project: Path, settings: list[str], seed: int, every: int, mark: float) -> Clock:
    """Make pools and tokens, and train round 0, up to the mark."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, started = Path(scratch), time.perf_counter()
        params = run_stages(project, folder, settings, False)
        settings_of_run = params.train.model_copy(update={"seed": seed})
        params = params.model_copy(update={"train": settings_of_run})
        turn, model = params.rounds.train["round0"], load_base(params.model)
        corpus, texts = folder / "data/corpus", folder / "data/triplets/texts"
        store = open_store(folder / "data/tokens", tokenizer_fingerprint(model))
        examples = read_examples(folder / "data/triplets/round0/examples.parquet")
        material = prepare_training_data(corpus, texts, store, examples, folder / "models/base", params, turn, seed)
        make_trainable(model, settings_of_run, None)
        spent = time.perf_counter() - started
        evaluator = load_evaluator(corpus, texts, ["dev"], store, params.train.precision)
        clock = Clock(evaluator, every, mark, spent)
        train(model, material, settings_of_run, turn.learning_rate, callbacks=[clock])
    return clock


def main() -> None:
    """Run both sides seed by seed; print a row for each and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=200, help="of the peer")
    parser.add_argument("--every", type=int, default=10, help="steps between looks at dev")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], dest="settings", help="params of ours, section.key=value")
    parser.add_argument("--quick", action="store_true", help="four steps, one seed")
    args = parser.parse_args()
    keep_freed_memory()  # as our training does, for the peer too
    settings: list[str] = args.settings
    if args.quick:
        args.steps, args.every, args.seeds = 4, 2, args.seeds[:1]
        settings = ["rounds.train.round0.steps=4"]
    rows = []
    with tempfile.TemporaryDirectory() as scratch, redirect_stdout(sys.stderr):
        made = make(args.project, Path(scratch), settings, False, ["dev"])
        base = Clock(made.evaluator, args.every).look(load_base(made.params.model))
        for seed in args.seeds:
            peer = theirs(made, seed, args.steps, args.every)
            mark = peer.looks[-1][1]
            mine = ours(args.project, settings, seed, args.every, mark)
            rows.append(row(seed, base, mark, peer, mine))
            print(rows[-1], flush=True)
    ratios = [one["ratio"] for one in rows if one["ratio"] is not None]
    print("seed | base | mark | peer, s to the mark (to its end) | ours, s | best of ours | ratio")
    for one in rows:
        print(
            " | ".join(str(one[name]) for name in ("seed", "base", "mark", "peer", "peer_end", "ours", "best", "ratio"))
        )
    print(json.dumps({"ratio": statistics.median(ratios) if ratios else None, "of_seeds": rows}))


def row(seed: int, base: float, mark: float, peer: Clock, mine: Clock) -> dict[str, Any]:
    """Return what one seed came to; the ratio is the peer's seconds to the mark over ours, None if we missed it."""
    rounded = partial(round, ndigits=4)
    at, end, reached = peer.reached(mark), peer.looks[-1][0], mine.reached(mark)
    assert at is not None
    return {
        "seed": seed,
        "base": rounded(base),
        "mark": rounded(mark),
        "peer": round(at, 1),
        "peer_end": round(end, 1),
        "ours": None if reached is None else round(reached, 1),
        "best": rounded(float(np.max([found for _, found in mine.looks]))),
        "ratio": None if reached is None else rounded(at / reached),
        "peer_looks": [(round(seconds, 1), rounded(found)) for seconds, found in peer.looks],
        "our_looks": [(round(seconds, 1), rounded(found)) for seconds, found in mine.looks],
    }


if __name__ == "__main__":
    main()
