"""Which chunk is shown next, and a journal that survives a kill."""

import json
from dataclasses import replace

import pytest

from triptych.corpus.readers.beir import read_beir_queries
from triptych.corpus.records import Chunk
from triptych.errors import UserError
from triptych.evaluation.label_journal import Journal, Label, next_chunk


def chunk(number, category="lists", split="test", document=None):
    found = Chunk(f"{category}{number}", category, f"{number // 2}.md", (), "", f"text {number}", "x")
    return replace(found, split=split, document_id=number // 2 if document is None else document)


def drawn(chunks, number, answered=frozenset(), seed=1, question="why"):
    """Label so many chunks, each with a question of its own; return them in the order they were shown."""
    labels = []
    for turn in range(number):
        one = next_chunk(chunks, labels, answered, seed)
        labels.append(Label(one.chunk_id, f"{question} {turn}" if question else "", (one.chunk_id,), one.split))
    return [label.chunk_id for label in labels]


CHUNKS = [chunk(number, category) for number in range(8) for category in ("lists", "tables")]


def test_categories_take_turns_and_documents_too():
    shown = drawn(CHUNKS, 8)
    assert [name.rstrip("01234567") for name in shown] == ["lists", "tables"] * 4
    documents = [int(name[-1]) // 2 for name in shown if name.startswith("lists")]
    assert sorted(documents) == [0, 1, 2, 3]


def test_seed_and_ids_decide_and_rows_do_not():
    assert drawn(CHUNKS, 10) == drawn(CHUNKS[::-1], 10)
    assert drawn(CHUNKS, 10) != drawn(CHUNKS, 10, seed=2)


def test_what_is_answered_passed_over_or_of_train_is_not_shown():
    held = [chunk(1), chunk(2), chunk(3), chunk(4, split="dev"), chunk(5, split="train")]
    labels = [Label("lists1", "", (), "test"), Label("lists9", "why", ("lists9", "lists2"), "test")]
    shown = next_chunk(held, labels, frozenset({"lists3"}), 1)
    assert shown.chunk_id == "lists4"
    assert next_chunk(held, [*labels, Label("lists4", "how", ("lists4",), "dev")], frozenset({"lists3"}), 1) is None


def test_a_category_whose_chunks_are_passed_over_is_asked_about_until_it_has_questions():
    labels = [Label(one.chunk_id, "", (), "test") for one in CHUNKS[:6] if one.category == "lists"]
    labels.append(Label("tables7", "why", ("tables7",), "test"))
    assert next_chunk(CHUNKS, labels, frozenset(), 1).category == "lists"


def test_before_the_split_all_chunks_are_shown_and_judged_in_one_table(tmp_path):
    chunks = [chunk(number, split="", document=-1) for number in range(4)]
    assert sorted(drawn(chunks, 4)) == [one.chunk_id for one in chunks]
    Journal(tmp_path).add(Label("lists1", "why", ("lists1",), ""))
    assert read_beir_queries(tmp_path)[1].keys() == {"questions"}


def test_labels_become_a_beir_folder(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Label("a", "How to sort?", ("a", "b"), "test"))
    journal.add(Label("c", "", (), "dev"))
    journal.add(Label("d", "how  to sort", ("d",), "dev"))  # the same question, of which test has the stronger claim
    journal.add(Label("e", "how to join", ("e",), "dev"))
    texts, qrels = read_beir_queries(tmp_path)
    assert sorted(texts.values()) == ["How to sort?", "how to join"]
    named = {split: {texts[one]: set(judged) for one, judged in table.items()} for split, table in qrels.items()}
    assert named == {"test": {"How to sort?": {"a", "b", "d"}}, "dev": {"how to join": {"e"}}}


def test_tables_of_before_the_split_go_when_splits_are_known_no_more(tmp_path):
    Journal(tmp_path).add(Label("a", "why", ("a",), "test"))
    Journal(tmp_path).add(Label("b", "how", ("b",), ""))
    assert {path.name for path in (tmp_path / "qrels").iterdir()} == {"questions.tsv"}
    assert sum(map(len, read_beir_queries(tmp_path)[1].values())) == 2


def test_a_journal_goes_on_where_it_stopped_even_in_the_middle_of_a_line(tmp_path):
    journal = Journal(tmp_path)
    journal.add(Label("a", "why é", ("a",), "test"))
    with (tmp_path / "labels.jsonl").open("ab") as file:
        file.write(b'{"chunk_id": "b", "quest')
    again = Journal(tmp_path)
    assert again.labels == journal.labels
    again.add(Label("b", "how", ("b",), "dev"))
    assert [label.chunk_id for label in Journal(tmp_path).labels] == ["a", "b"]
    (tmp_path / "labels.jsonl").write_bytes(b'{"chunk')
    assert Journal(tmp_path).labels == []
    assert (tmp_path / "labels.jsonl").read_bytes() == b""


def test_files_that_a_kill_left_behind_are_made_anew_from_the_journal(tmp_path):
    Journal(tmp_path).add(Label("a", "why", ("a",), "test"))
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (tmp_path / "queries.jsonl").unlink()
    (tmp_path / "qrels/test.tsv").write_text("", encoding="utf-8")
    Journal(tmp_path).write()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == whole


@pytest.mark.parametrize("line", ["nonsense", json.dumps({"chunk_id": "a"}), json.dumps(["a"])])
def test_a_line_that_is_no_label_is_named(tmp_path, line):
    (tmp_path / "labels.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"labels\.jsonl:1: is not a label"):
        Journal(tmp_path)


def test_a_last_line_without_line_end_is_kept_and_a_cut_one_moved_aside(tmp_path):
    one = Label("a", "how?", ("a",), "test")
    Journal(tmp_path).add(one)
    path = tmp_path / "labels.jsonl"
    line = path.read_bytes()
    path.write_bytes(line + line[:-1])
    assert Journal(tmp_path).labels == [one, one]
    assert path.read_bytes() == line + line
    path.write_bytes(line + line[:-5])
    assert Journal(tmp_path).labels == [one]
    assert path.read_bytes() == line
    assert (tmp_path / "labels.torn").read_bytes() == line[:-5] + b"\n"


def test_a_changed_letter_is_seen_and_a_person_may_still_edit(tmp_path):
    Journal(tmp_path).add(Label("a", "how to sort?", ("a",), "test"))
    path = tmp_path / "labels.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("sort", "sorb"), encoding="utf-8")
    with pytest.raises(UserError, match=r'labels\.jsonl:1: .*changed since it was written.* take out its "check"'):
        Journal(tmp_path)
    row = json.loads(path.read_text(encoding="utf-8"))
    del row["check"]
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    assert [label.question for label in Journal(tmp_path).labels] == ["how to sorb?"]
