"""The benchmark of re-mining runs on a tiny model."""

import json
import shutil
import sys

import pytest
import yaml

from benchmarks import rounds


@pytest.mark.dag
@pytest.mark.parametrize("views", [{"crossref": 1.0}, {"lead": 1.0}], ids=["judged", "not judged"])
def test_a_quick_run_evaluates_every_way_to_mine(prepared, tmp_path, monkeypatch, capsys, views):
    raw = yaml.safe_load((prepared / "params.yaml").read_text(encoding="utf-8"))
    raw["triplets"]["views"] = dict.fromkeys(raw["triplets"]["views"], 0.0) | views
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    for name in ("data/corpus", "data/questions", "tiny"):
        shutil.copytree(prepared / name, tmp_path / name)
    monkeypatch.setattr(sys, "argv", ["rounds", "--project", str(tmp_path), "--quick"])
    rounds.main()
    *_, line = capsys.readouterr().out.splitlines()
    names = [row["name"] for row in json.loads(line)["rows"]]
    assert names == ["round 0", "no mining", "filtered", "raw", "filtered + guide", "within the round, twice the steps"]
