"""Export and import: every format reads back what was written, and export overwrites only its own files."""

from collections import Counter, defaultdict

import datasets
import numpy as np
import pandas as pd
import pytest
from corpora import TEMPLATE
from flat_rows import CHUNKS, read, row, triplets_of

from triptych.corpus.embedded_text import passage
from triptych.errors import UserError
from triptych.triplets.examples import Examples, TextTable, read_examples
from triptych.triplets.exchange.flat import FLAT, IDS, write_round
from triptych.triplets.exchange.import_export import export
from triptych.triplets.false_negatives import Relations
from triptych.triplets.heuristics.pools import PoolBuilder
from triptych.triplets.views import anchors

FORMATS = ["out.csv", "deep/out.parquet", "out"]


@pytest.fixture(scope="module")
def round_of(tiny_corpus, params_with, tmp_path_factory):
    """Write a round of real documentation whose anchors are of some views; return its folder and flat rows."""

    def write(**shares):
        views = dict.fromkeys(params_with().triplets.views.model_dump(), 0.0) | shares
        params = params_with(**{"triplets.views": views}).triplets
        chunks, table = tiny_corpus.chunks, TextTable()
        passage_ids = np.array([table.add("passage", passage(one, TEMPLATE)) for one in chunks])
        found = anchors(chunks, tiny_corpus.links, {}, {}, set(), params)
        pool = PoolBuilder(chunks, "train", Relations(chunks, tiny_corpus.links), params).build(found).pools["embedder"]
        examples = Examples.of_anchors(found, chunks, pool, table)
        folder = tmp_path_factory.mktemp("round")
        ids = [one.chunk_id for one in chunks]
        write_round(folder, examples, table.texts, passage_ids, ids, params, "embedder")
        return folder, pd.read_parquet(folder / "triplets.parquet").to_dict("records")

    return write


@pytest.fixture(scope="module")
def mixed(round_of):
    return round_of(lead=0.5, sentence=0.5)


def test_of_very_many_examples_a_part_is_in_the_table(round_of, monkeypatch):
    whole = round_of(lead=0.5, sentence=0.5)[1]
    monkeypatch.setattr("triptych.triplets.exchange.flat.LARGEST_EPOCH", 30)
    folder, rows = round_of(lead=0.5, sentence=0.5)
    assert len(rows) == 30 < len(whole)
    assert len(read_examples(folder / "examples.parquet")) == len(whole)
    shares = [[row["category"] for row in of].count("ma") / len(of) for of in (rows, whole)]
    assert shares[0] == pytest.approx(shares[1], abs=0.1)


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_exported_is_read_back_with_its_chunks_and_tiers(mixed, name, tiny_corpus, tmp_path):
    folder, rows = mixed
    assert export(folder, tmp_path / name) == len(rows) > 50
    found = read(tmp_path / name, tiny_corpus.chunks, links=tiny_corpus.links)
    assert triplets_of(found, tiny_corpus.chunks) == {
        tuple(row[key] for key in ("anchor", "positive", "positive_id", "negative_id", "difficulty")) for row in rows
    }
    assert (found.kept, found.dropped) == (len(rows), {})
    assert {one.view for one in found.anchors} == {"imported"}
    assert {one.strategy for pool in found.negatives for one in pool} == {"imported"}


@pytest.mark.parametrize("name", FORMATS)
def test_exported_columns_are_the_five_promised_and_the_ids(mixed, name, tmp_path):
    folder, rows = mixed
    export(folder, tmp_path / name)
    path = tmp_path / name
    if path.suffix == ".csv":
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        assert b"\r\n" not in path.read_bytes()
    else:
        table = pd.read_parquet(path) if path.suffix else datasets.load_from_disk(str(path)).to_pandas()
    assert tuple(table.columns) == FLAT + IDS == (
        "anchor", "positive", "negative", "difficulty", "category", "positive_id", "negative_id"
    )  # fmt: skip
    assert table.to_dict("records") == rows


def without_ids(path, rows):
    pd.DataFrame(rows)[list(FLAT)].to_csv(path, index=False)
    return path


@pytest.mark.parametrize("view", ["lead", "heading"])
def test_texts_are_enough_where_they_are_those_of_chunks(round_of, view, tiny_corpus, tmp_path):
    _, rows = round_of(**{view: 1.0})
    found = read(without_ids(tmp_path / "a.csv", rows), tiny_corpus.chunks, links=tiny_corpus.links)
    assert (found.kept, found.dropped) == (len(rows), {})
    assert {one[2:] for one in triplets_of(found, tiny_corpus.chunks)} == {
        (row["positive_id"], row["negative_id"], row["difficulty"]) for row in rows
    }


def test_texts_that_are_of_no_chunk_are_left_out_and_counted(mixed, tiny_corpus, tmp_path):
    _, rows = mixed
    whole = {passage(one, TEMPLATE) for one in tiny_corpus.chunks}
    partial = sum(row["positive"] not in whole for row in rows)
    found = read(without_ids(tmp_path / "a.csv", rows), tiny_corpus.chunks, links=tiny_corpus.links)
    assert partial > 20
    assert (found.kept, found.dropped) == (len(rows) - partial, {"unknown_positive": partial})


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("text", ['"quoted", and, commas', " lead\r\ntrail\r", "a\n\n b\t", "é ü 漢", "NaN", "#1; 'x'"])
def test_any_text_survives_the_way_out_and_in(tmp_path, text, name):
    (tmp_path / "round").mkdir()
    ids = {"positive_id": "c0", "negative_id": "c1"}
    pd.DataFrame([row(anchor=text, positive=text, **ids)]).to_parquet(tmp_path / "round/triplets.parquet")
    export(tmp_path / "round", tmp_path / name)
    (found,) = read(tmp_path / name, CHUNKS).anchors
    assert (found.text, found.positive_text) == (text, text)


@pytest.mark.parametrize("name", ["notes", "notes.csv", "notes/mine"])
def test_what_export_did_not_write_is_never_overwritten(mixed, tmp_path, name):
    folder = tmp_path / name.split("/")[0]
    folder.mkdir()
    (folder / "mine").write_text("keep")
    with pytest.raises(UserError, match=f"{name} exists and is not an export"):
        export(mixed[0], tmp_path / name)
    assert (folder / "mine").read_text() == "keep"


def test_dataset_that_was_exported_before_is_replaced(mixed, tmp_path):
    folder, rows = mixed
    for _ in range(2):
        assert export(folder, tmp_path / "out") == len(rows)
    assert len(datasets.load_from_disk(str(tmp_path / "out"))) == len(rows)
    assert Counter(path.name for path in tmp_path.iterdir()) == {"out": 1}


def test_unknown_suffix_is_refused_with_those_there_are(mixed, tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*a\.xlsx: expected the suffix \.csv or \.parquet"):
        export(mixed[0], tmp_path / "a.xlsx")


def test_round_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"triplets\.parquet is missing"):
        export(tmp_path, tmp_path / "a.csv")


def test_negatives_of_an_anchor_keep_their_tiers_in_the_flat_view(mixed, tiny_corpus):
    _, rows = mixed
    chunk = {one.chunk_id: one for one in tiny_corpus.chunks}
    tiers = defaultdict(set)
    for one in rows:
        tiers[one["anchor"], one["negative_id"]].add(one["difficulty"])
        assert one["negative"] == passage(chunk[one["negative_id"]], TEMPLATE)
        assert one["category"] == chunk[one["positive_id"]].category
    assert {len(found) for found in tiers.values()} == {1}
