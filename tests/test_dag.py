"""The real DAG on a small slice of real documentation, with a tiny model: repro, edits, sharing, byte stability."""

import filecmp
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from sentence_transformers import SentenceTransformer

from triptych.artifacts import dvc_hash

pytestmark = pytest.mark.dag
ROOT = Path(__file__).parents[1]
SLICE = {
    "ingest.sources": [
        {"path": "numpy.fft", "format": "package", "category": "fft"},
        {"path": "numpy.ma", "format": "package", "category": "ma"},
    ],
    "split.min_queries": 2,
    "model.base": "./data/raw/tiny",
    "tokenize.max_length": "auto",
    "tokenize.max_windows": 1,
    "rounds.train.round0.steps": 3,
    "rounds.train.round1.steps": 3,
    "train.batch_size": 8,
    "train.precision": "fp32",
    "train_reranker.steps": 2,
    "train_reranker.batch_size": 4,
    "train_reranker.max_length": 48,
    "evaluate.bootstrap_samples": 200,
}


def _environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "DVC_NO_ANALYTICS": "1", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"} | more


def run(folder: Path, *command: str, **more: str) -> str:
    done = subprocess.run(
        command, cwd=folder, env=_environment(**more), capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def set_params(folder: Path, **changes: object) -> None:
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split("__")
        section = params
        for name in sections:
            section = section[name]
        section[last] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def seed_project(tmp_path_factory, tiny_model) -> Path:
    """A fresh checkout with the slice's params, committed; nothing has run."""
    return make_project(tmp_path_factory.mktemp("dag") / "project", tiny_model)


def make_project(project: Path, model: Path, **changes: object) -> Path:
    """Copy and commit this checkout with the slice's params, and others changed, dots written as ``__``."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in tracked:
        if (ROOT / name).is_file() and not name.startswith(("metrics/", "dvc.lock")):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, project / name)
    shutil.copytree(model, project / "data" / "raw" / "tiny")
    set_params(project, **({key.replace(".", "__"): value for key, value in SLICE.items()} | changes))
    for command in (["init", "-q"], ["config", "user.email", "a@b.c"], ["config", "user.name", "a"], ["add", "-A"]):
        run(project, "git", *command)
    run(project, "git", "commit", "-qm", "Start")
    return project


@pytest.fixture(scope="module")
def project(seed_project) -> Path:
    """The project after `dvc repro`."""
    done = seed_project.with_name("done")
    run(seed_project.parent, "git", "clone", "-q", str(seed_project), str(done))
    output = run(done, "dvc", "repro")
    (done.parent / "first.log").write_text(output, encoding="utf-8")
    return done


def test_the_whole_dag_ends_with_a_verdict_and_a_model_that_loads_plainly(project):
    verdict = json.loads((project / "metrics" / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["published"] == ("tuned" if verdict["promoted"] else "base")
    vectors = SentenceTransformer(str(project / "models" / "embedder")).encode(["inverse transform", "masked array"])
    assert vectors.shape == (2, 32)
    evaluation = json.loads((project / "metrics" / "evaluate.json").read_text(encoding="utf-8"))
    measures, chosen = evaluation["measures"], evaluation["chosen_on_dev"]
    assert set(measures) == {"all", "fft", "ma"}
    ordered_anew = {name for name in ("base_late", "tuned_late", "reranked") if chosen[name]["weight"]}
    # The questions that come with the project are about this slice too.
    assert chosen["questions"]
    without = {"base_unasked", "base_hybrid_unasked", "tuned_unasked"}
    alone = {"tuned_queries", "tuned_queries_hybrid"} if chosen["strength"] else set()
    plain = {"bm25", "base", "base_hybrid", "tuned", "tuned_hybrid"}
    assert set(measures["all"]) == plain | without | alone | ordered_anew
    metadata = json.loads((project / "data" / "tokens" / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["max_length"] % 8 == 0
    assert {
        "avg_anchor_length",
        "p90_anchor_length",
        "p95_anchor_length",
        "avg_length",
        "p90_length",
        "p95_length",
        "tokenizer",
        "padding",
        "num_proc",
        "batch_size",
        "share_truncated",
        "num_examples",
    } <= set(metadata)


def test_the_table_shows_every_system_and_the_folder_of_the_model(project):
    shown = run(project, sys.executable, "-m", "triptych.cli", "results")
    for expected in ("BM25", "base + BM25", "tuned + BM25", "fft", "ma", "Verdict", "models/embedder"):
        assert expected in shown


@pytest.mark.parametrize("profile", ["embedder", "reranker"])
def test_every_category_keeps_the_promised_mix_of_tiers(project, profile):
    made = json.loads((project / "metrics" / "triplets.json").read_text(encoding="utf-8"))[profile]
    assert made["mix"].keys() == {"fft", "ma"}
    for category, shares in made["mix"].items():
        rows = made["triplets_by_category"][category]
        assert shares == pytest.approx(made["mix_wanted"], abs=max(0.01, 1 / rows))


def test_a_second_repro_runs_nothing(project):
    assert ran(run(project, "dvc", "repro")) == []
    assert "up to date" in run(project, "dvc", "status")


def test_hashes_are_those_of_dvc(project):
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    known = {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"]}
    for path in ("data/corpus", "data/runs", "models/embedder", "metrics/verdict.json"):
        assert dvc_hash(project / path) == known[path]
    assert known["data/corpus"] in (project / "models/embedder/README.md").read_text(encoding="utf-8")
    assert known["models/embedder"] in (project / "metrics/report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value", "stages"),
    [
        pytest.param("promote__category_tolerance", 0.5, ["promote", "index", "report"], marks=pytest.mark.slow),
        pytest.param("evaluate__seed", 99, ["evaluate", "promote", "index", "report"], marks=pytest.mark.slow),
        pytest.param(
            "mine__depth",
            20,
            [
                "mine@round1",
                "train@round1",
                "mine@reranker",
                "train_reranker",
                "evaluate",
                "promote",
                "index",
                "report",
            ],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "train_reranker__steps",
            0,
            ["train_reranker", "evaluate", "promote", "index", "report"],
            marks=pytest.mark.slow,
        ),
        ("report__snippet_chars", 99, ["report"]),
    ],
)
def test_an_edit_reruns_what_depends_on_it_and_nothing_more(project, key, value, stages):
    before = (project / "params.yaml").read_text(encoding="utf-8")
    set_params(project, **{key: value})
    found = ran(run(project, "dvc", "repro"))
    assert found[0] == stages[0]
    assert found == [one for one in stages if one in found]  # a stage with unchanged output spares those after it
    assert found[-1] == "report"  # it shows all params
    (project / "params.yaml").write_text(before, encoding="utf-8")
    assert ran(run(project, "dvc", "repro")) == []  # earlier outputs come from the run cache


def test_a_round_is_added_by_two_lines_and_older_ones_are_unchanged(project):
    before = (project / "params.yaml").read_text(encoding="utf-8")
    set_params(
        project,
        rounds__train__round2={"previous": "round1", "steps": 3, "learning_rate": 1.0e-3},
        rounds__mine__round2={"previous": "round1", "examples": "round1"},
    )
    assert ran(run(project, "dvc", "repro")) == ["mine@round2", "train@round2", "report"]
    figures = json.loads((project / "metrics" / "mine" / "round2.json").read_text(encoding="utf-8"))
    kept = json.loads((project / "metrics" / "train" / "round2.json").read_text(encoding="utf-8"))
    assert figures["ends"] == (kept["rows"] == 0)
    assert ran(run(project, "dvc", "repro")) == []
    (project / "params.yaml").write_text(before, encoding="utf-8")
    for made in ("data/triplets/round2", "models/round2", "metrics/train/round2"):
        shutil.rmtree(project / made)
    for made in ("metrics/train/round2.json", "metrics/train/round2.csv", "metrics/mine/round2.json"):
        (project / made).unlink()
    assert ran(run(project, "dvc", "repro")) == []


def test_metrics_diff_names_category_system_and_measure(project):
    run(project, "git", "add", "-A")
    run(project, "git", "commit", "-qm", "Run")
    path = project / "metrics" / "evaluate.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    found["measures"]["fft"]["tuned"]["mrr@10"] += 0.125
    before = path.read_text(encoding="utf-8")
    try:
        path.write_text(json.dumps(found), encoding="utf-8")
        assert "measures.fft.tuned.mrr@10" in run(project, "dvc", "metrics", "diff")
    finally:
        path.write_text(before, encoding="utf-8")


def test_tokens_of_one_machine_are_used_for_training_by_another(seed_project, tmp_path):
    remote, origin = tmp_path / "remote", tmp_path / "origin.git"
    run(tmp_path, "git", "clone", "-q", "--bare", str(seed_project), str(origin))
    one, two = tmp_path / "one", tmp_path / "two"
    run(tmp_path, "git", "clone", "-q", str(origin), str(one))
    run(one, "git", "config", "user.email", "a@b.c")
    run(one, "git", "config", "user.name", "a")
    run(one, "dvc", "remote", "add", "--default", "shared", str(remote))
    run(one, "dvc", "repro", "tokenize")
    run(one, "dvc", "push", "--with-deps", "tokenize")
    run(one, "git", "add", "-A")
    run(one, "git", "commit", "-qm", "Tokenize")
    run(one, "git", "push", "-q")

    run(tmp_path, "git", "clone", "-q", str(origin), str(two))
    output = run(two, "dvc", "repro", "--pull", "--allow-missing", "train@round0")
    assert ran(output) == ["train@round0"]
    assert filecmp.cmp(
        *(folder / "data/tokens/texts/data-00000-of-00001.arrow" for folder in (one, two)), shallow=False
    )
    assert (two / "models" / "round0" / "adapter_model.safetensors").exists()


def test_data_stages_are_byte_stable_under_other_hash_seeds_and_thread_counts(project, tmp_path):
    same = [path for path in _produced(project) if path.parts[0] == "data"]
    assert same
    for stage in ("ingest", "split", "triplets", "tokenize", "mine@round1", "mine@reranker", "index"):
        command = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"][stage]["cmd"]
        again = command.replace(" data/vectors", f" {tmp_path.as_posix()}/vectors")  # nothing cached
        for out in yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"][stage]["outs"]:
            again = again.replace(f" {out['path']}", f" {tmp_path.as_posix()}/{out['path']}")
        run(project, sys.executable, *again.split()[1:], PYTHONHASHSEED="7", OMP_NUM_THREADS="1")
    for path in same:
        assert filecmp.cmp(project / path, tmp_path / path, shallow=False), path


def _produced(project: Path) -> list[Path]:
    folders = ("data/chunks", "data/corpus", "data/triplets", "data/tokens", "data/index")
    return [path.relative_to(project) for folder in folders for path in (project / folder).rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.posix
def test_repro_after_a_power_cut_in_training_continues_from_the_last_checkpoint(seed_project, tmp_path):
    outcomes = []
    for name in ("whole", "killed"):
        folder = tmp_path / name
        run(tmp_path, "git", "clone", "-q", str(seed_project), str(folder))
        set_params(folder, rounds__train__round0__steps=60, train__checkpoint_every=10, train__dropout=True)
        run(folder, "dvc", "repro", "tokenize")
        if name == "killed":
            command = ["dvc", "repro", "train@round0"]
            cut = subprocess.Popen(command, cwd=folder, env=_environment(), start_new_session=True)
            deadline = time.monotonic() + 120
            while not list(folder.glob(".checkpoints/round0/*/checkpoint-*")) and time.monotonic() < deadline:
                time.sleep(0.01)
            os.killpg(cut.pid, signal.SIGKILL)  # dvc and its stage, at once
            cut.wait()
            assert not (folder / "models" / "round0").exists()
        said = run(folder, "dvc", "repro", "train@round0")
        assert ("continuing from .checkpoints/round0" in said) == (name == "killed")
        assert not (folder / ".checkpoints" / "round0").exists()
        assert not run(folder, "git", "status", "--short", ".checkpoints")
        weights = (folder / "models" / "round0" / "adapter_model.safetensors").read_bytes()
        outcomes.append((weights, (folder / "metrics" / "train" / "round0.json").read_bytes()))
    assert outcomes[0] == outcomes[1]
