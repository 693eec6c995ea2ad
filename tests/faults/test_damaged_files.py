"""Bits flipped and bytes cut in what stages read and in cached vectors: found, and the run ends with the same bytes."""

import os
from pathlib import Path
from random import Random

import pytest
from forked_stages import FLIPS, count, stages_of

pytestmark = [pytest.mark.faults, pytest.mark.posix]
READERS = {  # a stage that reads each kind of output
    "data/chunks": "split",
    "data/corpus": "triplets",
    "data/questions": "triplets",
    "data/triplets/texts": "tokenize",
    "data/triplets/embedder": "tokenize",
    "data/triplets/round0": "train@round0",
    "data/triplets/reranker": "train_reranker",
    "data/triplets/heldout": "evaluate",
    "data/tokens": "train@round0",
    "models/base": "train@round0",
    "models/round0": "train@round1",
    "models/round1": "evaluate",
    "models/reranker-candidate": "promote",
    "metrics/evaluate.json": "promote",
    "metrics/evaluate/intervals.csv": "promote",
    "metrics/verdict.json": "index",
    "data/runs": "report",
    "models/embedder": "index",
}


def damage(path: Path, random: Random, silently: bool = False) -> str:
    """Flip a bit or cut the end of a file, in place; ``silently``: its size and times stay, as if the disk did it."""
    content, status = bytearray(path.read_bytes()), path.stat()
    how = "cut" if random.random() < 0.4 and not silently else "flipped"
    if how == "cut":
        del content[random.randrange(len(content)) :]
    else:
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(status.st_mode)
    if silently:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return how


def files_in(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file() and one.stat().st_size)


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_input_ends_the_stage_with_its_name(name, copied):
    random = Random(f"damage {name}")
    stage = stages_of(copied())[READERS[name]]
    for file in files_in(stage.project / name):
        whole = file.read_bytes()
        for _ in range(FLIPS):
            how = damage(file, random)
            stage.remove_outs()
            found = stage.run()
            assert found.code == 1, found.output
            assert not found.traceback
            assert "is damaged" in found.output
            assert name in found.output
            assert "dvc.lock" in found.output
            assert stage.missing() == list(stage.outs)
            count(f"stage input {how}", name, "one message with the file")
            file.write_bytes(whole)


@pytest.mark.parametrize("cached", ["vectors"])
def test_a_damaged_cache_is_computed_again(cached, copied):
    random = Random(f"cache {cached}")
    stage = stages_of(copied())["evaluate"]
    folder = stage.project / "data/vectors"
    shards = [one for one in files_in(folder) if ("tokens" in one.parts) == (cached == "token vectors")]
    assert shards
    for shard in random.sample(shards, min(len(shards), 4 * FLIPS)):
        whole = shard.read_bytes()
        for _ in range(FLIPS):
            how = damage(shard, random)
            stage.remove_outs()
            done = stage.run()
            assert done.code == 0, done.output
            assert not stage.missing()
            assert not stage.half_written()
            reported = "damaged" in done.output or "cannot be read" in done.output
            count(
                f"cache of {cached} {how}", "evaluate", "reported, same bytes" if reported else "not used, same bytes"
            )
            shard.write_bytes(whole)
