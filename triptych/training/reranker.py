"""The cross-encoder: where it comes from, which of its weights train, and how it is saved."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from sentence_transformers import CrossEncoder, SentenceTransformer

from triptych.artifacts import write_text
from triptych.errors import UserError
from triptych.params import Model, Train
from triptych.training.base import device, locate
from triptych.training.families import adapter_targets

_SAME = 1e-3  # by which scores of a saved reranker may differ: padding is another, and so is the order of sums


def load_reranker(params: Model, attention: str = "auto") -> CrossEncoder:
    """Load a cross-encoder in float32 on the device at hand, in evaluation mode.

    Where ``params.base`` is no reranker, its weights get a fresh head with one score, always the same. A decoder answers
    with a word: its score is how much rather yes than no. Raise `UserError` where it cannot be loaded, or gives more
    than one score.
    """
    place = locate(params)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the head
        try:
            model = CrossEncoder(
                place,
                revision=params.revision,
                device=str(device()),
                model_kwargs={"dtype": torch.float32},
                **({} if _scores(place) else {"num_labels": 1}),
            )
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"train_reranker.base: {params.base} could not be loaded as a cross-encoder ({reason}); give null for"
                " the embedder's base model, a hub name with its revision, or a local folder"
            ) from error
