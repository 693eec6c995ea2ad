"""Check whether `NumpyEncoder` reproduces a saved embedder's query vectors without PyTorch, by encoding a few texts."""

from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.encoding.text_encoder import prompt_of
from triptych.models.weight_form import FULL, saved_form
from triptych.serving.numpy_encoder import NumpyEncoder, NumpyEncoderSettings

_PROBES = ("sort", "How do I join two DataFrames on a key?", "naïve Ünïcode, 表 and np.linalg.svd() " * 40)
_TOLERANCE = 1e-4  # largest absolute difference of a component, in vectors of length 1


def numpy_encoder_settings(folder: Path, model: SentenceTransformer) -> NumpyEncoderSettings | None:
    """Return the settings with which `NumpyEncoder` reproduces the model saved in ``folder``; None if it cannot."""
    modules = [type(module).__name__ for module in model]
    if modules[:2] != ["Transformer", "Pooling"] or modules[2:] not in ([], ["Normalize"]) or not model.max_seq_length:
        return None
    if saved_form(folder) != FULL:  # numpy has no bfloat16, and computes slowly and roughly in float16
        return None
    prompt = prompt_of(model, "query")
    settings = NumpyEncoderSettings(model.max_seq_length, model[1].pooling_mode, prompt)
    if settings.pooling not in ("mean", "cls"):
        return None
    try:
        vectors = NumpyEncoder(folder, settings).encode(_PROBES)
    except (KeyError, ValueError, OSError):
        return None  # another architecture, or other names of weights
    expected = model.encode(list(_PROBES), prompt=prompt or None, normalize_embeddings=True, show_progress_bar=False)
    return settings if float(np.abs(vectors - expected).max()) < _TOLERANCE else None
