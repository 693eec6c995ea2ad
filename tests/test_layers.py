"""Imports run one way: each folder of the library may use itself and the folders before it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "triptych"
LAYERS = ["corpus", "evaluation", "retrieval", "triplets", "tokens", "training", "report"]
ANYONE = {"artifacts", "errors", "params", "params_base", "params_triplets", "progress"}  # params_file is for stages


def _used(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("triptych.")}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_no_later_layer(layer):
    allowed = set(LAYERS[: LAYERS.index(layer) + 1]) | ANYONE
    for path in sorted((ROOT / layer).glob("*.py")):
        assert _used(path) <= allowed, path.name


@pytest.mark.parametrize("layer", ["corpus", "evaluation", "retrieval", "triplets"])
def test_data_layers_need_no_torch(layer):
    heavy = ("import torch", "from torch", "transformers", "peft", "sentence_transformers")
    for path in sorted((ROOT / layer).glob("*.py")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith(("import", "from"))]
        assert not [line for line in lines if any(word in line for word in heavy)], path.name
