"""Query encoders: BERT in numpy, because importing PyTorch takes longer than a search, and sentence-transformers.

The numpy encoder is used only where stage ``index`` has checked that it returns the same vectors.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

_PADDED = {"bert": False, "roberta": True, "xlm-roberta": True}  # whether position ids start after the padding id


@dataclass(frozen=True, slots=True)
class NumpyEncoderSettings:
    """A saved embedder's settings around its transformer."""

    max_length: int
    pooling: Literal["mean", "cls"]
    prompt: str


class NumpyEncoder:
    """A transformer encoder (Devlin et al. 2019) in numpy: float32, a text at a time."""

    def __init__(self, folder: Path, settings: NumpyEncoderSettings) -> None:
        """Read a saved model; raise ValueError or KeyError where its architecture is not supported."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, activation = config["model_type"], config["hidden_act"]
        if kind not in _PADDED or activation != "gelu":
            raise ValueError(f"{folder}: {kind} with {activation} is not supported")
        self._settings, self._heads = settings, config["num_attention_heads"]
        self._layers, self._epsilon = config["num_hidden_layers"], config["layer_norm_eps"]
        self._first = config["pad_token_id"] + 1 if _PADDED[kind] else 0
        self._weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(settings.max_length)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode queries, the prompt before each: float32 of shape (texts, dimensions), rows of length 1."""
        return np.stack([self._vector(self._settings.prompt + text) for text in texts])

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encode the tokens of queries, the prompt before each: float32 of shape (tokens, dimensions), of length 1."""
        token_states = [self._states(self._ids(self._settings.prompt + text)) for text in texts]
        return [states / np.linalg.norm(states, axis=1, keepdims=True) for states in token_states]

    def _ids(self, text: str) -> np.ndarray:
        return np.array(self._tokenizer.encode(text).ids)

    def _vector(self, text: str) -> np.ndarray:
        states = self._states(self._ids(text))
        pooled = states[0] if self._settings.pooling == "cls" else states.mean(axis=0)
        return pooled / np.linalg.norm(pooled)

    def _states(self, ids: np.ndarray) -> np.ndarray:
        prefix = "embeddings"
        positions = self._first + np.arange(len(ids))
        states = self._weights[f"{prefix}.word_embeddings.weight"][ids]
        states = states + self._weights[f"{prefix}.position_embeddings.weight"][positions]
        states = self._norm(states + self._weights[f"{prefix}.token_type_embeddings.weight"][0], f"{prefix}.LayerNorm")
        for number in range(self._layers):
            layer = f"encoder.layer.{number}"
            mixed = self._linear(self._attention(states, f"{layer}.attention.self"), f"{layer}.attention.output.dense")
            states = self._norm(states + mixed, f"{layer}.attention.output.LayerNorm")
            inner = self._linear(states, f"{layer}.intermediate.dense")
            inner *= 0.5 * (1 + erf(inner * np.float32(0.5**0.5)))
            states = self._norm(states + self._linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        return states

    def _attention(self, states: np.ndarray, name: str) -> np.ndarray:
        query, key, value = (
            self._linear(states, f"{name}.{role}").reshape(len(states), self._heads, -1).swapaxes(0, 1)
            for role in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.float32(query.shape[-1] ** 0.5)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return (shares @ value).swapaxes(0, 1).reshape(states.shape)

    def _linear(self, states: np.ndarray, name: str) -> np.ndarray:
        return states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, states: np.ndarray, name: str) -> np.ndarray:
        centered = states - states.mean(axis=-1, keepdims=True)
        scaled = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


class TorchEncoder:
    """Any saved embedder, by sentence-transformers."""

    def __init__(self, folder: Path) -> None:
        """Load a saved model."""
        from sentence_transformers import SentenceTransformer  # imports PyTorch, which takes seconds

        self._model = SentenceTransformer(str(folder), model_kwargs={"use_safetensors": True})

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode queries as `NumpyEncoder.encode` does."""
        return self._model.encode_query(list(texts), normalize_embeddings=True, show_progress_bar=False)

    def tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Encode the tokens of queries as `NumpyEncoder.tokens` does; one text per batch, without padding."""
        token_vectors = self._model.encode_query(
            list(texts), output_value="token_embeddings", batch_size=1, show_progress_bar=False
        )
        states = [one.float().cpu().numpy() for one in token_vectors]
        return [one / np.linalg.norm(one, axis=1, keepdims=True) for one in states]
