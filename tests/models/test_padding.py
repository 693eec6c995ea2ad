"""A tokenizer without a padding token, as many decoders have, pads with another special token."""

import shutil

import numpy as np
import pytest
import tiny_families
from hand_made import TRAIN
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerFast

from stages import tokenize_texts, train
from triptych.errors import UserError
from triptych.models.loading import load_base
from triptych.models.padding import ensure_padding_token
from triptych.params.sections import Model
from triptych.reranker.cross_encoder import load_reranker
from triptych.reranker.pair_format import format_of

TEXTS = ["Compute the inverse of a matrix.", "sort", "Return the discrete Fourier transform of an array"]
TOKENIZE = (
    "--texts data/triplets/texts --examples data/triplets/embedder"
    " --tokens data/tokens --round data/triplets/round0 --base models/base"
)


def without_padding(folder):
    """Remove the padding token from the settings of a saved tokenizer; its vocabulary stays."""
    path = next(folder.rglob("tokenizer_config.json")).parent
    own = PreTrainedTokenizerFast.from_pretrained(path)
    bare = PreTrainedTokenizerFast(
        tokenizer_object=own.backend_tokenizer,
        eos_token=own.eos_token or own.sep_token,
        unk_token=own.unk_token,
        padding_side=own.padding_side,
        model_max_length=own.model_max_length,
        chat_template=own.chat_template,
    )
    bare.save_pretrained(path)
    return folder


@pytest.fixture
def embedder(tmp_path, tiny_corpus):
    tiny_families.make_embedder(tmp_path / "base", "qwen3", [chunk.content for chunk in tiny_corpus.chunks])
    shutil.rmtree(tmp_path / "base/bare")
    return without_padding(tmp_path / "base")


@pytest.mark.parametrize(
    ("special", "token"),
    [
        ({"pad_token": "[PAD]", "eos_token": "[SEP]"}, "[PAD]"),
        ({"bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "[UNK]"}, "[SEP]"),
        ({"unk_token": "[UNK]", "bos_token": "[CLS]"}, "[UNK]"),
        ({"bos_token": "[CLS]"}, "[CLS]"),
    ],
)
def test_end_token_is_preferred_and_an_existing_padding_token_stays(special, token):
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tiny_families._encoder_tokenizer(TEXTS).backend_tokenizer, **special
    )
    assert ensure_padding_token(tokenizer, "model.base", "m") == ("pad_token" not in special)
    assert tokenizer.pad_token == token
    assert tokenizer.pad_token_id == tokenizer.get_vocab()[token]


def test_tokenizer_without_any_special_token_is_refused():
    backend = tiny_families._encoder_tokenizer(TEXTS).backend_tokenizer
    with pytest.raises(UserError, match=r"^train_reranker\.base: the tokenizer of org/m has neither a padding token"):
        ensure_padding_token(PreTrainedTokenizerFast(tokenizer_object=backend), "train_reranker.base", "org/m")


def test_vectors_do_not_depend_on_the_token_and_one_line_is_reported(embedder):
    lines = []
    model = load_base(Model(base=str(embedder)), report=lines.append)
    assert lines == [f"the tokenizer of {embedder} has no padding token; '<|im_end|>' is used for it, under the mask"]
    together = model.encode(TEXTS, show_progress_bar=False)
    alone = np.stack([model.encode(text, show_progress_bar=False) for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-5)


def test_such_a_model_is_tokenized_and_trained(prepared, embedder, tmp_path, write_params, monkeypatch, capsys):
    project = tmp_path / "project"
    shutil.copytree(prepared, project)
    fixed = {"train.batch_size": 8, "train.precision": "fp32", "tokenize.max_length": 48}
    turn = {"previous": "base", "steps": 1, "learning_rate": 0.05}
    write_params(project, **{"model.base": str(embedder), "rounds.train.round0": turn} | fixed)
    monkeypatch.chdir(project)
    tokenize_texts.main(TOKENIZE.split())
    assert "tokenize: the tokenizer of " in capsys.readouterr().out
    train.main(TRAIN.split())
    assert (project / "models/round0/round.json").exists()


@pytest.mark.parametrize("family", ["qwen3", "bert"])
def test_reranker_pads_with_such_a_token_too(tmp_path, tiny_corpus, family):
    tiny_families.make_reranker(tmp_path, family, [chunk.content for chunk in tiny_corpus.chunks])
    without_padding(tmp_path)
    lines = []
    model = load_reranker(Model(base=str(tmp_path)), report=lines.append)
    assert len(lines) == 1
    assert format_of(model).frame.pad_token_id == model.tokenizer.pad_token_id
    pairs = [(TEXTS[0], text) for text in TEXTS]
    alone = [float(model.predict([pair], show_progress_bar=False)[0]) for pair in pairs]
    assert model.predict(pairs, show_progress_bar=False).tolist() == pytest.approx(alone, abs=1e-5)


def test_plain_sentence_transformers_fails_without_it(embedder):
    with pytest.raises(ValueError, match="pad"):
        SentenceTransformer(str(embedder), device="cpu").encode(TEXTS, show_progress_bar=False)
