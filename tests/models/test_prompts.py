"""Prompts that come with a base model are used where the params leave them to it, and never dropped silently."""

import json
import shutil

import pytest
from sentence_transformers import SentenceTransformer

from stages import tokenize_texts
from triptych.models.adapter import Blend
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.models.prompts import prompt_notices, prompts_of
from triptych.models.publishing import publish
from triptych.params.sections import Model
from triptych.tokens.token_store import open_store
from triptych.triplets.examples import read_texts

OWN = {"query": "matrix ", "document": "", "passage": "array "}
TOKENIZE = (
    "--texts data/triplets/texts --examples data/triplets/embedder"
    " --tokens data/tokens --round data/triplets/round0 --base models/base"
)


@pytest.fixture
def prompted(tiny_model, tmp_path):
    """A base model with prompts of its own."""
    model = SentenceTransformer(str(tiny_model), device="cpu")
    model.prompts = OWN
    model.save_pretrained(str(tmp_path / "base"), create_model_card=False)
    return tmp_path / "base"


@pytest.mark.parametrize(
    ("given", "own", "expected"),
    [
        ({}, OWN, ("matrix ", "array ")),
        ({}, {"query": "q: ", "document": "d: ", "passage": "p: "}, ("q: ", "d: ")),
        ({}, {}, ("", "")),
        ({"query_prompt": "mine: "}, OWN, ("mine: ", "array ")),
        ({"query_prompt": "", "passage_prompt": ""}, OWN, ("", "")),
        ({}, {"s2p_query": "Find: ", "query": None}, ("", "")),
    ],
)
def test_params_come_first_and_null_leaves_a_prompt_to_the_model(given, own, expected):
    prompts = prompts_of(Model(base="m", **given), own)
    assert (prompts["query"], prompts["document"]) == expected


@pytest.mark.parametrize(
    ("given", "own", "lines"),
    [
        ({}, {"query": "", "document": ""}, []),
        ({"query_prompt": "mine: ", "passage_prompt": "my: "}, OWN, []),
        ({}, OWN, ["the prompts of m are used: query 'matrix ', passage 'array '; set model.query_prompt and"]),
        (
            {"query_prompt": ""},
            OWN,
            [
                "the prompts of m are used: passage 'array '; set model.passage_prompt to",
                "model.query_prompt is \"\", so the prompt of m is not used: 'matrix '; null uses it",
            ],
        ),
        ({}, {"s2p_query": "Find: ", "query": ""}, ["m has prompts only under other names (s2p_query) and none"]),
    ],
)
def test_each_choice_that_concerns_a_prompt_of_the_model_is_printed(given, own, lines):
    notices = list(prompt_notices(Model(base="m", **given), own))
    assert [notice[: len(line)] for notice, line in zip(notices, lines, strict=True)] == lines


@pytest.mark.parametrize("given", [{}, {"model.query_prompt": ""}])
def test_tokens_begin_with_the_prompts_and_the_published_model_has_them(
    prepared, prompted, tmp_path, write_params, monkeypatch, capsys, params_with, given
):
    project = tmp_path / "project"
    shutil.copytree(prepared, project)
    write_params(project, **{"model.base": str(prompted), "tokenize.max_length": 48} | given)
    monkeypatch.chdir(project)
    tokenize_texts.main(TOKENIZE.split())
    expected = {"query": given.get("model.query_prompt", "matrix "), "passage": "array "}

    base = load_base(params_with(**{"model.base": str(prompted)} | given).model)
    store = open_store(project / "data/tokens", tokenizer_fingerprint(base))
    assert store.metadata["prompts"] == expected
    for number, (role, text) in enumerate(zip(*read_texts(project / "data/triplets/texts"), strict=True)):
        ids = base.tokenizer(expected[role] + text)["input_ids"]
        assert store[number][:47].tolist() == ids[: min(len(ids), 47)]
    printed = capsys.readouterr().out
    assert ("query 'matrix ', passage 'array '" in printed) == (not given)
    assert ('model.query_prompt is ""' in printed) == bool(given)

    (tmp_path / "published").mkdir()
    publish(Blend(base, {}), 0.0, tmp_path / "published", "")
    saved = json.loads((tmp_path / "published/config_sentence_transformers.json").read_text(encoding="utf-8"))
    assert saved["prompts"] == {"query": expected["query"], "document": "array "}
