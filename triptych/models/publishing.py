"""Save a model that loads with plain sentence-transformers, and check that it gives the same vectors."""

import gc
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.artifacts import write_text
from triptych.models.adapter import Blend
from triptych.models.loading import release_memory
from triptych.models.weight_form import FULL, form_of

_PROBES = [
    "Return the maximum of the values over the requested axis.",
    "how do I join two tables on a key",
    "sort",
]
_SAME, _MERGED_IN_HALF = 0.9999, 0.99  # smallest cosine of a text's vectors before and after saving


def publish(blend: Blend, strength: float, folder: Path, card: str) -> None:
    """Save a blend's model with its prompts and its card into an existing folder, and load it again.

    Strength 0 publishes the base model. A base in half precision is saved with the adapter merged into it, in that
    precision; a quantized one is dequantized for it. The blend cannot be used any more: it is freed, if the caller
    does not keep it, before the saved model is loaded.

    Raise AssertionError where the loaded model's vectors differ from those in memory, or where a tuned model gives the
    base model's vectors: both are known to happen when adapters are merged.
    """
    from_base = _vectors(blend.at(0.0)) if strength else None
    in_memory = _vectors(blend.at(strength))
    place = str(blend.model.device)
    exact = form_of(blend.model) == FULL
    model = blend.merged()
    model.save_pretrained(str(folder), create_model_card=False)
    del blend, model
    release_memory()
    without_environment(folder)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # they are saved readable by their owner only
    write_text(folder / "README.md", card)
    loaded = SentenceTransformer(str(folder), device=place).eval()
    from_disk = _vectors(loaded)
    del loaded
    gc.collect()  # its weights map the file into memory: Windows would not let the folder be renamed
    if float((in_memory * from_disk).sum(axis=1).min()) < (_SAME if exact else _MERGED_IN_HALF):
        raise AssertionError(f"{folder}: the saved model does not give the vectors of the model in memory")
    if from_base is not None and float((from_base * from_disk).sum(axis=1).max()) > 0.99999:
        raise AssertionError(f"{folder}: the tuned model gives the base model's vectors")


def without_environment(folder: Path) -> None:
    """Remove from a saved tokenizer whether it was loaded with HF_HUB_OFFLINE set: equal models have equal bytes."""
    path = folder / "tokenizer_config.json"
    if path.exists():
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('"local_files_only": true', '"local_files_only": false'), encoding="utf-8")


def _vectors(model: SentenceTransformer) -> np.ndarray:
    vectors = model.encode(_PROBES, show_progress_bar=False).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
