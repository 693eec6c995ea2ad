"""An error of the user gives one message with cause and remedy, exit code 1, and no partial output."""

import json
import shutil

import pytest

from stages import evaluate, ingest, mine, split, tokenize_texts, train
from stages.command import run

WORDS = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "epsilon",
    "zeta",
    "eta",
    "theta",
    "iota",
    "kappa",
    "lambda",
    "mu",
    "nu",
    "xi",
    "omicron",
    "pi",
    "rho",
    "sigma",
    "tau",
]


@pytest.fixture
def fails(monkeypatch, tmp_path, capsys):
    """Run a stage's main in ``tmp_path``; return standard error after it exited with 1."""
    monkeypatch.chdir(tmp_path)

    def call(main, *arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            run(lambda: main(list(arguments)))
        assert stopped.value.code == 1
        output = capsys.readouterr().err
        assert output.startswith("error: ")
        assert "Traceback" not in output
        return output

    return call


def ingest_in(tmp_path) -> list[str]:
    return ["--chunks", str(tmp_path / "data/chunks"), "--metrics", str(tmp_path / "metrics/ingest.json")]


SPLIT = ["--chunks", "data/chunks", "--corpus", "data/corpus", "--metrics", "metrics/split.json"]


def write_records(path, categories: dict[str, int]) -> None:
    records = [
        {
            "category": name,
            "filename": f"{name}{n}.md",
            "title": f"{name} {n}",
            "content": f"{WORDS[n % 19]} {n} {name}",
        }
        for name, number in categories.items()
        for n in range(number)
    ]
    path.write_text(json.dumps(records), encoding="utf-8")


def test_a_missing_source_is_named(fails, tmp_path, write_params):
    write_params(tmp_path, **{"ingest.sources": [{"path": "nowhere.json", "category": "a"}]})
    assert "nowhere.json does not exist" in fails(ingest.main, *ingest_in(tmp_path))
    assert not (tmp_path / "data").exists()


def test_an_empty_source_is_named_with_what_was_rejected(fails, tmp_path, write_params):
    (tmp_path / "empty.jsonl").write_text('{"title": "x", "content": "  "}\n', encoding="utf-8")
    write_params(tmp_path, **{"ingest.sources": [{"path": "empty.jsonl", "category": "a"}]})
    output = fails(ingest.main, *ingest_in(tmp_path))
    assert "empty.jsonl" in output
    assert "no usable record" in output
    assert "1 empty content (empty.jsonl:1" in output
    assert not (tmp_path / "data/chunks").exists()


def test_a_typo_in_params_is_named_with_its_key(fails, tmp_path, write_params):
    path = write_params(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("batch_size: 64", "batch_siz: 64"), encoding="utf-8")
    output = fails(ingest.main, *ingest_in(tmp_path))
    assert "train.batch_siz: unknown key, did you mean 'batch_size'?" in output


def test_a_category_with_too_few_queries_is_named_and_stops_nothing(fails, tmp_path, write_params):
    write_records(tmp_path / "chunks.json", {"guide": 40, "faq": 1})
    write_params(tmp_path, **{"ingest.sources": [{"path": "chunks.json"}]})
    ingest.main(ingest_in(tmp_path))
    split.main(SPLIT)
    metrics = json.loads((tmp_path / "metrics/split.json").read_text(encoding="utf-8"))
    assert "faq" in metrics["small_categories"]["categories"]
    assert any("faq" in line for line in metrics["warnings"])


def test_a_category_of_one_chunk_stops_nothing(fails, tmp_path, write_params):
    write_records(tmp_path / "chunks.json", {"guide": 40, "faq": 1})
    folder = tmp_path / "questions"
    (folder / "qrels").mkdir(parents=True)
    write_params(
        tmp_path, **{"ingest.sources": [{"path": "chunks.json"}], "split.queries": "questions", "split.min_queries": 1}
    )
    ingest.main(ingest_in(tmp_path))
    from triptych.corpus.records import read_chunks

    ids = [chunk.chunk_id for chunk in read_chunks(tmp_path / "data/chunks/chunks.parquet")]
    questions = [json.dumps({"_id": str(n), "text": f"question number {n}"}) for n in range(len(ids))]
    (folder / "queries.jsonl").write_text("\n".join(questions), encoding="utf-8")
    rows = ["query-id\tcorpus-id\tscore", *(f"{n}\t{one}\t1" for n, one in enumerate(ids))]
    (folder / "qrels/all.tsv").write_text("\n".join(rows), encoding="utf-8")
    split.main(SPLIT)
    metrics = json.loads((tmp_path / "metrics/split.json").read_text(encoding="utf-8"))
    assert metrics["small_categories"]["categories"] == []
    assert sum(metrics["kinds"]["test"].values()) > 0


TOKENIZE = [
    "--texts",
    "data/triplets/texts",
    "--examples",
    "data/triplets/embedder",
    "--tokens",
    "data/tokens",
    "--round",
    "data/triplets/round0",
    "--base",
    "models/base",
]
TRAIN = [
    "--corpus",
    "data/corpus",
    "--texts",
    "data/triplets/texts",
    "--tokens",
    "data/tokens",
    "--round",
    "data/triplets/round0",
    "--previous",
    "models/base",
    "--model",
    "models/round0",
    "--metrics",
    "metrics/train/round0.json",
    "--curve",
    "metrics/train/round0.csv",
    "--tables",
    "metrics/train/round0",
    "--vectors",
    "data/vectors",
    "--checkpoints",
    ".checkpoints/round0",
]


@pytest.fixture
def at_prepared(prepared, tmp_path, fails):
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("base", ["./nowhere", "no-such-org/no-such-model", "package:nothing"])
def test_missing_base_model_is_named_with_the_alternatives(base, fails, at_prepared, write_params, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    write_params(at_prepared, **{"model.base": base})
    output = fails(tokenize_texts.main, *TOKENIZE)
    assert base.removeprefix("package:") in output
    assert "model.base" in output


@pytest.mark.parametrize(("main", "arguments"), [(train.main, TRAIN)])
def test_missing_tokens_are_named_with_the_command_that_creates_them(main, arguments, fails, at_prepared):
    shutil.rmtree(at_prepared / "data/tokens")
    output = fails(main, *arguments)
    assert "dvc repro tokenize" in output
    assert "dvc pull tokenize" in output
    assert not (at_prepared / "models/round0").exists()


def test_tokens_of_another_tokenizer_are_refused_with_the_command_that_creates_them(fails, at_prepared):
    settings = at_prepared / "tiny" / "tokenizer_config.json"
    changed = json.loads(settings.read_text(encoding="utf-8")) | {"do_lower_case": False}
    settings.write_text(json.dumps(changed), encoding="utf-8")
    output = fails(train.main, *TRAIN)
    assert "was trained from ./tiny, params.yaml names ./tiny: tokenizer_sha256 differ" in output
    assert "dvc repro tokenize" in output
    assert not (at_prepared / "models/round0").exists()


def test_a_round_that_was_not_trained_is_named(fails, at_prepared):
    mining = (
        "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens"
        " --round data/triplets/round0 --model models/round0"
        " --mined data/triplets/round1 --metrics metrics/mine.json --vectors data/vectors"
    )
    assert "dvc repro train@round0" in fails(mine.main, *mining.split())
    evaluator = (
        "--corpus data/corpus --texts data/triplets/texts --embedder data/triplets/embedder"
        " --heldout data/triplets/heldout --tokens data/tokens"
        " --model models/round1 --metrics metrics/evaluate.json --tables metrics/evaluate"
        " --runs data/runs --reranker models/reranker-candidate --vectors data/vectors"
    )
    assert "dvc repro train@round1" in fails(evaluate.main, *evaluator.split())


@pytest.mark.parametrize(("name", "stage"), [("round0", "tokenize"), ("round1", "mine@round1")])
def test_missing_triplets_of_a_round_are_named_with_the_stage_that_writes_them(name, stage, fails, at_prepared):
    shutil.rmtree(at_prepared / "data/triplets/round0")
    line = [part.replace("round0", name) for part in TRAIN]
    output = fails(train.main, *line)
    assert f"data/triplets/{name}/examples.parquet is missing; `dvc repro {stage}` makes it" in output
