"""Folders that ``datasets.load_from_disk`` opens, each table in one Arrow batch, so that its columns map as arrays.

``Dataset.save_to_disk`` divides a table into batches of 1000 rows, whose values are not next to each other. The files
here have its format, without that division, and without the time and the random names that would change their bytes.
"""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from triptych.artifacts import intact, write_json

_DATA, _STATE, _INFO, _SPLITS = "data-00000-of-00001.arrow", "state.json", "dataset_info.json", "dataset_dict.json"


def write_datasets(folder: Path, batches: dict[str, pa.RecordBatch]) -> None:
    """Write a ``DatasetDict`` of these tables into an existing folder; equal tables give equal bytes."""
    import datasets  # slow to import: most of those who open a store write none

    for name, batch in batches.items():
        features = datasets.Features.from_arrow_schema(batch.schema)
        of_table = folder / name
        of_table.mkdir(exist_ok=True)
        with pa.OSFile(str(of_table / _DATA), "wb") as sink, pa.ipc.new_stream(sink, features.arrow_schema) as writer:
            writer.write_batch(batch.cast(features.arrow_schema))
        with (of_table / _DATA).open("rb") as data:
            fingerprint = hashlib.file_digest(data, "sha256").hexdigest()[:16]
        state: dict[str, Any] = {
            "_data_files": [{"filename": _DATA}],
            "_fingerprint": fingerprint,  # names what ``map`` caches, so it must change with the data
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        write_json(of_table / _STATE, state)
        write_json(of_table / _INFO, {"features": features.to_dict()})
    write_json(folder / _SPLITS, {"splits": list(batches)})


def map_dataset(folder: Path, name: str) -> pa.RecordBatch:
    """Return a table of such a folder, mapped into memory; raise `ArtifactError` if its file is missing or damaged."""
    path = folder / name / _DATA
    with intact(path):
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_next_batch()
