"""Imported triplets: usable rows are kept, the others counted, and invalid files refused by name."""

import datasets
import pandas as pd
import pytest
from flat_rows import CHUNKS, read, row, triplets_of, write

from triptych.corpus.records import Link
from triptych.errors import UserError
from triptych.triplets.exchange.flat import FLAT


def test_every_row_is_kept_or_counted_by_its_reason(tmp_path):
    rows = {
        "unknown_positive": row(positive="No such text."),
        "unknown_negative": row(negative="No such text."),
        "held_out_chunk": row(negative=CHUNKS[4].content),
        "held_out_query": row(anchor="How to  SORT?"),
        "related_negative": row(negative=CHUNKS[2].content),
    }
    path = write(
        tmp_path / "a.csv", row(), *rows.values(), row(positive="Held out."), row(difficulty="easy", anchor="b")
    )
    found = read(path, CHUNKS, {"how to sort"}, [Link("c2", "c0", "", "")])
    assert found.dropped == dict.fromkeys(rows, 1) | {"held_out_chunk": 2}
    assert found.kept == 2
    assert found.kept + sum(found.dropped.values()) == 8
    assert triplets_of(found, CHUNKS) == {
        ("sort lists", CHUNKS[0].content, "c0", "c1", "hard"), ("b", CHUNKS[0].content, "c0", "c1", "easy")
    }  # fmt: skip


def test_rows_with_one_anchor_and_positive_are_one_anchor_with_its_negatives(tmp_path):
    path = write(tmp_path / "a.csv", row(), row(negative=CHUNKS[3].content, difficulty="easy"), row())
    found = read(path, CHUNKS)
    assert [one.text for one in found.anchors] == ["sort lists"]
    assert [[(one.chunk, one.tier) for one in pool] for pool in found.negatives] == [[(1, "hard"), (3, "easy")]]
    assert found.kept == 3


def test_id_is_believed_before_the_text_and_an_unknown_id_is_unknown(tmp_path):
    ids = {"positive_id": "c0", "negative_id": "c3"}
    found = read(write(tmp_path / "a.csv", row(**ids), row(**ids | {"positive_id": "c9"})), CHUNKS)
    assert found.negatives[0][0].chunk == 3
    assert found.dropped == {"unknown_positive": 1}


def test_cells_that_look_like_missing_values_are_texts(tmp_path):
    found = read(write(tmp_path / "a.csv", row(anchor="NA"), row(anchor="null"), row(anchor="1.50")), CHUNKS)
    assert [one.text for one in found.anchors] == ["NA", "null", "1.50"]


def refused(path, chunks=CHUNKS):
    with pytest.raises(UserError) as error:
        read(path, chunks)
    assert str(path) in str(error.value)
    return str(error.value)


def test_unknown_difficulty_is_named_with_its_row_and_what_is_expected(tmp_path):
    said = refused(write(tmp_path / "a.csv", row(), row(difficulty="brutal")))
    assert "row 3: difficulty is 'brutal'; expected one of easy, medium, hard" in said


@pytest.mark.parametrize("column", ["anchor", "positive", "negative", "difficulty"])
def test_missing_column_is_named_with_those_there_are(tmp_path, column):
    wrong = {("question" if key == column else key): value for key, value in row().items()}
    said = refused(write(tmp_path / "a.csv", wrong))
    assert f"lacks the columns {column}; it has " in said
    assert "question" in said


def test_category_is_not_needed(tmp_path):
    path = tmp_path / "a.csv"
    pd.DataFrame([row()]).drop(columns="category").to_csv(path, index=False)
    assert read(path, CHUNKS).kept == 1


@pytest.mark.parametrize("column", ["anchor", "positive", "negative"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_empty_cell_is_named_with_its_row(tmp_path, column, suffix):
    path, table = tmp_path / f"a{suffix}", pd.DataFrame([row(), row(), row(**{column: None})])
    (table.to_csv if suffix == ".csv" else table.to_parquet)(path, index=False)
    assert "row 4: anchor, positive and negative must not be empty" in refused(path)


def test_row_is_counted_from_the_top_whatever_index_the_file_has(tmp_path):
    table = pd.DataFrame([row(), row(anchor=None)], index=["first", "second"])
    table.to_parquet(tmp_path / "a.parquet")
    assert "row 3: " in refused(tmp_path / "a.parquet")


def test_missing_file_is_named_with_the_key(tmp_path):
    assert "triplets.imported: " in refused(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"\xff\xfe\x00\x01"),
        ("a.csv", b'anchor,positive\n"never closed'),
        ("a.parquet", b"PAR1 no"),
        ("a.jsonl", b"{}"),
    ],
)
def test_file_that_cannot_be_read_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert "cannot read" in refused(tmp_path / name)


def test_folder_that_datasets_did_not_write_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    assert "cannot read" in refused(tmp_path / "folder")


def test_dataset_with_several_splits_is_named(tmp_path):
    datasets.DatasetDict({"train": datasets.Dataset.from_list([row()])}).save_to_disk(str(tmp_path / "splits"))
    assert "it has the splits train; name the folder of one" in refused(tmp_path / "splits")


def test_file_of_which_nothing_can_be_used_is_refused_with_the_reasons(tmp_path):
    said = refused(write(tmp_path / "a.csv", row(positive="x"), row(positive="y"), row(negative="z")))
    assert "no triplet that can be used: 1 unknown_negative, 2 unknown_positive" in said


def test_file_without_a_row_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(FLAT) + "\n", encoding="utf-8")
    assert "it is empty" in refused(tmp_path / "a.csv")
