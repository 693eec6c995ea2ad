"""The page as a person uses it: in a browser, without a network, with the keyboard, on a phone, in both themes."""

import json
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import lxml.html
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hand_made import INDEX
from typer.testing import CliRunner

from stages import index
from triptych.artifacts import read_json, read_table, write_table
from triptych.cli import app
from triptych.corpus.records import Chunk, Query, read_chunks, write_chunks
from triptych.evaluation.run_files import SystemHits
from triptych.params.load import load_params
from triptych.report import html_page as page_module
from triptych.report.html_page import render
from triptych.report.passage_text import readable
from triptych.report.query_explorer import Explorer
from triptych.report.run_results import read_run_results
from triptych.report.system_costs import SystemCosts
from triptych.report.system_names import SYSTEMS

EVIL = "</script><script>window.broken = true</script><img src=x onerror='window.broken = true'>"
STYLE = (Path(page_module.__file__).parent / "templates/page.css").read_text(encoding="utf-8")


def rows_of(page):
    return page.eval_on_selector_all("#explorer-table td.question button", "all => all.map(one => one.textContent)")


def changes(page):
    return page.eval_on_selector_all("#explorer-table tbody td:last-child", "all => all.map(one => one.textContent)")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_it_opens_without_console_messages_or_requests(plain_page, opened, scheme, width):
    found = opened(plain_page, scheme, width)
    assert found.said == []
    assert found.asked == [plain_page.as_uri()]
    assert found.page.evaluate("document.documentElement.scrollWidth") == width
    assert found.page.locator("figure svg[role=img]").count() >= 8


def test_the_verdict_comes_first_with_its_number_and_interval(plain_page, run_project, opened):
    verdict = json.loads((run_project / "metrics/verdict.json").read_text(encoding="utf-8"))
    page = opened(plain_page).page
    assert page.evaluate("document.querySelector('h1, h2, h3').tagName") == "H1"
    said = page.inner_text("h1")
    assert ("Use the tuned embedder" in said) == (verdict["published"] == "tuned")
    assert re.search(r"\[-?0\.\d+, -?0\.\d+\]", said)
    first = page.inner_text(".decision >> nth=0")
    assert f"{verdict['difference']:+.3f}".replace("-", "\u2212") in first


@pytest.mark.parametrize("windows", [0.85, 0.28])
def test_the_page_has_the_share_of_the_text_that_vectors_see(reported, opened, project, windows):
    path = project / "data/tokens/metadata.json"
    seen = {"share_seen": {"beginning": 0.28, "windows": windows}, "max_windows": 6, "max_length": 128}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | seen), encoding="utf-8")
    text = opened(reported()).page.inner_text("#data")
    assert "Vectors see 28.0\u00a0% of the passages' text" in text
    assert ("at most 85.0\u00a0% by windows (6 of 128 tokens)" in text) == (windows > 0.28)
    assert "BM25 reads all of it" in text


def test_structure_is_accessible_to_screen_readers(plain_page, opened):
    page = opened(plain_page).page
    assert page.get_attribute("html", "lang") == "en"
    assert [page.locator(f"body > {one}").count() for one in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    tables = "[...document.querySelectorAll('table')]"
    assert page.evaluate(f"{tables}.every(one => one.caption && one.caption.textContent.trim())")
    assert page.evaluate(f"{tables}.every(one => [...one.querySelectorAll('th')].every(head => head.scope))")
    assert page.evaluate("[...document.querySelectorAll('figure svg[role=img]')].every(one => one.ariaLabel)")
    assert page.evaluate("[...document.querySelectorAll('select, input')].every(one => one.labels.length === 1)")


def test_the_explorer_opens_with_the_biggest_gain_and_turns_to_the_biggest_loss(plain_page, opened):
    page = opened(plain_page).page
    gains = changes(page)
    page.click("text=Biggest losses")
    losses = changes(page)
    assert gains != losses
    assert gains[0].startswith("▲")
    assert page.get_attribute("[data-order=loss]", "aria-pressed") == "true"
    assert page.get_attribute("#explorer-table th:last-child", "aria-sort") == "ascending"


def test_headings_sort_by_keyboard(plain_page, opened):
    page = opened(plain_page).page
    page.focus("#explorer-table [data-sort=query]")
    page.keyboard.press("Enter")
    assert rows_of(page) == sorted(rows_of(page), key=str.lower)
    assert page.evaluate("document.activeElement.dataset.sort") == "query"  # focus stays where it was
    page.keyboard.press("Enter")
    assert rows_of(page) == sorted(rows_of(page), key=str.lower, reverse=True)
    assert page.get_attribute("#explorer-table th >> nth=0", "aria-sort") == "descending"

    table = page.locator("#systems table.sortable").first
    table.locator("thead button", has_text="ndcg@10").press("Enter")
    values = [float(one) for one in table.locator("tbody td:last-child").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    assert table.locator("thead th").last.get_attribute("aria-sort") == "descending"


def test_a_query_shows_the_five_best_of_each_system_with_the_answer_marked_in_words(plain_page, run_project, opened):
    runs = pd.read_parquet(run_project / "data/runs/runs.parquet")
    queries = [json.loads(line) for line in (run_project / "data/corpus/queries.jsonl").open(encoding="utf-8")]
    text = {one["_id"]: one["text"] for one in queries}
    qrels = pd.read_csv(run_project / "data/corpus/qrels/test.tsv", sep="\t")
    answers = set(zip(qrels["query-id"], qrels["corpus-id"], strict=True))
    runs["right"] = [pair in answers for pair in zip(runs["query_id"], runs["chunk_id"], strict=True)]
    page = opened(plain_page).page
    page.keyboard.press("Tab")
    page.locator("#explorer-table td.question button").first.press("Enter")
    asked = rows_of(page)[0]
    (query,) = {one for one in qrels["query-id"] if text[one] == asked}
    best = runs[(runs["query_id"] == query) & (runs["rank"] <= 5)]
    assert page.locator(".detail .ranking").count() == runs["system"].nunique()
    assert page.locator(".detail .ranking li").count() == len(best)
    assert page.locator(".detail .ranking li", has_text="✓ answer").count() == int(best["right"].sum())
    told = page.locator(".detail .ranking h3").all_inner_texts()
    for system, said in zip(runs["system"].unique(), told, strict=True):
        ranks = runs[(runs["query_id"] == query) & (runs["system"] == system) & runs["right"]]["rank"]
        assert f"answer at rank {ranks.min()}" in said if len(ranks) else "not in the first 100" in said
    page.locator("#explorer-table td.question button").first.press("Enter")
    assert page.locator(".detail").count() == 0


def test_filters_leave_what_was_asked_for(plain_page, opened):
    page = opened(plain_page).page
    page.select_option("#explorer-category", label="ma")
    assert set(page.locator("#explorer-table tbody td:nth-child(2)").all_inner_texts()) == {"ma"}
    word = rows_of(page)[0].split()[0].lower()
    page.fill("#explorer-text", word)
    assert rows_of(page)
    assert all(word in one.lower() for one in rows_of(page))
    page.fill("#explorer-text", "no such words at all")
    assert rows_of(page) == []
    assert "0 queries" in page.inner_text("#explorer-status")


def test_text_of_documents_is_shown_as_text(reported, opened, project):
    path = project / "data/corpus/chunks.parquet"
    spoiled = [replace(one, content=EVIL, title=EVIL, header_path=(EVIL,)) for one in read_chunks(path)]
    write_chunks(path, spoiled)
    queries = project / "data/corpus/queries.jsonl"
    lines = [json.loads(line) | {"text": EVIL} for line in queries.read_text(encoding="utf-8").splitlines()]
    queries.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    examples = project / "metrics/rate/examples.jsonl"
    lines = [json.loads(line) for line in examples.read_text(encoding="utf-8").splitlines()]
    lines = [line | {"anchor": EVIL, "positive": EVIL, "negative": EVIL, "category": EVIL} for line in lines]
    examples.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    found = opened(reported())
    page = found.page
    page.click("#explorer-table td.question button >> nth=0")
    assert page.locator(".detail .hit .snippet").first.inner_text() == EVIL
    assert rows_of(page)[0] == EVIL
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert EVIL in page.locator(".triplet pre").first.inner_text()
    ratings = page.locator(".triplet .rating").all_inner_texts()
    assert len(ratings) == page.locator(".triplet").count() > 0
    assert {one.split(" ")[0].lower() for one in ratings} <= {"easy", "semi-hard", "hard"}
    assert page.evaluate("window.broken") is None
    assert found.said == []
    assert len(found.asked) == 1


def test_a_script_in_any_name_is_shown_as_text(reported, opened, project):
    """The names of categories, files and systems, the params, and the sentences of the verdict."""
    evil = "<img src=x onerror=window.broken=true>"
    path = project / "data/corpus/chunks.parquet"
    chunks = [replace(one, category=one.category.replace("fft", evil), filename=evil) for one in read_chunks(path)]
    write_chunks(path, chunks)
    texts = [*project.rglob("metrics/**/*.json*"), *project.rglob("metrics/**/*.csv"), project / "params.yaml"]
    for file in [*texts, project / "data/corpus/queries.jsonl"]:
        file.write_text(re.sub(r"\bfft\b", evil, file.read_text(encoding="utf-8")), encoding="utf-8")
    verdict = project / "metrics/verdict.json"
    verdict.write_text(verdict.read_text(encoding="utf-8").replace(" the ", f" {evil} "), encoding="utf-8")
    found = opened(reported())
    page = found.page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.click("#explorer-table td.question button >> nth=0")
    for where in ("main", ".detail", "#explorer-table"):
        assert evil in page.locator(where).first.inner_text()
    assert page.locator("img").count() == 0
    assert page.evaluate("window.broken") is None
    assert found.said == []
    assert len(found.asked) == 1


def test_a_system_that_nobody_knew_of_stands_beside_the_others(reported, opened, project):
    path = project / "data/runs/runs.parquet"
    runs = read_table(path)
    tuned = runs.filter(pa.compute.equal(runs["system"], "tuned"))
    other = tuned.set_column(0, "system", pa.array(["tuned_reranked"] * len(tuned)))
    write_table(path, pa.concat_tables([runs, other]))
    metrics = project / "metrics/evaluate.json"
    found = json.loads(metrics.read_text(encoding="utf-8"))
    for systems in (*found["measures"].values(), *found["by_kind"].values(), found["macro"]):
        systems["tuned_reranked"] = systems["tuned"]
    metrics.write_text(json.dumps(found), encoding="utf-8")
    table = pd.read_csv(project / "metrics/evaluate/intervals.csv")
    added = table[table["system"] == "tuned"].assign(system="tuned_reranked")
    pd.concat([table, added]).to_csv(project / "metrics/evaluate/intervals.csv", index=False)
    verdict = project / "metrics/verdict.json"
    said = json.loads(verdict.read_text(encoding="utf-8"))
    said["reranker"] = {
        key: said[key] for key in ("difference", "low", "high", "kinds", "p_holm", "reason", "verdict")
    } | {
        "used": False,
        "system": "tuned_reranked",
        "reasons": ["it was better"],
        "way": {"depth": 50, "weight": 0.5},
    }
    verdict.write_text(json.dumps(said), encoding="utf-8")
    page = opened(reported()).page
    assert "tuned reranked" in page.inner_text("#explorer-table thead")
    assert "tuned reranked" in page.inner_text("#systems table >> nth=0")
    assert page.locator(".decision").count() == 2


def system_rows(page):
    return page.locator("#systems table >> nth=0").locator("tbody tr").all_inner_texts()


def test_kinds_are_rows_beside_categories_and_tell_whether_they_were_taught(reported, opened, project):
    assert not [row for row in system_rows(opened(reported()).page) if row.startswith("kind ")]  # it is the row of all
    path = project / "metrics/evaluate.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    found["by_kind"]["user"] = found["by_kind"]["crossref"]
    path.write_text(json.dumps(found), encoding="utf-8")
    table = pd.read_csv(project / "metrics/evaluate/intervals.csv")
    rise = table[table["kind"] == "crossref"].assign(kind="user", difference=0.321)
    pd.concat([table, rise]).to_csv(project / "metrics/evaluate/intervals.csv", index=False)
    verdict = project / "metrics/verdict.json"
    said = json.loads(verdict.read_text(encoding="utf-8"))
    verdict.write_text(
        json.dumps(said | {"taught": ["crossref"], "basis": "taught", "verdict": "kept"}), encoding="utf-8"
    )
    page = opened(reported()).page
    rows = system_rows(page)
    users = [row for row in rows if row.startswith("kind user not taught")]
    assert len(users) == len(found["by_kind"]["user"])
    assert sum("+0.321" in row for row in users) == len(users) - 1
    assert [row for row in rows if row.startswith("kind crossref taught")]
    assert "measured on the kind of question it was taught with" in page.inner_text("h1")
    assert "Measured on the kind of question it was taught with." in page.inner_text("header .note")


def test_what_changed_since_the_last_publication_is_told_where_there_was_one(reported, opened, project):
    assert opened(reported()).page.locator("#since").count() == 0
    for name, change in (
        ("split", {"pages": {"added": 7, "changed": 1, "gone": 2, "same": 9}, "chunks": {"added": 8, "gone": 3}}),
        ("evaluate", {"folder": "previous/first", "exams": {}}),
        ("verdict", {"kept": True, "published": False, "reasons": ["it stays"]}),
    ):
        path = project / f"metrics/{name}.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        if name == "evaluate":
            change |= {"then": {"published": "base", "measures": found["measures"]["all"]}}
        if name == "verdict":
            change |= {"last_exam": None, "new_questions": None}
        path.write_text(json.dumps(found | {"previous": change}), encoding="utf-8")
    page = opened(reported()).page
    assert page.inner_text("#since summary") == "Since previous/first: what was won is kept"
    page.click("#since summary")
    assert "pages: 7 added, 1 changed, 2 gone" in page.inner_text("#since")
    assert "it stays" in page.inner_text("#since")


def test_what_carries_over_is_shown_for_the_corpus_of_the_run_only(reported, opened, project):
    corpus = json.loads((project / "metrics/evaluate.json").read_text(encoding="utf-8"))["corpus"]
    cell = {"queries": 25, "base": 0.5, "value": 0.623, "difference": 0.123, "low": 0.1, "high": 0.2}
    rows = [{"left_out": one, "by_kind": {"user": cell | {"taught": not one}}} for one in ("", "user")]
    record = {"metric": "mrr@10", "split": "dev", "seeds": 1, "steps": 2, "rows": rows}
    path = project / "metrics/transfer.json"
    path.write_text(json.dumps(record | {"corpus": corpus}), encoding="utf-8")
    said = opened(reported()).page.inner_text("#systems")
    assert "What carries over to kinds of question that are not taught" in said
    assert said.count("+0.123") == 2
    assert said.count("not taught") == 2
    path.write_text(json.dumps(record | {"corpus": "other.dir"}), encoding="utf-8")
    assert "What carries over" not in opened(reported()).page.inner_text("#systems")


def test_one_round_without_mining_and_questions_that_nobody_asked(reported, opened, project):
    params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    mined = {"reranker": {"previous": "round0", "examples": "reranker0"}}
    params["rounds"] = {"train": {"round0": params["rounds"]["train"]["round0"]}, "mine": mined}
    params["evaluate"]["round"] = "round0"
    (project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    verdict = project / "metrics/verdict.json"
    said = json.loads(verdict.read_text(encoding="utf-8"))
    said |= {"verdict": "unproven", "published": "base", "kinds": "pseudo", "reason": "nobody asked the queries"}
    verdict.write_text(json.dumps(said), encoding="utf-8")
    found = opened(reported())
    assert found.said == []
    assert "Keep your base model: unproven" in found.page.inner_text("h1")
    assert "No proof" in found.page.inner_text("header .note")
    assert "Mining" not in found.page.inner_text("#training")
    assert "round1" not in found.page.inner_text("#training")


def test_rounds_that_were_not_trained_are_shown(reported, opened, project):
    ended = {"rows": 0, "strength": 1.0, "trained_in": "round0", "churn": 0.01}
    (project / "metrics/train/round1.json").write_text(json.dumps(ended), encoding="utf-8")
    (project / "metrics/train/round1.csv").write_text("step,loss\n", encoding="utf-8")
    (project / "metrics/train/round1/strengths.csv").write_text("strength,category,mrr@10\n", encoding="utf-8")
    (project / "metrics/train/round1/dev.csv").write_text("step,category,mrr@10,weight\n", encoding="utf-8")
    found = opened(reported())
    assert found.said == []
    assert "not trained: mining renewed only 1.0\u00a0%" in found.page.inner_text("#training")


def test_metrics_that_are_none_are_dashes(reported, opened, project):
    path = project / "metrics/mine/round1.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    for mined in found["mined"].values():
        mined |= {"hardness": None, "suggested_margin": None, "suspected_false_left": None}
    path.write_text(json.dumps(found), encoding="utf-8")
    row = opened(reported()).page.locator("#training table", has_text="Hard negatives mined").locator("tbody tr").first
    assert row.locator("td").all_inner_texts().count("\u2013") == 3


def test_equal_results_are_equal_bytes(reported):
    first = reported().read_bytes()
    assert reported().read_bytes() == first


@pytest.fixture
def many(project):
    """Render the page for 20,000 test queries over 100,000 chunks and five systems, and write it."""
    draw, random = np.random.default_rng(3), Random(3)
    words = [f"{a}{b}" for a in ("ba", "do", "ki", "lu", "me") for b in ("nter", "list", "ral", "shen", "tive")]

    def said(number):
        return " ".join(random.choices(words, k=number))

    chunks = [
        Chunk(f"c{n}", f"k{n % 7}", f"f{n % 900}.md", (said(1), said(2)), said(3), said(60), "") for n in range(100_000)
    ]
    queries = [Query(f"q{n}", f"{said(9)} {n}", ("user", "crossref")[n % 2], f"k{n % 7}") for n in range(20_000)]
    qrels = {one.query_id: {f"c{5 * n}": 1} for n, one in enumerate(queries)}
    systems = ["bm25", "base", "base_hybrid", "tuned", "tuned_hybrid"]
    ranks = draw.integers(0, 101, (5, 20_000)).astype(np.int32)
    hits = SystemHits(systems, ranks, draw.integers(0, 100_000, (5, 20_000, 5)).astype(np.int32))
    params = load_params()
    results = read_run_results(Path("metrics"), Path("data/tokens/metadata.json"), params)
    explorer = Explorer(chunks, queries, qrels, hits, ("base", "tuned"), params.report.snippet_chars)
    path = project / "metrics/many.html"
    path.write_text(render(results, explorer, {"versions": {}, "hashes": {}}, ""), encoding="utf-8", newline="\n")
    return path


def test_twenty_thousand_queries_stay_usable(many, opened):
    assert many.stat().st_size < 5_000_000
    found = opened(many)
    page = found.page
    assert found.said == []
    assert "20,000 queries" in page.inner_text("#explorer-status")
    assert "The page has hits for" in page.inner_text("#explorer")
    sort = """selector => {
      const start = performance.now();
      document.querySelector(selector).click();
      document.body.getBoundingClientRect();  // laid out
      return performance.now() - start;
    }"""
    for selector in ("[data-order=loss]", "[data-sort=query]", "[data-sort='0']", "[data-order=gain]"):
        assert page.evaluate(sort, f"#explorer {selector}") < 1000
    for order in ("gain", "loss"):  # the biggest of both have their hits
        page.click(f"#explorer [data-order={order}]")
        page.click("#explorer-table td.question button >> nth=0")
        assert page.locator(".detail .hit").count() == 25
    page.fill("#explorer-text", "19999")
    assert len(rows_of(page)) == 1
    page.fill("#explorer-text", "")
    page.click("#explorer-next")
    assert page.inner_text("#explorer-page") == "2 of 800"


def test_more_queries_than_fit_into_the_page_are_left_out_and_counted(project, opened):
    queries = [Query(f"q{n}", f"{'<long> ' * 200}{n}", "user", "ma") for n in range(1000)]  # which are embedded longer
    qrels = {one.query_id: {"c0": 1} for one in queries}
    ranks = np.array([[5] * 1000, [4] * 998 + [1, 10]], np.int32)  # what moves most comes last
    hits = SystemHits(["base", "tuned"], ranks, np.zeros((2, 1000, 5), np.int32))
    chunks = [Chunk("c0", "ma", "f", (), "t", "text", "")]
    raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    raw["report"]["max_megabytes"] = 1.5
    Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    results = read_run_results(Path("metrics"), Path("data/tokens/metadata.json"), load_params())
    explorer = Explorer(chunks, queries, qrels, hits, ("base", "tuned"), 100)
    path = project / "metrics/cut.html"
    path.write_text(render(results, explorer, {"versions": {}, "hashes": {}}, ""), encoding="utf-8", newline="\n")
    assert 950_000 < path.stat().st_size < 1_500_000
    page = opened(path).page
    assert re.search(r"\d+ of 1,000 test queries are listed", page.inner_text("#explorer"))
    assert changes(page)[0] == "▲ 5 → 1"
    page.click("text=Biggest losses")
    assert changes(page)[0] == "▼ 5 → 10"


def themes():
    """Return the colors of both themes, by name."""
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", part)) for part in STYLE.split("@media")[:2])
    return {"light": light, "dark": light | dark}


def contrast(one, other):
    """Return the contrast of two colors as WCAG 2.1 defines it."""

    def luminance(color):
        parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colors_have_the_contrast_that_wcag_aa_asks_for(theme):
    colors = themes()[theme]
    for ground in ("ground", "sheet", "sunken"):
        for text in ("ink", "quiet", "accent", "good", "bad", "doubt"):
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
        for mark in ("edge", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"):
            assert contrast(colors[mark], colors[ground]) >= 3.0, (mark, ground)
    for ground, texts in {"good-ground": ("ink", "quiet", "good"), "doubt-ground": ("ink", "doubt")}.items():
        for text in texts:
            assert contrast(colors[text], colors[ground]) >= 4.5, (text, ground)
    assert contrast(colors["sheet"], colors["ink"]) >= 4.5  # of a pressed button


def test_captions_are_whole_on_a_phone(plain_page, opened):
    page = opened(plain_page, width=390).page
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    rights = page.eval_on_selector_all(
        ".scroll caption:not(.hidden)",
        """all => all.map(one => {
            const range = document.createRange();
            range.selectNodeContents(one);
            return range.getBoundingClientRect().right;
        })""",
    )
    assert len(rights) > 8
    assert max(rights) <= 390


def test_the_loss_of_a_reranker_is_drawn_where_one_was_trained(reported, opened, project):
    title = "Loss of the reranker"
    assert title not in opened(reported()).page.inner_text("#training")
    (project / "metrics/train_reranker.csv").write_text("step,loss\n10,2.1\n20,1.7\n", encoding="utf-8")
    assert title in opened(reported()).page.inner_text("#training")


def test_charts_of_training_are_shown_and_what_was_not_evaluated_is_named(plain_page, reported, opened, project):
    said = opened(plain_page).page.inner_text("#training")
    for title in ("Loss", "Active triplets", "Tier weights", "Strength of tuning", "Learning rate"):
        assert title in said
    assert "Dev was evaluated at the end of each round" not in said  # the rounds of this run were evaluated between
    for path in project.glob("metrics/train/*/dev.csv"):
        path.write_text("step,category,mrr@10,weight\n", encoding="utf-8")
    assert "Dev was evaluated at the end of each round" in opened(reported()).page.inner_text("#training")


def test_eight_systems_have_a_line_each_with_a_legend(reported, opened, project):
    path = project / "metrics/evaluate/recall.csv"
    table = pd.read_csv(path)
    more = [table] + [
        table[table["system"] == "tuned"].assign(system=name) for name in ("tuned_late", "base_late", "x")
    ]
    pd.concat(more).to_csv(path, index=False)
    page = opened(reported()).page
    assert "Each line is one of" not in page.inner_text("body")
    assert "tuned + BM25 + MaxSim" in page.inner_text("body")


def test_on_paper_nothing_is_cut_off_and_what_is_for_fingers_is_gone(plain_page, opened):
    page = opened(plain_page).page
    page.set_viewport_size({"width": 800, "height": 1100})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth <= 800")
    assert not page.is_visible("#explorer-form")


def test_it_says_that_pull_needs_a_remote(plain_page, opened):
    assert "dvc pull needs a remote that has the run" in opened(plain_page).page.inner_text("#repeat")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("set ``axis=0``, or :func:`x`", "set axis=0, or x"),
        ("see :py:meth:`~numpy.fft.fft` and :ref:`the guide <fft-guide>`", "see numpy.fft.fft and the guide"),
        ("a `b` at 10:30: `c`", "a `b` at 10:30: `c`"),
    ],
)
def test_marks_of_rst_are_taken_off(raw, said):
    assert readable(raw) == said


def test_each_system_has_its_bytes_and_after_triptych_costs_its_milliseconds(reported, project):
    def table():
        found = lxml.html.parse(reported()).xpath("//section[@id='systems']//table")[0]
        heads = [one.text_content() for one in found.xpath(".//thead//th")]
        return [
            dict(zip(heads, (one.text_content() for one in row), strict=True)) for row in found.xpath(".//tbody/tr")
        ]

    assert not {"bytes a chunk", "ms a question"} & table()[0].keys()  # stage index has not run
    index.main(INDEX.split())
    before = {row["system"]: row["bytes a chunk"] for row in table()}
    assert re.fullmatch(r"[\d,]+", before["BM25"])
    assert re.fullmatch(r"[\d,]+", before["tuned + BM25"])
    assert "ms a question" not in table()[0]
    assert CliRunner().invoke(app, ["costs"]).exit_code == 0
    costs = SystemCosts.read(project / "metrics", read_json(project / "metrics/evaluate.json"))
    for row in table():
        (system,) = [name for name, shown in SYSTEMS.items() if shown == row["system"]]
        cost = costs.of(system)
        assert row["bytes a chunk"] == f"{cost.bytes_per_chunk:,.0f}"
        assert row["ms a question"] == f"{cost.milliseconds:.1f}"
