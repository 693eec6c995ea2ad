"""Imported triplets in the stage: their share, their negatives, and what is refused."""

import json
import shutil

import pandas as pd
import pytest
from corpora import rows_of
from hand_made import OUTS, PATHS, check_mix, shares, two_categories

from stages import triplets
from triptych.triplets.examples import read_examples
from triptych.triplets.exchange.import_export import export


def imported_rows(number=8):
    ids = [one.chunk_id for one in two_categories()]
    return pd.DataFrame(
        {"anchor": f"what does number {n} do", "positive": "P", "negative": "N", "difficulty": ("easy", "hard")[n % 2],
         "category": "lists", "positive_id": ids[n], "negative_id": ids[n + 9]} for n in range(number)
    )  # fmt: skip


def test_imported_triplets_get_their_share_and_bring_their_negatives(staged, tmp_path):
    table = pd.concat([imported_rows(), imported_rows(1).assign(negative_id="gone")])
    table.to_csv(tmp_path / "mine.csv", index=False)
    metrics, lines = staged(two_categories(), imported="mine.csv", views=shares(lead=0.75, imported=0.25))
    assert metrics["imported"] == {"kept": 8, "unknown_negative": 1}
    check_mix(metrics)
    for profile in ("embedder", "reranker"):
        made = metrics[profile]
        assert made["triplets"] == made["examples"] == 38
        assert made["triplets_by_view"] == {"imported": 10, "lead": 28}
        assert made["strategies"]["imported"] == 8
        found = rows_of(read_examples(tmp_path / OUTS[profile] / "examples.parquet"))
        own = [one.negatives[0] for one in found if one.view == "imported"]
        assert [(one.chunk, one.tier, one.strategy) for one in own] == [
            (n + 9, ("easy", "hard")[n % 2], "imported") for n in range(8)
        ]
    assert "imported 8" in lines[-1]


def test_missing_imported_file_stops_the_stage(staging_fails):
    said = staging_fails(two_categories(), imported="nowhere.csv", views=shares(lead=0.75, imported=0.25))
    assert "triplets.imported: nowhere.csv does not exist" in said


def test_imported_row_with_an_unknown_tier_stops_the_stage_with_file_row_and_value(staging_fails, tmp_path):
    imported_rows().assign(difficulty="severe").to_csv(tmp_path / "mine.csv", index=False)
    said = staging_fails(two_categories(), imported="mine.csv", views=shares(lead=0.75, imported=0.25))
    assert "mine.csv, row 2: difficulty is 'severe'; expected one of easy, medium, hard" in said


def test_imported_triplets_alone_are_enough(staged, tmp_path):
    imported_rows().to_csv(tmp_path / "mine.csv", index=False)
    metrics, _ = staged(two_categories(), imported="mine.csv", views=shares(imported=1.0))
    assert metrics["embedder"]["examples_by_view"] == {"imported": 8}


@pytest.mark.parametrize("name", ["mine.csv", "mine.parquet", "mine"])
def test_triplets_of_real_documentation_come_back_as_a_view_of_their_share(
    prepared, tmp_path, monkeypatch, write_params, name
):
    for folder in ("data/corpus", "data/questions"):
        shutil.copytree(prepared / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    rows = export(prepared / "data/triplets/embedder", tmp_path / name)
    before = pd.read_parquet(prepared / "data/triplets/embedder/triplets.parquet")
    changes = {"triplets.imported": name, "triplets.views": shares(crossref=0.3, lead=0.3, imported=0.4)}
    write_params(tmp_path, **changes)
    triplets.main(PATHS)
    metrics = json.loads((tmp_path / "metrics/triplets.json").read_text(encoding="utf-8"))
    assert metrics["imported"] == {"kept": rows}
    made = metrics["embedder"]
    wanted = made["triplets"] + sum(why["missing"] for why in made["shortfall"].values())
    assert made["triplets_by_view"]["imported"] / wanted == pytest.approx(0.4, abs=0.01)
    check_mix(metrics)
    examples = rows_of(read_examples(tmp_path / "data/triplets/embedder/examples.parquet"))
    own = [one for row in examples for one in row.negatives if one.strategy == "imported"]
    assert len(own) == len(before[["anchor", "positive", "negative"]].drop_duplicates())
