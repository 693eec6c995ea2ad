"""Stage rate on real documentation and a model: metrics, sentences and sampled triplets."""

import json
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from corpora import rows_of

from stages import rate
from triptych.evaluators.retrieval_evaluator import held_out_triplet_metrics, load_evaluator, similarities
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.load import load_params
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import read_examples, read_texts
from triptych.triplets.negatives import TIERS

LINE = (
    "--texts data/triplets/texts --tokens data/tokens --base models/base --embedder data/triplets/embedder"
    " --reranker data/triplets/reranker0"
    " --metrics metrics/rate.json --tables metrics/rate --vectors data/vectors"
)
FILES = ("metrics/rate.json", "metrics/rate/tiers.csv", "metrics/rate/examples.jsonl")


@pytest.fixture
def rated(prepared, tmp_path, write_params, monkeypatch):
    """Run the stage in a copy of the prepared project; return its folder."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(**changes):
        fixed = {"model.base": "./tiny", "train.precision": "fp32", "rate.anchors": 60}
        write_params(tmp_path, **fixed | {f"rate.{key}": value for key, value in changes.items()})
        rate.main(LINE.split())
        return tmp_path

    return run


def test_every_profile_category_and_tier_has_metrics_that_add_up(rated, capsys):
    folder = rated()
    table = pd.read_csv(folder / "metrics/rate/tiers.csv")
    assert set(table["profile"]) == {"embedder", "reranker"}
    assert set(table["category"]) == {"all", "fft", "ma"}
    assert set(table["tier"]) == {"all", *TIERS}
    assert (table["easy"] + table["semi_hard"] + table["hard"]).to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert table["active"].to_numpy() == pytest.approx((table["semi_hard"] + table["hard"]).to_numpy(), abs=1e-5)
    nested = json.loads((folder / "metrics/rate.json").read_text(encoding="utf-8"))
    for row in table.to_dict("records"):
        found = nested["tiers"][row["profile"]][row["category"]][row["tier"]]
        assert found == {key: pytest.approx(row[key], abs=1e-6) for key in found}
    said = capsys.readouterr().out
    for profile in ("embedder", "reranker"):
        assert [line.split()[0] for line in nested["judgment"][profile]] == list(TIERS)
        assert all(f"rate {profile}: {line}" in said for line in nested["judgment"][profile])


def test_the_given_number_of_triplets_of_each_profile_and_tier_is_shown(rated):
    lines = (rated(shown=5) / "metrics/rate/examples.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert Counter((row["profile"], row["tier"]) for row in rows) == {
        (profile, tier): 5 for profile in ("embedder", "reranker") for tier in TIERS
    }
    assert all(row["anchor"] and row["positive"] and row["negative"] != row["positive"] for row in rows)


def test_same_seed_writes_the_same_bytes_and_another_others(rated):
    one, same, other = ([(rated(seed=seed) / name).read_bytes() for name in FILES] for seed in (1, 1, 2))
    assert one == same
    assert all(left != right for left, right in zip(one, other, strict=True))


def test_only_the_given_number_of_anchors_is_rated(rated):
    folder = rated(anchors=7)
    chosen = read_examples(folder / "data/triplets/embedder/examples.parquet").sample(7, 13)
    table = pd.read_csv(folder / "metrics/rate/tiers.csv").set_index(["profile", "category", "tier"])
    assert table.loc[("embedder", "all", "all"), "negatives"] == len(chosen.pool.chunk)


@pytest.fixture(scope="module")
def judged(prepared):
    """Return the base model, the evaluator, texts and roles of the prepared project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(prepared)
        params = load_params()
        model = load_base(params.model)
        data = prepared / "data"
        store = open_store(data / "tokens", tokenizer_fingerprint(model))
        model.max_seq_length = int(store.metadata["max_length"])
        return model, load_evaluator(data / "corpus", data / "triplets/texts", ["test"], store, "fp32"), data


def cosines(model, texts, pairs):
    vectors = model.encode(texts, show_progress_bar=False)
    return [float(vectors[left] @ vectors[right]) for left, right in pairs]


def test_similarities_are_the_cosines_of_anchor_positive_and_each_negative(prepared, judged):
    model, evaluator, data = judged
    texts = read_texts(data / "triplets/texts")[1]
    profiles = [
        read_examples(prepared / f"data/triplets/{name}/examples.parquet").sample(9, 1)
        for name in ("embedder", "reranker0")
    ]
    found = similarities(model, evaluator.store, evaluator.passage_ids, evaluator.precision, *profiles)
    for examples, near in zip(profiles, found, strict=True):
        rows = rows_of(examples)
        expected = cosines(model, texts, [(row.anchor, row.positive) for row in rows])
        assert near.positive == pytest.approx(expected, abs=1e-4)
        pairs = [(row.anchor, int(evaluator.passage_ids[one.chunk])) for row in rows for one in row.negatives]
        assert near.negative == pytest.approx(cosines(model, texts, pairs), abs=1e-4)


def test_held_out_triplets_have_metrics_for_each_category_and_tier(judged):
    model, evaluator, data = judged
    examples = read_examples(data / "triplets/heldout/examples.parquet")
    rows = {(row["category"], row["tier"]): row for row in held_out_triplet_metrics(model, evaluator, examples)}
    pool, names = examples.pool, np.array(examples.categories)[examples.category[examples.pool.anchors]]
    for (category, tier), row in rows.items():
        of_tier = np.array(TIERS)[pool.tier] == tier if tier != "all" else True
        of_category = names == category if category != "all" else True
        assert row["triplets"] == int((of_tier & of_category & np.ones(len(names), bool)).sum()) > 0
    assert rows["all", "all"]["triplets"] == len(pool.chunk)
    assert {category for category, _ in rows} == {"all", *examples.categories}
