"""A message about a missing file names the stage of ``dvc.yaml`` that writes it, and the library knows no stage."""

from pathlib import Path

import pytest

from triptych.errors import ArtifactError, UserError
from triptych.pipeline import stage_of, with_remedy

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("data/chunks/chunks.parquet", "ingest"),
        ("data/corpus/qrels/dev.tsv", "split"),
        ("data/triplets/reranker0", "triplets"),
        ("data/triplets/round0/examples.parquet", "tokenize"),
        ("data/triplets/round1/examples.parquet", "mine@round1"),
        ("models/round0/round.json", "train@round0"),
        ("metrics/train/round1/dev.csv", "train@round1"),
        ("metrics/evaluate/intervals.csv", "evaluate"),
        ("models/reranker-candidate", "train_reranker"),
        ("data/raw/mine.md", None),
        ("elsewhere/data/chunks", None),
    ],
)
def test_each_file_has_its_stage(path, stage):
    assert stage_of(ROOT / path, ROOT) == stage


def test_the_message_names_both_commands():
    error = ArtifactError(ROOT / "data/index", "is missing")
    found = with_remedy(error, ROOT)
    assert found == f"{ROOT / 'data/index'} is missing; `dvc repro index` makes it, `dvc pull index` fetches it"


def test_other_errors_and_other_folders_get_no_command(tmp_path):
    assert with_remedy(UserError("k must be 1 to 100"), ROOT) == "k must be 1 to 100"
    assert with_remedy(ArtifactError(Path("data/index"), "is missing"), tmp_path) == "data/index is missing"


def test_a_dvc_yaml_that_is_not_a_pipeline_keeps_the_message(tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages: [", encoding="utf-8")
    assert with_remedy(ArtifactError(Path("data/index"), "is missing"), tmp_path) == "data/index is missing"


def test_no_module_of_the_library_names_a_stage_command():
    named = {path for path in (ROOT / "triptych").rglob("*.py") if "`dvc repro " in path.read_text(encoding="utf-8")}
    folder = ROOT / "triptych"
    assert {path.relative_to(folder).as_posix() for path in named} <= {"pipeline.py", "cli/results.py"}
