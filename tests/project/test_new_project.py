"""`triptych new`: a project of one's own that DVC accepts, with the repository's pipeline and params."""

import filecmp
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from stages.code_deps import project_pipeline
from triptych.cli import app
from triptych.params.load import load_params
from triptych.project import code_digests

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "triptych/project/templates"


def write_docs(folder):
    """Write pages that link to each other."""
    folder.mkdir()
    for number in range(12):
        text = f"# Page {number}\n\nPage {number} is about subject {number}.\n\n"
        link = f"How to set up [the machine of kind {number}](page{(number + 1) % 12}.md) is on its own page.\n\n"
        part = f"## Part\n\nThe part of page {number} has more words.\n"
        (folder / f"page{number}.md").write_text(text + link + part, encoding="utf-8")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["new", *map(str, arguments)])


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new")
    done = run(folder / "mine", "--source", write_docs(folder / "handbook"), "--model", "some/model")
    assert done.exit_code == 0, done.output
    return folder / "mine"


@pytest.fixture
def project(laid_out, monkeypatch):
    monkeypatch.chdir(laid_out)
    return laid_out


def test_templates_are_those_of_the_repository():
    pipeline = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert (TEMPLATES / "pipeline.yaml").read_text(encoding="utf-8") == project_pipeline(pipeline), "run `make deps`"
    assert filecmp.cmp(ROOT / "params.yaml", TEMPLATES / "params.yaml", shallow=False), "run `make deps`"
    names = sorted(path.name for path in (ROOT / ".dvc/plots").iterdir())
    assert sorted(path.name for path in (TEMPLATES / "plots").iterdir()) == names
    for name in names:
        assert filecmp.cmp(ROOT / ".dvc/plots" / name, TEMPLATES / "plots" / name, shallow=False), "run `make deps`"


def test_params_are_the_defaults_with_other_sources_and_no_questions(project):
    params, ours = load_params(), load_params(ROOT / "params.yaml")
    (source,) = params.ingest.sources
    assert (source.path, source.format) == ("data/raw/handbook", "markdown")
    assert (params.model.base, params.split.queries, params.ask.journal) == ("some/model", None, None)
    changed = {"ingest", "split", "ask", "model"}
    assert params.model_dump(exclude=changed) == ours.model_dump(exclude=changed)
    assert (project / "data/raw/handbook/page3.md").exists()
    assert (project / "requirements.txt").read_text(encoding="utf-8") == f"triptych[pipeline]=={version('triptych')}\n"
    for name, template in ((".gitignore", "gitignore"), (".dvcignore", "dvcignore")):
        assert filecmp.cmp(project / name, TEMPLATES / template, shallow=False)
    assert not filecmp.dircmp(project / ".dvc/plots", TEMPLATES / "plots").left_only
    assert not filecmp.dircmp(project / ".dvc/plots", TEMPLATES / "plots").right_only
    shown = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    assert shown.keys() == yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")).keys()


def test_git_changes_no_line_ends(project, tmp_path):
    """As Git for Windows is set up: ``core.autocrlf``. The hashes in ``dvc.lock`` are of files as they are."""
    (project / "data/raw/handbook/dos.md").write_bytes(b"# Written\r\n\r\non Windows\r\n")
    git = ["git", "-c", "core.autocrlf=true", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "add", "-A"], cwd=project, check=True, capture_output=True)
    subprocess.run([*git, "commit", "-qm", "Begin"], cwd=project, check=True, capture_output=True)
    subprocess.run([*git, "clone", "-q", str(project), str(tmp_path / "clone")], check=True)
    for path in ("data/raw/handbook/dos.md", "data/raw/handbook/page3.md", "params.yaml", "dvc.yaml"):
        assert (tmp_path / "clone" / path).read_bytes() == (project / path).read_bytes()


def test_dvc_accepts_the_pipeline_and_no_stage_depends_on_a_file_of_the_program(project):
    from dvc.repo import Repo

    stages = {stage.name: stage for stage in Repo(str(project)).index.stages if stage.cmd}
    theirs = {stage.name for stage in Repo(str(ROOT)).index.stages if stage.cmd}
    assert stages.keys() == theirs | {"code"}
    outs = {str(out.def_path) for stage in stages.values() for out in stage.outs}
    for name, stage in stages.items():
        deps = {str(dep.def_path) for dep in stage.deps if not hasattr(dep, "params")}
        assert not [one for one in deps if one.endswith(".py") or one.startswith(("triptych", "stages", "examples"))]
        made = [
            one for one in deps if any(f"{one}/".startswith(f"{out}/") or out.startswith(f"{one}/") for out in outs)
        ]
        assert all((project / one).exists() for one in deps - set(made)), name
        if name != "code":
            assert f"data/code/{name.split('@')[0]}.txt" in deps
            assert stage.cmd.startswith("python -m triptych.stages.")


def test_a_digest_changes_for_the_stages_that_import_what_changed(project, tmp_path, monkeypatch):
    for name in ("triptych", "stages"):
        shutil.copytree(ROOT / name, tmp_path / "code" / name, ignore=shutil.ignore_patterns("__pycache__"))
    packages = {"triptych": tmp_path / "code/triptych", code_digests.STAGES: tmp_path / "code/stages"}
    monkeypatch.setattr(code_digests, "_packages", lambda: packages)

    def digests():
        code_digests.main(["--code", "data/code"])
        return {path.stem: path.read_text(encoding="utf-8") for path in Path("data/code").iterdir()}

    before = digests()
    assert f"numpy {version('numpy')}\n" in (project / "data/code/libraries.txt").read_text(encoding="utf-8")
    names = {name.split("@")[0] for name in yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]}
    assert before.keys() == names - {"code"} | {"libraries"}
    assert digests() == before
    for edited, changed in {
        "triptych/report/charts.py": {"report"},
        "stages/index.py": {"index"},
        "triptych/training/losses.py": {"train", "train_reranker"},
        "triptych/report/vendor/extra.js": {"report", "promote"},
        "triptych/publishing/publish.py": set(),
        "stages/command.py": names - {"code"},
    }.items():
        path = tmp_path / "code" / edited
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        path.write_text(text + "# edited\n", encoding="utf-8")
        after = digests()
        assert {name for name in after if after[name] != before[name]} == changed, edited
        before = after
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # as Git may check it out on Windows
    assert digests() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["full", "--source", "handbook"], "full is not empty; name a new folder"),
        (["mine", "--source", "nowhere"], "--source: nowhere does not exist"),
        (
            ["mine", "--source", "handbook", "--source", "other/handbook"],
            "--source: two are named handbook; rename one",
        ),
        (["mine", "--source", "full"], "data/raw/full contains no page"),
    ],
)
def test_what_cannot_be_laid_out_is_one_message_and_leaves_nothing(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a.png").write_bytes(b"")
    (tmp_path / "other").mkdir()
    write_docs(tmp_path / "handbook")
    write_docs(tmp_path / "other/handbook")
    done = run(*arguments)
    assert done.exit_code == 1
    assert f"error: {message}" in done.stderr
    assert not (tmp_path / "mine").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["a.png"]


def test_a_folder_that_was_there_stays_and_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a.png").write_bytes(b"")
    assert run("mine", "--source", "full").exit_code == 1
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("git", ["around", "none"])
def test_a_project_is_one_of_dvc_inside_a_git_repository_and_without_git(tmp_path, monkeypatch, git):
    from dvc.repo import Repo

    write_docs(tmp_path / "handbook")
    if git == "around":
        subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    else:
        which = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name, *more: None if name == "git" else which(name, *more))
    monkeypatch.chdir(tmp_path)
    done = run("mine", "--source", "handbook")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "mine/.git").exists()
    assert Repo(str(tmp_path / "mine")).index.stages


def test_without_dvc_it_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr("triptych.project.new_project.find_spec", lambda name: None)
    done = run(tmp_path / "mine", "--source", write_docs(tmp_path / "handbook"))
    assert done.exit_code == 1
    assert 'pip install "triptych[pipeline]"' in done.stderr
    assert not (tmp_path / "mine").exists()
