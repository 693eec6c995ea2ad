"""A project beside the installed wheel: laid out, run by DVC end to end, and run again in part after an upgrade."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SMALL = {
    "split.min_queries": 2,
    "tokenize.max_length": "auto",
    "tokenize.max_windows": 1,
    "rounds.train.round0.steps": 2,
    "rounds.train.round1.steps": 2,
    "train.batch_size": 8,
    "train.precision": "fp32",
}
pytestmark = pytest.mark.slow


def call(*command, cwd, **environment):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What a wheel is built from."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("triptych", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(source, version):
    """Build the wheel of a version."""
    path = source / "pyproject.toml"
    text = re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    shutil.rmtree(source / "build", ignore_errors=True)
    command = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", ".")
    call(*command, cwd=source)
    (wheel,) = (source / "wheels").glob(f"triptych-{version}-*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an empty environment that sees the libraries of this one, but not this program."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin/python"


def install(python, wheel):
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--force-reinstall", wheel)
    call(*pip, cwd=wheel.parent)


def test_a_wheel_lays_out_a_project_runs_it_and_an_upgrade_runs_again_what_it_changed(
    source, python, tiny_model, tmp_path
):
    wheel = build(source, "0.9.0")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"triptych", "triptych-0.9.0.dist-info"}
    assert {
        "triptych/stages/train.py",
        "triptych/project/templates/pipeline.yaml",
        "triptych/stages/command.py",
    } <= set(names)
    install(python, wheel)
    clean = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": "", "DVC_NO_ANALYTICS": "1"}
    clean |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    numpy = next(Path(one) for one in sys.path if (Path(one) / "numpy/fft").is_dir())
    assert numpy.is_dir()
    docs = tmp_path / "handbook"
    docs.mkdir()
    for number in range(40):
        following, words = (number + 1) % 40, f"subject{number} of kind{number % 7}"
        (docs / f"page{number}.md").write_text(
            f"# Page {number}\n\nPage {number} describes {words}, which the reader may need.\n\n"
            f"How to set up [the big machine {following} of the hall](page{following}.md) is on its own page.\n\n"
            f"## Part\n\nThe part of page {number} has other words about {words} and its use in a hall.\n",
            encoding="utf-8",
        )
    project = tmp_path / "mine"
    call(python.parent / "triptych", "new", project, "--source", docs, "--model", tiny_model, cwd=tmp_path, **clean)
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in SMALL.items():
        *sections, last = key.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[last] = value
    params["evaluate"]["bootstrap_samples"] = 200
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def repro():
        output = call(python, "-m", "dvc", "repro", cwd=project, **clean)
        return re.findall(r"Running stage '([^']+)'", output)

    assert {"code", "ingest", "train@round1", "index", "report"} <= set(repro())
    found = call(python.parent / "triptych", "search", "--json", "the big machine", cwd=project, **clean)
    assert "handbook" in found
    assert (project / "metrics/report.html").exists()
    where = call(python, "-c", "import triptych, triptych.stages as s; print(s.__file__)", cwd=project, **clean)
    assert str(python.parent.parent) in where
    assert repro() == ["code"]

    install(python, build(source, "0.9.1"))  # nothing but the version
    assert repro() == ["code"]
    charts = source / "triptych/report/charts.py"
    charts.write_text(charts.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
    install(python, build(source, "0.9.2"))
    assert repro() == ["code", "report"]
