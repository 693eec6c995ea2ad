"""New documents and questions arrive: ``triptych keep``, ``split.previous`` and ``train.start_from``."""

import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hand_made import EVALUATE, PROMOTE, TOKENIZE, TRAIN, ask
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from stages import command, evaluate, ingest, promote, split, tokenize_texts, train, triplets
from triptych.artifacts import dvc_hash, read_json, write_json
from triptych.cli import app
from triptych.corpus.last_publication import LastPublication, read_known, read_last
from triptych.corpus.records import Chunk, Link, read_chunks, read_qrels, read_queries, write_chunks, write_links
from triptych.errors import UserError
from triptych.models.loading import load_base
from triptych.models.round_loading import load_round
from triptych.models.round_record import read_round_record
from triptych.models.starting_round import starting_round
from triptych.params.load import load_params

pytestmark = pytest.mark.dag

WORDS = [a + b + c for a in "bdgkmnprst" for b in "aeiou" for c in "lnrsx"]
SPLIT = "--chunks data/chunks --corpus data/corpus --metrics metrics/split.json"
TRIPLETS = (
    "--corpus data/corpus --questions data/questions --texts data/triplets/texts --embedder data/triplets/embedder"
    " --reranker data/triplets/reranker0 --heldout data/triplets/heldout --metrics metrics/triplets.json"
)


def page(row, **changes):
    words = Random(row).sample(WORDS, 30)
    content = f"{' '.join(words[:15]).capitalize()}. {' '.join(words[15:]).capitalize()}."
    title = f"{words[0]} {words[1]} {row}"
    return replace(Chunk(f"c{row:03}", "lists", f"p{row // 2}.md", (title,), title, content, f"x:{row}"), **changes)


def asked_by_the_next(chunks):
    pairs = zip([*chunks[1:], chunks[0]], chunks, strict=True)
    return [Link(one.chunk_id, other.chunk_id, f"what {other.chunk_id} is about", "") for one, other in pairs]


@pytest.fixture
def months(tmp_path, monkeypatch, write_params, capsys):
    """Split chunks with links, after a month that is given by its kept folder; return metrics and printed lines."""
    monkeypatch.chdir(tmp_path)

    def call(chunks, links, previous=None, **changes):
        write_chunks(tmp_path / "data/chunks/chunks.parquet", list(chunks))
        write_links(tmp_path / "data/chunks/links.parquet", list(links))
        fixed = {"min_queries": 1, "min_train_queries": 1, "group_titles": False, "previous": previous}
        write_params(tmp_path, **{f"split.{key}": value for key, value in (fixed | changes).items()})
        command.run(lambda: split.main(SPLIT.split()))
        return read_json(tmp_path / "metrics/split.json"), capsys.readouterr().out.splitlines()

    return call


def kept_corpus(folder):
    """Keep the split alone, as `triptych keep` does."""
    shutil.copytree("data/corpus", folder / "corpus")
    write_json(folder / "kept.json", {"published": "base"})
    return folder.as_posix()


def of_splits(corpus=Path("data/corpus")):
    chunks = {one.chunk_id: one for one in read_chunks(corpus / "chunks.parquet")}
    judged = {name: read_qrels(corpus / "qrels" / f"{name}.tsv") for name in ("train", "dev", "test")}
    queries = read_queries(corpus)
    return chunks, {name: {queries[one].text for one in of} for name, of in judged.items()}


def test_what_was_learned_is_not_asked_and_the_exam_stays(months):
    first = [page(row) for row in range(120)]
    months(first, asked_by_the_next(first))
    then, asked = of_splits()
    folder = kept_corpus(Path("previous/first"))

    now = [page(row) for row in range(160)]
    gone = {one.chunk_id for one in now[:4]}
    now = [one for one in now if one.chunk_id not in gone]
    moved = [
        replace(one, chunk_id=f"moved-{one.chunk_id}", filename=f"new/{one.filename}")
        for one in now
        if "c02" in one.chunk_id
    ]
    rewritten = {one.chunk_id: page(900 + row).content for row, one in enumerate(now) if "c03" in one.chunk_id}
    now = [one for one in now if "c02" not in one.chunk_id] + moved
    now = [replace(one, content=rewritten.get(one.chunk_id, one.content)) for one in now]
    # A question that was learned is now about a page that was in test, and one of the exam about a learned one.
    learned, examined = sorted(asked["train"])[0], sorted(asked["test"])[0]
    of_split = {
        name: [one for one in now if one.chunk_id in then and then[one.chunk_id].split == name] for name in asked
    }
    links = [one for one in asked_by_the_next(now) if one.text not in (learned, examined)]
    links += [
        Link(now[-1].chunk_id, of_split["test"][0].chunk_id, learned, ""),
        Link(now[-1].chunk_id, of_split["train"][0].chunk_id, examined, ""),
    ]
    metrics, printed = months(now, links, folder)
    chunks, asked_now = of_splits()

    by_text = {one.content: one.split for one in then.values()}
    same = [one for one in chunks.values() if one.content in by_text]
    assert len(same) > 90
    assert [one.chunk_id for one in same if one.split != by_text[one.content]] == []  # by text, moved or not
    of_page = {one.filename: one.split for one in then.values()}
    changed = [chunks[one] for one in rewritten]
    assert [one.chunk_id for one in changed if one.split != of_page[one.filename]] == []  # by file, rewritten
    assert not (asked["train"] & (asked_now["test"] | asked_now["dev"]))
    assert examined in asked_now["test"]
    still = {link.text for link in links}
    assert asked["test"] & still <= asked_now["test"]
    new = [one for one in chunks.values() if one.chunk_id not in then and not one.chunk_id.startswith("moved")]
    assert {one.split for one in new} == {"train", "dev", "test"}

    last = read_last(Path("data/corpus"))
    queries = read_queries(Path("data/corpus"))
    assert {queries[one].text for one in last.exam} == asked["test"] & still
    assert metrics["previous"]["pages"] == {"added": 25, "changed": 5, "gone": 7, "same": 48}
    assert metrics["previous"]["chunks"] == {"added": 50, "gone": 14, "same": 106}
    assert metrics["previous"]["test_queries"]["last"] == len(last.exam)
    assert any("pages: 25 added, 5 changed, 7 gone" in line for line in printed)
    assert read_known(Path("data/corpus")).sum() == 106


def test_a_near_duplicate_of_a_page_that_is_gone_stays_in_train(months):
    """The page itself is not there any more: only the text of then shows that its copy was learned."""
    long = [page(row, content=" ".join(Random(row).choices(WORDS, k=200))) for row in range(60)]
    months(long, asked_by_the_next(long))
    then, _ = of_splits()
    folder = kept_corpus(Path("previous/first"))
    learned = [one for one in then.values() if one.split == "train"]
    rest = [one for one in long if one.chunk_id not in {two.chunk_id for two in learned}]
    copies = [
        page(200 + row, content=f"{one.content} and some words more", filename=f"new{row}.md")
        for row, one in enumerate(learned)
    ]
    now = rest + copies + [page(300 + row) for row in range(40)]
    months(now, asked_by_the_next(now), folder)
    chunks, _ = of_splits()
    assert {chunks[one.chunk_id].split for one in copies} == {"train"}


@pytest.mark.parametrize("lacks", ["folder", "kept.json"])
def test_a_folder_that_was_not_kept_is_refused(months, capsys, lacks):
    chunks = [page(row) for row in range(20)]
    if lacks == "kept.json":
        Path("previous").mkdir()
    with pytest.raises(SystemExit):
        months(chunks, asked_by_the_next(chunks), "previous")
    said = capsys.readouterr().err
    assert said.startswith("error: split.previous: previous ")
    assert "triptych keep" in said


def settings(write_params, folder, *modules, **changes):
    sources = [{"path": f"numpy.{name}", "format": "package", "category": name} for name in modules]
    fixed = {
        "ingest.sources": sources,
        "split.min_queries": 2,
        "split.min_train_queries": 1,
        "model.base": "./tiny",
        "tokenize.max_windows": 1,
        "tokenize.max_length": 48,
        "train.batch_size": 8,
        "train.precision": "fp32",
        "train.strengths": [1.0],
        "rounds.train": {"round0": {"previous": "base", "steps": 4, "learning_rate": 2.0e-2}},
        "rounds.mine": {"reranker": {"previous": "round0", "examples": "reranker0"}},
        "evaluate.round": "round0",
        "evaluate.bootstrap_samples": 100,
        "evaluate.late_weights": [0.0],
        "promote.unproven": "tuned",
        "promote.min_queries": 1000,
    }
    write_params(folder, **fixed | changes)


def run_data():
    ingest.main(["--chunks", "data/chunks", "--metrics", "metrics/ingest.json"])
    split.main(SPLIT.split())
    triplets.main(TRIPLETS.split())
    tokenize_texts.main(TOKENIZE.split())


def run_rest():
    train.main(TRAIN.split())
    evaluate.main(EVALUATE.split())
    promote.main([*PROMOTE.split(), "models/embedder"])


@pytest.fixture(scope="module")
def kept(tiny_model, tmp_path_factory, write_params):
    """A project whose first month is kept in ``previous/first``, with the data of a second month; read only."""
    folder = tmp_path_factory.mktemp("months")
    shutil.copytree(tiny_model, folder / "tiny")
    (folder / "models/reranker-candidate").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ask(folder / "data/questions")
        settings(write_params, folder, "fft", "ma")
        run_data()
        run_rest()
        write_json(
            folder / "models/round0/round.json", read_json(folder / "models/round0/round.json") | {"strength": 1.0}
        )
        write_json(
            folder / "metrics/verdict.json",
            read_json(folder / "metrics/verdict.json") | {"strength": 1.0, "published": "tuned"},
        )
        made = CliRunner().invoke(app, ["keep", "previous/first"])
        assert made.exit_code == 0, made.output
        assert "split.previous: previous/first and train.start_from: previous" in made.output
        settings(write_params, folder, "fft", "ma", "polynomial", **{"split.previous": "previous/first"})
        run_data()
    return folder


@pytest.fixture
def second(kept, tmp_path, monkeypatch):
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PREVIOUS = {"split.previous": "previous/first", "train.start_from": "previous"}


def test_a_month_later_training_starts_from_what_was_published_and_is_judged_against_it(second, write_params):
    few = {"round0": {"previous": "base", "steps": 1, "learning_rate": 1.0e-9}}
    settings(write_params, second, "fft", "ma", "polynomial", **PREVIOUS, **{"rounds.train": few})
    run_rest()
    start, now = (
        load_file(second / place / "adapter_model.safetensors") for place in ("previous/first/round", "models/round0")
    )
    assert max(float(np.abs(start[name] - now[name]).max()) for name in start) < 1e-6
    assert any(float(np.abs(one).max()) > 1e-3 for name, one in now.items() if "lora_B" in name)
    evaluation, verdict = read_json(second / "metrics/evaluate.json"), read_json(second / "metrics/verdict.json")
    measures = evaluation["measures"]["all"]
    assert measures["previous"] == pytest.approx(measures["tuned"], abs=1e-3)  # nothing was learned since
    assert measures["previous"] != pytest.approx(measures["base"], abs=1e-3)
    exams = evaluation["previous"]["exams"]
    assert sum(one["tuned_hybrid"]["queries"] for one in exams.values()) == measures["tuned"]["queries"]
    assert {"base_hybrid", "previous_hybrid", "tuned_hybrid"} == set(exams["(last exam)"])
    assert verdict["previous"]["kept"] is True
    assert verdict["previous"]["last_exam"]["difference"] == pytest.approx(0, abs=1e-3)
    record = read_json(second / "metrics/train/round0.json")
    assert record["started_from"] == "previous/first"
    assert record["previous"]["mrr@10"] == pytest.approx(record["dev"]["mrr@10"]["strength 1"], abs=1e-3)
    assert read_round_record(second / "models/round0").trained_in == "previous"  # as good on dev: it is kept
    shown = CliRunner().invoke(app, ["results"])
    assert shown.exit_code == 0, shown.output
    assert "Since previous/first: what was won is kept:" in shown.output
    assert "last exam" in shown.output
    again = CliRunner().invoke(app, ["keep", "previous/second"])
    assert again.exit_code == 0, again.output
    assert LastPublication.open(second / "previous/second").published == verdict["published"]


def test_where_what_was_won_would_be_lost_the_last_publication_stays_published(second, write_params):
    """The intervals are written by hand: over so few questions none would be sure."""
    settings(write_params, second, "fft", "ma", "polynomial", **PREVIOUS)
    run_rest()
    settings(write_params, second, "fft", "ma", "polynomial", **PREVIOUS, **{"promote.min_queries": 1})
    for name in ("intervals", "added"):
        path = second / f"metrics/evaluate/{name}.csv"
        table = pd.read_csv(path)
        bounds = table["system"].map(lambda system: -1.0 if system == "tuned_hybrid" else 1.0)
        table = table.assign(difference=0.2 * bounds, low=0.2 * bounds - 0.1, high=0.2 * bounds + 0.1, p=0.0)
        table.assign(p_holm=0.0, clusters=99).to_csv(path, index=False)
    promote.main([*PROMOTE.split(), "models/embedder"])
    verdict = read_json(second / "metrics/verdict.json")
    assert verdict["published"] == "previous"
    assert verdict["previous"]["kept"] is False

    text = "the mask of an array"
    published = SentenceTransformer(str(second / "models/embedder"), device="cpu").encode(text)
    trained, _ = load_round(second / "previous/first/round", load_params().model)
    assert np.abs(published - trained.model.encode(text)).max() < 1e-6
    assert np.abs(published - load_base(load_params().model).encode(text)).max() > 1e-4
    kept_again = CliRunner().invoke(app, ["keep", "previous/second"])
    assert kept_again.exit_code == 0, kept_again.output
    first, again = (second / "previous" / one / "round/adapter_model.safetensors" for one in ("first", "second"))
    assert first.read_bytes() == again.read_bytes()


def test_without_the_param_training_starts_from_the_base_model(second, write_params):
    settings(write_params, second, "fft", "ma", "polynomial", **{"split.previous": "previous/first"})
    train.main(TRAIN.split())
    assert "started_from" not in read_json(second / "metrics/train/round0.json")
    assert read_round_record(second / "models/round0").trained_in == "round0"


def test_an_adapter_of_another_shape_and_a_changed_folder_are_refused(second, write_params):
    line = TRAIN.split()
    settings(write_params, second, "fft", "ma", "polynomial", **PREVIOUS, **{"train.lora": {"r": 4, "alpha": 8}})
    with pytest.raises(UserError, match=r"lora\.r 8, params\.yaml has 4; train\.lora\.alpha 16"):
        train.main(line)
    last, base = LastPublication.open(Path("previous/first")), read_round_record(Path("models/base"))
    params = load_params().train.model_copy(
        update={"lora": load_params().train.lora.model_copy(update={"r": 8, "alpha": 16})}
    )
    other = replace(base, base=base.base | {"base": "other"})
    with pytest.raises(UserError, match=r"model\.base ./tiny"):
        starting_round(last, other, params)
    with pytest.raises(UserError, match=r"split\.previous is null"):
        starting_round(None, base, params)
    assert starting_round(replace(last, published="base"), base, params) is None
    (second / "previous/first/params.yaml").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="has been changed since"):
        train.main(line)


def test_only_a_finished_run_is_kept_and_nothing_is_overwritten(second):
    def said(folder):
        done = CliRunner().invoke(app, ["keep", folder])
        assert done.exit_code == 1
        return done.output

    assert "previous/first exists" in said("previous/first")
    assert "where stages write" in said("models/kept")
    assert "is not the one that was evaluated" in said("previous/second")  # the data of the second month
    assert not Path("previous/second").exists()
    evaluation = read_json(Path("metrics/evaluate.json")) | {"corpus": dvc_hash(Path("data/corpus"))}
    write_json(Path("metrics/evaluate.json"), evaluation)
    write_json(Path("models/round0/round.json"), read_json(Path("models/round0/round.json")) | {"strength": 0.5})
    assert "is not the round that was judged" in said("previous/second")


def test_examples_that_were_learned_from_are_limited(second, write_params, monkeypatch):
    class SeenError(Exception):
        """Ends the stage with what it would train on."""

    def seen(_corpus, _texts, _store, examples, *_):
        raise SeenError(examples)

    monkeypatch.setattr(train, "prepare_training_data", seen)
    known = read_known(second / "data/corpus")
    for limit, old in (({}, True), ({"train.old_examples": 0.0}, False)):
        settings(write_params, second, "fft", "ma", "polynomial", **PREVIOUS, **limit)
        with pytest.raises(SeenError) as raised:
            train.main(TRAIN.split())
        trained = known[raised.value.args[0].positive_chunk]
        assert (bool(trained.any()), bool((~trained).any())) == (old, True)
