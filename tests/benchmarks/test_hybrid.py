"""The benchmark of hybrid search runs, and its tokenizations are those it names."""

import json
import sys

from benchmarks import hybrid

TEXT = "Use DataFrame.set_index or np.max"


def test_tokenizations_are_what_their_names_say():
    assert {name: terms(TEXT) for name, terms in hybrid._TERMS.items()} == {
        "plain words": ["use", "dataframe", "set_index", "or", "np", "max"],
        "whole": ["use", "dataframe.set_index", "or", "np.max"],
        "parts": ["use", "data", "frame", "set", "index", "or", "np", "max"],
        "whole and parts": [
            *("use", "dataframe.set_index", "dataframe", "set_index", "data", "frame", "set", "index"),
            *("or", "np.max", "np", "max"),
        ],
    }


def test_a_run_prints_a_row_for_each_tokenization(prepared, monkeypatch, capsys):
    monkeypatch.chdir(prepared)
    monkeypatch.setattr(sys, "argv", ["hybrid"])
    hybrid.main()
    *_, line = capsys.readouterr().out.splitlines()
    rows = json.loads(line)["terms"]
    assert list(rows) == list(hybrid._TERMS)
    assert all("zscore - rrf" in row for row in rows.values())
