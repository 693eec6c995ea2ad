"""Checks before and beside training: memory, a model's weights, a few steps."""

import json
from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.options import CORPUS, TEXTS, TOKENS, check_folder
from triptych.cli.output import console, user_errors_as_messages
from triptych.errors import UserError


def estimate(
    model: Annotated[str, typer.Argument(help="a Hub name, a folder, or package:<name>")],
    batch: Annotated[int, typer.Option(min=1, help="texts per batch")] = 96,
    length: Annotated[int | None, typer.Option(min=1, help="tokens per text; default: tokenize.max_length")] = None,
    r: Annotated[int | None, typer.Option("--r", min=1, help="rank of the adapter; default: as in params.yaml")] = None,
    memory: Annotated[float | None, typer.Option(help="GiB; default: memory of the GPU, or 16")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print bytes as JSON")] = False,
) -> None:
    """Estimate the memory of full training and LoRA, by the form of the base, and whether it fits on the GPU."""
    from triptych.diagnostics import memory_estimate as memory_of
    from triptych.models.loading import memory_at_hand
    from triptych.params.load import load_params
    from triptych.params.sections import Model
    from triptych.report.console.memory_table import show_memory

    with user_errors_as_messages():
        if memory is not None and not memory > 0:
            raise UserError(f"--memory: expected GiB above 0, got {memory:g}")
        if Path(model).expanduser().exists() or model.startswith((".", "/", "~")):
            check_folder("MODEL", Path(model).expanduser(), "config.json", "modules.json")
        params = load_params()
        tokens = length or memory_of.text_length(params.tokenize, TOKENS)
        lora = params.train.lora.model_copy(update={"r": r or params.train.lora.r})
        train = params.train.model_copy(update={"lora": lora})
        other = Model(base=model, revision=None, query_prompt="", passage_prompt="")
        empty = memory_of.empty_model(params.model if params.model.base == model else other)
        estimates = memory_of.estimate(empty, train, batch, tokens)
    if as_json:
        typer.echo(json.dumps([one.record() for one in estimates], sort_keys=True))
    else:
        title = f"{model}: {batch} texts of {tokens} tokens per batch, r {lora.r}, {train.optimizer}"
        show_memory(console(), estimates, memory or memory_at_hand() or 16.0, title)


def diagnose(model: Annotated[Path, typer.Argument(help="a model's folder, or models/<round>")]) -> None:
    """Check a model's files and weights; report the first module that outputs NaN or Inf."""
    from triptych.diagnostics import model_check
    from triptych.models.loading import device
    from triptych.models.precision import resolve_precision
    from triptych.params.load import load_params

    with user_errors_as_messages():
        params = load_params()
        problems = model_check.weight_problems(model)
        unreadable = any(": no weights" in line or ": cannot be read" in line for line in problems)
        loaded = None if unreadable else model_check.load(model, params.model)
    for precision in dict.fromkeys(("fp32", resolve_precision(params.train.precision, device()))) if loaded else ():
        result = model_check.forward(loaded, precision)
        if result.broken:
            problems.append(f"{precision}: the first module that outputs NaN or Inf is {result.broken}")
        else:
            statistics = ", ".join(f"{name} {value:.4f}" for name, value in result.figures.items())
            typer.echo(f"{precision}: finite everywhere; embeddings: {statistics}")
    for problem in problems:
        typer.echo(problem, err=True)
    raise typer.Exit(1 if problems else 0)


def smoke(
    steps: Annotated[int, typer.Option(min=1, help="number of steps")] = 5,
    tokens: Annotated[Path, typer.Option(help="the output of stage tokenize")] = Path("data/tokens"),
    round_folder: Annotated[Path, typer.Option("--round", help="the round's training examples")] = Path(
        "data/triplets/round0"
    ),
    previous: Annotated[Path, typer.Option(help="the model to start from")] = Path("models/base"),
) -> None:
    """Train a few steps of the first round, keep nothing, and report time, memory, NaN or Inf, and late batches."""
    from triptych.diagnostics.smoke_test import smoke as run
    from triptych.params.load import load_params
    from triptych.report.console.smoke_table import show_smoke

    with user_errors_as_messages():
        result = run(CORPUS, TEXTS, tokens, round_folder, previous, load_params(), steps)
    show_smoke(console(), result)
