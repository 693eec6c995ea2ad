"""Bits flipped and bytes cut in every kind of file that a run keeps: found, and the run ends with the same bytes."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import numpy as np
import pytest
from forked_stages import FLIPS, FULL, count, stages_of, unrecord
from test_dag import _environment, ran, run

from triptych.artifacts import dvc_hash
from triptych.errors import UserError

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


def test_a_damaged_cache_is_computed_again(copied):
    random = Random("cache")
    stage = stages_of(copied())["evaluate"]
    for shard in files_in(stage.project / "data/vectors"):
        os.utime(shard, (0, 0))
    stage.remove_outs()
    stage.run()
    shards = [one for one in files_in(stage.project / "data/vectors") if one.stat().st_mtime]  # that it reads
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
            # A flip may be in the key of a text, which then is not there.
            count(f"cached vectors {how}", "evaluate", "reported, same bytes" if reported else "unseen, same bytes")
            shard.write_bytes(whole)


@pytest.mark.parametrize("kind", ["vectors", "token vectors"])
def test_no_bit_of_a_cached_vector_is_read_otherwise(kind, tiny_model, tmp_path):
    """Each bit of the head of a file, and some of the rest: what is read is what was written, or nothing."""
    from triptych.encoding.text_encoder import load_saved
    from triptych.encoding.token_vector_cache import TokenVectorCache
    from triptych.encoding.vector_cache import VectorCache
    from triptych.retrieval.late_interaction import TokenVectors

    model, draw, random = load_saved(tiny_model), np.random.default_rng(3), Random(f"bits of {kind}")
    keys = np.sort(np.frombuffer(draw.bytes(16 * 7), "S16"))
    vectors = draw.standard_normal((7, 8)).astype(np.float32)
    tokens = TokenVectors.of([draw.integers(-127, 128, (3 + row, 8), np.int8) for row in range(7)])

    def cache():
        return (TokenVectorCache if kind == "token vectors" else VectorCache)(tmp_path, model, "fp32")

    def write():
        cache().write(keys, tokens if kind == "token vectors" else vectors)

    def rows() -> list[np.ndarray | None]:
        if kind == "token vectors":
            return [None if one is None else np.array(one) for one in cache().read(keys)]
        found = np.zeros_like(vectors)
        return [row if there else None for row, there in zip(found, cache().read(keys, found), strict=True)]

    write()
    undamaged = rows()
    files = {path: path.read_bytes() for path in files_in(tmp_path)}
    for path, whole in files.items():
        head = whole.index(b"\n") + 1
        places = list(range(head)) if FULL else random.sample(range(head), 40)
        for place in [*places, *(random.randrange(head, len(whole)) for _ in range(head))]:
            for bit in range(8) if FULL else random.sample(range(8), 2):
                damaged = bytearray(whole)
                damaged[place] ^= 1 << bit
                path.write_bytes(damaged)
                read = rows()
                for one, other in zip(read, undamaged, strict=True):
                    assert one is None or (one.dtype == other.dtype and one.tobytes() == other.tobytes()), (place, bit)
                ended = "not all read" if any(one is None for one in read) else "all read, unchanged"
                count(f"a bit of cached {kind} flipped", path.name, ended)
                for one, content in files.items():
                    one.write_bytes(content)


def test_a_damaged_checkpoint_is_not_continued_from(copied):
    random = Random("checkpoint")
    stage = stages_of(copied())["train@round0"]
    stage.remove_outs()
    kept = _killed_after_two_checkpoints(stage)
    newest = max(kept.glob("checkpoint-*"), key=lambda one: int(one.name.rpartition("-")[2]))
    copy = stage.project.with_name(f"{stage.project.name}-checkpoints")
    shutil.copytree(kept, copy)
    for file in files_in(newest):
        for _ in range(FLIPS if FULL else 1):
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(copy, kept)
            how = damage(kept / newest.name / file.name, random)
            stage.remove_outs()
            done = stage.run()
            assert done.code == 0, done.output
            assert f"{newest.name} is damaged" in done.output
            assert "continuing from" in done.output  # the one before it
            assert not stage.half_written()
            count(f"checkpoint {how}", file.name, "reported, the one before it used, same bytes")


def _killed_after_two_checkpoints(stage) -> Path:
    """Kill a training run once it has written two checkpoints; return the folder with them."""
    import signal

    for tries in range(200):
        shutil.rmtree(stage.project / ".checkpoints", ignore_errors=True)
        stage.remove_outs()
        stage.run(kill=(0.3 + 0.02 * tries, signal.SIGKILL))
        folders = list((stage.project / ".checkpoints/round0").glob("*/checkpoint-4"))
        if folders:
            return folders[0].parent
    raise AssertionError("no kill left two checkpoints")


@pytest.mark.parametrize("place", ["workspace", "workspace and cache", "silently"])
def test_repro_after_damage_ends_with_the_same_bytes(place, cloned):
    """In the workspace; in the object of DVC's cache that it is a hard link to; and where no time has changed."""
    stages = stages_of(cloned)
    file = cloned / "data/corpus/chunks.parquet"
    if place == "workspace":
        whole = file.read_bytes()
        file.unlink()  # else it may be the file in the cache
        file.write_bytes(whole)
        damage(file, Random(place))
    else:
        damage(file, Random(place), silently=place == "silently")
        md5 = _recorded_md5(stages, cloned, "data/corpus", "chunks.parquet")
        cached = cloned / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        if not cached.samefile(file):
            damage(cached, Random(place), silently=place == "silently")
    unrecord(cloned, ["triplets"])  # a stage that reads it runs: where none does, nothing is looked at
    done = subprocess.run(["dvc", "repro"], cwd=cloned, env=_environment(), capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    if done.returncode:
        assert "data/corpus/chunks.parquet is damaged" in output, output
        for name in output.split("else delete ")[1].split(", then run")[0].split(" and "):
            path = Path(name) if Path(name).is_absolute() else cloned / name
            path.chmod(0o755)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        output = run(cloned, "dvc", "repro")
    wrong = {name: one.half_written() for name, one in stages.items() if one.half_written()}
    assert not wrong, output
    assert not {name: one.missing() for name, one in stages.items() if one.missing()}
    again = f"{len(ran(output))} stages run again, same bytes"
    how = "one message, same bytes after what it says" if done.returncode else again
    count("output damaged before `dvc repro`", place, how)


def _recorded_md5(stages, project: Path, folder: str, name: str) -> str:
    recorded = next(one.outs[folder] for one in stages.values() if folder in one.outs)
    listing = json.loads((project / ".dvc/cache/files/md5" / recorded[:2] / recorded[2:]).read_text())
    return next(one["md5"] for one in listing if one["relpath"] == name)


def test_a_damaged_index_or_embedder_of_a_search(copied):
    """Search runs without DVC: what it finds by itself, and how many flips change no answer."""
    from triptych.serving.searcher import Searcher

    random = Random("search")
    project = copied()
    paths = [
        project / "data/index",
        project / "models/embedder",
        project / "models/reranker",
        project / "metrics/verdict.json",
    ]
    questions = ["inverse transform", "masked array", "real input"]

    def answers():
        searcher = Searcher(*paths)
        return [
            [(hit.chunk.chunk_id, hit.score, hit.chunk.content) for hit in found]
            for found in searcher.search_all(questions)
        ]

    before = answers()
    for file in [one for path in paths for one in files_in(path)]:
        whole = file.read_bytes()
        for _ in range(FLIPS):
            how = damage(file, random)
            try:
                after = answers()
            except UserError:
                count(f"search: file {how}", file.name, "one message")
            else:
                count(f"search: file {how}", file.name, "same answers" if after == before else "other answers")
            file.write_bytes(whole)


def test_journals_lose_nothing_of_a_person(tmp_path):
    from triptych.evaluation.label_journal import Journal, Label

    random = Random("labels")
    labels = [Label(f"c{n}", f"wie geht das, Nummer {n}?", (f"c{n}",), "test") for n in range(8)]
    for number in range(20 * FLIPS):
        folder = tmp_path / str(number)
        journal = Journal(folder)
        for one in labels:
            journal.add(one)
        path = folder / "labels.jsonl"
        lines = path.read_bytes().splitlines()
        how = damage(path, random)
        damaged = path.read_bytes()
        try:
            read = Journal(folder).labels
        except UserError as error:
            assert "labels.jsonl:" in str(error)  # noqa: PT017
            assert path.read_bytes() == damaged, "the file is as it was, for the person to mend"
            count(f"journal of labels {how}", "labels.jsonl", "one message with the line, file untouched")
            continue
        kept = path.read_bytes() + (
            path.with_suffix(".torn").read_bytes() if path.with_suffix(".torn").exists() else b""
        )
        assert all(line in kept for line in lines[: damaged.count(b"\n")] if line in damaged)
        assert len(kept.strip()) >= len(damaged.strip()), "no byte is thrown away"
        assert all(one in labels for one in read), "no changed letter is taken for what was written"
        count(f"journal of labels {how}", "labels.jsonl", "read on")
        Journal(folder).add(labels[0])
        assert Journal(folder).labels[-1] == labels[0]


def test_the_journal_of_questions_is_appended_to_after_a_cut(tmp_path):
    from triptych.questions.journal import Journal, Record

    random = Random("questions")
    records = [Record(f"c{n}", ((f"how {n}?", "short"),), "ab" * 32, "p", "m", None, 10) for n in range(6)]
    for number in range(20 * FLIPS):
        path = tmp_path / f"{number}.jsonl"
        with Journal(path) as journal:
            for one in records:
                journal.add(one)
        how = damage(path, random)
        damaged = path.read_bytes()
        try:
            with Journal(path) as journal:
                journal.add(records[-1])
        except UserError as error:
            assert f"{path.name}:" in str(error)  # noqa: PT017
            assert path.read_bytes() == damaged
            count(f"journal of questions {how}", "questions.jsonl", "one message with the line, file untouched")
            continue
        assert Journal(path).records[-1] == records[-1]
        assert all(one in records for one in Journal(path).records), "no changed letter is taken for what was written"
        torn = path.with_suffix(".torn")
        assert len(path.read_bytes()) + (len(torn.read_bytes()) if torn.exists() else 0) > len(damaged.rstrip())
        count(f"journal of questions {how}", "questions.jsonl", "read on")


def test_the_hash_of_an_output_is_that_of_the_lock(finished):
    assert all(
        dvc_hash(finished / name) == md5 for stage in stages_of(finished).values() for name, md5 in stage.outs.items()
    )
