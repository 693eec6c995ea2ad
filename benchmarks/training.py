"""Training compared with sentence-transformers' trainer: throughput, peak memory, and agreement of the losses.

``python -m benchmarks.training [--project .] [--lengths 64 128] [--model NAME] [--repeats 2] [--quick]``

``--project`` contains ``params.yaml`` and ``data/corpus``; triplets and tokens are written to a temporary folder. Two
tasks: *softmax*, the rows of the default run in their order (one negative each), for the peer with
MultipleNegativesRankingLoss; and *triplet*, cosine triplet loss on flat rows, four for each anchor with one negative
each, which is the format that this loss takes. Both sides have the same model, adapter, truncation, rows per step,
learning rate and optimizer.

Sides: *ours*; *stock*, the peer as in its documentation (float32, the model's dropout, texts tokenized on the fly); and
the peer with flags, all without dropout, in bf16 where the hardware supports it, and with freed memory kept (glibc's
`mallopt`, as ours does): *flags* with the library's attention, *eager* with plain attention, *double* with twice the
rows per step, *resident* with the weights themselves in bf16. ``ratio_best_flags`` compares with the fastest of these.
Each side runs in its own process, alternating. A step's time is from the end of one step to the end of the next; the
median over all runs is printed, beside the CPU time of the process, which other work on the machine disturbs less. Loss
curves are in float32, with triplet loss and without dropout.

`benchmarks.gpu` compares both on a GPU, with models of other shapes and random weights.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

SKIP = 2  # warm-up steps that are not timed
ROWS, NEGATIVES = 32, 4
SIDES = ("ours", "stock", "flags", "eager", "double", "resident")


def one_side(side: str, task: str, steps: int, exact: bool) -> dict[str, Any]:
    """Train in the current folder; return times and losses of the steps, rows and padded tokens of one, and memory."""
    from transformers import TrainerCallback, trainer

    from triptych.models.loading import load_base, tokenizer_fingerprint
    from triptych.params.load import load_params
    from triptych.params.sections import TrainRound
    from triptych.tokens.token_store import open_store
    from triptych.training.data.batch_schedule import FixedSchedule
    from triptych.training.data.training_data import prepare_training_data
    from triptych.triplets.examples import read_examples, read_passage_ids

    stamps: list[tuple[float, float]] = []
    losses: list[float] = []
    padded_tokens: list[int] = []

    class Clock(TrainerCallback):
        """Records the time after each step and the loss of each."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            state.logging_steps = 1

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            stamps.append((time.perf_counter(), time.process_time()))

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            losses.extend([logs["loss"]] if "loss" in logs else [])

    trainer.DEFAULT_CALLBACKS.append(Clock)  # of both sides
    params = load_params()
    changes: dict[str, Any] = {"loss": task, "batch_size": ROWS}
    if exact:
        changes |= {"precision": "fp32"}
    params = params.model_copy(update={"train": params.train.model_copy(update=changes)})
    model = load_base(params.model)
    store = open_store(Path("data/tokens"), tokenizer_fingerprint(model))
    examples = read_examples(Path("data/triplets/round0/examples.parquet"))
    batches = steps * (2 if side == "double" else 1)
    round_params = TrainRound(previous="base", steps=batches, learning_rate=1e-3, negatives="stored")
    training_data = prepare_training_data(
        Path("data/corpus"), Path("data/triplets/texts"), store, examples, Path("models/base"), params, round_params, 1
    )
    columns_of = [training_data.schedule.rows(batch) for batch in range(batches)]
    columns = {name: np.concatenate([batch[name] for batch in columns_of]) for name in columns_of[0]}
    if task == "triplet":
        anchors = np.flatnonzero(np.diff(examples.pool.offsets) >= NEGATIVES)[: batches * ROWS // NEGATIVES]
        negatives = (examples.pool.offsets[anchors][:, None] + np.arange(NEGATIVES)).ravel()
        chunk = examples.pool.chunk[negatives]
        rows = np.repeat(anchors, NEGATIVES)
        columns |= {
            "anchor": examples.anchor[rows],
            "positive": examples.positive[rows],
            "positive_chunk": examples.positive_chunk[rows],
            "negative": read_passage_ids(Path("data/triplets/texts"))[chunk],
            "negative_chunk": chunk,
            "tier": examples.pool.tier[negatives],
        }
    training_data = replace(training_data, schedule=FixedSchedule.from_columns(columns, ROWS))
    torch.manual_seed(0)
    if side == "ours":  # counted by batch, since the fused layers drop padding
        collate = training_data.collator
        training_data = replace(training_data, collator=lambda columns: counted(collate(columns), padded_tokens))
    else:
        model.register_forward_pre_hook(lambda _, args: padded_tokens.append(args[0]["input_ids"].numel()))
    run = ours if side == "ours" else theirs
    run(model, training_data, params, side, steps, exact)
    rows_of_step = ROWS * (2 if side == "double" else 1)
    memory = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))[0]) / 2**20
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() / 2**30
    seconds, processor = np.diff(stamps, axis=0)[SKIP:].T.tolist()
    result = {"seconds": seconds, "processor": processor, "rows": rows_of_step, "tokens": sum(padded_tokens) / steps}
    return result | {"memory": memory, "losses": losses}


def counted(batch: Any, padded_tokens: list[int]) -> Any:
    """Append the number of tokens of a batch, with the padding of its groups; return the batch."""
    padded_tokens.append(sum(group["input_ids"].numel() for group in batch["features"]))
    return batch


def ours(model: Any, training_data: Any, params: Any, side: str, steps: int, exact: bool) -> None:
    """Train with Triptych."""
    from triptych.models.adapter import make_trainable
    from triptych.training.loop.trainer import train

    make_trainable(model, params.train, None)
    train(model, training_data, params.train, 1e-3)


def theirs(model: Any, training_data: Any, params: Any, side: str, steps: int, exact: bool) -> None:
    """Train with sentence-transformers on the texts of the same rows."""
    from datasets import Dataset
    from peft import LoraConfig
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss, TripletLoss
    from sentence_transformers.sentence_transformer.losses.triplet import TripletDistanceMetric
    from torch.utils.data import SequentialSampler

    from triptych.models.lora_targets import adapter_targets
    from triptych.models.precision import resolve_precision
    from triptych.training.fast.malloc import keep_freed_memory
    from triptych.triplets.examples import read_texts

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    settings, stock = params.train, side == "stock" and not exact
    model.max_seq_length = json.loads(Path("data/tokens/metadata.json").read_text(encoding="utf-8"))["max_length"]
    lora = settings.lora
    torch.manual_seed(settings.seed)  # the adapter has the same initial weights as ours
    model.add_adapter(
        LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=adapter_targets(model[0].model, lora.target_modules),
            exclude_modules=r".*pooler.*",
            task_type="FEATURE_EXTRACTION",
        )
    )
    if not stock:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if model.device.type == "cpu":
            keep_freed_memory()
    if side == "resident" and resolve_precision("auto", model.device) == "bf16":
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()
    if side in ("eager", "double", "resident"):
        model[0].model.set_attn_implementation("eager" if model.device.type == "cpu" else "sdpa")
    texts = read_texts(Path("data/triplets/texts"))[1]
    batches = training_data.schedule.batches
    columns = {name: np.concatenate([batch[name] for batch in batches]).tolist() for name in batches[0]}
    names = ("anchor", "positive", "negative")
    dataset = Dataset.from_dict({name: [texts[one] for one in columns[name]] for name in names})
    if training_data.loss == "triplet":
        loss: Any = TripletLoss(model, TripletDistanceMetric.COSINE, settings.margin)
    else:
        loss = MultipleNegativesRankingLoss(model, scale=1 / settings.temperature)
    rows = ROWS * (2 if side == "double" else 1)
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=rows,
            batch_sampler=lambda dataset, **_: DefaultBatchSampler(SequentialSampler(dataset), rows, False),
            learning_rate=1e-3,
            warmup_steps=settings.warmup_share,
            weight_decay=settings.weight_decay,
            bf16=not stock and not exact and resolve_precision("auto", model.device) == "bf16",
            use_cpu=model.device.type == "cpu",
            save_strategy="no",
            report_to="none",
        )
        SentenceTransformerTrainer(model=model, args=arguments, train_dataset=dataset, loss=loss).train()


def timed(folder: Path, side: str, task: str, steps: int, exact: bool = False) -> dict[str, Any]:
    """Run one side in its own process; return what `one_side` returns."""
    command = [sys.executable, "-m", "benchmarks.training", "--side", side, "--task", task, "--steps", str(steps)]
    command += ["--folder", str(folder), *(["--exact"] if exact else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} on {task} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def race(folder: Path, task: str, length: int, sides: list[str], steps: int, repeats: int) -> dict[str, float]:
    """Time all sides, alternating, and print a table; return the ratios of our throughput to theirs."""
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _, (side, runs) in product(range(repeats), results.items()):
        runs.append(timed(folder, side, task, steps))
    count = (steps - SKIP - 1) * repeats
    print(f"{task}, {length} tokens, {count} steps | s/step | rows/s | tokens/s | processor s | tokens, padded | GiB")
    speed, cpu_speed = {}, {}
    for side, runs in results.items():
        second = statistics.median(one for run in runs for one in run["seconds"])
        processor = statistics.median(one for run in runs for one in run["processor"])
        tokens, speed[side], cpu_speed[side] = runs[0]["tokens"], runs[0]["rows"] / second, runs[0]["rows"] / processor
        memory = max(run["memory"] for run in runs)
        times = f"{second:.3f} | {speed[side]:.1f} | {tokens / second:.0f} | {processor:.3f}"
        print(f"{side} | {times} | {tokens:.0f} | {memory:.2f}", flush=True)
    ratios: dict[str, float] = {}
    for kind, rows_per_second in (("", speed), ("processor_", cpu_speed)):
        best = max(value for side, value in rows_per_second.items() if side not in ("ours", "stock"))
        ratios |= {f"{kind}ratio_stock": rows_per_second["ours"] / rows_per_second["stock"]}
        ratios |= {f"{kind}ratio_best_flags": rows_per_second["ours"] / best}
    return ratios


def loss_difference(folder: Path, steps: int) -> float:
    """Return the largest difference between the losses of both sides at the same step, in float32."""
    curves = [timed(folder, side, "triplet", steps, exact=True)["losses"][:steps] for side in ("ours", "stock")]
    return float(np.abs(np.subtract(*curves)).max())


def main() -> None:
    """Print a table for each task and length, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--model", default="", help="a value of model.base")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128], help="values of tokenize.max_length")
    parser.add_argument("--steps", type=int, default=10, help="of each run")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each side")
    parser.add_argument("--quick", action="store_true", help="one length, five steps, three sides")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--exact", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        with chdir(args.folder):
            print(json.dumps(one_side(args.side, args.task, args.steps, args.exact)))
        return
    sides = list(SIDES)
    if args.quick:
        args.lengths, args.steps, args.repeats, sides = args.lengths[:1], 5, 1, ["ours", "stock", "eager"]

    from benchmarks.recipes import prepare_recipe

    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        settings = [f"model.base={args.model}"] if args.model else []
        for length in args.lengths:
            folder = Path(scratch) / str(length)
            folder.mkdir()
            prepare_recipe(args.project, folder, [*settings, f"tokenize.max_length={length}"], False, ["dev"])
            tasks = ["softmax"] if args.quick else ["softmax", "triplet"]
            for task in tasks:
                results[f"{task}_{length}"] = race(folder, task, length, sides, args.steps, args.repeats)
        results["loss_difference"] = loss_difference(Path(scratch) / str(args.lengths[0]), args.steps)
    print(f"largest difference of the losses in float32: {results['loss_difference']:.1e}")
    print(json.dumps(results[f"softmax_{args.lengths[0]}"] | results))


if __name__ == "__main__":
    main()
