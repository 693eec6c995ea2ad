"""What keeps the project usable on Windows: the rules in force here, and a line for each target of the Makefile."""

import ast
import multiprocessing
import re
from pathlib import Path

import numpy as np
import pytest
import windows_rules
import yaml
from transformers import AutoTokenizer

from triptych.tokens.tokenizing import tokenize

ROOT = Path(__file__).parents[1]
POSIX_NAMES = {
    *("chown", "fork", "forkpty", "getpgid", "geteuid", "getuid", "killpg", "mkfifo", "setsid", "sched_getaffinity"),
    *("SIGKILL", "SIGALRM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "setitimer", "start_new_session"),
}


def code_files(*folders):
    """Return the files of code but those of `make test-faults`, which needs POSIX."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in files if path.parent.name != "faults" and path.name != "forked_stages.py"]


def posix_names(tree):
    """Return the names in code that only POSIX has, outside of tests that are marked ``posix``."""
    if any(isinstance(node, ast.Assign) and "pytest.mark.posix" in ast.unparse(node) for node in tree.body):
        return set()  # all tests of the file are
    marked = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one).startswith("pytest.mark.posix") for one in node.decorator_list)
        for inner in ast.walk(node)
    ]
    found = set()
    for node in ast.walk(tree):
        if node in marked:
            continue
        match node:
            case ast.Attribute(attr=name) | ast.keyword(arg=name) if name in POSIX_NAMES:
                found.add(name)
            case ast.Import(names=names):
                found |= {one.name for one in names} & {*windows_rules.POSIX_MODULES}
            case ast.ImportFrom(module=module) if module in windows_rules.POSIX_MODULES:
                found.add(module)
            case ast.Call(func=ast.Attribute(attr="get_context"), args=[ast.Constant(value="fork")]):
                found.add("fork")
    return found


def test_code_uses_nothing_that_only_posix_has():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in code_files("triptych", "stages", "tests")}
    assert {path.name: posix_names(tree) for path, tree in trees.items() if posix_names(tree)} == {}


@pytest.mark.parametrize(
    "code", ["import resource", "from fcntl import flock", "os.killpg(1, 2)", "Popen(start_new_session=True)"]
)
def test_the_search_for_names_of_posix_finds_them(code):
    assert posix_names(ast.parse(code))
    assert not posix_names(ast.parse(f"@pytest.mark.posix\ndef test_it():\n    {code}"))
    assert not posix_names(ast.parse(f"pytestmark = [pytest.mark.slow, pytest.mark.posix]\n{code}"))


def test_modules_of_posix_are_hidden_from_our_code():
    with pytest.raises(ModuleNotFoundError, match="on Windows"):
        exec("import resource", {"__file__": str(ROOT / "triptych/errors.py")})


@pytest.mark.parametrize(
    "change", ["rename the file", "rename its folder", "replace it", "delete it", "delete its folder"]
)
@pytest.mark.parametrize("opened", ["mapped", "open"])
def test_a_file_in_use_cannot_be_moved_or_deleted(tmp_path, change, opened):
    import shutil

    path = tmp_path / "folder/vectors.npy"
    path.parent.mkdir()
    np.save(path, np.arange(1000))
    other = tmp_path / "other"
    other.touch()
    changes = {
        "rename the file": lambda: path.rename(tmp_path / "new"),
        "rename its folder": lambda: path.parent.rename(tmp_path / "new"),
        "replace it": lambda: other.replace(path),
        "delete it": lambda: path.unlink(),
        "delete its folder": lambda: shutil.rmtree(path.parent),
    }
    used = np.load(path, mmap_mode="r") if opened == "mapped" else path.open("rb")
    with pytest.raises(PermissionError, match=r"vectors\.npy is open or mapped"):
        changes[change]()
    if opened == "open":
        used.close()
    del used
    changes[change]()


def test_texts_are_tokenized_alike_in_processes_that_are_spawned(tiny_model, params_with, monkeypatch):
    texts = [f"Compute the inverse of matrix {number}." for number in range(8)]
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    alone = tokenize(tokenizer, texts, params_with().tokenize)
    spawn = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing.context._default_context, "_actual_context", spawn)
    assert multiprocessing.get_start_method() == "spawn"
    spawned = params_with(**{"tokenize.num_proc": 2, "tokenize.batch_size": 2}).tokenize
    assert [row.tolist() for row in tokenize(tokenizer, texts, spawned)] == [row.tolist() for row in alone]


def test_every_target_of_the_makefile_has_its_commands_in_the_guide():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `make ([a-z-]+)` \| (.+) \|$", guide, re.MULTILINE))
    assert set(rows) == {*targets} - {"help"}
    assert not [target for target, commands in rows.items() if re.search(r"make |bash|/bin/|\.sh", commands)]


def test_hooks_and_stages_name_no_folder_that_windows_calls_otherwise():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    commands = [one["entry"] for one in hooks] + [one.get("cmd") or one["do"]["cmd"] for one in stages.values()]
    assert len(commands) > 10
    assert not [command for command in commands if re.search(r"bin/|[;&|<>\\'$](?!\{)", command)]
