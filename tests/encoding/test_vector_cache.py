"""Vectors cached on disk: the same bytes with any part of the cache, nothing half-written, a limit to its size."""

import io
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych.encoding.cache_keys import text_keys
from triptych.encoding.encode_texts import encode
from triptych.encoding.vector_cache import VectorCache
from triptych.models.loading import load_base
from triptych.tokens.token_store import open_store, write_store

TEXTS = np.arange(60)


@pytest.fixture
def model(tiny_model, params_with):
    return load_base(params_with(**{"model.base": str(tiny_model)}).model)


@pytest.fixture
def store(tmp_path):
    random = np.random.default_rng(1)
    rows = [random.integers(5, 60, size=3 + number % 20).tolist() for number in range(60)]
    metadata = {"max_length": 24, "padding_side": "right", "pad_token_id": 0, "tokenizer_sha256": "abc"}
    (tmp_path / "tokens").mkdir()
    write_store(tmp_path / "tokens", rows, metadata)
    return open_store(tmp_path / "tokens", "abc")


@pytest.fixture
def encoded(model, store, tmp_path, encoded_counts):
    """Encode texts with the cache; return the vectors and how many texts were encoded."""

    def run(texts=TEXTS, of=model, precision="fp32", **limits):
        encoded_counts()
        cache = VectorCache(tmp_path / "vectors", of, precision, **limits)
        return encode(of, store, texts, precision, "test", cache), *encoded_counts()

    return run


def shards(folder):
    return sorted((folder / "vectors").glob("*/*"))


def test_second_run_encodes_nothing_and_gives_the_same_bytes(encoded, model, store):
    plain = encode(model, store, TEXTS, "fp32", "test")
    first, second = encoded(), encoded()
    assert (first[1], second[1]) == (60, 0)
    assert plain.tobytes() == first[0].tobytes() == second[0].tobytes()


def test_only_texts_that_are_new_are_encoded(encoded, model, store):
    encoded(TEXTS[:57])
    vectors, count = encoded(TEXTS[::-1])
    assert count == 3
    assert vectors.tobytes() == encode(model, store, TEXTS[::-1], "fp32", "test").tobytes()


def test_changed_weights_or_precision_are_another_model(encoded, model):
    before, _ = encoded()
    assert encoded(precision="bf16")[1] == 60
    with torch.no_grad():
        model[0].model.embeddings.word_embeddings.weight[7] += 0.5
    after, count = encoded()
    assert count == 60
    assert not np.array_equal(before, after)


def test_run_killed_while_it_writes_leaves_nothing_that_is_read(encoded, tmp_path, monkeypatch):
    def killed(file, array):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        encoded()
    monkeypatch.undo()
    assert [path.suffix for path in shards(tmp_path)] == [".partial"]
    assert encoded()[1] == 60


def test_truncated_shard_is_encoded_again(encoded, tmp_path):
    good, _ = encoded()
    (shard,) = shards(tmp_path)
    for content in (b"", shard.read_bytes()[:200]):
        shard.write_bytes(content)
        again, count = encoded()
        assert count == 60
        assert again.tobytes() == good.tobytes()


def test_least_recently_used_vectors_are_removed_above_the_limit(encoded, tmp_path):
    sizes = []
    for start in (0, 20, 40):
        encoded(TEXTS[start : start + 20])
        sizes.append(sum(path.stat().st_size for path in shards(tmp_path)))
        for path in shards(tmp_path):
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**10))
    encoded(TEXTS[:20])  # read, and with that used last
    encoded(np.arange(19, 21), limit=sizes[-1])  # nothing new, nothing cleared
    assert len(shards(tmp_path)) == 3
    left_by_a_kill = shards(tmp_path)[0].with_suffix(".7.partial")
    left_by_a_kill.write_bytes(b"half")
    os.utime(left_by_a_kill, ns=(0, 0))
    other = open_store(tmp_path / "tokens", "abc")
    assert encoded(TEXTS[:1], limit=sizes[0])[1] == 0
    cache = shards(tmp_path)[0].parent
    _write(tmp_path / "vectors", text_keys(other, TEXTS[:1]), np.zeros((1, 32), np.float32), 1, sizes[0] + 1000)
    assert not left_by_a_kill.exists()
    assert len(list(cache.iterdir())) == 1  # of the three, the one that was read last
    assert encoded(TEXTS[:20])[1] == 0
    assert encoded(TEXTS[20:40])[1] == 20


def _write(root: Path, keys, vectors, times: int, limit: int = 2**30) -> None:
    cache = object.__new__(VectorCache)  # any model
    cache._root, cache._folder, cache._limit = root, root / "another", limit
    for _ in range(times):
        cache.write(keys, vectors)


def _head(keys, vectors) -> bytes:
    """Return the head of a shard."""
    file = io.BytesIO()
    np.save(file, np.empty(len(keys), [("key", "S16"), ("check", "u4"), ("vector", "f4", vectors.shape[1:])]))
    return file.getvalue().partition(b"\n")[0]


@pytest.mark.posix
def test_writers_at_the_same_time_leave_whole_shards(store, tmp_path):
    keys = text_keys(store, TEXTS)
    vectors = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
    start = multiprocessing.get_context("fork")
    writers = [start.Process(target=_write, args=(tmp_path, keys, vectors, 50)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    (shard,) = (tmp_path / "another").iterdir()
    assert np.load(shard)["vector"].tobytes() == vectors.tobytes()


def test_a_flipped_bit_is_computed_again_and_reported(tmp_path, caplog):
    """In a vector, in a key, in the head, and there in the order of a vector's bytes, which no checksum sees."""
    keys = np.array([b"a" * 16, b"b" * 16], "S16")
    vectors = np.arange(8, dtype=np.float32).reshape(2, 4)
    order = len(_head(keys, vectors).partition(b"('vector', '")[0]) + len(b"('vector', '")
    flips = ((-3, 4, [True, False]), (-70, 4, [False, True]), (1, 4, [False, False]), (order, 2, [False, False]))
    for position, bit, cached in flips:
        cache = VectorCache.__new__(VectorCache)
        cache._root, cache._folder, cache._limit = tmp_path, tmp_path / "model", 10**9
        cache.write(keys, vectors)
        (shard,) = (tmp_path / "model").glob("*.npy")
        content = bytearray(shard.read_bytes())
        content[position] ^= bit
        shard.write_bytes(content)
        found = np.zeros_like(vectors)
        assert cache.read(keys, found).tolist() == cached
        assert (found[cached] == vectors[cached]).all()
        assert (
            "damaged" in caplog.text or "cannot be read" in caplog.text
        ) or position == -70  # a text that is not there
        assert shard.exists() == ("cannot be read" not in caplog.text)  # else each run would try it again
        caplog.clear()


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path, caplog):
    (tmp_path / "model").write_text("a file", encoding="utf-8")
    cache = VectorCache.__new__(VectorCache)
    cache._root, cache._folder, cache._limit = tmp_path, tmp_path / "model", 10**9
    cache.write(np.array([b"a" * 16], "S16"), np.zeros((1, 4), np.float32))
    assert "vectors are not cached" in caplog.text
