"""``triptych evaluate``: a saved embedder on questions of the user's own, against vectors made without Triptych."""

import json
import shutil

import numpy as np
import pytest
from hand_made import ask
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from triptych.cli import app
from triptych.corpus.embedded_text import passage
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.evaluation.metrics import mean_metric
from triptych.params.load import load_params
from triptych.retrieval.fusion import PRIOR


@pytest.fixture
def project(prepared, tmp_path, monkeypatch):
    """A project with a saved embedder that asks for prompts."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    saved = SentenceTransformer("tiny", device="cpu")
    saved.prompts = {"query": "inverse ", "document": "array "}
    saved.save_pretrained("models/embedder", create_model_card=False)
    return tmp_path


def evaluated(*more, split="dev"):
    return CliRunner().invoke(
        app, ["evaluate", "--queries", "data/corpus/queries.jsonl", "--qrels", f"data/corpus/qrels/{split}.tsv", *more]
    )


def figures(output):
    """Return the row of each system over all categories."""
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if "│" in line]
    return {row[1]: row[2:] for row in table[:5]}


def plain_mrr(project, place):
    """Evaluate with sentence-transformers alone, as somebody who loads the model would."""
    chunks, qrels = (
        read_chunks(project / "data/corpus/chunks.parquet"),
        read_qrels(project / "data/corpus/qrels/dev.tsv"),
    )
    queries, template = read_queries(project / "data/corpus"), load_params().triplets.text_template
    model = SentenceTransformer(place, device="cpu")
    passages = model.encode_document([passage(chunk, template) for chunk in chunks], normalize_embeddings=True)
    questions = model.encode_query([queries[one].text for one in qrels], normalize_embeddings=True)
    scores = np.asarray(questions, np.float32) @ np.asarray(passages, np.float32).T
    run = {
        query: {
            chunk.chunk_id: float(score)
            for chunk, score in zip(chunks, row, strict=True)
            if chunk.chunk_id not in queries[query].exclude
        }
        for query, row in zip(qrels, scores, strict=True)
    }
    return mean_metric("mrr@10", qrels, run)


def test_embedder_and_base_are_evaluated_as_sentence_transformers_would_load_them(project):
    found = evaluated()
    assert found.exit_code == 0, found.output
    rows = figures(found.output)
    assert set(rows) == {"BM25", "base", "base + BM25", "tuned", "tuned + BM25"}
    assert rows["base"][2] == f"{plain_mrr(project, 'tiny'):.3f}"
    assert rows["tuned"][2] == f"{plain_mrr(project, 'models/embedder'):.3f}"
    assert rows["tuned"][2] != rows["base"][2] or rows["tuned"][3] != rows["base"][3]  # the prompts were used
    assert "questions of kind crossref" in found.output
    assert f"{PRIOR} and {PRIOR}" in " ".join(found.output.split())


FREE = {"system": "base_hybrid", "dev_queries": 0, "dev": {}}


def test_what_dev_chose_is_taken_from_the_metrics(project):
    fusions = {
        "base_hybrid": {"method": "zscore", "dense_weight": 1.0},
        "tuned_hybrid": {"method": "rrf", "dense_weight": 0.0},
    }
    (project / "metrics/evaluate.json").write_text(
        json.dumps({"chosen_on_dev": fusions | {"strength": 1.0, "windows": False, "free": FREE}}), encoding="utf-8"
    )
    rows = figures(evaluated().output)
    assert rows["base + BM25"][:4] == rows["base"][:4]
    assert rows["tuned + BM25"][2] == rows["BM25"][2]


@pytest.mark.parametrize("used", [True, False])
def test_written_questions_are_searched_where_dev_took_them(project, used):
    fusion = {"method": "zscore", "dense_weight": 0.2}
    chosen = {"base_hybrid": fusion, "tuned_hybrid": fusion, "strength": 1.0, "windows": False, "free": FREE}
    path = project / "metrics/evaluate.json"
    path.write_text(json.dumps({"chosen_on_dev": chosen}), encoding="utf-8")
    plain = figures(evaluated().output)
    queries, qrels = read_queries(project / "data/corpus"), read_qrels(project / "data/corpus/qrels/dev.tsv")
    ask(project / "data/questions", [(queries[query].text, min(judged)) for query, judged in qrels.items()])
    path.write_text(json.dumps({"chosen_on_dev": chosen | {"questions": used}}), encoding="utf-8")
    found = figures(evaluated().output)
    assert found["BM25"][:4] == plain["BM25"][:4]
    for system in ("base + BM25", "tuned + BM25"):
        assert (float(found[system][2]) > float(plain[system][2]) + 0.1) == used


def test_questions_on_a_beir_corpus(project):
    folder = project / "asked"
    (folder).mkdir()
    records = [
        {"_id": "fft", "title": "fft", "text": "Compute the discrete transform."},
        {"_id": "mask", "title": "mask", "text": "Mask an array where a condition is met."},
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "1", "text": "mask an array"}), encoding="utf-8")
    (folder / "all.tsv").write_text("query-id\tcorpus-id\tscore\n1\tmask\t1\n", encoding="utf-8")
    found = CliRunner().invoke(
        app, ["evaluate", "--queries", "asked/queries.jsonl", "--qrels", "asked/all.tsv", "--corpus", "asked"]
    )
    assert found.exit_code == 0, found.output
    assert figures(found.output)["BM25"][:3] == ["1.000", "1.000", "1.000"]
    assert "evaluate: 1 questions of kind user, 0 without judgments left out; 2 chunks" in found.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--embedder", "models/none"], "--embedder: models/none is missing; expected a folder with modules.json"),
        (["--embedder", "data"], "--embedder: data does not have modules.json; expected"),
        (["--embedder", "params.yaml"], "--embedder: params.yaml is a file; expected"),
        (["--corpus", "models"], "--corpus: models has neither chunks.parquet nor corpus.jsonl; expected a folder"),
        (["--corpus", "none"], "--corpus: none is missing; expected a folder with chunks.parquet or corpus.jsonl"),
        (["--queries", "data"], "--queries: data is a folder; expected a file such as"),
        (["--qrels", "data/none.tsv"], "--qrels: data/none.tsv is missing; expected a .tsv"),
        (["--metrics", "none"], "--metrics: none is missing; expected a folder with evaluate.json"),
    ],
)
def test_a_missing_file_is_one_message(project, arguments, said):
    found = evaluated(*arguments)
    assert found.exit_code == 1
    assert found.stderr.startswith("error: ")
    assert said in found.stderr


def test_missing_questions_are_one_message(project):
    found = evaluated(split="none")
    assert found.exit_code == 1
    assert "none.tsv" in found.stderr
    assert "Traceback" not in found.output
