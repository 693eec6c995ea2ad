"""params.yaml: defaults for what it leaves out, and all problems at once, by key, with a remedy."""

import logging
from pathlib import Path

import pytest
import yaml
from pydantic_core import PydanticUndefined

from triptych.errors import UserError
from triptych.params import load
from triptych.params.load import load_params
from triptych.params.reference import PATH, reference
from triptych.params.sections import Params
from triptych.params.unknown_keys import known_keys, section_in

ROOT = Path(__file__).parents[1]
EVERY_KEY = ROOT / "tests" / "data" / "params_with_every_key.yaml"  # as it was before keys had defaults
MINIMAL = "model: {base: ./model}\ningest: {sources: [{path: numpy}]}\n"
MOST_KEYS = 60


@pytest.fixture
def message(tmp_path, write_params):
    def of(**changes) -> str:
        path = write_params(tmp_path, **changes)
        with pytest.raises(UserError) as error:
            load_params(path)
        return str(error.value)

    return of


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_params_that_come_with_the_project_are_valid(params_with):
    assert params_with().rounds.train.keys() == {"round0", "round1"}


def test_an_older_file_with_every_key_gives_the_same_params_as_the_short_one(params_with, caplog):
    with caplog.at_level(logging.WARNING):
        # "" was the default; it still means no prompt, where null now takes the one that comes with the model.
        assert load_params(EVERY_KEY) == params_with(
            **{"model.query_prompt": "", "model.passage_prompt": "", "ask.journal": None}
        )
    (line,) = caplog.messages
    assert "train.stretch is now named train.resample_every" in line


def test_the_default_of_a_key_is_the_value_that_the_project_ships(params_with, written):
    shipped = params_with()
    params = load_params(written(MINIMAL))
    assert params == shipped.model_copy(
        update={"model": params.model, "ingest": params.ingest, "ask": shipped.ask.model_copy(update={"journal": None})}
    )
    assert params.model == shipped.model.model_copy(update={"base": "./model"})
    assert params.ingest == shipped.ingest.model_copy(update={"sources": params.ingest.sources})


def leaves(value) -> int:
    return sum(map(leaves, value.values())) if isinstance(value, dict) else 1


def test_the_file_shows_only_what_people_change():
    shown = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert leaves(shown) <= MOST_KEYS
    assert list(shown) == list(Params.model_fields)  # DVC fails if a section that it tracks is missing


def sections():
    found = [Params]
    for section in found:
        found += [one for field in section.model_fields.values() if (one := section_in(field.annotation))]
    return found


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_every_key_has_a_description_that_ends_with_a_period_and_every_section_a_docstring(section):
    assert section.__doc__
    for name, field in section.model_fields.items():
        if section_in(field.annotation) is not field.annotation:
            assert field.description, name
            assert field.description.endswith("."), name


def test_only_keys_without_a_sensible_default_are_required():
    required = {
        f"{section.__name__}.{name}"
        for section in sections()
        for name, field in section.model_fields.items()
        if field.default is PydanticUndefined and field.default_factory is None
    }
    items = {"Source.path", "TrainRound.previous", "TrainRound.steps", "TrainRound.learning_rate"}
    items |= {"MineRound.previous", "MineRound.examples"}
    assert required - items == {"Params.model", "Params.ingest", "Model.base", "Ingest.sources"}


def test_the_reference_is_what_the_fields_say():
    assert (ROOT / PATH).read_text(encoding="utf-8") == reference(), "run `make params-doc`"


def test_the_reference_has_a_row_for_every_key_with_its_default_and_bounds():
    lines = reference().splitlines()
    assert sum(line.startswith("| `") for line in lines) == sum(len(key) > 1 for key in known_keys())
    assert "| `batch_size` | `64` | integer ≥ 2 |" in reference()
    assert "| `lora.dropout` | `0.0` | number ≥ 0, < 1 |" in reference()
    assert "| `split`" not in reference()


@pytest.mark.parametrize("section", ["train:", "train: {}", "train: {lora: }", ""])
def test_an_empty_section_has_the_defaults(written, section):
    assert load_params(written(f"{MINIMAL}{section}\n")).train.lora.r == 8


def test_one_key_of_a_nested_section_leaves_the_others_as_they_are(written):
    lora = load_params(written(f"{MINIMAL}train: {{lora: {{r: 4}}}}\n")).train.lora
    assert (lora.r, lora.alpha) == (4, 16)


@pytest.mark.parametrize("missing", ["train: {seed: 1}", "model:\ningest:", "model: {}\ningest: {}"])
def test_missing_key_is_named(written, missing):
    with pytest.raises(UserError) as error:
        load_params(written(missing))
    assert str(error.value).splitlines()[1:] == ["  model.base: missing", "  ingest.sources: missing"]


def test_section_that_is_not_a_mapping_is_refused_in_plain_words(written):
    with pytest.raises(UserError, match=r"train\.lora: must contain keys, got 8"):
        load_params(written(f"{MINIMAL}train: {{lora: 8}}\n"))


def test_every_key_given_twice_is_named_with_its_lines_beside_all_other_problems(written):
    train = "train:\n  seed: 1\n  lora: {r: 4, r: 8}\n  seed: 2\n  batch_size: 1\n"
    with pytest.raises(UserError) as error:
        load_params(written(f"{MINIMAL}{train}tokenize: {{num_proc: 0}}\n"))
    assert str(error.value).splitlines()[1:] == [
        "  train.lora.r: given twice, in line 5; remove one",
        "  train.seed: given twice, in lines 4 and 6; remove one",
        "  tokenize.num_proc: input should be greater than or equal to 1, got 0",
        "  train.batch_size: input should be greater than or equal to 2, got 1",
    ]


def test_section_and_key_of_a_source_given_twice_are_named(written):
    text = "model: {base: ./model}\ningest: {sources: [{path: numpy, path: pandas}]}\nmodel: {base: ./other}\n"
    with pytest.raises(UserError) as error:
        load_params(written(text))
    assert [line.split(": ")[0] for line in str(error.value).splitlines()[1:]] == ["  ingest.sources.0.path", "  model"]


def test_key_of_an_earlier_version_is_read_under_its_new_name_with_one_warning(written, monkeypatch, caplog):
    monkeypatch.setattr(load, "RENAMED", {"train.bunch": "train.batch_size"})
    with caplog.at_level(logging.WARNING):
        assert load_params(written(f"{MINIMAL}train: {{bunch: 4}}\n")).train.batch_size == 4
    (line,) = caplog.messages
    assert line.endswith("params.yaml: train.bunch is now named train.batch_size; please rename it")


def test_key_given_under_its_earlier_and_its_new_name_is_refused(written, monkeypatch):
    monkeypatch.setattr(load, "RENAMED", {"train.bunch": "train.batch_size"})
    with pytest.raises(UserError, match=r"train\.bunch: is now named train\.batch_size, which is given too"):
        load_params(written(f"{MINIMAL}train: {{bunch: 4, batch_size: 8}}\n"))


def test_every_renamed_key_has_a_name_that_exists():
    assert {tuple(key.split(".")) for key in load.RENAMED.values()} <= set(known_keys())
    assert not {tuple(key.split(".")) for key in load.RENAMED} & set(known_keys())


def test_all_problems_are_reported_at_once_with_their_keys(message):
    lines = message(**{"train.batch_size": "many", "split.seed": 1.5, "model.revison": "x", "evaluate.round": "final"})
    for key in ("train.batch_size", "split.seed", "model.revison", "evaluate.round"):
        assert f"\n  {key}: " in lines


def test_message_begins_with_the_file(message, tmp_path):
    assert message(**{"train.batch_size": 0}).startswith(f"{tmp_path / 'params.yaml'}:\n")


def test_message_gives_the_value_that_was_refused(message):
    assert "train.batch_size: input should be greater than or equal to 2, got 0" in message(**{"train.batch_size": 0})


def test_number_that_yaml_reads_as_text_comes_with_a_hint(written):
    with pytest.raises(UserError, match=r"train\.weight_decay: .*got '2e-4' \(.*2\.0e-4\)"):
        load_params(written(f"{MINIMAL}train: {{weight_decay: 2e-4}}\n"))


def test_text_is_not_converted_to_a_number_nor_a_number_to_a_boolean(message):
    assert "tokenize.batch_size" in message(**{"tokenize.batch_size": "1000"})
    assert "train.dropout" in message(**{"train.dropout": 1})


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("train.batch_siz", "batch_size"),
        ("split.near_duplicates.treshold", "threshold"),
        ("rounds.train.round0.stepss", "steps"),
        ("minee", "mine"),
        ("train.max_length", "tokenize.max_length"),
        ("train.max_lenght", "tokenize.max_length"),
        ("train.alpha", "train.lora.alpha"),
        ("train.depth", "train.distill.depth"),
        ("evaluate.measure", "promote.measure"),
        ("train.learning_rate", "rounds.train.*.learning_rate"),
        ("max_length", "tokenize.max_length"),
        ("ingest.chunk_id", "ingest.fields.chunk_id"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_known_one(message, key, near):
    assert f"{key}: unknown key, did you mean {near!r}?" in message(**{key: 1})


def test_unknown_key_unlike_any_other_is_refused_without_a_guess(message):
    assert message(**{"train.xyzzy": 1}).endswith("train.xyzzy: unknown key")


@pytest.mark.parametrize(
    ("key", "sum_of"),
    [
        ("split.fractions.train", "split.fractions: train + dev + test must sum to 1, got 1.2"),
        ("triplets.profiles.embedder.easy", "triplets.profiles.embedder: easy + medium + hard must sum to 1, got 1.6"),
        ("triplets.profiles.reranker.hard", "triplets.profiles.reranker: easy + medium + hard must sum to 1, got 1.45"),
        ("triplets.tiers.easy.strategies.random", "triplets.tiers.easy.strategies: other_domain + other_file + "),
        ("triplets.views.lead", "triplets.views: "),
    ],
)
def test_shares_must_sum_to_one(message, key, sum_of):
    assert sum_of in message(**{key: 0.9})


def test_shares_that_are_left_out_are_named_with_their_defaults(written):
    with pytest.raises(UserError) as error:
        load_params(written(f"{MINIMAL}split: {{fractions: {{train: 0.8}}}}\n"))
    assert "split.fractions: train + dev + test must sum to 1, got 1.1; by default dev 0.1, test 0.2" in str(
        error.value
    )


def test_thirds_count_as_a_whole(params_with):
    third = round(1 / 3, 7)
    params_with(**{"triplets.profiles.embedder": {"easy": third, "medium": third, "hard": third}})


@pytest.mark.parametrize("template", ["{contents}", "{header_path}", "{content", "{0} {content}", "{content:d}"])
def test_template_that_could_not_be_filled_or_has_no_content_is_refused(message, template):
    assert "triplets: text_template: " in message(**{"triplets.text_template": template})


def test_rounds_must_continue_one_another(message):
    rounds = {"round0": {"previous": "base"}, "round1": {"previous": "base"}}
    assert "rounds.train.round1.previous: expected 'round0', got 'base'" in message(**{"rounds.train": rounds})


def test_first_round_must_continue_the_base_model(message):
    rounds = {"round0": {"previous": "round9"}, "round1": {"previous": "round0"}}
    assert "rounds.train.round0.previous: expected 'base'" in message(**{"rounds.train": rounds})


def test_every_round_but_the_first_must_be_mined(message):
    assert "rounds.mine: must have reranker and the rounds of rounds.train but the first (round1)" in message(
        **{"rounds.mine": {}}
    )


def test_a_third_round_takes_a_line_in_train_and_one_in_mine(params_with):
    line = {"previous": "round1", "examples": "round1"}
    settings = {"previous": "round1", "steps": 5, "learning_rate": 1.0e-4}
    more = {"rounds.train.round2": settings, "rounds.mine.round2": line, "evaluate.round": "round2"}
    params = params_with(**more, **{"rounds.mine.reranker.previous": "round2"})
    assert list(params.rounds.train) == ["round0", "round1", "round2"]


def test_the_reranker_must_learn_from_the_retriever_that_is_evaluated(message):
    problem = message(**{"rounds.mine.reranker.previous": "round0"})
    assert "rounds.mine.reranker.previous: expected evaluate.round, 'round1', got 'round0'" in problem


def test_a_list_must_have_room_for_a_hard_negative(message):
    problem = message(**{"train_reranker.negatives": 2, "train_reranker.random": 2})
    assert "train_reranker: random: 2 random of 2 negatives leave no hard negative" in problem


def test_round_to_evaluate_must_be_trained(message):
    problem = message(**{"evaluate.round": "round7"})
    assert "evaluate.round: 'round7' is not one of rounds.train (round0, round1)" in problem


def test_file_that_is_not_yaml_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("train: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml is not YAML: .*"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["", "- train\n", "train\n"])
def test_file_without_sections_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="must contain sections"):
        load_params(tmp_path / "params.yaml")


def test_message_on_a_missing_file_names_the_folder_to_run_in(tmp_path):
    with pytest.raises(UserError, match="run from the root of the project"):
        load_params(tmp_path / "params.yaml")


def test_template_with_an_attribute_is_refused_without_a_traceback(tmp_path, write_params):
    path = write_params(tmp_path, **{"triplets.text_template": "{content.text}"})
    with pytest.raises(UserError, match="text_template"):
        load_params(path)


@pytest.mark.parametrize("name", ["path", "lexical"])
def test_bounds_of_the_medium_tier_in_the_wrong_order_are_refused(message, name):
    problem = message(**{f"triplets.tiers.medium.{name}": [0.5, 0.2]})
    assert f"triplets.tiers.medium: {name}: must go from low to high, got [0.5, 0.2]" in problem


def test_bounds_of_the_hard_tier_in_the_wrong_order_are_refused(message):
    changes = {"triplets.tiers.hard.lexical_min": 0.8, "triplets.tiers.hard.lexical_max": 0.6}
    assert "triplets.tiers.hard: lexical_min: must be at most lexical_max (0.6), got 0.8" in message(**changes)


@pytest.mark.parametrize("key", ["negatives_per_anchor", "anchors_per_chunk", "cap_per_anchor", "cap_per_negative"])
def test_number_that_must_be_at_least_one_is_refused_below(message, key):
    assert f"triplets.{key}: input should be greater than or equal to 1, got 0" in message(**{f"triplets.{key}": 0})


@pytest.mark.parametrize("key", ["same_source_positives", "cross_category_hard", "tiers.hard.path_min"])
def test_share_above_one_is_refused(message, key):
    assert f"triplets.{key}: " in message(**{f"triplets.{key}": 1.1})


def test_balance_that_does_not_exist_is_refused_with_those_that_do(message):
    assert "'equal', 'proportional' or 'sqrt', got 'even'" in message(**{"triplets.balance": "even"})


@pytest.mark.parametrize(
    "changes",
    [
        {"triplets.imported": "mine.csv"},
        {"triplets.views.imported": 0.08, "triplets.views.lead": 0.0},
        {"triplets.imported": "mine.csv", "triplets.views.imported": 0.0},
    ],
    ids=["file without a share", "share without a file", "file with a share of zero"],
)
def test_imported_triplets_need_a_file_and_a_share(message, changes):
    assert "triplets: imported: name a file and give views.imported a share, or neither" in message(**changes)


def test_imported_triplets_with_a_file_and_a_share_are_taken(params_with):
    changes = {"triplets.imported": "mine.csv", "triplets.views.imported": 0.08, "triplets.views.lead": 0.0}
    assert params_with(**changes).triplets.views.imported == 0.08


def test_key_of_a_problem_is_the_key_in_the_file(tmp_path, write_params):
    with pytest.raises(UserError, match=r"train\.lora\.target_modules: "):
        load_params(write_params(tmp_path, **{"train.lora.target_modules": 3}))


def test_unknown_key_of_a_source_is_refused_with_the_nearest_known_one(tmp_path, write_params):
    source = {"path": "numpy", "formt": "package"}
    with pytest.raises(UserError, match="did you mean 'format'"):
        load_params(write_params(tmp_path, **{"ingest.sources": [source]}))


def test_more_neighborhoods_than_a_batch_has_anchors_are_refused(tmp_path, write_params):
    path = write_params(tmp_path, **{"train.distill.batch_size": 4, "train.distill.neighborhoods": 5})
    with pytest.raises(UserError, match=r"train\.distill: neighborhoods: .* \(4\), got 5"):
        load_params(path)


@pytest.mark.parametrize("encoding", ["klingon", "base64"])
def test_encoding_that_cannot_decode_text_is_refused(message, encoding):
    problem = message(**{"ingest.sources": [{"path": "a.csv", "encoding": encoding}]})
    assert "ingest.sources.0.encoding: " in problem
    assert encoding in problem
    assert "such as cp1252" in problem


SECRETS = {
    "api_key": "ask: api_key: a key must not be here: it would be committed with params.yaml",
    "token": "ask: token: a key must not be here",
    "Authorization": "ask: Authorization: a key must not be here",
}


@pytest.mark.parametrize(("name", "problem"), SECRETS.items())
def test_an_api_key_among_the_params_is_refused_without_repeating_it(message, name, problem):
    text = message(**{f"ask.{name}": "mine-4711"})
    assert problem in text
    assert "TRIPTYCH_ASK_KEY" in text
    assert "4711" not in text


@pytest.mark.parametrize("key", ["ask.model", "ask.base_url", "ask.journal"])
def test_an_api_key_as_another_param_is_refused_without_repeating_it(message, key):
    text = message(**{key: "sk-proj-abcdefghijklmnop4711"})
    assert "contains an API key: it would be committed" in text
    assert "4711" not in text


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://me:secret@host/v1", "must have no user, password or query: it would be committed"),
        ("http://secret@host/v1", "must have no user, password or query: it would be committed"),
        ("http://host/v1?key=secret", "must have no user, password or query: it would be committed"),
        ("host/v1", "must begin with http:// or https:// and name a host"),
        ("file:///etc/passwd", "must begin with http:// or https:// and name a host"),
        ("http://", "must begin with http:// or https:// and name a host"),
        ("http://[host", "is not a URL such as"),
        ("http://host:port/v1", "is not a URL such as"),
    ],
)
def test_a_base_url_that_has_a_secret_or_is_no_url_is_refused(message, url, problem):
    text = message(**{"ask.base_url": url, "ask.model": "tiny"})
    assert f"ask.base_url: {problem}" in text
    assert "secret" not in text


@pytest.mark.parametrize("end", ["", "/", "/chat/completions", "/chat/completions/"])
def test_a_base_url_is_taken_with_or_without_its_end(params_with, end):
    changes = {"ask.base_url": f"http://localhost:11434/v1{end}", "ask.model": "tiny"}
    assert params_with(**changes).ask.base_url == "http://localhost:11434/v1"


@pytest.mark.parametrize("missing", ["model", "journal"])
def test_an_endpoint_needs_a_model_and_a_journal(message, missing):
    changes = {"ask.base_url": "http://localhost/v1", "ask.model": "tiny", "ask.journal": "data/journals/a.jsonl"}
    assert f"ask: {missing}: base_url needs it" in message(**changes | {f"ask.{missing}": None})
