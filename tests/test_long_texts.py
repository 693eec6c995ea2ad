"""Texts longer than the cut, by their windows: every stage, and chunks that are hard to cut."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hand_made import EVALUATE, INDEX, PROMOTE, TRAIN
from sentence_transformers import CrossEncoder
from verdicts import make_verdicts

from stages import evaluate, index, mine, promote, rate, train, train_reranker
from triptych import Searcher
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.records import read_chunks
from triptych.encoding.mining_vectors import vectors_for_mining, window_overlap, windows_found
from triptych.encoding.text_encoder import TextEncoder, load_saved
from triptych.evaluation.metrics import mean, per_query
from triptych.evaluators.retrieval_evaluator import choose_strength, load_evaluator
from triptych.ids import ChunkRows
from triptych.models.adapter import Blend
from triptych.models.loading import load_base, tokenizer_fingerprint
from triptych.params.load import load_params
from triptych.params.sections import TrainRound
from triptych.tokens.token_store import open_store
from triptych.training.data.answering_windows import answering_windows
from triptych.training.data.training_data import prepare_training_data
from triptych.triplets.examples import read_examples, read_passage_ids
from triptych.triplets.mining.mining_metrics import REASONS
from triptych.triplets.views import VIEWS

pytestmark = pytest.mark.dag

RATE = (
    "--texts data/triplets/texts --tokens data/tokens --base models/base --embedder data/triplets/embedder"
    " --reranker data/triplets/reranker0 --metrics metrics/rate.json --tables metrics/rate --vectors data/vectors"
)
MINE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens"
    " --round data/triplets/{examples} --model models/round0"
    " --mined data/triplets/{mined} --metrics metrics/mine/{mined}.json --vectors data/vectors"
)
RERANKER = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens --round data/triplets/reranker"
    " --retriever models/round0 --reranker models/reranker-candidate"
    " --metrics metrics/train_reranker.json --curve metrics/train_reranker.csv --checkpoints .checkpoints/reranker"
)
ROUND = {"steps": 3, "learning_rate": 1.0e-3}
SETTINGS = {
    "model.base": "./tiny",
    "tokenize.max_length": 32,
    "tokenize.max_windows": 6,
    "train.batch_size": 8,
    "train.precision": "fp32",
    "train.loss": "softmax",
    "mine.relative_margin": 1.0,
    "rounds.train": {"round0": {"previous": "base", **ROUND}, "round1": {"previous": "round0", **ROUND}},
    "rounds.mine": {
        "round1": {"previous": "round0", "examples": "round0"},
        "reranker": {"previous": "round0", "examples": "reranker0"},
    },
    "train_reranker.steps": 4,
    "train_reranker.batch_size": 4,
    "train_reranker.max_length": 48,  # above the cut: texts and windows are tokenized again
    "evaluate.round": "round0",
    "evaluate.late_weights": [0.5, 1.0],
    "evaluate.rerank_weights": [0.5, 1.0],
    "evaluate.bootstrap_samples": 100,
    "index.precision": "float32",
    "rate.anchors": 40,
}


def run_all(folder, monkeypatch):
    """Run every stage after tokenize, up to the index."""
    monkeypatch.chdir(folder)
    rate.main(RATE.split())
    train.main(TRAIN.split())
    mine.main(MINE.format(examples="round0", mined="round1").split())
    train.main(TRAIN.replace("round0", "round1").replace("models/base", "models/round0").split())
    mine.main(MINE.format(examples="reranker0", mined="reranker").split())
    train_reranker.main(RERANKER.split())
    evaluate.main(EVALUATE.split())
    promote.main([*PROMOTE.split(), "models/embedder"])
    index.main(INDEX.split())


@pytest.fixture(scope="module")
def project(tmp_path_factory, prepare):
    sources = [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "ma")]
    folder = prepare(tmp_path_factory.mktemp("long"), **SETTINGS, **{"ingest.sources": sources})
    with pytest.MonkeyPatch.context() as patch:
        run_all(folder, patch)
    return folder


@pytest.fixture
def loaded(project, monkeypatch):
    """The store, the examples of round 0 and the text id of each passage."""
    monkeypatch.chdir(project)
    store = open_store(project / "data/tokens", tokenizer_fingerprint(load_base(load_params().model)))
    examples = read_examples(project / "data/triplets/round0/examples.parquet")
    return store, examples, read_passage_ids(project / "data/triplets/texts")


def data_of(project, store, examples, negatives="stored", **changes):
    params = load_params()
    params = params.model_copy(update={"train": params.train.model_copy(update=changes)})
    return prepare_training_data(
        project / "data/corpus",
        project / "data/triplets/texts",
        store,
        examples,
        project / "models/base",
        params,
        TrainRound(previous="base", steps=12, learning_rate=0.01, negatives=negatives),
        1,
        project / "data/vectors",
    )


def chunk_of(store, passage_ids):
    """Return the chunks of each text id of a window."""
    window_ids, chunk = store.windows_of(passage_ids)
    chunks = {}
    for window, row in zip(window_ids.tolist(), chunk.tolist(), strict=True):
        chunks.setdefault(window, set()).add(row)
    return chunks


def test_negatives_mined_within_a_round_are_windows_of_their_chunks(project, loaded):
    store, examples, passage_ids = loaded
    chunks, model = chunk_of(store, passage_ids), load_base(load_params().model)
    mined = data_of(project, store, examples, mine_every=20, loss="softmax").miner.mine(model, examples)
    pool = mined.examples.pool
    assert all(
        chunk in chunks[window] for window, chunk in zip(mined.negatives.tolist(), pool.chunk.tolist(), strict=True)
    )
    assert set(mined.negatives.tolist()) - set(passage_ids.tolist())
    assert data_of(project, store, examples, mine_every=0, loss="softmax").miner is None


def test_positives_and_negatives_are_windows_of_their_chunks(project, loaded):
    store, examples, passage_ids = loaded
    schedule, chunks = data_of(project, store, examples).schedule, chunk_of(store, passage_ids)
    further = 0
    for batch in range(len(schedule)):
        rows = schedule.rows(batch)
        for text, chunk in zip(
            [*rows["positive"], *rows["negative"]], [*rows["positive_chunk"], *rows["negative_chunk"]], strict=True
        ):
            assert chunk in chunks[int(text)]
            further += text not in passage_ids
    assert further > 20


def test_an_anchor_of_a_sentence_is_answered_by_the_window_that_contains_it(loaded):
    store, examples, _ = loaded
    answers = answering_windows(store, examples, lambda anchors, passages: passages)
    further = 0
    for row in np.flatnonzero(np.isin(examples.view, [VIEWS.index(view) for view in ("lead", "phrase")])):
        windows, _ = store.windows_of(examples.positive[[row]])
        assert answers[row] in windows
        words = " ".join(map(str, store[int(examples.anchor[row])][1:-1]))
        held = [f" {words} " in f" {' '.join(map(str, store[int(window)]))} " for window in windows]
        if any(held):
            assert held[windows.tolist().index(answers[row])]
            further += not held[0]
    assert further > 20


def test_windows_of_one_chunk_are_not_each_others_negatives(project, loaded):
    store, examples, passage_ids = loaded
    data, chunks = data_of(project, store, examples), chunk_of(store, passage_ids)
    pairs = 0
    for batch in range(len(data.schedule)):
        columns = data.schedule.rows(batch)
        related = data.collator(columns)["rows"]["related"].numpy()
        texts = np.unique(np.concatenate([columns["positive"], columns["negative"]]))
        for row, (positive, chunk) in enumerate(zip(columns["positive"], columns["positive_chunk"], strict=True)):
            for column, text in enumerate(texts.tolist()):
                if chunk in chunks[text]:
                    assert related[row, column]
                    pairs += text != positive
    assert pairs


def test_the_teacher_ranks_windows_and_a_row_has_one_of_each_chunk(project, loaded):
    store, examples, passage_ids = loaded
    data = data_of(project, store, examples, loss="distill")
    chunks = read_chunks(project / "data/corpus/chunks.parquet")
    train_rows = [row for row, chunk in enumerate(chunks) if chunk.split == "train"]
    window_ids, of_window = store.windows_of(passage_ids[train_rows])
    own = {}
    for anchor, chunk in zip(examples.anchor.tolist(), examples.positive_chunk.tolist(), strict=True):
        own.setdefault(anchor, set()).add(train_rows.index(chunk))
    several = 0
    for batch in range(len(data.schedule)):
        rows = data.schedule.rows(batch)
        for anchor, windows, scores in zip(rows["anchor"], rows["windows"], rows["teacher"], strict=True):
            given = of_window[windows[np.isfinite(scores)]].tolist()
            assert sorted(given) == sorted(set(of_window[windows].tolist()))
            assert own[int(anchor)] & set(given)
            several += len(given) < len(windows)
    assert several
    assert (window_ids[rows["windows"]] >= len(store.windows) - 1).any()


def test_mining_compares_chunks_by_the_windows_that_an_anchor_finds(project, loaded):
    store, examples, passage_ids = loaded
    chunks = read_chunks(project / "data/corpus/chunks.parquet")
    rows = ChunkRows(np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"]))
    model = load_base(load_params().model)
    vectors = vectors_for_mining(model, store, examples, passage_ids, rows, "fp32")
    found = windows_found(vectors, store, passage_ids)
    pairs = np.random.default_rng(1).integers(0, [[len(examples)], [len(rows)]], (2, 50))
    texts = found(pairs[0], rows[pairs[1]])
    window_ids, position = store.windows_of(passage_ids[rows])
    for example, chunk, text in zip(*pairs, texts, strict=True):
        of_chunk = np.flatnonzero(position == chunk)
        cosines = vectors.passages[of_chunk] @ vectors.anchors[example]
        assert text == window_ids[of_chunk[np.argmax(cosines)]]
    overlap = window_overlap(found, vectors, store, passage_ids)
    same = overlap(pairs[0], rows[pairs[1]], rows[pairs[1]])
    assert same.tolist() == [1.0] * 50
    rejected = json.loads((project / "metrics/mine/round1.json").read_text())["mined"]["all"]["rejected"]
    assert rejected.keys() >= set(REASONS)


@pytest.fixture(scope="module")
def indexed_by_windows(project, tmp_path_factory):
    """A copy with an index by windows, and a verdict for late interaction and the reranker."""
    folder = tmp_path_factory.mktemp("indexed")
    shutil.copytree(project, folder, dirs_exist_ok=True)
    shutil.copytree(folder / "models/reranker-candidate", folder / "models/reranker", dirs_exist_ok=True)
    make_verdicts(windows=True, reranked=(5, 1.0), late=(20, 0.5)).write(folder / "metrics/verdict.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        index.main(INDEX.split())
    return folder


@pytest.fixture
def searched(indexed_by_windows, monkeypatch):
    """Return which window of a chunk is the closest to a question: text, piece, and whether it is a further one."""
    monkeypatch.chdir(indexed_by_windows)
    chunks = read_chunks(indexed_by_windows / "data/corpus/chunks.parquet")
    framed = [framed_passage(chunk, load_params().triplets.text_template) for chunk in chunks]
    encoder = TextEncoder(load_saved(indexed_by_windows / "models/embedder"), "fp32", "test")
    vectors, chunk_of_window = encoder.windows(framed, 6, indexed_by_windows / "v")
    windows = [window for of_chunk in encoder.cut(framed, 6) for window in of_chunk]

    def closest(question, chunk_id):
        row = next(row for row, chunk in enumerate(chunks) if chunk.chunk_id == chunk_id)
        of_chunk = np.flatnonzero(chunk_of_window == row)
        best = of_chunk[np.argmax(vectors[of_chunk] @ encoder.queries([question])[0])]
        return windows[best].text, windows[best].content, best > of_chunk[0]

    return closest


QUESTIONS = ["discrete transform", "mask where a condition is met", "the inverse of rfft", "fill_value"]


def test_the_reranker_reads_the_window_that_was_found(searched):
    reranker, further = CrossEncoder("models/reranker", device="cpu"), 0
    for question in QUESTIONS:
        for hit in Searcher().search(question, k=5):
            text, _, is_further = searched(question, hit.chunk.chunk_id)
            further += is_further
            assert hit.scores["reranker"] == pytest.approx(float(reranker.predict([(question, text)])[0]), abs=1e-4)
    assert further


def test_a_snippet_shows_the_window_that_was_found(searched):
    further = 0
    for question in QUESTIONS:
        for hit in Searcher().search(question, k=20):
            _, piece, is_further = searched(question, hit.chunk.chunk_id)
            if "dense" in hit.scores and is_further:
                shown, piece = hit.snippet.text.strip("… "), " ".join(piece.split())
                assert shown[40:80] in piece or piece[:40] in shown or shown.split()[-1] in piece
                further += shown[:40] not in " ".join(hit.chunk.content.split())[:60]
    assert further


def test_evaluation_has_the_beginnings_beside_the_windows(project):
    evaluation = json.loads((project / "metrics/evaluate.json").read_text(encoding="utf-8"))
    assert evaluation["chosen_on_dev"]["windows"]
    assert {"base_cut", "base", "tuned"} <= set(evaluation["measures"]["all"])
    sizes = json.loads((project / "metrics/index.json").read_text(encoding="utf-8"))
    assert sizes["windows"] > 2 * sizes["chunks"]


def test_dev_is_measured_by_windows(project, loaded):
    store, model = loaded[0], load_base(load_params().model)
    evaluator = load_evaluator(project / "data/corpus", project / "data/triplets/texts", ["dev", "test"], store, "fp32")
    by_windows, by_beginnings = (
        mean(per_query(evaluator.qrels, evaluator.dense_run(model, 10, "dev", windows=one))["mrr@10"], evaluator.qrels)
        for one in (True, False)
    )
    assert evaluator.overall(evaluator.measured(model, "mrr@10", "dev")) == pytest.approx(by_windows)
    assert by_windows != pytest.approx(by_beginnings)


def test_strengths_are_compared_by_few_windows(project, loaded, encoded_counts):
    store, model = loaded[0], load_base(load_params().model)
    evaluator = load_evaluator(project / "data/corpus", project / "data/triplets/texts", ["dev", "test"], store, "fp32")
    # The tiny model finds no answer, so it is one of its best hits; by the windows of all chunks.
    few = replace(evaluator, queries=evaluator.queries[:4], query_text_ids=evaluator.query_text_ids[:4], qrels={})
    run = few.dense_run(model, 4, "answers", windows=True)
    few = replace(few, qrels={query: {list(hits)[row]: 1} for row, (query, hits) in enumerate(run.items())})
    generator = torch.Generator().manual_seed(13)
    change = {
        name: 0.3 * weight.std() * torch.randn(weight.shape, generator=generator)
        for name, weight in model.state_dict().items()
        if weight.is_floating_point() and weight.ndim == 2
    }
    blend = Blend(model, change)
    encoded_counts()
    _, found = choose_strength(blend, [0.0, 0.5, 1.0], few, "mrr@10")
    base, full, between = encoded_counts()[::2]  # queries are encoded apart
    assert base == full > len(few.chunks)
    assert between < base / 2
    assert found == {strength: few.measured(blend.at(strength), "mrr@10", "all") for strength in found}
    assert len({str(one) for one in found.values()}) > 1


SHORT = {"tokenize.max_length": 64, "split.min_queries": 2}


@pytest.mark.parametrize("loss", ["softmax", "distill"])
def test_where_every_text_fits_windows_change_no_byte(prepare, write_params, tmp_path, monkeypatch, loss):
    pages = [
        {"id": f"c{row}", "title": f"Part {row}", "content": f"Oil the part {row} in hall {row * 7}. Then test it."}
        for row in range(40)
    ]
    written = {}
    for most in (1, 8):
        folder = tmp_path / str(most)
        folder.mkdir()
        (folder / "docs.jsonl").write_text("\n".join(map(json.dumps, pages)), encoding="utf-8")
        changes = SETTINGS | SHORT | {"tokenize.max_windows": most, "train.loss": loss}
        prepare(folder, **changes, **{"ingest.sources": [{"path": "docs.jsonl", "category": "parts"}]})
        run_all(folder, monkeypatch)
        paths = [path for path in folder.rglob("*") if path.is_file()]
        outs = ("data/tokens", "data/triplets", "data/runs", "data/index", "metrics", "models")
        written[most] = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in paths
            if path.relative_to(folder).as_posix().startswith(outs)
        }
    assert len(written[1]) > 40
    assert written[1].keys() == written[8].keys()
    assert [name for name, content in written[1].items() if written[8][name] != content] == []


FENCED = "```python\n" + "\n".join(f"client.call_{row}(retries={row})" for row in range(300)) + "\n```"
SAME = " ".join(f"Turn the grey wheel number {row} to the left until it stops." for row in range(30))
HARD_TO_CUT = [
    ("word", ["Word"], "Word"),
    ("book", ["Book"], " ".join(f"w{row % 977}" for row in range(100_000))),
    ("fenced", ["Fenced"], FENCED),
    ("header", [f"A chapter with a long name {row}" for row in range(30)], "It is oiled. " * 40),
    ("same1", ["Left machine"], f"{SAME} The left machine is green."),
    ("same2", ["Right machine"], f"The right machine is heavier than all others. {SAME}"),
    ("line", ["Line"], "x" * 3000),
    ("blank", ["Blank"], "   \n\n  "),
]


def test_chunks_that_are_hard_to_cut_run_to_a_search(prepare, tmp_path, monkeypatch):
    pages = [{"id": name, "header_path": path, "title": path[-1], "content": text} for name, path, text in HARD_TO_CUT]
    pages += [
        {"id": f"c{row}", "title": f"Part {row}", "content": " ".join(f"Oil part {row} {n} times." for n in range(20))}
        for row in range(30)
    ]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, pages)), encoding="utf-8")
    sources = [{"path": "docs.jsonl", "category": "parts"}]
    limit = {"tokenize.max_length": 512}  # the model reads 64
    changes = SETTINGS | limit | {"ingest.sources": sources, "ingest.max_content_chars": 10_000_000}
    prepare(tmp_path, **changes)
    store = json.loads((tmp_path / "data/tokens/metadata.json").read_text(encoding="utf-8"))
    assert store["max_length"] == 64
    run_all(tmp_path, monkeypatch)
    make_verdicts(windows=True, late=(20, 0.5)).write(tmp_path / "metrics/verdict.json")
    index.main(INDEX.split())
    hits = Searcher().search("oil the grey wheel " * 60, k=20)  # longer than a window
    assert len(hits) == 20
    assert len({hit.chunk.chunk_id for hit in hits}) == 20
    assert all(hit.snippet.text for hit in hits if hit.chunk.content.strip())
