"""Which modules a stage depends on, read from source."""

from pathlib import Path

import pytest

from triptych.project.import_graph import ImportGraph

ROOT = Path(__file__).parents[2]


def test_absolute_and_relative_imports_are_followed_once(tmp_path):
    for name, text in {
        "lib/__init__.py": "import lib.unused",
        "lib/a.py": "from lib import b\nfrom lib.c import one",
        "lib/b.py": "from . import a\nfrom ..lib.d import x\nimport os",
        "lib/c.py": "def one():\n    from .room import deep\n",
        "lib/d.py": "",
        "lib/unused.py": "",
        "lib/room/__init__.py": "",
        "lib/room/deep.py": "from ..d import y",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    graph = ImportGraph({"lib": tmp_path / "lib"})
    assert list(graph.modules_of("lib.b")) == ["lib.a", "lib.b", "lib.c", "lib.d", "lib.room.deep"]
    with pytest.raises(FileNotFoundError, match=r"no module lib\.nowhere"):
        graph.modules_of("lib.nowhere")


def test_stages_import_the_same_under_both_names():
    here = ImportGraph({"stages": ROOT / "stages", "triptych": ROOT / "triptych"})
    there = ImportGraph({"triptych": ROOT / "triptych", "triptych.stages": ROOT / "stages"})
    for stage in ("ingest", "train", "report"):
        found = there.modules_of(f"triptych.stages.{stage}")
        assert set(found.values()) == set(here.modules_of(f"stages.{stage}").values())
        assert "triptych.stages.command" in found
