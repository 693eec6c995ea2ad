"""Load the embedder of a round: the base model plus the round's change of weights, at the strength chosen on dev."""

from pathlib import Path

from sentence_transformers import SentenceTransformer

from triptych.errors import ArtifactError
from triptych.models.adapter import AdapterBlend, Blend, difference
from triptych.models.loading import describe, load_frozen
from triptych.models.round_record import RoundRecord, read_round_record
from triptych.models.weight_form import FULL, WeightForm, form_of
from triptych.params.sections import Model


def load_round(folder: Path, model: Model, weights: WeightForm | None = None) -> tuple[Blend, RoundRecord]:
    """Load the base model with the change of weights of a round, set to the chosen strength.

    The base has the form of its weights that the round was trained beside; ``weights`` is the form of a base model
    that was not trained. One model is in memory, whatever the form.
    """
    record = read_round_record(folder)
    form = weights if weights is not None and record.method == "base" else record.weights
    base = load_frozen(model, form)
    require_base(folder, record, model, base)
    base.max_seq_length = record.max_length
    blend = load_blend(folder, record, base)
    blend.at(record.strength)
    return blend, record


def load_blend(folder: Path, record: RoundRecord, base: SentenceTransformer) -> Blend:
    """Return ``base`` with the change of weights of a round in ``folder``, at full strength or at none."""
    if record.method == "base":
        return Blend(base, {})
    if form_of(base) == FULL:
        return Blend(base, difference(base, folder))
    return AdapterBlend(base, folder)


def require_base(folder: Path, record: RoundRecord, model: Model, base: SentenceTransformer) -> None:
    """Raise `ArtifactError` if a round was trained from another base model than the one that was loaded."""
    now = describe(model, base)
    if changed := sorted(key for key in now.keys() | record.base.keys() if now.get(key) != record.base.get(key)):
        raise ArtifactError(
            folder,
            f"was trained from {record.base['base']}, params.yaml names {model.base}: {', '.join(changed)} differ",
        )


def load_base_of(folder: Path, model: Model) -> Blend:
    """Load the base model of a round as the round was evaluated beside it: in the same form, with the same cut."""
    record = read_round_record(folder)
    base = load_frozen(model, record.weights)
    base.max_seq_length = record.max_length
    return Blend(base, {})


def load_passage_model(folder: Path, model: Model) -> SentenceTransformer:
    """Load the model that encodes passages where a round tuned queries alone: the base model, as a plain one."""
    return load_base_of(folder, model).merged()


def load_merged(folder: Path, model: Model) -> SentenceTransformer:
    """Load the embedder of a round with its adapter merged, so that its weights have the names of the base model's."""
    return load_round(folder, model)[0].merged()


def load_model(folder: Path, model: Model, weights: WeightForm | None = None) -> SentenceTransformer:
    """Load the embedder of a round at its chosen strength; see `load_round`."""
    return load_round(folder, model, weights)[0].model
