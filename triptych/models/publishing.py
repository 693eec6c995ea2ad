"""Save a model that loads with plain sentence-transformers, and check that it gives the same vectors."""

import gc
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.artifacts import write_text

_PROBES = [
    "Return the maximum of the values over the requested axis.",
    "how do I join two tables on a key",
    "sort",
]


def publish(
    model: SentenceTransformer,
    base: SentenceTransformer,
    folder: Path,
    card: str,
    *,
    tuned: bool,
) -> None:
    """Save ``model`` with its prompts and its card into an existing folder, and load it again.

    Raise AssertionError where the loaded model's vectors differ from those in memory, or where a tuned model gives the
    base model's vectors: both are known to happen when adapters are merged.
    """
    model.save_pretrained(str(folder), create_model_card=False)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # they are saved readable by their owner only
    write_text(folder / "README.md", card)
    loaded = SentenceTransformer(str(folder), device=str(model.device)).eval()
    in_memory, from_disk, from_base = (_vectors(one) for one in (model, loaded, base))
    del loaded
    gc.collect()  # its weights map the file into memory: Windows would not let the folder be renamed
    if float((in_memory * from_disk).sum(axis=1).min()) < 0.9999:
        raise AssertionError(f"{folder}: the saved model does not give the vectors of the model in memory")
    if tuned and float((from_base * from_disk).sum(axis=1).max()) > 0.99999:
        raise AssertionError(f"{folder}: the tuned model gives the base model's vectors")


def _vectors(model: SentenceTransformer) -> np.ndarray:
    return np.asarray(model.encode(_PROBES, normalize_embeddings=True, show_progress_bar=False))
