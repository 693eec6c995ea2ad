"""Stage split on a user's corpus: the splits, the printed lines, and the errors."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stages import command, split
from triptych.corpus.records import Chunk, Link, read_chunks, read_qrels, read_queries, write_chunks, write_links

PATHS = ["--chunks", "data/chunks", "--corpus", "data/corpus", "--metrics", "metrics/split.json"]
WORDS = [a + b + c for a in "bdgkmnprst" for b in "aeiou" for c in "lnrsx"]


def chunk(row, category="lists", **changes):
    words = Random(row).sample(WORDS, 30)
    content = f"{' '.join(words[:15]).capitalize()}. {' '.join(words[15:]).capitalize()}."
    title = f"{words[0]} {words[1]} {row}"
    one = Chunk(f"{category}{row:03}", category, f"{category}{row // 2}.md", (title,), title, content, f"x:{row}")
    return replace(one, **changes)


def two_categories(number=120):
    return [chunk(row, ("lists", "tables")[row // 2 % 2]) for row in range(number)]


def links_to(chunks):
    """Return a link to each chunk from the one after it, with its own words."""
    pairs = zip([*chunks[1:], chunks[0]], chunks, strict=True)
    return [Link(one.chunk_id, other.chunk_id, f"what {other.chunk_id} is about", "") for one, other in pairs]


@pytest.fixture
def run_split(tmp_path, monkeypatch, write_params, capsys):
    """Run the stage on chunks, links and questions; return its metrics and its printed lines."""
    monkeypatch.chdir(tmp_path)

    def call(chunks, links=(), questions=None, **changes):
        write_chunks(tmp_path / "data/chunks/chunks.parquet", list(chunks))
        write_links(tmp_path / "data/chunks/links.parquet", list(links))
        if questions is not None:
            changes["queries"] = "questions"
            (tmp_path / "questions/qrels").mkdir(parents=True, exist_ok=True)
            lines = [json.dumps({"_id": str(row), "text": text}) for row, (text, _) in enumerate(questions)]
            (tmp_path / "questions/queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
            rows = ["query-id\tcorpus-id\tscore", *(f"{row}\t{one}\t1" for row, (_, one) in enumerate(questions))]
            (tmp_path / "questions/qrels/all.tsv").write_text("\n".join(rows), encoding="utf-8")
        settings = {"min_queries": 1, "min_train_queries": 1, "group_titles": False} | changes
        write_params(tmp_path, **{f"split.{key}": value for key, value in settings.items()})
        command.run(lambda: split.main(PATHS))
        metrics = json.loads((tmp_path / "metrics/split.json").read_text(encoding="utf-8"))
        return metrics, capsys.readouterr().out.splitlines()

    return call


@pytest.fixture
def refused(run_split, capsys, tmp_path):
    """Run the stage; return standard error after it exited with 1 and wrote nothing."""

    def call(*arguments, **changes):
        with pytest.raises(SystemExit) as stopped:
            run_split(*arguments, **changes)
        assert stopped.value.code == 1
        assert not (tmp_path / "data/corpus").exists()
        assert not (tmp_path / "metrics").exists()
        output = capsys.readouterr().err
        assert output.startswith("error: ")
        return output

    return call


def written(folder):
    """Return the split of each chunk, the qrels and the queries."""
    corpus = folder / "data/corpus"
    splits = {one.chunk_id: one.split for one in read_chunks(corpus / "chunks.parquet")}
    judged = {name: read_qrels(corpus / "qrels" / f"{name}.tsv") for name in ("train", "dev", "test")}
    return splits, judged, read_queries(corpus)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.sampled_from(["links", "questions", "nothing"]))
def test_order_of_the_rows_does_not_matter(run_split, tmp_path, random, source):
    chunks = two_categories(60)
    chunks += [replace(one, chunk_id=f"copy-{one.chunk_id}", filename="copies.md") for one in chunks[:3]]
    links = links_to(chunks[:60]) if source == "links" else []
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks] if source == "questions" else None
    metrics, _ = run_split(chunks, links, questions)
    before = written(tmp_path)
    again, _ = run_split(random.sample(chunks, len(chunks)), links, questions)
    assert written(tmp_path) == before
    assert again == metrics


def test_questions_come_before_links_and_pseudo_queries_only_where_there_is_neither(run_split, tmp_path):
    chunks = two_categories()
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks]
    for links, with_questions, kinds in (
        (links_to(chunks), questions, ["user", "crossref"]),
        ([], questions, ["user"]),
        (links_to(chunks), None, ["crossref"]),
        ([], None, ["pseudo"]),
    ):
        metrics, _ = run_split(chunks, links, with_questions)
        assert list(dict.fromkeys(query.kind for query in written(tmp_path)[2].values())) == kinds
        assert set(metrics["kinds"]["test"]) == set(kinds)


def test_links_that_are_all_dropped_leave_pseudo_queries_and_are_counted(run_split):
    chunks = two_categories()
    links = [replace(one, text="see") for one in links_to(chunks)]
    metrics, output = run_split(chunks, links)
    assert metrics["queries_dropped"]["too_short"] == len(links)
    assert set(metrics["kinds"]["test"]) == {"pseudo"}
    assert any("pseudo-queries are used instead, which prove nothing" in line for line in output)


def test_few_queries_give_a_warning(run_split):
    chunks = two_categories()
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks]
    metrics, output = run_split(chunks, questions=questions, min_queries=5, warn_queries=10)
    few = [line for line in output if line.startswith("warning: category 'lists' has 6 dev queries, fewer than 10")]
    assert (len(few), len(metrics["warnings"])) == (1, 2)
    assert run_split(chunks, questions=questions, min_queries=5, warn_queries=6)[0]["warnings"] == []


def test_categories_with_few_test_queries_are_judged_together(run_split, tmp_path):
    chunks = [*two_categories(120), *(chunk(900 + row, "faq") for row in range(4))]
    metrics, output = run_split(
        chunks, questions=[(f"how about {one.chunk_id}", one.chunk_id) for one in chunks], min_queries=4
    )
    assert metrics["small_categories"] == {"name": "(small categories)", "categories": ["faq"]}
    assert any(
        "1 category has fewer than 4 test queries (or 4 documents that they are about): 'faq'" in line
        for line in output
    )
    names = {query.category for query in written(tmp_path)[2].values()}
    assert names == {"lists", "tables", "(small categories)"}


def test_a_category_with_queries_about_few_documents_is_not_judged_alone(run_split):
    chunks = [*two_categories(120), *(chunk(900 + row, "faq", filename=f"faq{row % 4}.md") for row in range(24))]
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks]
    metrics, _ = run_split(chunks, questions=questions, min_queries=4)
    assert metrics["splits"]["test"]["faq"]["queries"] >= 4
    assert metrics["small_categories"]["categories"] == ["faq"]
    assert run_split(chunks, questions=questions, min_queries=1)[0]["small_categories"]["categories"] == []


def test_few_judgments_judge_and_do_not_teach(run_split, tmp_path):
    chunks = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    questions = [(f"how about {one.chunk_id}", one.chunk_id) for one in chunks[:30]]
    metrics, output = run_split(chunks, questions=questions, min_train_queries=31)
    splits, judged, _ = written(tmp_path)
    assert [len(judged[name]) for name in ("train", "dev", "test")] == [0, 10, 20]
    assert {splits[one] for grades in judged["test"].values() for one in grades} == {"train", "dev", "test"}
    assert metrics["judgments"] == {"judge_only": True, "queries": 30, "kinds": {}}
    assert any(
        "30 questions and links that may be learned, fewer than split.min_train_queries (31)" in line for line in output
    )
    assert run_split(chunks, questions=questions, min_train_queries=30)[0]["splits"]["train"]["lists"]["queries"] > 0


def test_near_duplicates_across_categories_are_reported(run_split, tmp_path):
    chunks = two_categories()
    chunks.append(replace(chunks[0], chunk_id="copy", category="tables", filename="copy.md"))
    metrics, output = run_split(chunks, links_to(chunks))
    assert metrics["near_duplicates"]["across_categories"]["categories"] == [
        {"clusters": 1, "names": ["lists", "tables"]}
    ]
    assert "1 near-duplicate clusters across categories" in output[-1]
    splits = written(tmp_path)[0]
    assert splits["copy"] == splits[chunks[0].chunk_id]


def test_chunks_that_are_all_near_duplicates_stay_together_and_the_shares_are_explained(run_split):
    chunks = [replace(one, content=chunk(0).content) for one in two_categories()]
    metrics, output = run_split(chunks, links_to(chunks))
    assert max(metrics["shares"].values()) == 1
    assert any("the largest document contains 100% of the chunks and is not divided" in line for line in output)


def test_file_with_all_chunks_is_divided_into_sections(run_split):
    chunks = [replace(one, filename="export.json", category="lists") for one in two_categories()]
    metrics, output = run_split(chunks, links_to(chunks))
    assert metrics["cuts"]["files_divided"] == 1
    assert any("one document would contain 100% of the chunks" in line for line in output)
    assert metrics["shares"]["train"] == pytest.approx(0.7, abs=0.05)


@pytest.mark.parametrize("group_titles", ["auto", True])
def test_title_of_all_chunks_does_not_glue_the_corpus(run_split, group_titles):
    chunks = [replace(one, title="Overview", filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    metrics, output = run_split(chunks, links_to(chunks), group_titles=group_titles)
    assert metrics["documents"] == 60
    assert metrics["shares"]["train"] == pytest.approx(0.7, abs=0.05)
    assert any("'Overview'" in line for line in output)


def test_rare_title_and_common_title_of_like_pages_join(run_split, tmp_path):
    chunks = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    alike = [
        replace(
            one,
            title="Change of units",
            content=f"{one.content} This page is about the change of units."
            " Units are changed with the same call on every kind of value.",
        )
        for one in chunks[:3]
    ]
    metrics, _ = run_split([*alike, *chunks[3:]], links_to(chunks), group_titles="auto")
    assert metrics["documents"] == 58
    assert len({written(tmp_path)[0][one.chunk_id] for one in alike}) == 1


def test_text_of_all_pages_does_not_glue_them_and_is_named(run_split):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    notices = [
        replace(one, chunk_id=f"notice-{one.chunk_id}", title="", content="All rights reserved by us.") for one in pages
    ]
    chunks = [one for pair in zip(notices, pages, strict=True) for one in pair]
    links = [replace(one, to_chunk_id=f"notice-{one.to_chunk_id}") for one in links_to(pages)]
    metrics, output = run_split(chunks, links)
    assert metrics["documents"] == 61
    assert sum(metrics["kinds"][name]["crossref"] for name in ("train", "dev", "test")) == 60
    assert any("'All rights reserved by us.' is in 60" in line for line in output)


def test_questions_with_several_answers_reach_dev_and_test(run_split, tmp_path):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    ids = [one.chunk_id for one in pages]
    questions = [(f"how about {row}", ids[row * 7 % 60]) for row in range(20)]
    questions += [(f"how about {row}", ids[(row * 7 + 20) % 60]) for row in range(20)]
    metrics, output = run_split(pages, links_to(pages), questions)
    splits, judged, _ = written(tmp_path)
    assert metrics["queries_dropped"]["equal_text"] == 20
    assert any("questions with the text of another one: 20;" in line for line in output)
    assert metrics["shares"]["train"] == pytest.approx(0.7, abs=0.05)
    answers = {name: [one for of_query in judged[name].values() for one in of_query] for name in judged}
    assert all(splits[one] == "train" for one in answers["train"])
    assert not [one for one in [*answers["dev"], *answers["test"]] if splits[one] == "train"]


def lone(tmp_path, name):
    """Let the questions of the last run have a single qrels file with this name."""
    (tmp_path / "questions/qrels/all.tsv").rename(tmp_path / f"questions/qrels/{name}.tsv")


def asked_by_users(tmp_path):
    """Return the number of users' questions in each split."""
    _, judged, queries = written(tmp_path)
    return {name: sum(queries[one].kind == "user" for one in judged[name]) for name in judged}


@pytest.mark.parametrize("min_train_queries", [1, 300])
def test_a_lone_test_file_is_the_test_set_and_links_give_dev(run_split, tmp_path, min_train_queries):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    questions = [(f"how about {row}", pages[row % 20].chunk_id) for row in range(40)]
    run_split(pages, links_to(pages), questions, min_train_queries=min_train_queries)
    lone(tmp_path, "test")
    split.main(PATHS)
    assert asked_by_users(tmp_path) == {"train": 0, "dev": 0, "test": 40}
    splits, judged, queries = written(tmp_path)
    assert {queries[one].kind for one in judged["dev"]} == {"crossref"}
    if min_train_queries == 1:
        assert judged["train"]
        assert {splits[page.chunk_id] for page in pages[:20]} == {"train", "dev", "test"}
    else:
        assert not judged["train"]


def test_few_links_beside_a_lone_test_file_all_judge(run_split, tmp_path):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    questions = [(f"how about {row}", pages[row % 20].chunk_id) for row in range(40)]
    run_split(pages, links_to(pages)[15:30], questions, min_train_queries=30)
    lone(tmp_path, "test")
    split.main(PATHS)
    _, judged, queries = written(tmp_path)
    links = {name: sum(queries[one].kind == "crossref" for one in judged[name]) for name in judged}
    assert links == {"train": 0, "dev": 5, "test": 10}
    assert asked_by_users(tmp_path) == {"train": 0, "dev": 0, "test": 40}


def test_a_lone_test_file_without_links_leaves_pseudo_queries_for_dev(run_split, tmp_path, capsys):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    run_split(pages, [], [(f"how about {row}", pages[row % 20].chunk_id) for row in range(40)])
    lone(tmp_path, "test")
    split.main(PATHS)
    assert asked_by_users(tmp_path) == {"train": 0, "dev": 0, "test": 40}
    _, judged, queries = written(tmp_path)
    assert {queries[one].kind for one in judged["dev"]} == {"pseudo"}
    assert "no question or usable link for dev" in capsys.readouterr().out


def test_a_lone_dev_file_is_held_out_and_judges_in_both(run_split, tmp_path):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    run_split(pages, links_to(pages), [(f"how about {row}", pages[row % 20].chunk_id) for row in range(20)])
    lone(tmp_path, "dev")
    split.main(PATHS)
    users = asked_by_users(tmp_path)
    assert (users["train"], users["dev"] + users["test"]) == (0, 20)
    assert users["dev"]
    assert users["test"]
    assert written(tmp_path)[1]["train"]


@pytest.mark.parametrize("source", ["links", "nothing"])
def test_a_category_of_one_chunk_does_not_stop_the_run(run_split, source):
    chunks = [*two_categories(), chunk(900, "faq")]
    metrics, _ = run_split(chunks, links_to(chunks) if source == "links" else [])
    assert metrics["small_categories"]["categories"] in ([], ["faq"])


def test_sections_of_two_versions_are_one_answer(run_split, tmp_path):
    first = [replace(one, filename=f"v1/{one.chunk_id}.md") for one in two_categories(40)]
    second = [replace(one, chunk_id=f"v2-{one.chunk_id}", filename=f"v2/{one.chunk_id}.md") for one in first]
    links = links_to(first)
    links += [
        replace(one, from_chunk_id=f"v2-{one.from_chunk_id}", to_chunk_id=f"v2-{one.to_chunk_id}") for one in links
    ]
    metrics, _ = run_split([*first, *second], links)
    assert metrics["queries_dropped"] == {"merged": 40}
    assert {len(grades) for judged in written(tmp_path)[1].values() for grades in judged.values()} == {2}


def rename_qrels(tmp_path, *names):
    """Deal the judgments of the questions of the last run in turn to qrels files with these names."""
    path = tmp_path / "questions/qrels/all.tsv"
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    for number, name in enumerate(names):
        lines = [header, *rows[number :: len(names)]]
        (tmp_path / f"questions/qrels/{name}.tsv").write_text("\n".join(lines), encoding="utf-8")
    path.unlink()


def test_questions_of_dev_and_test_join_the_exam_and_change_nothing_of_what_is_taught(run_split, tmp_path, capsys):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    run_split(pages, links_to(pages))
    before = written(tmp_path)
    run_split(pages, links_to(pages), [(f"how about {row}", pages[row].chunk_id) for row in range(40)])
    rename_qrels(tmp_path, "dev", "test")
    capsys.readouterr()
    split.main(PATHS)
    splits, judged, queries = written(tmp_path)
    assert splits == before[0]
    assert judged["train"] == before[1]["train"]
    assert asked_by_users(tmp_path) == {"train": 0, "dev": 20, "test": 20}
    for name in ("dev", "test"):
        assert {one: judged[name][one] for one in judged[name] if queries[one].kind == "crossref"} == before[1][name]
    found = json.loads((tmp_path / "metrics/split.json").read_text(encoding="utf-8"))["judgments"]["held_out"]
    about_train = {
        name: sum(queries[one].kind == "user" and splits[min(judged[name][one])] == "train" for one in judged[name])
        for name in ("dev", "test")
    }
    assert found == {
        name: {"questions": 20, "about_train_chunks": number} for name, number in about_train.items() if number
    }
    assert "split: 40 questions only judge (20 dev, 20 test); " in capsys.readouterr().out


def test_a_question_with_the_words_of_a_link_judges_and_the_link_is_not_taught(run_split, tmp_path):
    pages = [replace(one, filename=f"{one.chunk_id}.md") for one in two_categories(60)]
    links = links_to(pages)
    run_split(pages, links, [(links[row].text.upper(), pages[row].chunk_id) for row in range(20)])
    rename_qrels(tmp_path, "dev", "test")
    split.main(PATHS)
    _, judged, queries = written(tmp_path)
    asked = {queries[one].text.casefold() for name in ("dev", "test") for one in judged[name]}
    assert {links[row].text for row in range(20)} <= asked
    assert not asked & {queries[one].text.casefold() for one in judged["train"]}


def test_questions_about_unknown_chunks_alone_are_left_out_with_what_to_do(run_split, tmp_path):
    chunks = two_categories()
    metrics, output = run_split(
        chunks, links_to(chunks), questions=[("how about it", "gone"), ("and this", "gone too")]
    )
    said = (
        "no question of questions has an answer among the chunks (2 nothing_relevant, 2 unknown_chunk), so none is used"
    )
    (line,) = [one for one in output if said in one]
    assert line.startswith("warning: split.queries: ")
    assert "name the folder of your own questions or set null" in line
    assert f"must be ids of chunks, such as {chunks[0].chunk_id}, or names of pages" in line
    assert metrics["kinds"]["test"].keys() == {"crossref"}


def test_dropped_questions_are_reported(run_split):
    chunks = two_categories()
    questions = [*((f"how about {one.chunk_id}", one.chunk_id) for one in chunks), ("how about it", "gone")]
    _, output = run_split(chunks, questions=questions)
    named = "gone of question 120"
    assert f"warning: split.queries: left out answers that are neither a chunk nor a page: 1 ({named})" in output


def test_links_to_unknown_chunks_are_counted(run_split):
    chunks = two_categories()
    links = [*links_to(chunks), Link("gone", chunks[0].chunk_id, "what is gone from here", "")]
    metrics, _ = run_split(chunks, links)
    assert metrics["queries_dropped"]["unknown_chunk"] == 1


def test_the_closest_train_query_of_each_test_query_is_reported(run_split, tmp_path):
    chunks = two_categories()
    metrics, _ = run_split(chunks, links_to(chunks))
    near = metrics["nearest_train_query"]
    _, judged, queries = written(tmp_path)
    assert (near["test_queries"], near["train_queries"]) == (len(judged["test"]), len(judged["train"]))
    assert 0 < near["p50"] <= near["max"] < 1
    for pair in near["closest"]:
        ((test, text),) = pair["test"].items()
        assert test in judged["test"]
        assert queries[test].text == text
        assert set(pair["train"]) <= set(judged["train"])


def test_each_cluster_has_one_representative_on_disk(run_split, tmp_path):
    from triptych.artifacts import read_table

    chunks = two_categories()
    chunks.append(replace(chunks[0], chunk_id="a-copy", content=chunks[0].content.upper()))
    run_split(chunks, links_to(chunks))
    rows = read_table(tmp_path / "data/corpus/near_duplicates.parquet").to_pylist()
    assert [(row["chunk_id"], row["representative"]) for row in rows] == [("a-copy", True), ("lists000", False)]


def test_missing_chunks_are_named_with_the_stage_that_writes_them(run_split, tmp_path, write_params, capsys):
    write_params(tmp_path)
    with pytest.raises(SystemExit):
        command.run(lambda: split.main(PATHS))
    assert "data/chunks/chunks.parquet is missing; `dvc repro ingest` makes it" in capsys.readouterr().err
