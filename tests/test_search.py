"""``triptych search``: what a person and a program see."""

import json

import pytest
from typer.testing import CliRunner

from triptych.cli import app


@pytest.fixture
def search(indexed, monkeypatch):
    monkeypatch.chdir(indexed)

    def call(*arguments, asked=None):
        return CliRunner().invoke(app, ["search", *arguments], input=asked)

    return call


def test_a_hit_is_shown_with_title_headings_file_and_snippet(search):
    found = search("--k", "2", "mask an array where a condition is met")
    assert found.exit_code == 0, found.output
    (record,) = map(
        json.loads, search("--json", "--k", "2", "mask an array where a condition is met").stdout.splitlines()
    )
    for place, hit in enumerate(record["hits"], start=1):
        assert f"{place:>3}. {hit['title']}\n" in found.stdout
        assert f"{' > '.join(hit['header_path'])}  ({hit['category']}, {hit['filename']})" in found.stdout
        assert hit["snippet"]["text"] in found.stdout
    assert "hybrid" not in found.stdout


def test_words_of_the_question_are_marked_on_a_terminal(search, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;4mmask" in search("mask").stdout.lower()


def test_explain_shows_the_score_of_each_step(search):
    (hit,) = json.loads(search("--json", "--k", "1", "mask").stdout)["hits"]
    assert list(hit["scores"]) == ["dense", "bm25", "hybrid"]
    told = ", ".join(f"{step} {score:.4f}" for step, score in hit["scores"].items())
    assert told in search("--explain", "--k", "1", "mask").stdout


@pytest.mark.parametrize("arguments", [["-"], []])
def test_questions_come_from_standard_input_in_bulk(search, arguments):
    found = search("--json", "--k", "1", *arguments, asked="mask\n\n  discrete transform \n")
    assert found.exit_code == 0, found.output
    records = [json.loads(line) for line in found.stdout.splitlines()]
    assert [one["question"] for one in records] == ["mask", "discrete transform"]
    assert all(len(one["hits"]) == 1 for one in records)
    assert records[0]["hits"][0]["snippet"].keys() == {"text", "matches"}


def test_search_is_restricted_to_a_category(search):
    (record,) = map(json.loads, search("--json", "--category", "fft", "mask").stdout.splitlines())
    assert {hit["category"] for hit in record["hits"]} == {"fft"}


def test_words_of_a_question_are_not_markup(search):
    assert "[red]mask[/red]" in search("--k", "1", "[red]mask[/red]").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([" "], "the question is empty"),
        (["mask", "--category", "none"], "known are fft, ma"),
        (["mask", "--index", "nowhere"], "nowhere is missing"),
    ],
)
def test_an_error_is_one_message_and_exit_code_one(search, arguments, said):
    found = search(*arguments)
    assert found.exit_code == 1
    assert found.stderr.startswith("error: ")
    assert said in found.stderr
    assert "Traceback" not in found.output


def test_a_question_that_is_not_utf_8_is_named(search):
    found = search("--k", "1", "caf\udce9")
    assert found.exit_code == 1
    assert "is not UTF-8; save the questions as UTF-8" in found.output
