"""What trains in 16 GiB: the usual embedders by method, batch and length, as `triptych estimate` counts it.

``python -m benchmarks.memory [--only MiniLM-L6] [--memory 16]`` prints a table in Markdown. The models have the shapes
of the usual embedders and no weights: nothing is downloaded, and no memory is taken.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoModel, BertConfig, ModernBertConfig, PretrainedConfig, Qwen3Config, XLMRobertaConfig

from triptych.diagnostics.memory_estimate import GIB, estimate
from triptych.params.sections import Train

BATCHES = ((32, 128), (128, 512))  # texts and their tokens
SPARE = 1.0  # GiB that the context of the device and the allocator take; a guess
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
QWEN3: dict[str, Any] = {"vocab_size": 151_669, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": True}


def shapes() -> dict[str, PretrainedConfig]:
    """Return the configs of the usual embedders by name."""
    small = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    return {
        "MiniLM-L6": BertConfig(**small),
        "bge-base": BertConfig(),
        "bge-large, e5-large": BertConfig(**LARGE),
        "bge-m3": XLMRobertaConfig(**LARGE, vocab_size=250_002, max_position_embeddings=8194, type_vocab_size=1),
        "ModernBERT-base": ModernBertConfig(),
        "Qwen3-Embedding-0.6B": Qwen3Config(
            **QWEN3, hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, intermediate_size=3072
        ),
        "Qwen3-Embedding-4B": Qwen3Config(
            **QWEN3, hidden_size=2560, num_hidden_layers=36, num_attention_heads=32, intermediate_size=9728
        ),
        "Qwen3-Embedding-8B": Qwen3Config(
            **QWEN3, hidden_size=4096, num_hidden_layers=36, num_attention_heads=32, intermediate_size=12_288
        ),
    }


def rows(name: str, config: PretrainedConfig, memory: float) -> Iterator[str]:
    """Yield a line of the table for each method: GiB without and with gradient checkpointing, bold where they fit."""
    with torch.device("meta"):
        model = AutoModel.from_config(config)
    by_batch = [estimate(model, Train(), texts, tokens) for texts, tokens in BATCHES]
    parameters = sum(one.numel() for one in model.parameters())
    for estimates in zip(*by_batch, strict=True):
        totals = [(one.total / GIB, one.total_checkpointed / GIB) for one in estimates]
        cells = [
            " / ".join(f"**{total:.1f}**" if total <= memory - SPARE else f"{total:.1f}" for total in pair)
            for pair in totals
        ]
        yield f"| {name}, {parameters / 1e6:,.0f} M | {estimates[0].method} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=shapes(), help="a single model")
    parser.add_argument("--memory", type=float, default=16.0, help="GiB")
    args = parser.parse_args()
    heads = [f"{texts} texts of {tokens} tokens" for texts, tokens in BATCHES]
    sys.stdout.write(f"| model | method | {' | '.join(heads)} |\n| --- | --- |{' --- |' * len(heads)}\n")
    for name, config in shapes().items():
        if args.only in (None, name):
            for line in rows(name, config, args.memory):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
