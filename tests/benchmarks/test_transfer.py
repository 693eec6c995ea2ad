"""The benchmark of kinds that are left out runs on a tiny model."""

import shutil

import pytest
import yaml

from benchmarks import transfer
from triptych.artifacts import read_json
from triptych.errors import UserError


@pytest.fixture
def project(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_each_kind_that_is_taught_is_left_out_once(project, capsys):
    transfer.main(["--project", str(project), "--quick"])
    record = read_json(project / "metrics/transfer.json")
    assert (record["split"], record["steps"], record["seeds"], record["metric"]) == ("dev", 2, 1, "mrr@10")
    assert [row["left_out"] for row in record["rows"]] == ["", "crossref", "pseudo"]
    assert [row["by_kind"]["crossref"]["taught"] for row in record["rows"]] == [True, False, True]
    for row in record["rows"]:
        one = row["by_kind"]["crossref"]
        assert one["low"] <= one["difference"] <= one["high"]
        assert one["value"] - one["base"] == pytest.approx(one["difference"], abs=2e-6)
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if line.startswith("| left out | crossref (")]
    assert len(heads) == 1
    (row,) = [line for line in lines if line.startswith("| crossref | ")]
    assert row.endswith(", not taught |")


def test_a_single_kind_leaves_nothing_to_leave_out(project):
    path = project / "params.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    raw["triplets"]["views"] = dict.fromkeys(raw["triplets"]["views"], 0.0) | {"lead": 1.0}
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(UserError, match="training learns pseudo: there is nothing to leave out"):
        transfer.main(["--project", str(project), "--quick"])
    assert not (project / "metrics/transfer.json").exists()
