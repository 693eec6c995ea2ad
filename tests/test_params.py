"""params.yaml: what is wrong with it is said at once, by key, with a remedy."""

import pytest

from triptych.errors import UserError
from triptych.params.load import load_params


@pytest.fixture
def message(tmp_path, write_params):
    def of(**changes) -> str:
        path = write_params(tmp_path, **changes)
        with pytest.raises(UserError) as error:
            load_params(path)
        return str(error.value)

    return of


def test_the_params_that_come_with_the_project_are_valid(params_with):
    assert params_with().rounds.train.keys() == {"round0", "round1"}


def test_all_problems_are_reported_at_once_with_their_keys(message):
    lines = message(**{"train.batch_size": "many", "split.seed": 1.5, "model.revison": "x", "evaluate.round": "final"})
    for key in ("train.batch_size", "split.seed", "model.revison", "evaluate.round"):
        assert f"\n  {key}: " in lines


def test_message_begins_with_the_file(message, tmp_path):
    assert message(**{"train.batch_size": 0}).startswith(f"{tmp_path / 'params.yaml'}:\n")


def test_message_gives_the_value_that_was_refused(message):
    assert "train.batch_size: input should be greater than or equal to 2, got 0" in message(**{"train.batch_size": 0})


def test_number_that_yaml_reads_as_text_comes_with_a_hint(tmp_path, write_params):
    path = write_params(tmp_path)
    text = path.read_text(encoding="utf-8").replace("weight_decay: 0.01", "weight_decay: 2e-4")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.weight_decay: .*got '2e-4' \(.*2\.0e-4\)"):
        load_params(path)


def test_text_is_not_taken_for_a_number_and_a_number_not_for_a_truth(message):
    assert "tokenize.batch_size" in message(**{"tokenize.batch_size": "1000"})
    assert "train.dropout" in message(**{"train.dropout": 1})


@pytest.mark.parametrize(
    ("key", "near"),
    [("train.batch_siz", "batch_size"), ("split.near_duplicates.treshold", "threshold"), ("minee", "mine")],
)
def test_unknown_key_is_refused_with_the_nearest_known_one(message, key, near):
    assert f"{key}: unknown key, did you mean {near!r}?" in message(**{key: 1})


def test_unknown_key_like_no_other_is_refused_without_a_guess(message):
    assert message(**{"train.xyzzy": 1}).endswith("train.xyzzy: unknown key")


def test_missing_key_is_named(tmp_path):
    (tmp_path / "params.yaml").write_text("train: {seed: 1}\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_params(tmp_path / "params.yaml")
    assert "train.batch_size: missing" in str(error.value)
    assert "mine: missing" in str(error.value)


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
    assert "rounds.mine: must repeat rounds.train without the first (round1)" in message(**{"rounds.mine": {}})


def test_a_third_round_takes_a_line_in_train_and_one_in_mine(params_with):
    line = {"previous": "round1", "examples": "round1"}
    turn = {"previous": "round1", "steps": 5, "learning_rate": 1.0e-4}
    more = {"rounds.train.round2": turn, "rounds.mine.round2": line, "evaluate.round": "round2"}
    params = params_with(**more, **{"rounds.mine.reranker.previous": "round2"})
    assert list(params.rounds.train) == ["round0", "round1", "round2"]


def test_the_reranker_must_learn_from_the_retriever_that_is_judged(message):
    wrong = message(**{"rounds.mine.reranker.previous": "round0"})
    assert "rounds.mine.reranker.previous: expected evaluate.round, 'round1', got 'round0'" in wrong


def test_a_list_must_have_room_for_a_hard_negative(message):
    wrong = message(**{"train_reranker.negatives": 2, "train_reranker.random": 2})
    assert "train_reranker: random: of 2 negatives 2 are random, which leaves no hard one" in wrong


def test_round_to_judge_must_be_trained(message):
    wrong = message(**{"evaluate.round": "round7"})
    assert "evaluate.round: 'round7' is not one of rounds.train (round0, round1)" in wrong


def test_file_that_is_not_yaml_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("train: [", encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml is not YAML: .*"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["", "- train\n", "train\n"])
def test_file_without_sections_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="must hold sections"):
        load_params(tmp_path / "params.yaml")


def test_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="run from the root of the project"):
        load_params(tmp_path / "params.yaml")


def test_template_with_an_attribute_is_refused_without_a_traceback(tmp_path, write_params):
    path = write_params(tmp_path, **{"triplets.text_template": "{content.text}"})
    with pytest.raises(UserError, match="text_template"):
        load_params(path)


@pytest.mark.parametrize("name", ["path", "lexical"])
def test_bounds_of_the_medium_tier_in_the_wrong_order_are_refused(message, name):
    said = message(**{f"triplets.tiers.medium.{name}": [0.5, 0.2]})
    assert f"triplets.tiers.medium: {name}: must go from low to high, got [0.5, 0.2]" in said


def test_bounds_of_the_hard_tier_in_the_wrong_order_are_refused(message):
    changes = {"triplets.tiers.hard.lexical_min": 0.8, "triplets.tiers.hard.lexical_max": 0.6}
    assert "triplets.tiers.hard: lexical_min: must not pass lexical_max, got 0.8, 0.6" in message(**changes)


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
        {"triplets.views.imported": 0.16, "triplets.views.lead": 0.0},
        {"triplets.imported": "mine.csv", "triplets.views.imported": 0.0},
    ],
    ids=["file without a share", "share without a file", "file with a share of zero"],
)
def test_imported_triplets_need_a_file_and_a_share(message, changes):
    assert "triplets: imported: name a file and give views.imported a share, or neither" in message(**changes)


def test_imported_triplets_with_a_file_and_a_share_are_taken(params_with):
    changes = {"triplets.imported": "mine.csv", "triplets.views.imported": 0.16, "triplets.views.lead": 0.0}
    assert params_with(**changes).triplets.views.imported == 0.16


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
def test_encoding_that_decodes_no_text_is_refused(message, encoding):
    said = message(**{"ingest.sources": [{"path": "a.csv", "encoding": encoding}]})
    assert "ingest.sources.0.encoding: " in said
    assert f"{encoding}" in said
    assert "such as cp1252" in said
