"""Memory that runs out while texts are encoded or pairs scored: smaller batches, then one message."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from triptych.encoding.encode_texts import TOKENS_PER_BATCH, encode
from triptych.encoding.encode_tokens import encode_tokens
from triptych.errors import OutOfMemoryError, is_out_of_memory
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.sections import Model
from triptych.reranker.cross_encoder import load_reranker, pair_scores
from triptych.tokens.pair_store import PairStore
from triptych.tokens.token_store import open_store

TEXTS = np.arange(60)


@pytest.fixture
def model(prepared):
    return load_base(Model(base=str(prepared / "tiny")))


@pytest.fixture
def store(prepared, model):
    return open_store(prepared / "data/tokens", tokenizer_fingerprint(model))


@pytest.fixture
def limit(monkeypatch):
    """Let a module run out of memory above a number of padded tokens; return the numbers that it was given."""
    monkeypatch.setitem(TOKENS_PER_BATCH, "cpu", 1024)

    def call(module, tokens):
        given = []

        def check(_module, inputs):
            given.append(inputs[0]["input_ids"].numel())
            if given[-1] > tokens:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {given[-1]} MiB\nmore")

        module.register_forward_pre_hook(check)
        return given

    return call


def test_batches_are_halved_until_they_fit_and_no_text_is_left_out(model, store, limit, caplog):
    expected = encode(model, store, TEXTS, "fp32", "dev")
    given = limit(model, 300)
    assert np.allclose(encode(model, store, TEXTS, "fp32", "dev"), expected, atol=1e-6)
    tried, fitting = [one for one in given if one > 300], [one for one in given if one <= 300]
    assert tried == sorted(tried, reverse=True)
    assert 1 <= len(tried) <= 3  # 1024, 512: then all that follow are small enough at once
    assert len(fitting) > len(tried)
    lines = [one for one in caplog.messages if "at once from here on" in one]
    assert len(lines) == len(tried)
    assert lines[0].startswith("dev: CUDA out of memory. Tried to allocate")
    assert "more" not in lines[0]


def test_token_vectors_and_scores_of_pairs_have_the_same_way_back(model, store, limit, tiny_model):
    expected = encode_tokens(model, store, TEXTS, "fp32", "late")
    limit(model, 300)
    found = encode_tokens(model, store, TEXTS, "fp32", "late")
    assert np.array_equal(found.offsets, expected.offsets)
    assert np.abs(found.codes.astype(int) - expected.codes).max() <= 1
    reranker = load_reranker(Model(base=str(tiny_model)))
    from triptych.reranker.pair_format import format_of

    pairs = PairStore(store, 1, 1, format_of(reranker).frame, 64)
    ids = np.stack([TEXTS, TEXTS[::-1]], axis=1)
    scores = pair_scores(reranker, pairs, ids, "fp32", "rerank")
    given = limit(reranker, 300)
    assert np.allclose(pair_scores(reranker, pairs, ids, "fp32", "rerank"), scores, atol=1e-5)
    assert max(given) > 300


def test_text_that_does_not_fit_alone_ends_in_one_message_that_names_what_to_set(model, store, limit, tiny_model):
    given = limit(model, 0)
    with pytest.raises(OutOfMemoryError) as raised:
        encode(model, store, TEXTS, "fp32", "mine: chunks")
    message = str(raised.value)
    assert message.startswith("mine: chunks: CUDA out of memory. Tried to allocate")
    assert message.endswith(
        "lower tokenize.max_length, set train.load_in: bf16, 8bit or 4bit, or take a smaller model.base"
    )
    assert "\n" not in message
    assert given[-1] <= 64  # one text


def test_other_errors_of_a_model_are_not_taken_for_it(model, store):
    def fails(_module, _inputs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    model.register_forward_pre_hook(fails)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        encode(model, store, TEXTS, "fp32", "dev")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OutOfMemoryError("dev: too long"), True),
        (OSError(28, "No space left on device"), False),
        (RuntimeError("shapes cannot be multiplied"), False),
    ],
)
def test_errors_that_mean_it(error, expected):
    assert is_out_of_memory(error) == expected


CODE = """
import resource, sys, logging
from pathlib import Path
import numpy as np
from triptych.encoding import encode_texts
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.sections import Model
from triptych.tokens.token_store import open_store
from stages.command import run
logging.basicConfig(level=logging.WARNING, format="%(message)s")
folder = Path(sys.argv[1])
model = load_base(Model(base=str(folder / "tiny")))
store = open_store(folder / "data/tokens", tokenizer_fingerprint(model))
longest = int(store.lengths.argmax())
texts = np.full(8_000, longest)
encode_texts.encode(model, store, texts[:1], "fp32", "warm")
lengths, read = store.lengths[texts], lambda out: out["sentence_embedding"].numpy()
features = encode_texts.text_features(store, texts)
used = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + 50 * 2**20,) * 2)
encode_texts.TOKENS_PER_BATCH["cpu"] = 500_000  # several hundred MiB
def main():
    rows, _ = next(encode_texts.forward_in_batches(model, lengths, features, read, "fp32", "dev", "texts"))
    print("encoded", len(rows))
    np.ones(2**40)
run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_allocations_that_fail_are_followed_by_smaller_ones_and_the_last_by_one_message(prepared):
    limited = subprocess.run([sys.executable, "-c", CODE, str(prepared)], capture_output=True, text=True, check=False)
    assert "encoded" in limited.stdout, limited.stderr
    assert "tokens at once from here on" in limited.stderr
    assert limited.returncode == 1
    assert limited.stderr.splitlines()[-1].startswith("error: memory ran out (")
    assert "Traceback" not in limited.stderr
