"""Which model the reranker starts from, and whether a folder contains a trained one. Loads no model."""

from pathlib import Path

from triptych.artifacts import write_text
from triptych.errors import ArtifactError
from triptych.params.sections import Model, Params, Train

_README, _NO_RERANKER = "README.md", "# No reranker\n\n"


def model_of(params: Params) -> Model:
    """Return the model that the reranker starts from: ``train_reranker.base``, or the embedder's base model."""
    settings = params.train_reranker
    if settings.base is None:
        return params.model
    return Model(base=settings.base, revision=settings.revision, query_prompt="", passage_prompt="")


def settings_of(params: Params) -> Train:
    """Return the settings of the reranker's training: those of ``train``, overridden by those of ``train_reranker``."""
    overrides = {name: getattr(params.train_reranker, name) for name in ("seed", "method", "batch_size")}
    return params.train.model_copy(update=overrides | {"load_in": "full"})


def no_reranker(folder: Path, reason: str) -> None:
    """Write into an existing folder a README.md with the reason why it contains no reranker."""
    write_text(folder / _README, f"{_NO_RERANKER}{reason[:1].upper()}{reason[1:]}.\n")


def reason_of_no_reranker(folder: Path) -> str:
    """Return the reason that `no_reranker` wrote."""
    text = (folder / _README).read_text(encoding="utf-8").removeprefix(_NO_RERANKER).strip().removesuffix(".")
    return text[:1].lower() + text[1:]


def has_reranker(folder: Path) -> bool:
    """Return whether a folder that a stage wrote contains a reranker; raise `ArtifactError` if it is missing."""
    if not folder.is_dir():
        raise ArtifactError(folder, "is missing")
    return (folder / "config.json").exists() or (folder / "modules.json").exists()
