"""Queries written by people: link texts and the user's own questions."""

import json

import pytest
from hand_made import stored

from triptych.corpus.queries.link_queries import crossref_queries
from triptych.corpus.queries.user_queries import user_queries
from triptych.corpus.records import Chunk, Link, link_table
from triptych.errors import UserError

CHUNKS = [
    Chunk("sort", "lists", "lists.md", ("Lists", "sort"), "sort", "Put a list in order, in place.", "lists.md:1"),
    Chunk("find", "lists", "lists.md", ("Lists", "find"), "find", "Look a value up by its key.", "lists.md:9"),
    Chunk("join", "tables", "tables.md", ("Tables", "Merge of tables"), "join", "Combine two tables.", "tables.md:1"),
]


def link(text, origin="find", target="sort"):
    return Link(origin, target, text, f"See {text}.")


TABLE, COLUMNS = stored(CHUNKS)


def crossrefs(*links):
    return crossref_queries(TABLE, COLUMNS, link_table(list(links)), 3)


@pytest.fixture
def questions(tmp_path):
    def write(texts, **qrels):
        (tmp_path / "qrels").mkdir()
        lines = [json.dumps({"_id": name, "text": text}) for name, text in texts.items()]
        (tmp_path / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
        for name, rows in qrels.items():
            table = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
            (tmp_path / "qrels" / f"{name}.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
        return tmp_path

    return write


def test_link_text_is_a_query_that_its_target_answers():
    (item,), dropped = crossrefs(link("how lists are ordered"))
    assert (item.query.text, item.query.kind, item.query.category) == ("how lists are ordered", "crossref", "lists")
    assert (item.relevant, item.split, dropped) == ({"sort": 1}, None, {"merged": 0})


def test_category_of_a_query_is_that_of_its_target():
    (item,), _ = crossrefs(link("combining rows by key", origin="sort", target="join"))
    assert item.query.category == "tables"


def test_chunks_that_quote_the_query_are_left_out_of_its_ranking():
    (item,), _ = crossrefs(link("how lists are ordered", "join"), link("How lists are ordered.", "find"))
    assert item.query.exclude == ("find", "join")


def test_same_words_are_one_query_in_the_first_wording():
    found, dropped = crossrefs(link("How lists are ordered."), link(" how  lists are ORDERED"))
    assert [item.query.text for item in found] == ["How lists are ordered."]
    assert dropped == {"merged": 1}


@pytest.mark.parametrize(
    ("reason", "links"),
    [
        ("too_short", [link("ordered lists")]),
        ("several_targets", [link("how lists are ordered"), link("how lists are ordered", "sort", "join")]),
        ("repeats_target", [link("Put a list in order")]),
        ("repeats_target", [link("merge of tables.", target="join")]),
        ("points_at_itself", [link("how lists are ordered", "sort", "sort")]),
    ],
)
def test_unusable_link_is_dropped_with_its_reason(reason, links):
    assert crossrefs(*links) == ([], {reason: len(links)})


def test_target_is_not_excluded_though_it_quotes_the_query_too():
    (item,), _ = crossrefs(link("how lists are ordered", "sort"), link("how lists are ordered", "find"))
    assert item.query.exclude == ("find",)


def test_links_are_queries_merged_or_dropped(tiny_corpus):
    found, dropped = crossref_queries(*stored(tiny_corpus.chunks), link_table(tiny_corpus.links), 3)
    assert len(tiny_corpus.links) == len(found) + sum(dropped.values())
    assert min(dropped["merged"], dropped["repeats_target"]) > 0


def test_query_ids_do_not_depend_on_the_other_links():
    alone, _ = crossrefs(link("how lists are ordered"))
    among, _ = crossrefs(link("combining rows by key", "sort", "join"), link("how lists are ordered"))
    assert alone[0].query.query_id == among[1].query.query_id


@pytest.mark.parametrize(
    ("name", "split", "held_out"),
    [("all", None, False), ("train", None, False), ("dev", None, True), ("test", "test", True)],
)
def test_name_of_a_single_file_of_judgments(questions, name, split, held_out):
    found, dropped, _ = user_queries(questions({"q1": "order a list"}, **{name: [("q1", "sort", 1)]}), TABLE, COLUMNS)
    assert [(item.query.query_id, item.query.kind, item.relevant, item.split, item.held_out) for item in found] == [
        ("user-q1", "user", {"sort": 1}, split, held_out)
    ]
    assert dropped == {}


def test_files_named_by_split_give_the_split(questions):
    rows = {"train": [("q1", "sort", 1)], "test": [("q2", "join", 1)]}
    found, *_ = user_queries(questions({"q1": "order a list", "q2": "combine tables"}, **rows), TABLE, COLUMNS)
    assert {item.query.query_id: item.split for item in found} == {"user-q1": "train", "user-q2": "test"}


def test_several_files_of_other_names_are_refused(questions):
    folder = questions({"q1": "order"}, test=[("q1", "sort", 1)], gold=[("q1", "sort", 1)])
    with pytest.raises(UserError, match=r"expected train, dev and test\.tsv, or one file; rename or remove gold"):
        user_queries(folder, TABLE, COLUMNS)


def test_judgments_that_lead_nowhere_are_counted_by_reason(questions):
    rows = [("q1", "sort", 2), ("q1", "gone", 1), ("q2", "gone", 1), ("q3", "sort", 1), ("q4", "find", 0)]
    found, dropped, _ = user_queries(questions({"q1": "order", "q2": "b", "q4": "d"}, test=rows), TABLE, COLUMNS)
    assert [(item.query.text, item.relevant) for item in found] == [("order", {"sort": 2})]
    assert dropped == {"unknown_chunk": 2, "grade_zero": 1, "nothing_relevant": 2, "unknown_query": 1}


def test_grade_zero_is_not_an_answer(questions):
    (item,), *_ = user_queries(questions({"q1": "order"}, test=[("q1", "sort", 1), ("q1", "join", 0)]), TABLE, COLUMNS)
    assert item.relevant == {"sort": 1}


def test_category_of_a_question_is_that_of_its_best_answer(questions):
    (item,), *_ = user_queries(questions({"q1": "order"}, test=[("q1", "sort", 1), ("q1", "join", 2)]), TABLE, COLUMNS)
    assert item.query.category == "tables"


def test_ids_are_looked_up_once_for_all_questions(questions, monkeypatch):
    """A lookup reads the ids of the whole corpus: one for each question took most of the stage at 1 M chunks."""
    lookups = []
    found = type(COLUMNS).rows
    monkeypatch.setattr(type(COLUMNS), "rows", lambda self, ids: lookups.append(ids) or found(self, ids))
    texts = {f"q{number}": f"order {number}" for number in range(20)}
    items, *_ = user_queries(questions(texts, test=[(name, "sort", 1) for name in texts]), TABLE, COLUMNS)
    assert len(items) == 20
    assert len(lookups) == 1


def test_a_page_is_named_by_its_file_or_by_a_title_that_no_other_page_has(questions):
    chunks = [
        Chunk("a1", "lists", "a.md", ("Sort",), "Sort", "One part.", "a:1"),
        Chunk("a2", "lists", "a.md", ("Sort",), "Sort", "Other part.", "a:2"),
        Chunk("b1", "lists", "b.md", ("Overview",), "Overview", "First.", "b:1"),
        Chunk("c1", "tables", "c.md", ("Overview",), "Overview", "Second.", "c:1"),
        Chunk("Sort by key", "tables", "d.md", ("Keys",), "b.md", "Third.", "d:1"),
    ]
    rows = [("q1", "a.md", 1), ("q2", "Sort", 2), ("q2", "a2", 1), ("q3", "Overview", 1), ("q4", "b.md", 1)]
    folder = questions({"q1": "order", "q2": "put in order", "q3": "look over", "q4": "b"}, test=rows)
    found, dropped, _ = user_queries(folder, *stored(chunks))
    assert {item.query.query_id: item.relevant for item in found} == {
        "user-q1": {"a1": 1, "a2": 1},
        "user-q2": {"a1": 2, "a2": 2},
        "user-q4": {"b1": 1},
    }
    assert dropped == {"unknown_chunk": 1, "nothing_relevant": 1}


PAGES = [
    Chunk("docker.md", "ops", "docker.md", (), "", "In a container.", "docker.md:1"),
    Chunk("docker.md#build", "ops", "docker.md", ("Build",), "Build", "Build an image.", "docker.md:5"),
    Chunk("login.md#first", "ops", "login.md", ("First",), "First", "Log in.", "login.md:3"),
]


def test_the_name_of_a_page_means_the_page_though_its_first_chunk_has_it_as_id(questions):
    rows = [("q1", "docker.md", 1), ("q2", "login.md", 1)]
    folder = questions({"q1": "images", "q2": "sign in"}, test=rows)
    found, _, warnings = user_queries(folder, *stored(PAGES))
    assert [item.relevant for item in found] == [{"docker.md": 1, "docker.md#build": 1}, {"login.md#first": 1}]
    assert warnings == ["split.queries: any chunk of a page counts where the page is named, as in docker.md"]
    (folder / "labels.jsonl").write_text("", encoding="utf-8")  # of `triptych label`, which names chunks
    found, _, warnings = user_queries(folder, *stored(PAGES))
    assert (found[0].relevant, warnings) == ({"docker.md": 1}, [])


def test_an_object_of_a_package_is_its_first_chunk(questions):
    chunks = [
        Chunk("numpy.array", "numpy", "numpy.array", ("numpy", "array"), "array", "Create an array.", "a:1"),
        Chunk("numpy.array#notes", "numpy", "numpy.array", ("numpy", "array", "Notes"), "Notes", "More.", "a:9"),
    ]
    found, _, warnings = user_queries(questions({"q1": "new"}, test=[("q1", "numpy.array", 1)]), *stored(chunks))
    assert (found[0].relevant, warnings) == ({"numpy.array": 1}, [])


def test_beside_ids_of_chunks_it_means_the_chunk_and_a_warning_says_so(questions):
    folder = questions({"q1": "images", "q2": "sign in"}, test=[("q1", "docker.md", 1), ("q2", "login.md#first", 1)])
    found, _, (warning,) = user_queries(folder, *stored(PAGES))
    assert found[0].relevant == {"docker.md": 1}
    assert warning.startswith("split.queries: docker.md may be a page or its first chunk, and is taken as the chunk")


def test_what_is_left_out_is_named(questions):
    rows = [("q1", "sort", 1), ("q1", "gone", 1), ("q2", "lost", 1), ("q7", "sort", 1)]
    _, _, warnings = user_queries(questions({"q1": "order", "q2": "b"}, test=rows), TABLE, COLUMNS)
    assert warnings == [
        "split.queries: left out questions without a known answer: 1 (question q2)",
        "split.queries: left out answers that are neither a chunk nor a page: 2 (gone of question q1, lost of question"
        " q2)",
        "split.queries: left out judgments of questions that queries.jsonl lacks: 1 (q7)",
    ]


def test_a_folder_without_a_question_that_is_answered_gives_none(questions):
    found, dropped, _ = user_queries(questions({"q1": "order"}, test=[("q1", "gone", 1)]), TABLE, COLUMNS)
    assert (found, dropped) == ([], {"unknown_chunk": 1, "nothing_relevant": 1})
