"""Query encoders: BERT in numpy, because importing PyTorch takes longer than a search, and sentence-transformers.

The numpy encoder is used only where stage ``index`` has checked that it returns the same vectors.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

_ROUTER = "router_config.json"  # of a model with an encoder for each side
Role = Literal["query", "document"]
_TOKENS = 1024  # that are computed at a time; more take more memory and no less time
_SMALL = 1_000_000  # multiplications of a product for which OpenBLAS has kernels that sum in another order
_PADDED = {"bert": False, "roberta": True, "xlm-roberta": True}  # whether position ids start after the padding id


def query_folder(folder: Path) -> Path:
    """Return the folder of the transformer that encodes queries in a saved embedder; a part of it where it has two."""
    if not (folder / _ROUTER).exists():
        return folder
    structure = json.loads((folder / _ROUTER).read_text(encoding="utf-8"))["structure"]
    return folder / str(structure["query"][0])


@dataclass(frozen=True, slots=True)
class NumpyEncoderSettings:
    """A saved embedder's settings around its transformer."""

    max_length: int
    pooling: Literal["mean", "cls"]
    prompt: str


class NumpyEncoder:
    """A transformer encoder (Devlin et al. 2019) in numpy, float32.

    Texts are concatenated, without padding, so that a product reads its weights once for all of them.
    """

    def __init__(self, folder: Path, settings: NumpyEncoderSettings) -> None:
        """Read a saved model; raise ValueError or KeyError where its architecture is not supported."""
        folder = query_folder(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, activation = config["model_type"], config["hidden_act"]
        if kind not in _PADDED or activation != "gelu":
            raise ValueError(f"{folder}: {kind} with {activation} is not supported")
        self._settings, self._heads, self._hidden = settings, config["num_attention_heads"], config["hidden_size"]
        self.prompts: dict[Role, str] = {"query": settings.prompt, "document": _passage_prompt(folder)}
        self._layers, self._epsilon = config["num_hidden_layers"], config["layer_norm_eps"]
        self._first = config["pad_token_id"] + 1 if _PADDED[kind] else 0
        self._weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings.max_length)

    def encode(self, texts: Sequence[str], role: Role = "query") -> np.ndarray:
        """Encode texts, the prompt of their role before each: float32 of shape (texts, dimensions), of length 1."""
        return np.stack([self._pooled(states) for states in self._states(texts, role)])

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encode the tokens of queries, the prompt before each: float32 of shape (tokens, dimensions), of length 1."""
        return [states / np.linalg.norm(states, axis=1, keepdims=True) for states in self._states(texts, "query")]

    def token_counts(self, texts: Sequence[str], role: Role = "query") -> list[int]:
        """Return how many tokens `encode` reads of each text: with its prompt, at most the model's maximum."""
        return [len(self._ids(self.prompts[role] + text)) for text in texts]

    def _ids(self, text: str) -> np.ndarray:
        return np.array(self._tokenizer.encode(text).ids)

    def _pooled(self, states: np.ndarray) -> np.ndarray:
        pooled = states[0] if self._settings.pooling == "cls" else states.mean(axis=0)
        return pooled / np.linalg.norm(pooled)

    def _states(self, texts: Sequence[str], role: Role) -> list[np.ndarray]:
        """Return the last states of each text's tokens, float32 of shape (tokens, dimensions)."""
        ids = [self._ids(self.prompts[role] + text) for text in texts]
        states: dict[int, np.ndarray] = {}
        for group in self._groups([len(one) for one in ids]):
            states |= zip(group, self._forward([ids[row] for row in group]), strict=True)
        return [states[row] for row in range(len(texts))]

    def _groups(self, lengths: list[int]) -> list[list[int]]:
        """Group texts that are computed together, given their numbers of tokens, so that none changes by a bit."""
        groups: list[list[int]] = []
        tokens = _TOKENS
        for row, length in enumerate(lengths):
            if length * self._hidden**2 <= _SMALL:
                groups.insert(0, [row])
                continue
            tokens += length
            if tokens > _TOKENS:
                groups.append([])
                tokens = length
            groups[-1].append(row)
        return groups

    def _forward(self, texts: list[np.ndarray]) -> list[np.ndarray]:
        prefix, ends = "embeddings", np.cumsum([len(ids) for ids in texts])
        spans = [slice(end - len(ids), end) for ids, end in zip(texts, ends.tolist(), strict=True)]
        positions = self._first + np.concatenate([np.arange(len(ids)) for ids in texts])
        states = self._weights[f"{prefix}.word_embeddings.weight"][np.concatenate(texts)]
        states = states + self._weights[f"{prefix}.position_embeddings.weight"][positions]
        states = self._norm(states + self._weights[f"{prefix}.token_type_embeddings.weight"][0], f"{prefix}.LayerNorm")
        for number in range(self._layers):
            layer = f"encoder.layer.{number}"
            mixed = self._attention(states, spans, f"{layer}.attention.self")
            mixed = self._linear(mixed, f"{layer}.attention.output.dense")
            states = self._norm(states + mixed, f"{layer}.attention.output.LayerNorm")
            inner = self._linear(states, f"{layer}.intermediate.dense")
            inner *= 0.5 * (1 + erf(inner * np.float32(0.5**0.5)))
            states = self._norm(states + self._linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return [states[span] for span in spans]

    def _attention(self, states: np.ndarray, spans: list[slice], name: str) -> np.ndarray:
        query, key, value = (
            self._linear(states, f"{name}.{role}").reshape(len(states), self._heads, -1).swapaxes(0, 1)
            for role in ("query", "key", "value")
        )
        mixed = np.empty_like(states)
        for span in spans:
            scores = query[:, span] @ key[:, span].swapaxes(1, 2) / np.float32(query.shape[-1] ** 0.5)
            shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
            shares /= shares.sum(axis=-1, keepdims=True)
            mixed[span] = (shares @ value[:, span]).swapaxes(0, 1).reshape(len(scores[0]), -1)
        return mixed

    def _linear(self, states: np.ndarray, name: str) -> np.ndarray:
        return states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, states: np.ndarray, name: str) -> np.ndarray:
        centered = states - states.mean(axis=-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


class TorchEncoder:
    """Any saved embedder, by sentence-transformers; one thread at a time, since its tokenizer has a state."""

    def __init__(self, folder: Path) -> None:
        """Load a saved model."""
        from sentence_transformers import SentenceTransformer  # imports PyTorch, which takes seconds

        self._model, self._lock = SentenceTransformer(str(folder), model_kwargs={"use_safetensors": True}), Lock()
        own = self._model.prompts or {}
        self.prompts: dict[Role, str] = {"query": own.get("query") or "", "document": own.get("document") or ""}

    def encode(self, texts: Sequence[str], role: Role = "query") -> np.ndarray:
        """Encode texts as `NumpyEncoder.encode` does."""
        return self._encode(texts, role, normalize_embeddings=True)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encode the tokens of queries as `NumpyEncoder.tokens` does; one text per batch, without padding."""
        token_vectors = self._encode(texts, "query", output_value="token_embeddings", batch_size=1)
        states = [one.float().cpu().numpy() for one in token_vectors]
        return [one / np.linalg.norm(one, axis=1, keepdims=True) for one in states]

    def token_counts(self, texts: Sequence[str], role: Role = "query") -> list[int]:
        """Return how many tokens `encode` reads of each text, as `NumpyEncoder.token_counts` does."""
        with self._lock:
            rows = self._model.tokenizer(
                [self.prompts[role] + text for text in texts],
                truncation=self._model.max_seq_length is not None,
                max_length=self._model.max_seq_length,
            )
        return [len(ids) for ids in rows["input_ids"]]

    def _encode(self, texts: Sequence[str], role: Role, **options: Any) -> Any:
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        with self._lock:
            return encode(list(texts), show_progress_bar=False, **options)


def _passage_prompt(folder: Path) -> str:
    """Return the prompt that a saved embedder puts before passages; empty if it has none."""
    path = folder / "config_sentence_transformers.json"
    prompts = json.loads(path.read_text(encoding="utf-8")).get("prompts") if path.exists() else None
    return (prompts or {}).get("document") or ""
