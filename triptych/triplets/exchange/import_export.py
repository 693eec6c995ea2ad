"""Export the flat triplets as CSV, Parquet or a ``datasets`` folder, and import triplets in these formats."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from triptych.artifacts import read_table, writing
from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk
from triptych.corpus.texts import normalized
from triptych.errors import UserError
from triptych.ids import ChunkRow
from triptych.triplets.exchange.flat import FLAT, IDS
from triptych.triplets.false_negatives import Relations
from triptych.triplets.negatives import TIERS, Negative
from triptych.triplets.views import Anchor


def export(round_folder: Path, out: Path) -> int:
    """Write a round's flat triplets in the format of the suffix of ``out``; no suffix is a ``datasets`` folder.

    Return the number of triplets. Raise `UserError` on another suffix, or if ``out`` exists and is not such an export.
    """
    if out.exists() and (out.is_dir() if out.suffix else not (out / "state.json").exists()):
        raise UserError(f"{out} exists and is not an export of triplets; give another name")
    table = read_table(round_folder / "triplets.parquet")
    if out.suffix == ".csv":
        out.parent.mkdir(parents=True, exist_ok=True)
        table.to_pandas().to_csv(out, index=False, lineterminator="\n")
    elif out.suffix == ".parquet":
        out.parent.mkdir(parents=True, exist_ok=True)
        table.to_pandas().to_parquet(out, index=False)
    elif not out.suffix:
        import datasets  # slow to import: not for commands that do not need it

        with writing(out) as folder:
            datasets.Dataset(table).save_to_disk(str(folder))
    else:
        raise UserError(f"cannot write {out}: expected the suffix .csv or .parquet, or none for a folder")
    return table.num_rows


@dataclass(frozen=True, slots=True)
class Imported:
    """Anchors of imported triplets with their negatives; the rows of the file are kept or dropped."""

    anchors: list[Anchor]
    negatives: list[list[Negative]]
    kept: int  # rows
    dropped: dict[str, int]  # rows by reason


def read_imported(
    path: Path, chunks: list[Chunk], template: str, forbidden: set[str], relations: Relations
) -> Imported:
    """Read flat triplets and look up their chunks, by id if the columns exist, else by text.

    Dropped and counted are rows whose positive or negative is not a chunk of the train split, whose anchor is a dev or
    test query (``forbidden``, normalized), or whose negative is related to the positive. Raise `UserError` if the file
    is not such a table, or has no usable row.
    """
    table = _read_flat(path)
    by_id = {chunk.chunk_id: row for row, chunk in enumerate(chunks)}
    by_text: dict[str, int] = {}
    for row, chunk in enumerate(chunks):
        for text in (passage(chunk, template), chunk.content):
            by_text.setdefault(normalized(text), row)
    negatives_by_pair: dict[tuple[str, str, ChunkRow], list[Negative]] = defaultdict(list)
    dropped: Counter[str] = Counter()
    for number, record in enumerate(table.to_dict("records"), start=2):
        tier = record["difficulty"]
        if tier not in TIERS:
            raise UserError(f"{path}, row {number}: difficulty is {tier!r}; expected one of {', '.join(TIERS)}")
        rows = [
            by_id.get(record[f"{role}_id"]) if record.get(f"{role}_id") else by_text.get(normalized(record[role]))
            for role in ("positive", "negative")
        ]
        reason = _reason_to_drop(record["anchor"], rows, chunks, forbidden, relations)
        if reason:
            dropped[reason] += 1
            continue
        positive, negative = (ChunkRow(row) for row in rows if row is not None)
        pool = negatives_by_pair[record["anchor"], record["positive"], positive]
        if all(other.chunk != negative for other in pool):
            pool.append(Negative(negative, tier, "imported", 0.0))
    if not negatives_by_pair:
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items())) or "it is empty"
        raise UserError(f"{path} has no triplet that can be used: {reasons}")
    return Imported(
        [Anchor(anchor, row, text, "imported") for anchor, text, row in negatives_by_pair],
        list(negatives_by_pair.values()),
        len(table) - dropped.total(),
        dict(sorted(dropped.items())),
    )


def _reason_to_drop(
    anchor: str, rows: list[int | None], chunks: list[Chunk], forbidden: set[str], relations: Relations
) -> str | None:
    """Return why a row cannot be used, or None."""
    positive, negative = rows
    if positive is None or negative is None:
        return "unknown_positive" if positive is None else "unknown_negative"
    if normalized(anchor) in forbidden:
        return "held_out_query"
    if chunks[positive].split != "train" or chunks[negative].split != "train":
        return "held_out_chunk"
    if relations.related(np.array([positive]), np.array([negative]))[0]:
        return "related_negative"
    return None


def _read_flat(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise UserError(f"triplets.imported: {path} does not exist; correct its path in params.yaml")
    try:
        if path.is_dir():
            import datasets

            loaded = datasets.load_from_disk(str(path))
            if isinstance(loaded, datasets.DatasetDict):
                raise ValueError(f"it has the splits {', '.join(loaded)}; name the folder of one")
            table = loaded.to_pandas()
        elif path.suffix == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        else:
            table = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise UserError(f"triplets.imported: cannot read {path} as CSV, Parquet or datasets folder: {error}") from error
    missing = [name for name in FLAT[:4] if name not in table.columns]
    if missing:
        raise UserError(f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    texts = table[[name for name in (*FLAT[:4], *IDS) if name in table.columns]].fillna("").astype(str)
    texts = texts.reset_index(drop=True)  # number rows from the top, whatever the index of the file
    empty = texts.index[(texts[["anchor", "positive", "negative"]] == "").any(axis=1)]
    if len(empty):
        raise UserError(f"{path}, row {empty[0] + 2}: anchor, positive and negative must not be empty")
    return texts
