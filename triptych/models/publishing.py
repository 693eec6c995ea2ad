"""Save a model that loads with plain sentence-transformers, and check that it gives the same vectors."""

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.artifacts import write_text
from triptych.models.adapter import Blend
from triptych.models.loading import release_memory
from triptych.models.two_sided import sides_of, two_sided
from triptych.models.weight_form import FULL, form_of

_PROBES = [
    "Return the maximum of the values over the requested axis.",
    "how do I join two tables on a key",
    "sort",
]
_SAME, _MERGED_IN_HALF = 0.9999, 0.99  # smallest cosine of a text's vectors before and after saving


def publish(
    blend: Blend, strength: float, folder: Path, card: str, passages: Callable[[], SentenceTransformer] | None = None
) -> None:
    """Save a blend's model with its prompts and its card into an existing folder, and load it again.

    Strength 0 publishes the base model. Where the blend encodes queries alone, ``passages`` loads the base model, which
    is saved beside it in one folder (`two_sided`); for that moment both are in memory. A base in half precision is
    saved with the adapter merged into it, in that precision; a quantized one is dequantized for it. The blend cannot be
    used any more: it is freed, if the caller does not keep it, before the saved model is loaded.

    Raise AssertionError where the loaded model's vectors differ from those in memory, or where a tuned model gives the
    base model's vectors: both are known to happen when adapters are merged.
    """
    from_base = _vectors(blend.at(0.0)) if strength else None
    in_memory = _vectors(blend.at(strength))
    place = str(blend.model.device)
    exact = form_of(blend.model) == FULL
    model = blend.merged()
    if passages is not None:
        model = two_sided(model, passages())
    model.save_pretrained(str(folder), create_model_card=False)
    del blend, model
    release_memory()
    without_environment(folder)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # they are saved readable by their owner only
    write_text(folder / "README.md", card)
    loaded = SentenceTransformer(str(folder), device=place).eval()
    queries, documents = sides_of(loaded)
    from_disk, of_passages = _vectors(queries), _vectors(documents)
    del loaded, queries, documents
    gc.collect()  # its weights map the file into memory: Windows would not let the folder be renamed
    least = _SAME if exact else _MERGED_IN_HALF
    if _least_cosine(in_memory, from_disk) < least:
        raise AssertionError(f"{folder}: the saved model does not give the vectors of the model in memory")
    if passages is not None and from_base is not None and _least_cosine(from_base, of_passages) < least:
        raise AssertionError(f"{folder}: the saved model does not give passages the vectors of the base model")
    if from_base is not None and float((from_base * from_disk).sum(axis=1).max()) > 0.99999:
        raise AssertionError(f"{folder}: the tuned model gives the base model's vectors")


def _least_cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float((left * right).sum(axis=1).min())


def without_environment(folder: Path) -> None:
    """Remove from saved tokenizers whether HF_HUB_OFFLINE was set at loading: equal models have equal bytes."""
    for path in folder.rglob("tokenizer_config.json"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"local_files_only": true', '"local_files_only": false'), encoding="utf-8")


def _vectors(model: SentenceTransformer) -> np.ndarray:
    vectors = model.encode(_PROBES, show_progress_bar=False).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
