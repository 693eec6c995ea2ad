"""A small run from ingest to promote, its page, and a browser to open it in."""

import shutil
from dataclasses import dataclass, field

import pytest
from hand_made import EVALUATE, PROMOTE, TRAIN

from stages import evaluate, mine, promote, rate, report, train

RATE = (
    "--texts data/triplets/texts --tokens data/tokens --base models/base --embedder data/triplets/embedder"
    " --reranker data/triplets/reranker0"
    " --metrics metrics/rate.json --tables metrics/rate --vectors data/vectors"
)
MINE = (
    "--corpus data/corpus --texts data/triplets/texts --tokens data/tokens"
    " --round data/triplets/round0 --model models/round0"
    " --mined data/triplets/round1 --metrics metrics/mine/round1.json --vectors data/vectors"
)
REPORT = (
    "--metrics metrics --corpus data/corpus --tokens data/tokens/metadata.json --runs data/runs"
    " --embedder models/embedder --page metrics/report.html"
)
ROUND = {"steps": 20, "learning_rate": 2.0e-3}
SETTINGS = {
    "ingest.sources": [{"path": f"numpy.{name}", "format": "package", "category": name} for name in ("fft", "ma")],
    "model.base": "./tiny",
    "tokenize.max_length": "auto",
    "mine.relative_margin": 1.0,
    "rate.anchors": 50,
    "rate.shown": 2,
    "train.batch_size": 8,
    "train.precision": "fp32",
    "train.eval_every": 10,
    "rounds.train": {"round0": {"previous": "base", **ROUND}, "round1": {"previous": "round0", **ROUND}},
    "rounds.mine": {
        "round1": {"previous": "round0", "examples": "round0"},
        "reranker": {"previous": "round1", "examples": "reranker0"},
    },
    "evaluate.round": "round1",
    "evaluate.bootstrap_samples": 200,
}


@pytest.fixture(scope="session")
def run_project(tmp_path_factory, prepared, write_params):
    """A project folder in which every stage before `report` has run, with two rounds and mining between them."""
    folder = tmp_path_factory.mktemp("reported")
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    write_params(folder, **SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rate.main(RATE.split())
        train.main(TRAIN.split())
        mine.main(MINE.split())
        second = TRAIN.replace("models/round0", "models/round1").replace("models/base", "models/round0")
        second = second.replace("triplets/round0", "triplets/round1").replace("train/round0", "train/round1")
        train.main(second.split())
        (folder / "models/reranker-candidate").mkdir()  # none was trained
        (folder / "metrics/train_reranker.csv").write_text("step,loss\n", encoding="utf-8")
        evaluate.main(EVALUATE.replace("round0", "round1").split())
        promote.main([*PROMOTE.replace("round0", "round1").split(), "models/embedder"])
    return folder


@pytest.fixture(scope="session")
def plain_page(run_project):
    """The page of the project as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run_project)
        report.main(REPORT.split())
    return run_project / "metrics/report.html"


@pytest.fixture
def project(run_project, tmp_path, monkeypatch):
    """A copy of the project to change, and to stand in."""
    shutil.copytree(run_project, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def reported(project):
    """Run `report` in the project and return the page's path."""

    def call():
        report.main(REPORT.split())
        return project / "metrics/report.html"

    return call


@dataclass
class Opened:
    """A page in the browser, and all that it said and asked for."""

    page: object
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def opened(chromium):
    """Open a file in the browser: ``opened(path, scheme="dark", width=390)``."""
    contexts = []

    def call(path, scheme="light", width=1280):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        found = Opened(context.new_page())
        found.page.on("console", lambda message: found.said.append(message.text))
        found.page.on("pageerror", lambda error: found.said.append(str(error)))
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.goto(path.as_uri())
        found.page.wait_for_selector("#explorer-table tbody tr")
        return found

    yield call
    for context in contexts:
        context.close()
