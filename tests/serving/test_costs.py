"""``triptych costs``: milliseconds of a question and bytes of a chunk, for each system."""

import gc
import shutil

import pytest
from hand_made import INDEX
from threadpoolctl import ThreadpoolController
from typer.testing import CliRunner
from verdicts import make_verdicts

from stages import index
from triptych.artifacts import read_json, write_json
from triptych.cli import app
from triptych.report.system_costs import SystemCosts
from triptych.serving.costs import Costs
from triptych.serving.numpy_encoder import NumpyEncoder


@pytest.fixture
def project(indexed, tmp_path, monkeypatch):
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluation(*systems):
    return {"measures": {"all": {name: {"queries": 2} for name in systems}}}


def test_each_system_costs_what_its_steps_cost(project):
    index.main(INDEX.split())  # without token vectors, which the verdict does not use
    before = SystemCosts.read(project / "metrics", evaluation("tuned_late"))
    sizes = read_json(project / "metrics/index.json")["bytes_per_chunk"]
    assert before.of("bm25").bytes_per_chunk == sizes["words"]
    assert before.of("tuned_hybrid").bytes_per_chunk == pytest.approx(sizes["vectors"] + sizes["words"])
    assert (before.of("base_late").bytes_per_chunk, before.of("base").milliseconds) == (None, None)
    assert "triptych costs" in before.note

    ran = CliRunner().invoke(app, ["costs"])
    assert ran.exit_code == 0, ran.output
    costs = SystemCosts.read(project / "metrics", evaluation("tuned_late"))
    steps = costs.measured.milliseconds
    assert steps.keys() == {"encode", "vectors", "words", "tokens"}
    assert costs.of("bm25").milliseconds == steps["words"]
    assert costs.of("tuned").milliseconds == steps["encode"] + steps["vectors"]
    assert costs.of("base_late").milliseconds == pytest.approx(sum(steps.values()))
    assert costs.of("reranked").milliseconds is None  # there is no reranker

    gc.collect()  # what a command leaves behind is gone when its process ends, also the mapped index
    make_verdicts(late=True).write(project / "metrics/verdict.json")
    index.main(INDEX.split())  # with them: what was measured of the hits is near to what is stored
    stored = read_json(project / "metrics/index.json")["bytes_per_chunk"]["tokens"]
    assert costs.measured.bytes_per_chunk["tokens"] == pytest.approx(stored, rel=0.2)


def test_a_question_is_timed_in_one_thread_as_a_search_computes_it(project, monkeypatch):
    index.main(INDEX.split())
    of_numpy = ThreadpoolController().select(threading_layer="pthreads")
    threads, encode = [], NumpyEncoder.encode

    def encoded(self, texts):
        threads.append({pool.num_threads for pool in of_numpy.lib_controllers})
        return encode(self, texts)

    monkeypatch.setattr(NumpyEncoder, "encode", encoded)
    with of_numpy.limit(limits=2):
        assert CliRunner().invoke(app, ["costs"]).exit_code == 0
    assert len(threads) > 1
    assert all(of_question == {1} for of_question in threads[1:])  # the first loads and is not timed


def test_times_of_another_index_are_not_shown(project):
    assert CliRunner().invoke(app, ["costs"]).exit_code == 0
    record = read_json(project / "metrics/index.json")
    write_json(project / "metrics/index.json", record | {"chunks": record["chunks"] + 1})
    assert SystemCosts.read(project / "metrics", evaluation("tuned")).measured is None


def test_questions_and_windows_are_counted_for_the_systems_that_search_them(project):
    write_json(
        project / "metrics/index.json",
        {
            "bytes_per_chunk": {"vectors": 120.0, "words": 50.0},
            "chunks": 10,
            "windows": 20,
            "questions": 40,
            "share_of_float32": 0.25,
        },
    )
    record = evaluation("base") | {"candidates": {"big": {"bytes_per_chunk": 400.0}}}
    costs = SystemCosts.read(project / "metrics", record)
    sizes = {
        name: costs.of(name).bytes_per_chunk for name in ("base", "base_unasked", "base_cut", "candidate:big_hybrid")
    }
    assert sizes == {"base": 120.0, "base_unasked": 40.0, "base_cut": 20.0, "candidate:big_hybrid": 150.0}


def test_a_reranker_costs_its_own_step_after_those_of_the_search_before_it():
    index = {"bytes_per_chunk": {"vectors": 120.0, "words": 50.0}, "chunks": 10, "windows": 20, "questions": 0}
    times = {"encode": 2.0, "vectors": 0.5, "words": 0.25, "tokens": 4.0, "reranker": 100.0}
    measured = Costs("here", 10, times, index["bytes_per_chunk"] | {"tokens": 9000.0})
    alone, late = (SystemCosts(index, measured, late, {}).of("reranked") for late in (False, True))
    assert (alone.bytes_per_chunk, alone.milliseconds) == (170.0, 102.75)
    assert (late.bytes_per_chunk, late.milliseconds) == (9170.0, 106.75)


def test_cut_vectors_are_timed_as_they_are_searched(project, write_params):
    write_params(project, **{"model.base": "./tiny", "train.precision": "fp32", "index.dimensions": 8})
    index.main(INDEX.split())
    assert CliRunner().invoke(app, ["costs"]).exit_code == 0
    costs = SystemCosts.read(project / "metrics", evaluation("tuned"))
    assert costs.of("tuned").milliseconds > 0
