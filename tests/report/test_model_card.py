"""The model card of a saved model, and what is known of its base."""

import json
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from verdicts import make_verdicts

from triptych.artifacts import dvc_hash
from triptych.evaluation.comparison import NamedInterval
from triptych.evaluation.significance import Interval
from triptych.evaluation.verdict import Verdicts
from triptych.models.loading import license_of
from triptych.models.round_record import RoundRecord
from triptych.params.sections import Model
from triptych.report.model_card import CardContent, RunFacts, model_card

_SYSTEMS = {"base": {"mrr@10": 0.5, "queries": 8}, "tuned": {"mrr@10": 0.75, "queries": 8}}
MEASURES = dict.fromkeys(("all", "a|b", "c"), _SYSTEMS)
CONTENT = CardContent(
    title="Embedder",
    task="sentence-similarity",
    system="tuned",
    base=Model(base="org/base", revision="abc", query_prompt="", passage_prompt=""),
    usage=["Trained: somehow"],
    reasons=["it rises"],
    load="load()",
)


@pytest.fixture
def card(params_with):
    def make(license_of_base, base="org/base"):
        interval = Interval(0.25, 0.125, 0.375, 0.1, 0.01, 8, 4)
        intervals = [NamedInterval(one, "tuned", "base", "mrr@10", "user", interval, 0.02) for one in MEASURES]
        record = RoundRecord("lora", {}, 64, 1.0, "round0", None)
        run = RunFacts(params_with(), record, make_verdicts(), MEASURES, {}, intervals, "f00.dir")
        content = replace(CONTENT, base=CONTENT.base.model_copy(update={"base": base}))
        return model_card(content, license_of_base, run)

    return make


def test_it_has_table_data_base_license_and_how_to_load_it(card):
    text = card("mit")
    for expected in (
        "`org/base`, revision `abc`",
        "License of the base model: mit",
        "`f00.dir` in `dvc.lock`\n- Trained: somehow\n",
        "```python\nload()\n```",
        "- it rises",
        "| all (8) | base | 0.500 |  |",
        "| a\\|b (8) | tuned | 0.750 | +0.250 [+0.125, +0.375] |",
    ):
        assert expected in text


def test_the_hub_reads_base_model_license_and_results(card):
    data = ModelCard(card("mit")).data
    assert (data.license, data.library_name, data.base_model) == ("mit", "sentence-transformers", "org/base")
    assert data.language is None
    assert "triptych" in data.tags
    assert data.pipeline_tag == "sentence-similarity"
    assert "mrr@10" in data.metrics
    results = [(one.dataset_name, one.metric_type, one.metric_value) for one in data.eval_results]
    assert results == [(f"test queries, {name}", "mrr@10", 0.75) for name in ("all", "a|b", "c")]


def test_a_local_base_is_not_named_as_a_model_of_the_hub(card, tiny_model):
    assert ModelCard(card("mit", str(tiny_model))).data.base_model is None


def test_a_license_that_is_not_stated_is_not_made_up(card):
    text = card(None)
    assert "License of the base model: not stated" in text
    assert ModelCard(text).data.license is None


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
    assert f"- Search with {Verdicts.read(run_project / 'metrics/verdict.json').search}" in said
