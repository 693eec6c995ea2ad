"""Imports run one way: a room uses itself and the rooms before it, and no room is crowded."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "triptych"
# Rooms in the order in which they may be imported. A module belongs to the longest room that its path begins with.
ROOMS = [
    "errors",
    "ids",
    "artifacts",
    "line_checksums",
    "pipeline",
    "stage_inputs",
    "progress",
    "streams",
    "threads",
    "engine",
    "params",
    "corpus",
    "corpus/pages",
    "corpus/readers",
    "corpus/duplicates",
    "corpus/queries",
    "corpus/splits",
    "inspection",
    "evaluation",
    "retrieval",
    "serving",
    "publishing",
    "tokens",
    "models",
    "triplets",
    "triplets/heuristics",
    "triplets/sampling",
    "triplets/mining",
    "triplets/exchange",
    "encoding",
    "evaluators",
    "questions",
    "exporting",
    "training/data",
    "training",
    "training/fast",
    "training/recovery",
    "training/loop",
    "diagnostics",
    "report",
    "report/console",
    "reranker",
    "server",
    "project",
    "cli",
]
LIGHT = ("corpus", "inspection", "evaluation", "retrieval", "triplets")
HEAVY = ("torch", "transformers", "peft", "sentence_transformers")
MOST_MODULES = 13


def _room(module: str) -> str:
    """Return the room of a module, given as a path below the library without its suffix."""
    return max((room for room in ROOMS if f"{module}/".startswith(f"{room}/")), key=len)


def _modules() -> dict[str, Path]:
    found = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in ROOT.rglob("*.py")}
    return {name.removesuffix("/__init__"): path for name, path in found.items() if name != "__init__"}


MODULES = _modules()


def _used(path: Path) -> set[str]:
    """Return the modules of the library that a file imports, at the top or in a function."""
    used = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    names = {name.removeprefix("triptych.").replace(".", "/") for name in used if name.startswith("triptych.")}
    return names & MODULES.keys()


def test_every_module_is_in_a_room():
    assert {_room(module) for module in MODULES} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_later_room(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for module in (one for one in MODULES if _room(one) == room):
        later = {used for used in _used(MODULES[module]) if _room(used) not in allowed}
        assert not later, f"{module} imports {sorted(later)}"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_about_a_dozen_modules(room):
    modules = [path for path in (ROOT / room).glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES


@pytest.mark.parametrize("module", sorted(one for one in MODULES if one.split("/")[0] in LIGHT))
def test_data_rooms_need_no_torch(module):
    lines = [
        line for line in MODULES[module].read_text(encoding="utf-8").splitlines() if line.startswith(("import", "from"))
    ]
    assert not [line for line in lines if line.split()[1].split(".")[0] in HEAVY]


def test_the_test_itself_looks_into_every_folder():
    assert {"training/recovery/step_guard", "corpus/readers/beir", "report/console/hit_list"} <= MODULES.keys()
