"""Token vectors: the model's own, of each family, in order; cached ones are not encoded again."""

import numpy as np
import pytest
import tiny_families

from triptych.corpus.embedded_text import FramedText
from triptych.encoding import text_encoder
from triptych.encoding.text_encoder import TextEncoder, load_saved
from triptych.encoding.token_vector_cache import TokenVectorCache
from triptych.errors import UserError
from triptych.retrieval.late_interaction import TokenVectors

TEXTS = ["Sort an array in place.", "x", "Join two frames on a key, or on several keys.", "Return the inverse of rfft."]


@pytest.fixture(params=["bert", "modernbert", "qwen3"])
def folder(request, tmp_path):
    tiny_families.make_embedder(tmp_path / "model", request.param, TEXTS)
    return tmp_path / "model"


@pytest.fixture
def encoded(tmp_path, encoded_counts):
    """Encode passages with the cache; return the token vectors and how many texts were encoded."""

    def run(model, texts):
        encoded_counts()
        windows = [[FramedText("", text)] for text in texts]
        blocks = list(TextEncoder(model, "fp32", "test").passage_tokens(windows, tmp_path / "vectors"))
        return [codes for block in blocks for codes in block.each()], sum(encoded_counts())

    return run


def directions(codes):
    vectors = codes.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_they_are_the_models_own_without_padding(folder, encoded):
    model = load_saved(folder)
    own = model.encode_document(TEXTS, output_value="token_embeddings", batch_size=1, show_progress_bar=False)
    codes, _ = encoded(model, TEXTS)
    for mine, theirs in zip(codes, own, strict=True):
        theirs = theirs.numpy() / np.linalg.norm(theirs.numpy(), axis=1, keepdims=True)
        assert mine.shape == theirs.shape
        np.testing.assert_allclose(directions(mine), theirs, atol=0.01)


def test_a_part_of_the_cache_saves_its_part_and_changes_no_byte(folder, encoded, monkeypatch):
    model = load_saved(folder)
    monkeypatch.setattr(text_encoder, "_BLOCK", 20)  # tokens
    first, count = encoded(model, TEXTS)
    assert count == len(TEXTS)
    again, count = encoded(model, TEXTS[::-1])
    assert count == 0
    more, count = encoded(model, [TEXTS[2], "Another text.", TEXTS[0], TEXTS[2]])
    assert count == 1
    for mine, theirs in zip(
        [*again, more[0], more[2], more[3]], [*first[::-1], *(first[n] for n in (2, 0, 2))], strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("harm", ["flip", "cut", "head"])
@pytest.mark.parametrize("file", ["codes", "texts"])
def test_a_damaged_cache_is_reported_and_encoded_again_once(file, harm, tiny_model, encoded, tmp_path, caplog):
    model = load_saved(tiny_model)
    first, _ = encoded(model, TEXTS)
    (path,) = tmp_path.glob(f"vectors/tokens/*/*.{file}.npy")
    content = bytearray(path.read_bytes())
    if harm == "cut":
        del content[-9:]
    else:
        content[1 if harm == "head" else -3] ^= 4
    path.write_bytes(content)
    windows = [[FramedText("", text)] for text in TEXTS]
    (again,) = TextEncoder(model, "fp32", "test").passage_tokens(windows, tmp_path / "vectors")
    assert "computed again" in caplog.text
    encoded(model, TEXTS)  # those of the shard that were whole
    last, count = encoded(model, TEXTS)
    assert count == 0
    for one, two, three in zip(first, again.each(), last, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_a_vector_that_is_not_finite_is_one_message(folder, encoded):
    model = load_saved(folder)
    with_nan = next(weight for name, weight in model.named_parameters() if name.endswith("weight"))
    with_nan.data[:] = np.nan
    with pytest.raises(UserError, match="a vector that is not finite"):
        encoded(model, TEXTS)


@pytest.mark.posix  # this process has the shards of the other runs in memory, which Windows would not remove
def test_shards_of_other_runs_make_room_and_those_this_run_used_stay(tmp_path, tiny_model):
    model = load_saved(tiny_model)
    block = TokenVectors.of([np.ones((10, 8), np.int8)])
    TokenVectorCache(tmp_path, model, "fp32").write(np.array([b"a"], "S16"), block)
    shard = sum(path.stat().st_size for path in tmp_path.glob("tokens/*/*"))
    first = TokenVectorCache(tmp_path, model, "fp32", 2 * shard)
    for key in (b"a", b"b", b"c"):
        first.write(np.array([key], "S16"), block)
    later = TokenVectorCache(tmp_path, model, "fp32", 2 * shard)
    assert [codes is not None for codes in later.read(np.array([b"a", b"b", b"c"], "S16"))] == [True, True, False]
    other = TokenVectorCache(tmp_path, model, "fp32", 2 * shard)
    other.write(np.array([b"d"], "S16"), block)
    again = TokenVectorCache(tmp_path, model, "fp32", 2 * shard)
    assert sum(codes is not None for codes in again.read(np.array([b"a", b"b"], "S16"))) == 1
    assert next(again.read(np.array([b"d"], "S16"))) is not None
