"""What is kept of an earlier publication (`triptych keep`), so that a run on the documentation of today knows of it.

A kept folder has ``kept.json``, ``corpus/`` (chunks with their splits, queries and qrels), ``metrics/`` (verdict and
evaluation), ``params.yaml``, and ``round/`` with the trained weights where a tuned embedder was published. Stage
``split`` writes into ``data/corpus/last/`` which folder it was, and what of it is in the corpus of today; the stages
after it read that.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from triptych.artifacts import dvc_hash, intact, read_json, read_table, write_json, write_table
from triptych.errors import UserError

KEPT, ROUND = "kept.json", "round"
_LAST, _RECORD, _KNOWN = "last", "last.json", "known.parquet"


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in the documentation: numbers of pages (files) and of chunks."""

    pages: dict[str, int]  # added, changed, gone, same
    chunks: dict[str, int]  # added, gone, same: by their text, where near-duplicates count as the same


@dataclass(frozen=True, slots=True)
class LastPublication:
    """An earlier publication, and what of it is in the corpus of today."""

    folder: str  # as ``split.previous`` names it
    kept: str  # hash of the folder
    published: str  # tuned or base
    exam: list[str] = field(default_factory=list)  # ids of the test queries that were test queries then
    changes: Changes = field(default_factory=lambda: Changes({}, {}))

    @classmethod
    def open(cls, folder: Path) -> "LastPublication":
        """Read a kept folder; raise `UserError` where it is not one."""
        if not (folder / KEPT).exists():
            raise UserError(
                f"split.previous: {folder} {'has no kept.json' if folder.exists() else 'is missing'}; expected a folder"
                " that `triptych keep` wrote"
            )
        record = read_json(folder / KEPT)
        with intact(folder / KEPT):
            return cls(folder.as_posix(), dvc_hash(folder), record["published"])

    @property
    def corpus(self) -> Path:
        """The folder of the chunks and queries of then."""
        return Path(self.folder) / "corpus"

    @property
    def metrics(self) -> Path:
        """The folder of the verdict and the evaluation of then."""
        return Path(self.folder) / "metrics"

    @property
    def round(self) -> Path | None:
        """The folder of the trained weights that were published; None where the base model was."""
        return Path(self.folder) / ROUND if self.published == "tuned" else None

    def record(self) -> dict[str, Any]:
        """Return what metrics and ``data/corpus`` record."""
        return asdict(self)


def write_last(corpus: Path, last: LastPublication, known: np.ndarray) -> None:
    """Write into a corpus folder which publication was before; ``known`` says of each chunk whether it had its text."""
    write_json(corpus / _LAST / _RECORD, last.record())
    write_table(corpus / _LAST / _KNOWN, pa.table({"known": pa.array(known, pa.bool_())}))


def read_last(corpus: Path) -> LastPublication | None:
    """Read what `write_last` wrote; None where no publication was before.

    Raise `UserError` where the kept folder is gone or was changed since.
    """
    path = corpus / _LAST / _RECORD
    if not path.exists():
        return None
    record = read_json(path)
    with intact(path):
        last = LastPublication(**record | {"changes": Changes(**record["changes"])})
    open_unchanged(Path(last.folder), last.kept)
    return last


def open_unchanged(folder: Path, kept: str) -> LastPublication:
    """Read a kept folder; raise `UserError` where its hash is not ``kept`` any more."""
    now = LastPublication.open(folder)
    if now.kept != kept:
        raise UserError(
            f"split.previous: {folder} has been changed since stage split read it (its hash was {kept}, it is"
            f" {now.kept}); bring it back, and keep each publication in a folder of its own"
        )
    return now


def read_known(corpus: Path) -> np.ndarray:
    """Return whether the publication before had the text of each chunk, or nearly: bool of shape (chunks,)."""
    return np.asarray(read_table(corpus / _LAST / _KNOWN)["known"].to_numpy(zero_copy_only=False), dtype=bool)
