"""Stage mine on real documentation: its cache, its report, a model that went wrong, and rounds that end early."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder

from stages import mine, train
from stages.command import run
from triptych.models.round_record import read_round_record
from triptych.triplets.examples import read_examples, read_passage_ids, read_texts
from triptych.triplets.negatives import STRATEGIES

MINED = Path("data/triplets/round1")
ARGUMENTS = (
    f"--corpus data/corpus --texts data/triplets/texts --tokens data/tokens"
    f" --round data/triplets/round0 --model models/base --mined {MINED}"
    " --metrics metrics/mine/round1.json --vectors data/vectors"
).split()
CHANGES = {
    "ingest.sources": [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "ma")],
    "split.min_queries": 2,
    "model.base": "./tiny",
    "tokenize.max_length": "auto",
    "train.precision": "fp32",
}


@pytest.fixture
def project(prepared, tmp_path, monkeypatch):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mined(project, write_params, capsys):
    """Run the stage with changed params; return its metrics, what it prints, and the bytes it wrote."""

    def call(**changes):
        write_params(project, **CHANGES | {f"mine.{key}": value for key, value in changes.items()})
        mine.main(ARGUMENTS)
        metrics = json.loads(Path("metrics/mine/round1.json").read_text(encoding="utf-8"))
        written = {path.name: path.read_bytes() for path in MINED.iterdir()}
        return metrics, capsys.readouterr().out, written

    return call


def test_cache_saves_encoding_and_keeps_every_byte(mined, encoded_counts):
    first = mined()
    assert min(encoded_counts()) > 0
    again = mined()
    assert encoded_counts() == [0, 0]  # anchors and chunks
    assert first == again
    shards = sorted(Path("data/vectors").glob("*/*.npy"))
    shards[0].unlink()
    assert mined() == first  # with a part of it
    shutil.rmtree("data/vectors")
    assert mined() == first  # and without


def test_each_category_has_its_metrics_and_they_add_up(mined):
    figures = mined()[0]["mined"]
    assert set(figures) == {"all", "fft", "ma"}
    for name in ("examples", "candidates", "hard_negatives", "examples_short"):
        assert figures["all"][name] == figures["fft"][name] + figures["ma"][name]
    for row in figures.values():
        assert row["closeness"]["p10"] <= row["closeness"]["p90"]
        assert 0 <= row["churn"] <= 1
        assert sum(row["rejected"].values()) - row["rejected"]["pool_above_relative_margin"] <= row["candidates"]


def test_guide_rejects_what_it_scores_as_close_as_the_positive(mined):
    alone = mined(relative_margin=2.0)[0]["mined"]["all"]
    guided = mined(relative_margin=2.0, guide="base", guide_margin=0.99)[0]["mined"]["all"]
    stricter = mined(relative_margin=2.0, guide="base", guide_margin=0.9)[0]["mined"]["all"]
    assert alone["rejected"]["guide"] == 0 < guided["rejected"]["guide"] < stricter["rejected"]["guide"]


def saved_reranker(folder: Path, spread: float) -> str:
    """Save a ready reranker: the tiny model with a head of its own; its scores differ more with a larger ``spread``."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = CrossEncoder("tiny", num_labels=1, device="cpu")
    with torch.no_grad():
        model[0].model.classifier.weight.mul_(spread)
    model.save_pretrained(str(folder))
    return f"./{folder}"


def test_ready_reranker_rejects_what_it_scores_as_high_as_the_positive(mined):
    alone = mined(relative_margin=2.0)[0]["mined"]["all"]
    base = saved_reranker(Path("ready"), 50.0)
    metrics = mined(relative_margin=2.0, guide=base, guide_max_length=64)[0]
    assert alone["rejected"]["guide"] == 0 < metrics["mined"]["all"]["rejected"]["guide"]
    examples = read_examples(MINED / "examples.parquet")
    texts, passages = read_texts(Path("data/triplets/texts"))[1], read_passage_ids(Path("data/triplets/texts"))
    pool = examples.pool
    new = np.flatnonzero(pool.strategy >= STRATEGIES.index("mined"))[:200]
    owner = pool.anchors[new]
    scores = [
        CrossEncoder("ready", device="cpu", max_length=64).predict(
            [(texts[examples.anchor[row]], texts[text]) for row, text in zip(owner, answers, strict=True)]
        )
        for answers in (examples.positive[owner], [passages[chunk] for chunk in pool.chunk[new]])
    ]
    assert np.all(scores[1] < 0.95 * scores[0] + 1e-4)


@pytest.mark.parametrize(
    ("guide", "complaint"), [("./tiny", "not a reranker"), ("./nothing", "not a folder with a model")]
)
def test_guide_that_is_not_a_reranker_is_refused(project, write_params, capsys, guide, complaint):
    write_params(project, **CHANGES | {"mine.guide": guide})
    with pytest.raises(SystemExit):
        run(lambda: mine.main(ARGUMENTS))
    error = capsys.readouterr().err
    assert "error: mine.guide: ./" in error
    assert complaint in error
    assert "Traceback" not in error


def test_no_mined_negative_is_closer_than_the_margin_allows(mined):
    metrics, _, _ = mined(relative_margin=0.9)
    examples = read_examples(MINED / "examples.parquet")
    assert metrics["mined"]["all"]["hardness"] < 0.9
    assert len(examples) == metrics["examples"]


def test_little_that_is_new_ends_the_rounds_and_training_keeps_the_previous_model(mined, project, capsys):
    metrics, output, written = mined(skip_below_churn=1.0)
    assert metrics["ends"] is (metrics["mined"]["all"]["churn"] < 1)
    assert "end.json" in written
    assert "the rounds end before round1" in output
    train.main(
        f"--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round {MINED}"
        f" --previous models/base --model models/round1"
        " --metrics metrics/train/round1.json --curve metrics/train/round1.csv"
        " --tables metrics/train/round1 --vectors data/vectors --checkpoints .checkpoints/round1".split()
    )
    assert "not trained" in capsys.readouterr().out
    assert read_round_record(project / "models/round1") == read_round_record(project / "models/base")
    assert json.loads(Path("metrics/train/round1.json").read_text(encoding="utf-8"))["trained_in"] == "base"
    assert Path("metrics/train/round1.csv").read_text(encoding="utf-8") == "step,loss\n"


def test_much_that_is_new_goes_on(mined):
    metrics, output, written = mined(relative_margin=2.0, skip_below_churn=0.01)
    assert metrics["ends"] is False
    assert "end.json" not in written
    assert "rounds end" not in output


def broken(project, change) -> None:
    path = project / "tiny/model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def to_nan(weights):
    weights["embeddings.word_embeddings.weight"][5:] = float("nan")


def to_one_vector(weights):
    for name in [one for one in weights if "output.LayerNorm" in one]:
        weights[name] = torch.ones_like(weights[name]) if name.endswith("bias") else torch.zeros_like(weights[name])


@pytest.mark.parametrize(("change", "complaint"), [(to_nan, "not finite"), (to_one_vector, "the same vector")])
def test_model_that_went_wrong_is_refused_with_the_remedy(mined, project, write_params, capsys, change, complaint):
    broken(project, change)
    write_params(project, **CHANGES)
    with pytest.raises(SystemExit):
        run(lambda: mine.main(ARGUMENTS))
    error = capsys.readouterr().err
    assert "error: mine" in error
    assert "Traceback" not in error
    assert complaint in error
    assert "rounds.train" in error
    assert not MINED.exists()
