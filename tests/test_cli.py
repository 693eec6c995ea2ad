"""The command line: what a user sees of a run."""

import json
from dataclasses import replace

import pandas as pd
import pytest
from typer.testing import CliRunner
from verdicts import make_verdicts

from triptych.artifacts import write_json, write_jsonl, write_rows
from triptych.cli import app
from triptych.corpus.records import ALL, Query
from triptych.evaluation.chosen_on_dev import FusionChoice
from triptych.evaluation.comparison import compare, write_intervals
from triptych.serving.costs import Costs

SYSTEMS = {
    "bm25": "BM25",
    "base": "base",
    "base_hybrid": "base + BM25",
    "tuned": "tuned",
    "tuned_hybrid": "tuned + BM25",
    "tuned_late": "tuned + BM25 + MaxSim",
}


@pytest.fixture
def written(tmp_path, params_with):
    """Write the metrics of a small run: the tuned systems put every answer first, the others half of them second."""
    qrels = {f"q{number}": {f"c{number}": 1} for number in range(8)}
    good = {query: {**judged} for query, judged in qrels.items()}
    poor = {
        query: ({**judged} if number % 2 else {"x": 2} | judged) for number, (query, judged) in enumerate(qrels.items())
    }
    compared = compare(
        {system: good if system.startswith("tuned") else poor for system in SYSTEMS},
        qrels,
        {one: Query(one, one, "crossref", "numpy" if number < 4 else "pandas") for number, one in enumerate(qrels)},
        {query: number for number, query in enumerate(qrels)},
        "base_hybrid",
        params_with(**{"evaluate.bootstrap_samples": 200}).evaluate,
    )
    fusion = {"method": "rrf", "dense_weight": 0.9}
    chosen = {
        "free": {"system": "base_hybrid", "dev_queries": 90, "dev": {"base": 0.5, "base_hybrid": 0.6}},
        "windows": False,
        "strength": 0.75,
        "base_hybrid": fusion | {"method": "zscore", "dense_weight": 0.5},
        "tuned_hybrid": fusion,
    }
    health = {"triplet_accuracy": 0.9, "mean_positive_similarity": 0.7, "mean_negative_similarity": 0.3, "margin": 0.4}
    against = {"triplet_accuracy_against_base": -0.05, "margin_against_base": 0.1}
    triplets = [
        {"system": system, "category": category, "tier": tier} | health | against
        for system in ("base", "tuned")
        for category in ("all", "numpy", "pandas")
        for tier in ("all", "hard")
    ]

    def write(promoted=True, measure="mrr@10", kinds="crossref", used=True):
        fusion = FusionChoice("rrf", 0.9 if used else 1.0)
        verdicts = make_verdicts(promoted, used and (50, 0.3), used and (50, 0.2), fusion)
        parts = {"embedder": ["mrr@10 rises by 0.500", "no category falls"]}
        parts |= {"late_interaction": ["mrr@10 rises by 0.650"], "reranker": ["mrr@10 rises by 0.700"]}
        parts = {name: replace(getattr(verdicts, name), reasons=reasons) for name, reasons in parts.items()}
        embedder = parts["embedder"]
        embedder = replace(embedder, against_free=replace(embedder.against_free, kinds=kinds))
        parts["embedder"] = replace(embedder, decision="unproven") if kinds == "pseudo" else embedder
        replace(verdicts, measure=measure, **parts).write(tmp_path / "verdict.json")
        evaluation = {"measures": compared.measures, "by_kind": compared.by_kind, "chosen_on_dev": chosen}
        (tmp_path / "evaluate.json").write_text(json.dumps(evaluation), encoding="utf-8")
        write_intervals(tmp_path / "evaluate" / "intervals.csv", compared.intervals)
        write_rows(tmp_path / "evaluate" / "heldout_triplets.csv", triplets)
        return tmp_path

    return write


def run(metrics, *more):
    return CliRunner().invoke(app, ["results", "--metrics", str(metrics), *more])


def rows(output):
    """Return the cells of each line of the table."""
    lines = output.split("Held-out triplets")[0].splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]


def test_results_show_every_system_of_every_category(written):
    found = run(written())
    assert found.exit_code == 0
    table = rows(found.output)
    assert [row[0] for row in table if row[0]] == [f"{ALL} (8)", "numpy (4)", "pandas (4)"]
    assert [row[1] for row in table] == list(SYSTEMS.values()) * 3


def test_results_show_each_metric_and_the_difference_to_the_baseline_with_its_interval(written):
    tuned = next(row for row in rows(run(written()).output) if row[1] == "tuned")
    assert tuned[2:6] == ["1.000"] * 4
    assert tuned[6].startswith("+0.250 [+0.")
    assert float(tuned[7]) < 0.05  # corrected for seven systems


def test_the_baseline_has_no_difference_to_itself(written):
    assert [row[-2:] for row in rows(run(written()).output) if row[1] == "base + BM25"] == [["", ""]] * 3


@pytest.mark.parametrize(("measure", "difference"), [("recall@1", "+0.500"), ("recall@50", "+0.000")])
def test_difference_is_in_the_metric_of_the_verdict(written, measure, difference):
    output = run(written(measure=measure)).output
    assert f"{measure} against base" in output  # + BM25, on the next line
    assert next(row for row in rows(output) if row[1] == "tuned")[-2].startswith(difference)


@pytest.mark.parametrize(
    ("promoted", "decision", "published"),
    [(True, "use the tuned embedder", "tuned"), (False, "keep your base model", "base")],
)
def test_results_end_with_the_verdict_and_where_the_model_is(written, promoted, decision, published):
    output = run(written(promoted), "--embedder", "models/embedder").output
    search = "its vectors and BM25 (rrf with dense weight 0.9)"
    assert f"Verdict: {decision}, and search with {search}. mrr@10 rises by 0.500; no category falls." in output
    assert f"The {published} model is in models/embedder: SentenceTransformer('models/embedder')" in output


def test_results_of_pseudo_queries_are_labeled_and_prove_nothing(written):
    output = run(written(promoted=False, kinds="pseudo")).output
    assert "Pseudo-queries, which nobody asked: no proof" in output
    assert "Test queries that people wrote" not in output
    assert "Verdict: unproven, keep your base model, and search with its vectors and BM25" in output


def test_results_print_what_was_chosen_on_dev(written):
    output = " ".join(run(written()).output.split())
    assert "strength 0.75; zscore with dense weight 0.5 for base + BM25, rrf with dense weight 0.9 for" in output


def test_results_print_how_to_search(written):
    output = " ".join(run(written()).output.split())
    assert "Without training: base + BM25, the best on dev." in output
    assert "search with its vectors and BM25 (rrf with dense weight 0.9)" in output
    assert "Rerank the best 50 with weight 0.2: mrr@10 rises by 0.700." in output
    alone = " ".join(run(written(used=False)).output.split())
    assert "search with its vectors alone" in alone
    assert "Do not rerank: mrr@10 rises by 0.700." in alone


def test_triplets_are_shown_as_health_against_base_and_not_as_proof(written):
    output = run(written()).output
    shown = output[output.index("Held-out triplets of the tuned model: a health check, not proof") :]
    table = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if "│" in line]
    assert table[0] == ["all", "all", "0.900", "-0.050", "0.700", "0.300", "0.400", "+0.100"]
    assert [row[:2] for row in table] == [
        [one, tier] for name in ("all", "numpy", "pandas") for one, tier in ((name, "all"), ("", "hard"))
    ]


@pytest.mark.parametrize(
    "name", ["evaluate.json", "verdict.json", "evaluate/intervals.csv", "evaluate/heldout_triplets.csv"]
)
def test_missing_metrics_are_one_message_and_exit_code_one(written, name):
    folder = written()
    (folder / name).unlink()
    found = run(folder)
    assert found.exit_code == 1
    assert f"{name} is missing" in found.stderr
    assert "Traceback" not in found.output


def exported(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out"])
def test_export_prints_how_many_triplets_it_wrote_and_where(prepared, tmp_path, name):
    source, out = prepared / "data/triplets/reranker0", tmp_path / name
    found = exported(out, "--source", source)
    number = len(pd.read_parquet(source / "triplets.parquet"))
    assert found.exit_code == 0
    assert found.stdout == f"export: {number} triplets of {source.as_posix()}; {out.as_posix()}\n"
    assert out.exists()


def test_export_takes_the_profile_of_the_embedder_by_default(prepared, tmp_path, monkeypatch):
    monkeypatch.chdir(prepared)
    assert "of data/triplets/embedder; " in exported(tmp_path / "out.csv").output


@pytest.mark.parametrize("arguments", [["out.xlsx"], ["out.csv", "--source", "nowhere"], ["."]])
def test_export_that_fails_is_one_message_and_exit_code_one(prepared, monkeypatch, arguments):
    monkeypatch.chdir(prepared)
    found = exported(*arguments)
    assert found.exit_code == 1
    assert found.stderr.startswith("error: ")
    assert arguments[-1] in found.stderr
    assert "Traceback" not in found.output


def test_triplets_fill_one_screen_and_end_with_how_to_see_more(tmp_path):
    one = {"strategy": "s", "view": "v", "category": "c", "positive_similarity": 0.9, "negative_similarity": 0.5}
    rows = [
        one | {"profile": profile, "tier": tier, "anchor": f"{tier} {number}", "positive": "p", "negative": "n"}
        for profile in ("embedder", "reranker")
        for tier in ("easy", "hard")
        for number in range(5)
    ]
    write_jsonl(tmp_path / "rate" / "examples.jsonl", rows)
    (tmp_path / "rate.json").write_text('{"judgment": {"embedder": ["it teaches"]}}', encoding="utf-8")
    shown = CliRunner().invoke(app, ["triplets", "--metrics", str(tmp_path)]).output
    assert [tier in shown for tier in ("easy 0", "hard 0", "easy 1", "hard 1")] == [True, True, False, False]
    assert "1 of 5 examples per tier; --limit 5 shows all" in shown
    assert shown.count("the negative is 0.40 less similar than the positive, more than the margin of 0.2") == 2
    all_of_them = CliRunner().invoke(app, ["triplets", "--metrics", str(tmp_path), "--limit", "5"]).output
    assert all_of_them.count("easy ") == 20  # a title, an anchor, and two ratings
    assert "--limit" not in all_of_them


def test_damaged_metrics_are_one_message(tmp_path):
    (tmp_path / "rate.json").write_text("{", encoding="utf-8")
    found = CliRunner().invoke(app, ["triplets", "--metrics", str(tmp_path)])
    assert found.exit_code == 1
    assert found.stderr.startswith(f"error: {tmp_path / 'rate.json'} is damaged (")


def inspected(*arguments):
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)])


@pytest.fixture
def site(tmp_path):
    pages = {
        "install.md": "# Install\n\nRead [how the pump is drained](drain.md) first, or [gone](gone.md).\n",
        "drain.md": "# Drain\n\nOpen the valve at the bottom of the tank, and wait.\n",
    }
    for name, text in pages.items():
        (tmp_path / "docs").mkdir(exist_ok=True)
        (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    return tmp_path / "docs"


def test_inspect_shows_what_a_folder_gives_and_what_to_write(site):
    found = inspected(site)
    assert found.exit_code == 0
    cells = {row[0]: row[1:] for row in rows(found.output)}
    assert cells["files with text"] == ["2 of 2 files"]
    assert cells["links"] == ["2 here, 1 resolved (50%); 0 lead elsewhere"]
    assert cells["no such page"] == ["1", "install.md: gone.md"]
    assert cells["crossref"][:3] == ["1", "1", "0"]
    assert cells["docs"][:2] == ["2", "0"]
    assert f"- {{path: {site}, format: markdown}}" in found.output


def test_inspect_prints_the_record_as_json(site):
    record = json.loads(inspected(site, "--json").output)
    assert (record["chunks"], record["links"]["kept"], record["judgments"]["crossref"]["used"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", "does not exist"),
        ("empty", "contains no files"),
        ("pictures", ".rmd, .html, .htm), only 1 .png; name another folder"),
        ("pictures/a.png", "is neither a page"),
        ("latin.md", "no file could be read; {}:1: byte 0xe9 is not UTF-8"),
        ("broken.json", "no file could be read; {}:1:2: invalid JSON"),
    ],
)
def test_inspect_refuses_what_cannot_be_read_with_one_message(tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").touch()
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    (tmp_path / "broken.json").write_text("{broken", encoding="utf-8")
    found = inspected(tmp_path / name)
    assert found.exit_code == 1
    assert found.stdout == ""
    assert found.stderr.startswith("error: ")
    assert message.format(tmp_path / name) in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_inspect_refuses_a_path_that_is_given_twice(site):
    found = inspected(site, site)
    assert (found.exit_code, found.stderr) == (1, "error: a path is given twice; give each once\n")


def test_each_system_has_its_bytes_and_what_was_measured_its_milliseconds(written):
    folder = written()
    assert len(rows(run(folder).output)[0]) == 8
    sizes = {"vectors": 120.0, "words": 50.0}
    index = {"bytes_per_chunk": sizes, "chunks": 10, "windows": 20, "questions": 0, "share_of_float32": 0.25}
    write_json(folder / "index.json", index)

    def shown():
        return {row[1]: tuple(row[-2:]) for row in rows(run(folder).output)}  # of a long name the first line

    before = shown()
    assert (before["BM25"], before["tuned"], before["tuned + BM25"]) == (("50", ""), ("120", ""), ("170", ""))
    assert before["tuned + BM25 +"] == ("", "")  # the index has no token vectors
    times = {"encode": 2.0, "vectors": 0.5, "words": 0.3, "tokens": 4.0}
    Costs("8 CPU cores", 10, times, sizes | {"tokens": 9000.0}).write(folder / "costs.json")
    after = shown()
    assert (after["BM25"], after["tuned"], after["tuned + BM25"]) == (("50", "0.3"), ("120", "2.5"), ("170", "2.8"))
    assert after["tuned + BM25 +"] == ("9,170", "6.8")
    assert "Milliseconds are the median of a question by itself (8 CPU cores)." in run(folder).output
