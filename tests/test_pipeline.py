"""``dvc.yaml`` is correct about the modules of a stage, its params and its outputs."""

import ast
import os
import shlex
from pathlib import Path

import pytest
import yaml
from dvc.repo import Repo

from stages.code_deps import code_of, with_code_deps
from triptych.params.load import load_params
from triptych.params.sections import Params

ROOT = Path(__file__).parents[1]


def _stages():
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    return {stage.addressing: stage for stage in Repo(str(ROOT)).index.stages if stage.cmd}


STAGES = _stages()


@pytest.mark.parametrize("name", STAGES)
def test_stage_declares_exactly_the_modules_it_imports(name):
    declared = {dep.def_path for dep in STAGES[name].deps if str(dep.def_path).endswith(".py")}
    assert declared == set(code_of(STAGES[name].cmd)), "run `make deps`"


def test_make_deps_keeps_correct_deps():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert with_code_deps(text, {name.split("@")[0]: stage.cmd for name, stage in STAGES.items()}) == text


def test_make_deps_adds_what_is_missing_and_removes_what_is_not_imported():
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    commands = {name.split("@")[0]: stage.cmd for name, stage in STAGES.items()}
    wrong = text.replace("      - triptych/errors.py\n", "").replace(
        "    deps:\n", "    deps:\n      - triptych/nowhere.py\n"
    )
    assert wrong != text
    assert with_code_deps(wrong, commands) == text


@pytest.mark.parametrize("name", STAGES)
def test_stage_runs_the_module_of_its_name(name):
    python, dash_m, module = shlex.split(STAGES[name].cmd)[:3]
    stem = name.split("@")[0]
    assert (python, dash_m) == ("python", "-m")
    assert module == {"tokenize": "stages.tokenize_texts"}.get(stem, f"stages.{stem}")


@pytest.mark.parametrize("name", STAGES)
def test_stage_writes_only_where_stages_write(name):
    assert all(str(out.def_path).startswith(("data/", "models/", "metrics/")) for out in STAGES[name].outs)


def test_no_out_switches_the_run_cache_off():
    assert not [(name, str(out)) for name, stage in STAGES.items() for out in stage.outs if out.persist]


def _params_used(path: Path) -> set[str]:
    """Return the params a stage reads, as ``section`` or ``section.key``, from what follows ``load_params()``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    def chain(node) -> list[str] | None:
        if isinstance(node, ast.Attribute):
            before = chain(node.value)
            return None if before is None else [*before, node.attr]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_params":
            return []
        return list(bound[node.id]) if isinstance(node, ast.Name) and node.id in bound else None

    bound: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found = chain(node.value)
            if found is not None and len(found) <= 1:
                bound[node.targets[0].id] = found
    used = set()
    for node in ast.walk(tree):
        found = chain(node) if isinstance(node, ast.Attribute) else None
        if found:
            keys = Params.model_fields[found[0]].annotation.model_fields
            used.add(".".join(found[:2]) if len(found) > 1 and found[1] in keys else found[0])
    return {key for key in used if not any(longer.startswith(f"{key}.") for longer in used)}


@pytest.mark.parametrize("name", STAGES)
def test_stage_tracks_the_params_it_reads(name):
    tracked = {key for dep in STAGES[name].deps for key in getattr(dep, "params", [])}
    used = _params_used(ROOT / f"{shlex.split(STAGES[name].cmd)[2].replace('.', '/')}.py")
    assert used
    assert not {
        key
        for key in used
        if key not in tracked
        and key.split(".")[0] not in tracked
        and not any(one.startswith(f"{key}.") for one in tracked)  # rounds.train is read at the stage's own round
    }


def test_the_params_that_stages_track_are_in_the_file():
    shown = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tracked = {key for stage in STAGES.values() for dep in stage.deps for key in getattr(dep, "params", [])}
    parts = [key.split(".") for key in sorted(tracked) if key.count(".") == 1]
    assert len(parts) > 5
    assert [key for section, key in parts if key not in shown[section]] == []  # DVC stops at a missing one


def test_each_section_of_params_is_a_stage_or_shared_by_stages():
    load_params(ROOT / "params.yaml")
    assert set(Params.model_fields) == {name.split("@")[0] for name in STAGES} | {"model", "rounds"}
