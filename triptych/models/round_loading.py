"""Load the embedder of a round: the base model plus the round's change of weights, at the strength chosen on dev."""

from pathlib import Path

from sentence_transformers import SentenceTransformer

from triptych.errors import ArtifactError
from triptych.models.adapter import Blend, difference
from triptych.models.loading import describe, load_base
from triptych.models.round_record import RoundRecord, read_round_record
from triptych.params.sections import Model


def load_round(folder: Path, model: Model) -> tuple[Blend, RoundRecord]:
    """Load the base model with the change of weights of a round, set to the chosen strength."""
    record = read_round_record(folder)
    base = load_base(model)
    if describe(model, base) != record.base:
        raise ArtifactError(folder, f"was trained from {record.base['base']}, params.yaml names {model.base}")
    base.max_seq_length = record.max_length
    blend = Blend(base, {} if record.method == "base" else difference(base, folder))
    blend.at(record.strength)
    return blend, record


def load_model(folder: Path, model: Model) -> SentenceTransformer:
    """Load the embedder of a round at its chosen strength."""
    return load_round(folder, model)[0].model
