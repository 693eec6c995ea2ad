"""Takes the measurements of `benchmarks.gpu`, one item after another; prints each as ``RESULT`` and a line of JSON.

``python -m benchmarks.gpu_worker SCRATCH ITEMS``: ``ITEMS`` is a JSON list. It is a process of its own so that a fault
of the device, or a run that hangs, costs one item. Models are written into the folder ``SCRATCH`` when an item first
needs them, and stay there for the others.
"""

import gc
import importlib.metadata
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch
from transformers import TrainerCallback

from benchmarks.gpu_workload import SHAPES, Rows, make_rows, passage_lengths, random_texts, write_model
from triptych.diagnostics.memory_estimate import GIB, empty_model, estimate
from triptych.encoding.encode_texts import encode
from triptych.encoding.text_encoder import tokenized
from triptych.errors import UserError
from triptych.models.adapter import make_trainable
from triptych.models.loading import device, load_base
from triptych.models.lora_targets import adapter_targets
from triptych.models.precision import resolve_precision
from triptych.params.sections import Model, Train
from triptych.training.fast.malloc import keep_freed_memory
from triptych.training.loop.accelerations import load_to_train
from triptych.training.loop.trainer import TrainingResult, train

Item = dict[str, Any]
SKIP = 3  # warm-up steps that are not timed
PROFILED = 3  # steps at the end that are traced, and not timed
_LEARNING_RATE = 1e-4
_PACKAGES = ("torch", "transformers", "sentence-transformers", "peft", "accelerate", "bitsandbytes", "flash-attn")


class StepClock(TrainerCallback):
    """Takes the time after each of ``timed`` steps, and on a GPU traces the ``traced`` steps after these."""

    def __init__(self, timed: int, traced: int = 0) -> None:
        self.stamps: list[float] = []
        self.busy: float | None = None  # seconds in which the GPU worked, of a traced step
        self._timed, self._traced = timed, traced
        self._profiler: torch.profiler.profile | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the time once the device is done; start or end the trace."""
        _synchronize()
        if state.global_step <= self._timed:
            self.stamps.append(time.perf_counter())
        if not self._traced or not torch.cuda.is_available():
            return
        if state.global_step == self._timed:
            self._profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self._profiler.start()
        elif state.global_step == self._timed + self._traced and self._profiler is not None:
            self._profiler.stop()
            self.busy = busy_seconds(self._profiler) / self._traced

    @property
    def seconds(self) -> list[float]:
        """Return the time of each step after the warm-up."""
        return np.diff(self.stamps)[SKIP - 1 :].tolist()


def busy_seconds(profiler: torch.profiler.profile) -> float:
    """Return for how long at least one kernel or copy was running, in seconds."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or []
        if event.device_type == torch.autograd.DeviceType.CUDA and not getattr(event, "is_user_annotation", False)
    )
    return united(spans) / 1e6


def united(spans: list[tuple[float, float]]) -> float:
    """Return the length of the union of spans sorted by their start.

    >>> united([(0, 2), (1, 3), (5, 6)])
    4.0
    """
    total, end = 0.0, float("-inf")
    for start, stop in spans:
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def machine(item: Item, scratch: Path) -> Item:
    """Return what the machine is and what it reaches: matrix products, copies on the device, copies to it."""
    size, megabytes = item["matrix"], item["megabytes"]
    result: Item = {"device": device().type, "python": platform.python_version(), "cores": psutil.cpu_count()}
    result["packages"] = {name: _version(name) for name in _PACKAGES}
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        result |= {"name": properties.name, "memory_gib": properties.total_memory / GIB, "cuda": torch.version.cuda}
        result["capability"] = ".".join(map(str, torch.cuda.get_device_capability()))
    for dtype in (torch.bfloat16, torch.float32):
        left, right = (torch.randn(size, size, device=device(), dtype=dtype) for _ in range(2))
        seconds = _median_seconds(lambda left=left, right=right: left @ right)
        result[f"teraflops_{str(dtype).removeprefix('torch.')}"] = 2 * size**3 / seconds / 1e12
    block = torch.randn(megabytes << 18, device=device())
    # A copy reads every byte once and writes it once.
    result["device_copy_gb_s"] = 2 * block.nbytes / _median_seconds(block.clone) / 1e9
    if torch.cuda.is_available():
        pinned = torch.empty(block.shape, pin_memory=True)
        seconds = _median_seconds(lambda: block.copy_(pinned, non_blocking=True))
        result["pinned_copy_gb_s"] = block.nbytes / seconds / 1e9
    return result


def training(item: Item, scratch: Path) -> Item:
    """Train for some steps on one side; return their times, the share in which the GPU worked, and peak memory."""
    rows = make_rows(item["shape"], item["batch"], item["steps"], item["length"])
    folder, clock = write_model(item["shape"], scratch / item["shape"]), StepClock(item["steps"] - PROFILED, PROFILED)
    _reset_peak()
    if item["side"].startswith("ours"):
        _ours(folder, rows, Train(batch_size=item["batch"], load_in=item.get("load_in", "full")), clock)
    else:
        _peer(folder, rows, item["side"], item["batch"], item["length"], clock)
    second = statistics.median(clock.seconds)
    return {
        "seconds": clock.seconds,
        "step_s": second,
        "rows_s": item["batch"] / second,
        "tokens_s": float(rows.store.lengths.sum()) / item["steps"] / second,  # without padding
        "busy": None if clock.busy is None else min(1.0, clock.busy / second),
        "peak_gib": _peak_gib(),
    }


def memory(item: Item, scratch: Path) -> Item:
    """Train for a few steps within ``cap_gib`` of GPU memory; return whether that works, and how."""
    settings = Train(method=item["method"], load_in=item["load_in"], batch_size=item["batch"])
    rows = make_rows(item["shape"], item["batch"], item["steps"], item["length"], full=True)
    folder, clock = write_model(item["shape"], scratch / item["shape"]), StepClock(item["steps"])
    guess = _estimate(folder, rows, settings, item["length"])
    _reset_peak()
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, item["cap_gib"] * GIB / total))
    refused = {"capacity": int(item["cap_gib"] * GIB), "failed": "left out"}
    # Where nothing fits, a run ends with minutes on the CPU to say what would.
    with mock.patch("triptych.training.recovery.step_guard.measure_on_cpu", return_value=refused):
        trained = _ours(folder, rows, settings, clock)
    return {
        "estimate_gib": guess,
        "peak_gib": _peak_gib(),
        "step_s": float(np.diff(clock.stamps)[-1]),
        "out_of_memory": trained.incidents.out_of_memory,
    }


def encoding(item: Item, scratch: Path) -> Item:
    """Encode texts on one side, tokenizing included; return texts and tokens a second."""
    shape = SHAPES[item["shape"]]
    lengths = passage_lengths(item["texts"], item["length"], 13)
    texts = random_texts(shape, lengths, 13)
    folder = write_model(item["shape"], scratch / item["shape"])
    precision = resolve_precision("auto", device())
    if item["side"] == "ours":
        model = load_base(Model(base=str(folder)))

        def run(some: list[str]) -> np.ndarray:
            return encode(model, tokenized(model, some, "document"), np.arange(len(some)), precision, "texts")
    else:
        model = _peer_model(folder, torch.bfloat16 if precision == "bf16" else torch.float32)

        def run(some: list[str]) -> np.ndarray:
            return model.encode(some, batch_size=item["peer_batch"], normalize_embeddings=True, show_progress_bar=False)

    model.max_seq_length = item["length"]
    run(texts[: len(texts) // 8])
    _reset_peak()
    start = time.perf_counter()
    vectors = run(texts)
    _synchronize()
    seconds = time.perf_counter() - start
    if not np.isfinite(vectors).all():
        raise ArithmeticError("a vector is not finite")
    return {"texts_s": len(texts) / seconds, "tokens_s": float(lengths.sum()) / seconds, "peak_gib": _peak_gib()}


def _ours(folder: Path, rows: Rows, settings: Train, clock: StepClock) -> TrainingResult:
    model = load_to_train(Model(base=str(folder)), settings)
    make_trainable(model, settings, None)
    return train(model, rows.training_data, settings, _LEARNING_RATE, callbacks=[clock])


def _peer(folder: Path, rows: Rows, side: str, batch: int, length: int, clock: StepClock) -> None:
    """Train with sentence-transformers: *stock*, *flags*, or *resident*, flags with the frozen weights in bf16."""
    from datasets import Dataset
    from peft import LoraConfig
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from torch.utils.data import SequentialSampler

    settings, stock = Train(), side == "stock"
    bf16 = not stock and resolve_precision("auto", device()) == "bf16"
    model = _peer_model(folder, torch.bfloat16 if bf16 and side == "resident" else torch.float32)
    model.max_seq_length = length
    model.model_card_data.generate_widget_examples = False
    lora = settings.lora
    adapter = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=adapter_targets(model[0].model, lora.target_modules),
        exclude_modules=r".*pooler.*",
        task_type="FEATURE_EXTRACTION",
    )
    model.add_adapter(adapter)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if not stock:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if model.device.type == "cpu":
            keep_freed_memory()
    on_gpu = model.device.type == "cuda"
    with tempfile.TemporaryDirectory() as folder_of_run:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder_of_run,
            max_steps=rows.training_data.steps,
            per_device_train_batch_size=batch,
            batch_sampler=lambda dataset, **_: DefaultBatchSampler(SequentialSampler(dataset), batch, False),
            learning_rate=_LEARNING_RATE,
            warmup_steps=settings.warmup_share,
            weight_decay=settings.weight_decay,
            bf16=bf16,
            tf32=True if on_gpu and not stock else None,
            optim="adamw_torch" if stock else "adamw_torch_fused",
            dataloader_num_workers=2 if on_gpu and not stock else 0,  # which tokenize ahead
            use_cpu=not on_gpu,
            logging_steps=1_000,
            disable_tqdm=True,
            save_strategy="no",
            report_to="none",
        )
        SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict(rows.columns()),
            loss=MultipleNegativesRankingLoss(model, scale=1 / settings.temperature),
            callbacks=[clock],
        ).train()


def _peer_model(folder: Path, dtype: torch.dtype) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device=device().type, model_kwargs={"dtype": dtype})


def _estimate(folder: Path, rows: Rows, settings: Train, length: int) -> float | None:
    """Return what `triptych estimate` says of the largest pass of a step, in GiB; None of a method it leaves out."""
    columns = rows.training_data.schedule.rows(0)
    groups = rows.training_data.collator(columns)["features"]
    tokens = min(settings.micro_batch_tokens, sum(group["input_ids"].numel() for group in groups))
    half = settings.load_in in ("bf16", "fp16")
    suffix = "" if settings.load_in == "full" else f", {'half-precision' if half else settings.load_in} base"
    guesses = estimate(empty_model(Model(base=str(folder))), settings, max(1, tokens // length), length)
    return next((one.total / GIB for one in guesses if one.method == settings.method + suffix), None)


def _median_seconds(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(13):
        _synchronize()
        start = time.perf_counter()
        run()
        _synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[3:])


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # of what writing a model took
        torch.cuda.reset_peak_memory_stats()


def _peak_gib() -> float:
    """Return the peak of what was taken from the GPU; without one, what the process takes now."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved() / GIB
    return psutil.Process().memory_info().rss / GIB


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


class _Lines(logging.Handler):
    """Collects the warnings of an item."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage()[:300])


def measure(item: Item, scratch: Path) -> Item:
    """Return an item with its result, or with the first line of its error, and with what was logged meanwhile."""
    parts = {"machine": machine, "training": training, "memory": memory, "encoding": encoding}
    heard = _Lines()
    logging.getLogger("triptych").addHandler(heard)
    float32 = torch.backends.fp32_precision
    try:
        result = parts[item["part"]](item, scratch)
    except (UserError, RuntimeError, ValueError, ArithmeticError, MemoryError, OSError, ImportError) as error:
        result = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300] if str(error) else ''}"}
    logging.getLogger("triptych").removeHandler(heard)
    torch.backends.fp32_precision = float32  # a trainer with TF32 leaves it on
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
    return item | result | ({"warnings": heard.lines} if heard.lines else {})


def main() -> None:
    """Measure the items of the command line."""
    scratch, items = Path(sys.argv[1]), json.loads(sys.argv[2])
    for item in items:
        print(f"RESULT {json.dumps(measure(item, scratch))}", flush=True)


if __name__ == "__main__":
    main()
