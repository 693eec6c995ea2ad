"""Mining compared with sentence-transformers' ``mine_hard_negatives``: time, memory, and planted false negatives.

``python -m benchmarks.mining [--project .] [--chunks 100000] [--anchors 100000] [--repeats 2] [--windows 1] [--quick]``

Time and memory: both sides mine the same vectors (those of the project's texts, multiplied by adding noise) from the
same files with exact search and the same rules: 50 candidates, scores of at most 0.8 of the positive's, the 4 closest.
The peer's model reads its vectors from a file, so that neither side's time includes encoding. The sides alternate, each
in its own process, with sentence-transformers and torch imported before the clock starts. Memory is the peak of the
whole process, and how much mining added to the peak after the imports.

Planted: near-copies and paraphrases of positives are added to the train split under other titles and files. The share
of them that become negatives of an anchor whose positive they repeat is reported for the nearest neighbors without a
filter, the peer with the settings that its documentation recommends, and stage ``mine`` with params.yaml.
"""

import argparse
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import chdir, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

DEPTH, WANTED, MARGIN = 50, 4, 0.8


def ours(folder: Path) -> np.ndarray:
    """Mine with Triptych; return chunk rows, int64 of shape (anchors, wanted), padded with -1."""
    from triptych.corpus.records import Chunk
    from triptych.params.load import load_params
    from triptych.triplets.examples import Examples
    from triptych.triplets.false_negatives import PositivesByAnchor, Relations
    from triptych.triplets.mining.candidate_filter import CandidateFilter
    from triptych.triplets.mining.hard_negatives import MiningVectors, mine_hard_negatives, neighbors
    from triptych.triplets.negatives import Pool

    anchors, passages = np.load(folder / "anchors.npy"), np.load(folder / "passages.npy")
    positive = np.load(folder / "positive.npy")
    changes = {"depth": DEPTH + 1, "relative_margin": MARGIN, "prefer_other_category": 0.0, "hard_from": -1.0}
    params = load_params().mine.model_copy(update=changes | {"hard_ranks": DEPTH + 1})
    number, zeros = len(anchors), np.zeros(len(anchors), np.int32)
    chunks = [
        Chunk(str(row), "one", "", (), "", text, "", row, row, "train")
        for row, text in enumerate((folder / "passages.txt").read_text(encoding="utf-8").split("\0"))
    ]
    examples = Examples(np.arange(number), positive, positive, zeros, zeros, ("one",), Pool.of([()] * number))
    candidate_filter = CandidateFilter(Relations(chunks, []), PositivesByAnchor(examples.anchor, positive), params)
    blocks = neighbors(examples, MiningVectors(anchors, passages, np.arange(len(passages))), params)
    pool = mine_hard_negatives(examples, blocks, chunks, candidate_filter, WANTED)[0].pool
    rows = np.full((number, WANTED), -1)
    rows[pool.anchors, np.arange(len(pool.chunk)) - pool.offsets[pool.anchors]] = pool.chunk
    return rows


def theirs(folder: Path) -> np.ndarray:
    """Mine with sentence-transformers; return what `ours` returns."""
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    passages = (folder / "passages.txt").read_text(encoding="utf-8").split("\0")
    anchors = (folder / "anchors.txt").read_text(encoding="utf-8").split("\0")
    positive = np.load(folder / "positive.npy").tolist()
    dataset = Dataset.from_dict({"anchor": anchors, "positive": [passages[row] for row in positive]})
    mined = mine_hard_negatives(
        dataset,
        _precomputed_model(folder),
        corpus=passages,
        range_max=DEPTH,
        relative_margin=1 - MARGIN,
        num_negatives=WANTED,
        use_faiss=True,
        output_format="labeled-list",
        verbose=False,
    )
    passage_row = {text: row for row, text in enumerate(passages)}
    anchor_row = {text: row for row, text in enumerate(anchors)}
    rows = np.full((len(anchors), WANTED), -1)
    for anchor, texts in zip(mined["anchor"], mined["positive"], strict=True):
        negatives = [passage_row[text] for text in texts[1:]]
        rows[anchor_row[anchor], : len(negatives)] = negatives
    return rows


def _precomputed_model(folder: Path) -> Any:
    """Return a model that returns the vectors in a folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize

    class Precomputed(SentenceTransformer):
        """Returns the stored vectors in their order, whatever the texts."""

        def encode_document(self, *_: Any, **__: Any) -> np.ndarray:
            return np.load(folder / "passages.npy")

        def encode_query(self, *_: Any, **__: Any) -> np.ndarray:
            return np.load(folder / "anchors.npy")

        def get_embedding_dimension(self) -> int:
            return int(np.load(folder / "anchors.npy", mmap_mode="r").shape[1])

    return Precomputed(modules=[Normalize()], device="cpu")


def make_vectors(base: Any, texts: list[str], chunks: int, anchors: int, folder: Path) -> None:
    """Write vectors and texts of many chunks and anchors: noisy copies of those of ``texts``."""
    generator = np.random.default_rng(5)
    real = base.encode(texts, normalize_embeddings=True, show_progress_bar=False)

    def noisy(rows: np.ndarray, share: float) -> np.ndarray:
        vectors = real[rows] + share * generator.standard_normal((len(rows), real.shape[1])).astype(np.float32) / 20
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    source = np.arange(chunks) % len(texts)
    passages, positive = noisy(source, 1.0), np.sort(generator.permutation(chunks)[:anchors]).astype(np.int32)
    queries = passages[positive] + 0.6 * noisy(source[positive], 1.0)
    np.save(folder / "passages.npy", passages)
    np.save(folder / "anchors.npy", queries / np.linalg.norm(queries, axis=1, keepdims=True))
    np.save(folder / "positive.npy", positive)
    (folder / "passages.txt").write_text("\0".join(f"{texts[s]} {n}" for n, s in enumerate(source)), encoding="utf-8")
    (folder / "anchors.txt").write_text("\0".join(f"{texts[source[p]][:80]} ? {p}" for p in positive), encoding="utf-8")


def timed(side: str, folder: Path) -> list[float]:
    """Run one side in its own process; return seconds, its peak memory, and the memory that mining added, in GiB."""
    command = [sys.executable, "-m", "benchmarks.mining", "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(one) for one in done.stdout.splitlines()[-1].split()]


def one_side(side: str, folder: Path) -> None:
    """Mine, and print the line that `timed` parses."""
    import datasets  # noqa: F401
    import sentence_transformers  # noqa: F401

    def peak() -> float:  # getrusage would start with the parent's memory at the fork
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 2**20

    before, start = peak(), time.perf_counter()
    rows = {"ours": ours, "theirs": theirs}[side](folder)
    seconds = time.perf_counter() - start
    np.save(folder / f"{side}.npy", rows)
    print(seconds, peak(), peak() - before)


def race(base: Any, texts: list[str], chunks: int, anchors: int, repeats: int) -> dict[str, float]:
    """Time both sides, alternating; return the ratios of ours to theirs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_vectors(base, texts, chunks, anchors, folder)
        runs: dict[str, list[list[float]]] = {"ours": [], "theirs": []}
        for _ in range(repeats):
            for side, of_side in runs.items():
                of_side.append(timed(side, folder))
        same = (np.load(folder / "ours.npy") == np.load(folder / "theirs.npy")).all(axis=1).mean()
    median = {side: [statistics.median(one) for one in zip(*of_side, strict=True)] for side, of_side in runs.items()}
    print(f"{chunks} chunks, {anchors} anchors | seconds | peak GiB | added GiB")
    for side, values in median.items():
        print(" | ".join([side, *(f"{one:.2f}" for one in values)]))
    print(f"the same negatives for {same:.2%} of the anchors", flush=True)
    ratios = [
        our_median / their_median for our_median, their_median in zip(median["ours"], median["theirs"], strict=True)
    ]
    names = ("ratio_time", "ratio_peak_memory", "ratio_added_memory")
    return dict(zip(names, ratios, strict=True)) | {"same_rows": float(same)}


_PAIRS = """
return=give returns=gives returned=given compute=calculate computes=calculates computed=calculated array=matrix
arrays=matrices element=entry elements=entries value=number values=numbers given=supplied specified=stated
input=argument output=result axis=dimension axes=dimensions function=routine method=procedure use=employ used=employed
using=by default=standard same=identical all=every each=every new=fresh number=count sequence=list object=instance
objects=instances convert=turn converts=turns create=make creates=makes contains=holds contain=hold whether=if only=just
must=should data=records index=label columns=fields column=field rows=records row=record set=put sets=puts find=look
select=pick remove=drop missing=absent
"""
_SYNONYMS = dict(pair.split("=") for pair in _PAIRS.split())
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def near_copy(text: str, generator: random.Random) -> str:
    """Return the text without one word in fifteen and with other words around it, like a page of another version."""
    kept = [word for word in text.split(" ") if generator.random() > 1 / 15]
    return f"Added in version 2.{generator.randint(0, 9)}. {' '.join(kept)} See the release notes for what has changed."


def paraphrase(text: str, generator: random.Random) -> str:
    """Return the text with its sentences in another order and common words replaced."""
    sentences = [one for one in _SENTENCE.split(text) if one.strip()]
    cut = generator.randint(1, max(len(sentences) - 1, 1))
    words = " ".join(sentences[cut:] + sentences[:cut]).split(" ")
    return " ".join(_SYNONYMS.get(word.lower().strip(".,"), word) for word in words)


def plant(
    project: Path, out: Path, number: int, seed: int, settings: dict[str, Any], windows: int
) -> dict[str, tuple[str, str]]:
    """Write a project with planted chunks into ``out``; return chunk id → ids of its near-copy and paraphrase."""
    from triptych.corpus.duplicates.near_duplicates import cluster
    from triptych.corpus.records import Chunk, read_chunks, write_chunks
    from triptych.params.load import load_params

    for name in ("data/corpus", "data/questions"):
        shutil.copytree(project / name, out / name)
    raw = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    raw.setdefault("triplets", {}).update(settings)
    raw.setdefault("tokenize", {})["max_windows"] = windows
    (out / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    chunks = read_chunks(out / "data/corpus/chunks.parquet")
    generator = random.Random(seed)
    candidates = [one for one in chunks if one.split == "train" and len(_SENTENCE.split(one.content)) >= 2]
    planted: dict[str, tuple[str, str]] = {}
    copies: list[Chunk] = []
    for index, one in enumerate(generator.sample(candidates, number)):
        names = []
        for kind, change in (("copy", near_copy), ("paraphrase", paraphrase)):
            name = f"planted-{kind}-{index}"
            copies.append(
                replace(
                    one,
                    chunk_id=name,
                    filename=f"{name}.md",
                    header_path=("Notes", name),
                    title=f"Note {name}",
                    content=change(one.content, generator),
                    document_id=-2 - len(copies),
                )
            )
            names.append(name)
        planted[one.chunk_id] = (names[0], names[1])
    chunks += copies
    similar = load_params(out / "params.yaml").split.near_duplicates
    near = cluster([[one.content for one in chunks]], similar).cluster
    chunks = [replace(one, cluster_id=int(group)) for one, group in zip(chunks, near, strict=True)]
    write_chunks(out / "data/corpus/chunks.parquet", chunks)
    return planted


def planted_test(project: Path, number: int, seed: int, settings: dict[str, Any], windows: int = 1) -> dict[str, float]:
    """Plant, mine in three ways with the base model, and return the share of planted chunks that become negatives.

    The peer compares the beginnings of chunks only, also where we compare ``windows``.
    """
    from benchmarks.recipes import prepare_recipe
    from stages import mine
    from triptych.encoding.mining_vectors import vectors_for_mining
    from triptych.ids import ChunkRows
    from triptych.models.loading import load_base
    from triptych.retrieval.dense import search
    from triptych.triplets.examples import read_examples, read_texts

    with tempfile.TemporaryDirectory() as scratch:
        planted_project, folder = Path(scratch) / "project", Path(scratch) / "recipe"
        folder.mkdir()
        planted = plant(project, planted_project, number, seed, settings, windows)
        recipe = prepare_recipe(planted_project, folder, [], False, ["dev"])
        with chdir(folder), redirect_stdout(sys.stderr):
            arguments = (
                "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens"
                " --round data/triplets/round0 --model models/base"
                " --mined data/triplets/round1 --metrics mine.json --vectors data/vectors"
            )
            mine.main(arguments.split())
        examples = read_examples(folder / "data/triplets/round1/examples.parquet")
        chunks, evaluator = recipe.evaluator.chunks, recipe.evaluator
        rows = ChunkRows(np.array([row for row, one in enumerate(chunks) if one.split == "train"]))
        base = load_base(recipe.params.model)
        vectors = vectors_for_mining(
            base, evaluator.store, examples, evaluator.passage_ids, rows, evaluator.precision, folder / "data/vectors"
        )
        texts = read_texts(folder / "data/triplets/texts")[1]
    row_of = {one.chunk_id: row for row, one in enumerate(chunks)}
    copies = {row_of[one]: {row_of[name] for name in names} for one, names in planted.items()}
    anchor_rows = np.flatnonzero(np.isin(examples.positive_chunk, list(copies)))
    positives = examples.positive_chunk[anchor_rows].tolist()

    passage_vectors = vectors.passages[vectors.windows.starts[:-1]]
    nearest = rows[search(vectors.anchors[anchor_rows], passage_vectors, WANTED + 1)[0]].tolist()
    raw = [[one for one in near if one != own][:WANTED] for near, own in zip(nearest, positives, strict=True)]
    pools = [{one.chunk for one in examples.pool[int(one)]} for one in anchor_rows]
    passages = [texts[evaluator.passage_ids[row]] for row in rows.tolist()]
    anchors = [texts[one] for one in examples.anchor[anchor_rows].tolist()]
    vector_of = dict(zip(passages, passage_vectors, strict=True))
    vector_of |= dict(zip(anchors, vectors.anchors[anchor_rows], strict=True))
    positive_texts = [texts[evaluator.passage_ids[row]] for row in positives]
    row_of_text = {text: row for text, row in zip(passages, rows.tolist(), strict=True)}

    def share(negatives: list[Any]) -> float:
        hits = sum(len(copies[one] & set(chosen)) for one, chosen in zip(positives, negatives, strict=True))
        return hits / 2 / len(anchor_rows)  # each original has two planted chunks

    result = {"planted_raw": share(raw), "planted_ours": share(pools)}
    for name, margin in (
        ("planted_peer", 0.05),
        ("planted_peer_at_our_margin", 1 - recipe.params.mine.relative_margin),
    ):
        mined = recommended(anchors, positive_texts, passages, vector_of, margin)
        result[name] = share([[row_of_text[text] for text in mined.get(anchor, [])] for anchor in anchors])
    hard = np.bincount(examples.pool.anchors[examples.pool.tier == 2], minlength=len(examples))
    filled = hard >= recipe.params.triplets.negatives_per_anchor
    result |= {"rows_filled": float(filled.mean()), "rows_filled_of_originals": float(filled[anchor_rows].mean())}
    print(f"{2 * number} planted chunks, {len(anchor_rows)} anchors of their originals, {len(rows)} train chunks")
    for name, value in result.items():
        print(f"{name} | {value:.2%}")
    return result


def recommended(
    anchors: list[str], positives: list[str], passages: list[str], vector_of: dict[str, np.ndarray], margin: float
) -> dict[str, list[str]]:
    """Mine with sentence-transformers' recommended settings; return anchor → negatives."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize
    from sentence_transformers.util import mine_hard_negatives

    class Precomputed(SentenceTransformer):
        """Returns the vector of each text."""

        def encode_document(self, texts: list[str], **_: Any) -> np.ndarray:
            return np.stack([vector_of[text] for text in texts])

        encode_query = encode_document

        def get_embedding_dimension(self) -> int:
            return len(vector_of[passages[0]])

    mined = mine_hard_negatives(
        Dataset.from_dict({"anchor": anchors, "positive": positives}),
        Precomputed(modules=[Normalize()], device="cpu"),
        corpus=passages,
        relative_margin=margin,
        num_negatives=WANTED,
        sampling_strategy="top",
        use_faiss=True,
        output_format="labeled-list",
        verbose=False,
    )
    answers: dict[str, set[str]] = {}
    for anchor, positive in zip(anchors, positives, strict=True):
        answers.setdefault(anchor, set()).add(positive)
    return {
        anchor: [text for text in texts if text not in answers[anchor]]
        for anchor, texts in zip(mined["anchor"], mined["positive"], strict=True)
    }


def main() -> None:
    """Print a table for each part, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--chunks", type=int, default=100_000, help="for time and memory")
    parser.add_argument("--anchors", type=int, default=100_000, help="for time and memory")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each side")
    parser.add_argument("--planted", type=int, default=400, help="originals; each gets a near-copy and a paraphrase")
    parser.add_argument("--seed", type=int, default=11, help="of the planted chunks")
    parser.add_argument("--windows", type=int, default=1, help="most windows of a chunk with planted ones")
    parser.add_argument("--quick", action="store_true", help="20 k chunks, 4 k anchors, 100 originals, one repeat")
    parser.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        one_side(args.side, args.folder)
        return
    settings: dict[str, Any] = {}
    if args.quick:
        args.chunks, args.anchors, args.repeats, args.planted = 20_000, 4_000, 1, 100
        settings = {"anchors_per_chunk": 1}

    from triptych.corpus.records import read_chunks
    from triptych.models.loading import load_base
    from triptych.params.load import load_params

    chunks = read_chunks(args.project / "data/corpus/chunks.parquet")
    texts = [one.content[:200] for one in chunks][: 500 if args.quick else 2000]
    base = load_base(load_params(args.project / "params.yaml").model)
    results = race(base, texts, args.chunks, args.anchors, args.repeats)
    results |= planted_test(args.project, args.planted, args.seed, settings, args.windows)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
