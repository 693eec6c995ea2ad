"""Inputs of a stage under DVC: damaged ones end it, and what changes while it runs is not recorded."""

import errno

import pytest
import yaml

from stages import command
from triptych.artifacts import dvc_hash
from triptych.errors import UserError, disk_message
from triptych.pipeline import stage_entry
from triptych.stage_inputs import unchanged_inputs


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a stage that writes a folder, and one per round that reads it, a journal and two params."""
    stages = {
        "make": {"cmd": "make", "outs": ["data/made"]},
        "train": {
            "foreach": "${rounds}",
            "do": {
                "cmd": "train",
                "deps": ["data/made", "data/raw", "data/journals", "${item.previous}"],
                "params": ["rounds.${key}", "model"],
                "outs": ["models/${key}"],
            },
        },
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    params = {"rounds": {"one": {"previous": "models/base"}}, "model": {"base": "a"}, "report": {"chars": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for name in ("data/made/a.txt", "data/made/b.txt", "data/raw/page.md", "data/journals/j.jsonl", "models/base"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    out = {"path": "data/made", "md5": dvc_hash(tmp_path / "data/made")}
    lock = {"schema": "2.0", "stages": {"make": {"cmd": "make", "outs": [out]}}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_entry_has_values_in_place_of_references(project):
    entry = stage_entry("train@one")
    assert entry["deps"][-1] == "models/base"
    assert entry["params"] == ["rounds.one", "model"]
    assert stage_entry("unknown") == {}


def test_inputs_as_recorded_that_stay_so(project):
    with unchanged_inputs("train@one"):
        (project / "models/one").write_text("an output", encoding="utf-8")


def test_a_damaged_input_is_named_with_what_to_delete(project):
    (project / "data/made/b.txt").write_text("data/made/B.txt", encoding="utf-8")
    with (
        pytest.raises(
            UserError, match=r"data/made is damaged, .* stage make wrote: .*`dvc commit make`.* delete data/made"
        ),
        unchanged_inputs("train@one"),
    ):
        pytest.fail("the stage may not run")


def edit_param(project, section):
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params[section] = {"base": "b"} if section == "model" else {"chars": 2}
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.mark.parametrize("name", ["data/raw/page.md", "data/raw/new.md", "data/journals/j.jsonl", "models/base"])
def test_a_file_that_changes_meanwhile_is_named(project, name):
    with pytest.raises(UserError, match=f"{name} changed while stage train@one ran"), unchanged_inputs("train@one"):
        (project / name).write_text("another text", encoding="utf-8")


def test_a_param_of_the_stage_that_changes_meanwhile_is_named(project):
    with pytest.raises(UserError, match=r"params\.yaml: model changed"), unchanged_inputs("train@one"):
        edit_param(project, "model")


def test_a_param_of_another_stage_and_what_the_stage_appends_to_may_change(project):
    with unchanged_inputs("train@one", ["data/journals"]):
        edit_param(project, "report")
        with (project / "data/journals/j.jsonl").open("a", encoding="utf-8") as journal:
            journal.write("a line")


def test_a_stage_checks_its_inputs_under_dvc_only(project, monkeypatch, capsys):
    (project / "data/made/b.txt").write_text("data/made/B.txt", encoding="utf-8")
    command.run(lambda: None)
    monkeypatch.setenv("DVC_STAGE", "train@one")
    with pytest.raises(SystemExit):
        command.run(lambda: None)
    assert capsys.readouterr().err.startswith("error: data/made is damaged")


def test_ctrl_c_is_one_line(capsys):
    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        command.run(stopped)
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip().startswith("stopped by Ctrl-C")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), "a/b: the disk is full"),
        (RuntimeError("PytorchStreamWriter failed writing file data/3"), "the disk is full"),
        (OSError("4096 requested and 0 written"), "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), "a/b: may not be read or written"),
        (OSError(errno.EIO, "Input/output error", "a/b"), "a/b: the disk cannot read or write it"),
    ],
)
def test_a_disk_that_fails_is_one_message(error, words, capsys):
    def failing():
        raise error

    with pytest.raises(SystemExit):
        command.run(failing)
    assert words in capsys.readouterr().err


def test_other_errors_keep_their_traceback():
    assert disk_message(ValueError("bad")) is None
    with pytest.raises(ValueError, match="bad"):
        command.run(lambda: int("bad"))
