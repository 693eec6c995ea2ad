"""The model card of a saved model, and what is known of its base."""

import json

import pytest
import yaml

from triptych.artifacts import dvc_hash
from triptych.evaluation.comparison import NamedInterval
from triptych.evaluation.significance import Interval
from triptych.models.loading import license_of
from triptych.report.model_card import model_card


@pytest.fixture
def card(params_with):
    def make(license_of_base):
        measures = {
            "all": {"base": {"mrr@10": 0.5, "queries": 8}, "tuned": {"mrr@10": 0.75, "queries": 8}},
            "a|b": {"base": {"mrr@10": 0.5, "queries": 8}, "tuned": {"mrr@10": 0.75, "queries": 8}},
        }
        interval = Interval(0.25, 0.125, 0.375, 0.1, 0.01, 8, 4)
        found = [NamedInterval(one, "tuned", "base", "mrr@10", "user", interval, 0.02) for one in measures]
        model = params_with(**{"model.base": "org/base", "model.revision": "abc"}).model
        return model_card(
            "Embedder",
            "sentence-similarity",
            model,
            license_of_base,
            ["Trained: somehow"],
            ["it rises"],
            measures,
            found,
            "f00.dir",
            "load()",
        )

    return make


def test_it_has_table_data_base_license_and_how_to_load_it(card):
    said = card("mit")
    for expected in (
        "`org/base`, revision `abc`",
        "License of the base model: mit",
        "`f00.dir` in `dvc.lock`\n- Trained: somehow\n",
        "```python\nload()\n```",
        "- it rises",
        "| all (8) | base | 0.500 |  |",
        "| a\\|b (8) | tuned | 0.750 | +0.250 [+0.125, +0.375] |",
    ):
        assert expected in said
    front = yaml.safe_load(said.split("---")[1])
    assert (front["license"], front["library_name"]) == ("mit", "sentence-transformers")


def test_a_license_that_is_not_stated_is_not_made_up(card):
    said = card(None)
    assert "License of the base model: not stated" in said
    assert "license" not in yaml.safe_load(said.split("---")[1])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("---\nlicense: apache-2.0\n---\n# Model\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: gemma\n---\n", "gemma"),
        ("---\nlicense:\n- mit\n- cc-by-4.0\n---\n", "mit, cc-by-4.0"),
        ("# Model\nlicense: mit\n", None),
        ("---\nlicense: [mit\n---\n", None),
        (None, None),
    ],
)
def test_the_license_is_read_from_the_card_of_the_base(text, found, tmp_path, params_with):
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    if text is not None:
        (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert license_of(params_with(**{"model.base": str(tmp_path)}).model) == found


def test_the_license_of_a_packaged_base_is_known(params_with):
    assert license_of(params_with().model) == "apache-2.0"


def test_the_published_model_has_a_card_that_names_the_data(run_project):
    said = (run_project / "models/embedder/README.md").read_text(encoding="utf-8")
    measures = json.loads((run_project / "metrics/evaluate.json").read_text(encoding="utf-8"))["measures"]
    assert f"| all (25) | tuned | {measures['all']['tuned']['mrr@10']:.3f} |" in said
    assert dvc_hash(run_project / "data/corpus") in said
    verdict = json.loads((run_project / "metrics/verdict.json").read_text(encoding="utf-8"))
    trained = {"tuned": "- Trained: lora, up to round0; ", "base": "- Trained: not; "}[verdict["published"]]
    assert trained in said
    assert ("- Search with it: fused with BM25, " in said) is verdict["hybrid"]["used"]
    assert 'SentenceTransformer("models/embedder")' in said
