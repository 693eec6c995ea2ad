"""The verdicts of a run: written and read back, and decided from the metrics that Git has."""

import json
from pathlib import Path

import pytest
from verdicts import make_verdicts

from triptych.artifacts import read_json
from triptych.errors import ArtifactError
from triptych.evaluation.chosen_on_dev import ChosenOnDev
from triptych.evaluation.comparison import read_intervals
from triptych.evaluation.decisions import decide
from triptych.evaluation.verdict import Verdicts
from triptych.params.load import load_params

ROOT = Path(__file__).parents[2]
METRICS = ROOT / "metrics"


def test_a_stored_verdict_is_read_and_written_byte_for_byte(tmp_path):
    Verdicts.read(METRICS / "verdict.json").write(tmp_path / "verdict.json")
    assert (tmp_path / "verdict.json").read_bytes() == (METRICS / "verdict.json").read_bytes()


def test_the_stored_verdict_follows_from_the_stored_metrics(tmp_path):
    params, evaluation = load_params(ROOT / "params.yaml"), read_json(METRICS / "evaluate.json")
    decide(
        read_intervals(METRICS / "evaluate/intervals.csv"),
        read_intervals(METRICS / "evaluate/added.csv"),
        ChosenOnDev.from_record(evaluation["chosen_on_dev"]),
        params.promote,
        params.evaluate.confidence,
        taught=evaluation["taught"],
    ).write(tmp_path / "verdict.json")
    assert (tmp_path / "verdict.json").read_bytes() == (METRICS / "verdict.json").read_bytes()


def test_a_verdict_on_taught_kinds_is_marked_in_every_sentence():
    marked = make_verdicts(taught=["crossref"], basis="taught")
    said = "measured on the kind of question it was taught with"
    assert marked.caveat == said
    assert marked.sentence.endswith(f", {said}")
    assert marked.headline.endswith(f", {said}.")
    plain = make_verdicts(taught=["crossref"], basis="untaught")
    assert not [one for one in (plain.caveat, plain.sentence, plain.headline) if said in one]


@pytest.mark.parametrize("tuned", [True, False])
@pytest.mark.parametrize("questions", [True, False])
def test_verdicts_come_back_as_they_were_written(tmp_path, tuned, questions):
    verdicts = make_verdicts(
        tuned, late=(50, 0.3), reranked=(20, 0.5), questions=questions, taught=["pseudo", "user"], basis="taught"
    )
    verdicts.write(tmp_path / "verdict.json")
    assert Verdicts.read(tmp_path / "verdict.json") == verdicts


def test_older_verdict_files_load_by_the_key_way(tmp_path):
    path = tmp_path / "verdict.json"
    make_verdicts(late=(50, 0.3)).write(path)
    assert json.loads(path.read_text(encoding="utf-8"))["late_interaction"]["way"] == {"depth": 50, "weight": 0.3}


def test_a_verdict_of_an_older_version_says_so(tmp_path):
    path = tmp_path / "verdict.json"
    path.write_text('{"hybrid": {"used": false}, "late_interaction": {}}', encoding="utf-8")
    with pytest.raises(ArtifactError, match="was written by an older version"):
        Verdicts.read(path)


@pytest.mark.parametrize(
    ("parts", "system"),
    [
        ({}, "tuned_hybrid"),
        ({"tuned": False}, "base_hybrid"),
        ({"tuned": False, "late": True}, "base_late"),
        ({"late": True, "reranked": True}, "reranked"),
    ],
)
def test_the_deployed_system_is_the_last_that_is_used(parts, system):
    assert make_verdicts(**parts).deployed == system
