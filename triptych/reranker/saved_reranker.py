"""Which model the reranker starts from, and whether a folder holds a trained one. Loads no model."""

from pathlib import Path

from triptych.artifacts import write_text
from triptych.errors import ArtifactError
from triptych.params.sections import Model, Params, Train


def model_of(params: Params) -> Model:
    """Return what model the reranker begins as: the one that is named, or the embedder's base."""
    wanted = params.train_reranker
    if wanted.base is None:
        return params.model
    return Model(base=wanted.base, revision=wanted.revision, query_prompt="", passage_prompt="")


def settings_of(params: Params) -> Train:
    """Return how the reranker trains: as the embedder does, but for what ``train_reranker`` names."""
    own = params.train_reranker
    named = {name: getattr(own, name) for name in ("seed", "method", "batch_size")}
    return params.train.model_copy(update=named | {"load_in": "full"})


def no_reranker(folder: Path, why: str) -> None:
    """Say in an existing folder why there is no reranker in it."""
    write_text(folder / "README.md", f"# No reranker\n\n{why[:1].upper()}{why[1:]}.\n")


def has_reranker(folder: Path) -> bool:
    """Return whether there is a reranker in a folder that a stage wrote."""
    if not folder.is_dir():
        raise ArtifactError(folder, "is missing")
    return (folder / "config.json").exists() or (folder / "modules.json").exists()
