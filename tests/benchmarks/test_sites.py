"""The table of folders has what the stages found, and goes on after a folder that stops."""

from benchmarks import sites


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_each_folder_is_a_line_of_the_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")  # --quiet sets it
    docs = tmp_path / "pump/docs"
    docs.mkdir(parents=True)
    (docs / "install.md").write_text("# Install\n\nRead [how the pump is drained](drain.md), or [gone](gone.md).\n")
    (docs / "drain.md").write_text("# Drain\n\nOpen the valve at the bottom of the tank, and wait.\n")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    sites.main([str(tmp_path / "empty"), str(docs)])
    header, _, empty, full = capsys.readouterr().out.splitlines()
    assert cells(empty)[-2].startswith("stopped: ingest.sources: cannot infer the format of ")
    found = dict(zip(cells(header), cells(full), strict=True))
    assert found["folder"] == "pump/docs"
    assert (found["pages"], found["chunks"], found["links"], found["resolved"]) == ("2", "2", "2", "50.0%")
    assert "crossref 1" in found["queries by kind"]
    assert sorted(tmp_path.rglob("*")) == before
