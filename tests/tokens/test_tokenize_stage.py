"""Stage tokenize with ``auto``: what it chose is printed with the reason, and written."""

import json
import shutil
from pathlib import Path

import pytest

from stages import tokenize_texts

PATHS = (
    "--texts data/triplets/texts --examples data/triplets/embedder --tokens data/tokens --round data/triplets/round0"
    " --base models/base"
)


@pytest.fixture
def tokenized(prepared, tmp_path, monkeypatch, write_params, capsys):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def call(**settings):
        write_params(tmp_path, **{"model.base": "./tiny"} | {f"tokenize.{key}": one for key, one in settings.items()})
        tokenize_texts.main(PATHS.split())
        metadata = json.loads((tmp_path / "data/tokens/metadata.json").read_text(encoding="utf-8"))
        return metadata, capsys.readouterr().out

    return call


def test_auto_takes_windows_until_all_is_seen_and_says_why(tokenized):
    cut, printed = tokenized(max_length=32, max_windows=1)
    assert (cut["max_windows"], cut["windows"], cut["auto"]) == (1, 0, "")
    assert "auto chose" not in printed
    assert f"vectors of all of it take {1 / cut['share_seen']['beginning']:.1f} times the time" in printed
    auto, printed = tokenized(max_length=32, max_windows="auto")
    assert auto["max_windows"] > 4
    assert auto["share_seen"]["windows"] > 0.98 > cut["share_seen"]["windows"] == auto["share_seen"]["beginning"]
    assert f"tokenize: {auto['auto']}; write them into params.yaml" in printed
    assert f"max_windows {auto['max_windows']}" in auto["auto"]
    again, _ = tokenized(max_length=32, max_windows=auto["max_windows"])
    assert again | {"auto": auto["auto"]} == auto


def test_where_everything_fits_there_are_no_windows(tokenized):
    given, _ = tokenized(max_length=10_000)
    auto, _ = tokenized(max_length=10_000, max_windows="auto")
    assert auto["max_length"] == given["max_length"]
    if given["share_truncated"] == 0.0:  # else the model's own limit is shorter
        assert (auto["max_windows"], auto["windows"]) == (1, 0)
        assert auto["share_seen"] == given["share_seen"] == {"beginning": 1.0, "windows": 1.0}


def test_small_blocks_give_the_same_bytes(tokenized, monkeypatch):
    def written():
        return [path.read_bytes() for path in sorted(Path("data/tokens").rglob("*")) if path.is_file()]

    assert tokenized(max_length=32, max_windows=8)[0]["windows"] > 100
    whole = written()
    monkeypatch.setattr("triptych.tokens.token_rows._CUT", 7)
    monkeypatch.setattr("stages.tokenize_texts.ROW_GROUP", 5)
    tokenized(max_length=32, max_windows=8)
    assert written() == whole
