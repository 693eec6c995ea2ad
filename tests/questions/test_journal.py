"""The journal: appended to, whole after a kill, and matched with whatever corpus there is now."""

import json
import time

import pytest

from triptych.errors import UserError
from triptych.questions.journal import Journal, Record

ONE = Record("a", (("how to clean a pump", "task"),), "key-a", "1/2", "tiny", None, 120)
NONE = Record("b", (), "key-b", "1/2", "tiny", "refusal", 90)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journals" / "pumps.jsonl"


@pytest.fixture
def written(path):
    with Journal(path) as journal:
        journal.add(ONE)
        journal.add(NONE)
    return path


def taken(records, texts, prompt="1/2", model="tiny"):
    journal = Journal(None)
    journal.records.extend(records)
    return journal.taken(texts, prompt, model)


def test_what_is_added_is_read_back(written):
    journal = Journal(written)
    assert journal.records == [ONE, NONE]
    assert journal.tokens == 210


def test_without_a_path_or_a_file_there_are_no_records(path):
    assert Journal(None).records == Journal(path).records == []


def test_reading_changes_nothing(written):
    written.write_bytes(written.read_bytes() + b'{"chunk_id": "c", "ques')
    before = written.read_bytes()
    assert Journal(written).records == [ONE, NONE]
    assert written.read_bytes() == before


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_by_a_kill_is_overwritten(written, cut):
    whole = written.read_bytes()
    written.write_bytes(whole[:-cut])
    with Journal(written) as journal:
        journal.add(NONE)
    assert written.read_bytes() == (whole if cut > 1 else whole + whole.splitlines(keepends=True)[1])


def test_a_whole_last_line_without_a_newline_is_kept(written):
    written.write_bytes(written.read_bytes().removesuffix(b"\n"))
    with Journal(written) as journal:
        assert journal.records == [ONE, NONE]
        journal.add(ONE)
    assert Journal(written).records == [ONE, NONE, ONE]


def test_files_of_editors_are_read(path):
    path.parent.mkdir()
    path.write_bytes(b'\xef\xbb\xbf{"chunk_id": "a", "questions": ["x y"]}\r\n\r\n')
    assert Journal(path).records == [Record("a", (("x y", ""),))]


def test_a_changed_letter_is_seen(written):
    written.write_bytes(written.read_bytes().replace(b"pump", b"puma"))
    with pytest.raises(UserError, match=r'pumps\.jsonl:1: .*changed since it was written.* take out its "check"'):
        Journal(written)


WRONG = [
    "not JSON",
    "[]",
    '{"questions": []}',
    '{"chunk_id": "a"}',
    '{"chunk_id": 3, "questions": []}',
    '{"chunk_id": "a", "questions": "x"}',
    '{"chunk_id": "a", "questions": [1]}',
    '{"chunk_id": "a", "questions": [{"form": "task"}]}',
    '{"chunk_id": "a", "questions": [], "tokens": -1}',
    '{"chunk_id": "a", "questions": [], "text": 5}',
    "[" * 100_000,
]


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_is_not_a_record_is_named_by_its_number(written, line):
    written.write_bytes(written.read_bytes() + line.encode() + b"\n")
    with pytest.raises(UserError, match=r"pumps\.jsonl:3: is not a record with chunk_id and questions"):
        Journal(written)


def test_bytes_that_are_not_utf8_are_named_by_their_line(written):
    written.write_bytes(b'{"chunk_id": "\xff"}\n' + written.read_bytes())
    with pytest.raises(UserError, match=r"pumps\.jsonl:1: "):
        Journal(written)


def test_a_record_belongs_to_the_chunk_with_its_text():
    found = taken([ONE, NONE], {"a": "key-a", "b": "key-b"})
    assert found.records == {"a": ONE, "b": NONE}
    assert found.answered == {"a", "b"}
    assert found.counts == {"taken": 2, "unkeyed": 0, "superseded": 0, "changed": 0, "gone": 0}


def test_a_chunk_under_a_new_id_keeps_its_questions():
    found = taken([ONE], {"a2": "key-a"})
    assert found.records == {"a2": ONE}
    assert found.answered == {"a2"}


def test_a_chunk_that_changed_and_one_that_is_gone_have_none():
    found = taken([ONE, NONE], {"a": "new text"})
    assert found.records == {}
    assert found.answered == set()
    assert (found.counts["changed"], found.counts["gone"]) == (1, 1)


def test_a_record_without_a_key_is_known_by_its_id_and_not_asked_again():
    plain = Record("a", (("pump cleaning", ""),))
    found = taken([plain, Record("c", (("x", ""),))], {"a": "whatever"})
    assert found.records == {"a": plain}
    assert found.answered == {"a"}
    assert (found.counts["unkeyed"], found.counts["gone"]) == (1, 1)


@pytest.mark.parametrize("change", [{"prompt": "2/2"}, {"model": "other"}])
def test_answers_of_another_prompt_or_model_are_taken_but_asked_for_again(change):
    found = taken([ONE], {"a": "key-a"}, **change)
    assert found.records == {"a": ONE}
    assert found.answered == set()


def test_of_several_records_one_with_questions_then_the_current_then_the_newest_is_taken():
    texts = {"a": "key-a"}
    refused = Record("a", (), "key-a", "1/2", "tiny", "refusal", 5)
    other = Record("a", (("other", ""),), "key-a", "1/2", "other")
    newer = Record("a", (("newer", ""),), "key-a", "1/2", "tiny")
    assert taken([ONE, refused], texts).records["a"] == ONE
    assert taken([ONE, other], texts).records["a"] == ONE
    assert taken([other, ONE], texts).records["a"] == ONE
    assert taken([ONE, newer], texts).records["a"] == newer
    assert taken([ONE, newer, refused], texts).counts["superseded"] == 2


@pytest.mark.parametrize("reason", ["timeout", "broken"])
def test_a_request_that_came_to_nothing_is_sent_again_and_its_cost_is_counted(reason):
    failed = Record("a", (), "key-a", "1/2", "tiny", reason, 300)
    assert taken([failed], {"a": "key-a"}).answered == set()


def test_a_journal_of_100000_questions_is_read_in_seconds(path):
    path.parent.mkdir()
    lines = (
        json.dumps(
            {"chunk_id": f"c{n}", "text": f"key{n}", "questions": [f"how to {n}", {"text": f"{n}", "form": "task"}]}
        )
        for n in range(50_000)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    started = time.process_time()
    found = Journal(path).taken({f"c{n}": f"key{n}" for n in range(50_000)}, "1/2", None)
    assert len(found.records) == 50_000
    assert time.process_time() - started < 10
