"""Models of known shapes with random weights, and texts of random words, for GPU tests and benchmarks.

Nothing is downloaded, and no stage has to run first: a model is built from its config, its tokenizer knows the words
``w0``, ``w1`` …, one token each, and the rows of a training are drawn at random.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import CONFIG_MAPPING, AutoModel, PretrainedConfig, PreTrainedTokenizerFast

from triptych.corpus.records import Chunk
from triptych.ids import ChunkRows
from triptych.tokens.token_store import TokenStore, pack
from triptych.tokens.tokenizing import tokenize, truncate
from triptych.training.data.batch_schedule import FixedSchedule
from triptych.training.data.collator import Collator
from triptych.training.data.training_data import TrainingData
from triptych.triplets.false_negatives import PositivesByAnchor, Relations

QUERY_LENGTHS = (8, 32)  # tokens of a query, uniform
MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a model, and how its embedder pools."""

    model_type: str
    pooling: str
    words: int  # in the tokenizer's vocabulary
    config: dict[str, Any] = field(default_factory=dict)  # beside the defaults of the model type

    @property
    def decoder(self) -> bool:
        """Return whether texts are padded on the left and end with the padding token."""
        return self.pooling == "lasttoken"

    def model_config(self) -> PretrainedConfig:
        """Return the config of the transformer."""
        return CONFIG_MAPPING[self.model_type](pad_token_id=0, **self.config)


def _qwen3(width: int, inner: int, layers: int, heads: int) -> Shape:
    config = {
        "vocab_size": 151_669,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    }
    return Shape("qwen3", "lasttoken", 20_000, config)


# Texts must differ in more than rounding, which small random models with the usual weights do not give.
_TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
_TINY |= {"vocab_size": 1_004, "initializer_range": 0.3}
SHAPES = {
    "tiny-bert": Shape("bert", "mean", 1_000, _TINY),
    "tiny-qwen3": Shape("qwen3", "lasttoken", 1_000, _TINY | {"num_key_value_heads": 2, "head_dim": 32}),
    "minilm": Shape(
        "bert",
        "mean",
        20_000,
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    ),
    "bge-base": Shape("bert", "cls", 20_000),  # BERT's defaults are the base shape
    "qwen3-0.6b": _qwen3(1024, 3072, 28, 16),
    "qwen3-4b": _qwen3(2560, 9728, 36, 32),
    "qwen3-8b": _qwen3(4096, 12_288, 36, 32),
}


def write_model(name: str, folder: Path, dtype: torch.dtype | None = None) -> Path:
    """Write an embedder of a named shape into a folder, unless it is there; return the folder.

    Weights are drawn on the GPU where there is one. The published weights of Qwen3 are bf16, those of BERT float32, and
    so are these unless ``dtype`` is given. The layout is that of sentence-transformers, written without loading it.
    """
    if (folder / "modules.json").exists():
        return folder
    shape = SHAPES[name]
    torch.manual_seed(7)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        dtype = dtype or (torch.bfloat16 if shape.decoder else torch.float32)
        transformer = AutoModel.from_config(shape.model_config(), dtype=dtype)
    transformer.save_pretrained(folder)
    tokenizer_of(shape).save_pretrained(folder)
    pooling = {
        "word_embedding_dimension": transformer.config.hidden_size,
        "pooling_mode_cls_token": shape.pooling == "cls",
        "pooling_mode_mean_tokens": shape.pooling == "mean",
        "pooling_mode_lasttoken": shape.pooling == "lasttoken",
    }
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    listed = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    for path, _ in modules[1:]:
        (folder / path).mkdir()
    _write_json(folder / "1_Pooling/config.json", pooling)
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": MAX_LENGTH, "do_lower_case": False})
    _write_json(folder / "modules.json", listed)  # last: with it the folder is whole
    return folder


def tokenizer_of(shape: Shape) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token for each word, framed as the model type frames texts."""
    special = ["<|endoftext|>", "<unk>"] if shape.decoder else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = [*special, *(f"w{number}" for number in range(shape.words))]
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=special[1]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    single = f"$A {special[0]}" if shape.decoder else "[CLS] $A [SEP]"
    frame = [(special[0], 0)] if shape.decoder else [("[CLS]", 2), ("[SEP]", 3)]
    backend.post_processor = TemplateProcessing(single=single, special_tokens=frame)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=special[0],
        unk_token=special[1],
        padding_side="left" if shape.decoder else "right",
        model_max_length=MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


class Rows(NamedTuple):
    """Triplets of random texts: as texts, as tokens, and as training data."""

    texts: list[str]  # anchors, then positives, then negatives
    store: TokenStore
    training_data: TrainingData

    def columns(self) -> dict[str, list[str]]:
        """Return the texts of anchor, positive and negative of each row, in the order of training."""
        batches = self.training_data.schedule.batches
        return {
            name: [self.texts[one] for batch in batches for one in batch[name].tolist()]
            for name in ("anchor", "positive", "negative")
        }


def random_texts(shape: Shape, lengths: np.ndarray, seed: int) -> list[str]:
    """Return texts of random words; ``lengths`` are in tokens, special tokens included."""
    random = np.random.default_rng(seed)
    special = 1 if shape.decoder else 2
    return [" ".join(f"w{word}" for word in random.integers(shape.words, size=one - special)) for one in lengths]


def passage_lengths(number: int, length: int, seed: int, full: bool = False) -> np.ndarray:
    """Return lengths of passages in tokens: all of ``length`` if ``full``, else spread as documentation's are.

    These are log-normal with a median of 0.7 of ``length`` and cut there, as passages are cut at
    ``tokenize.max_length``.
    """
    if full:
        return np.full(number, length)
    drawn = np.random.default_rng(seed).lognormal(np.log(0.7 * length), 0.5, number)
    return np.clip(drawn, 8, length).astype(int)


def make_rows(
    name: str, batch: int, steps: int, length: int, distinct: int | None = None, full: bool = False, seed: int = 13
) -> Rows:
    """Draw ``steps`` batches of ``batch`` triplets of passages of up to ``length`` tokens.

    ``distinct`` is the number of different triplets, which then recur, so that there is something to learn; None makes
    all different.
    """
    shape = SHAPES[name]
    number = distinct or batch * steps
    random = np.random.default_rng(seed)
    queries = random.integers(*QUERY_LENGTHS, size=number, endpoint=True)
    lengths = np.concatenate([queries, passage_lengths(2 * number, length, seed, full)])
    texts = random_texts(shape, lengths, seed)
    store = tokenize_texts(tokenizer_of(shape), texts, length)
    chunks = [
        Chunk(f"c{row}", "random", f"{row}.md", (str(row),), f"title {row}", "", "", cluster_id=row)
        for row in range(2 * number)
    ]
    anchor = np.arange(number)
    collator = Collator(store, Relations(chunks, []), PositivesByAnchor(anchor, ChunkRows(anchor)), fixed=False)
    row = np.arange(batch * steps) % number
    columns = {
        "anchor": row,
        "positive": row + number,
        "positive_chunk": row,
        "negative": row + 2 * number,
        "negative_chunk": row + number,
        "tier": np.zeros(len(row), int),
    }
    schedule = FixedSchedule.from_columns(columns, batch)
    return Rows(texts, store, TrainingData(schedule, collator, "softmax", steps))


def tokenize_texts(tokenizer: PreTrainedTokenizerFast, texts: list[str], length: int) -> TokenStore:
    """Return the tokens of texts, cut at ``length``."""
    metadata = {
        "max_length": length,
        "pad_token_id": tokenizer.pad_token_id,
        "padding_side": tokenizer.padding_side,
    }
    return pack(truncate(tokenizer, tokenize(tokenizer, texts), length), metadata)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
