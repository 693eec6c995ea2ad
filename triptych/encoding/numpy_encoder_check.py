"""Whether a saved embedder's queries can be encoded without PyTorch, tried and not assumed."""

from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.serving.numpy_encoder import NumpyEncoder, NumpyEncoderSettings

_PROBES = ("sort", "How do I join two DataFrames on a key?", "naïve Ünïcode, 表 and np.linalg.svd() " * 40)
_TOLERANCE = 1e-4  # of a number in a vector of length 1


def numpy_encoder_settings(folder: Path, model: SentenceTransformer) -> NumpyEncoderSettings | None:
    """Return with what `NumpyEncoder` gives the vectors of a model saved in ``folder``, or None if it does not."""
    kinds = [type(module).__name__ for module in model]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]) or not model.max_seq_length:
        return None
    prompt = (model.prompts or {}).get("query") or ""
    settings = NumpyEncoderSettings(model.max_seq_length, model[1].pooling_mode, prompt)
    if settings.pooling not in ("mean", "cls"):
        return None
    try:
        found = NumpyEncoder(folder, settings).encode(_PROBES)
    except (KeyError, ValueError, OSError):
        return None  # another family, or other names of weights
    wanted = model.encode(list(_PROBES), prompt=prompt or None, normalize_embeddings=True, show_progress_bar=False)
    return settings if float(np.abs(found - wanted).max()) < _TOLERANCE else None
