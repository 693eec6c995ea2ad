"""Train, dev and test: split by whole documents, balanced per category, without leaks."""

from collections import Counter
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest
from hand_made import stored

from triptych.corpus.duplicates.near_duplicates import NearDuplicateClusters, renumber
from triptych.corpus.queries.labeled_query import LabeledQuery
from triptych.corpus.records import SPLITS, Chunk, Query
from triptych.corpus.splits.by_document import assign_queries, assign_splits, count_leaks, group_documents
from triptych.corpus.texts import normalized
from triptych.params.sections import Fractions

FRACTIONS = Fractions(train=0.6, dev=0.2, test=0.2)


def chunk(name, filename="a.md", category="lists", title="", content=""):
    return Chunk(
        name, category, filename, (filename, title), title, content or f"Text of {name}.", f"{filename}:{name}"
    )


def question(text, *relevant, split=None, category="lists"):
    return LabeledQuery(Query(f"q-{text}", text, "user", category), dict.fromkeys(relevant, 1), split)


def files(sizes, category="lists"):
    return [
        chunk(f"{category}-{file}-{number}", f"{category}{file}.md", category, f"{category} {file} {number}")
        for file, size in enumerate(sizes)
        for number in range(size)
    ]


def apart(chunks):
    return np.arange(len(chunks), dtype=np.int32)


def split(chunks, queries=(), fractions=FRACTIONS, seed=13):
    _, columns = stored(chunks)
    document_ids = group_documents(columns, apart(chunks), list(queries), columns.title)
    codes = assign_splits(columns, document_ids, list(queries), fractions, seed)
    return [
        replace(one, cluster_id=row, document_id=int(document), split=SPLITS[code])
        for row, (one, document, code) in enumerate(zip(chunks, document_ids, codes, strict=True))
    ]


def placed_in(queries, chunks):
    return assign_queries(queries, stored(chunks)[1], codes_of(chunks))


def codes_of(chunks):
    return np.array([SPLITS.index(one.split) for one in chunks], dtype=np.int8)


def grouped(chunks, clusters=None, queries=(), group_titles=True):
    clusters = apart(chunks) if clusters is None else np.array(clusters, dtype=np.int32)
    columns = stored(chunks)[1]
    titles = columns.title if group_titles else None
    return group_documents(columns, clusters, list(queries), titles).tolist()


def leaks_of(chunks, queries):
    texts = renumber(np.array([hash(normalized(one.content)) for one in chunks]))
    clusters = np.array([one.cluster_id for one in chunks])
    documents_of = np.array([one.document_id for one in chunks])
    return count_leaks(NearDuplicateClusters(texts, clusters, 0), documents_of, codes_of(chunks), queries)


def test_file_is_one_document():
    assert grouped([chunk("a", "a.md"), chunk("b", "b.md"), chunk("c", "a.md")]) == [0, 1, 0]


def test_files_of_one_name_in_two_categories_are_two_documents():
    assert grouped([chunk("a", "README.md", "lists"), chunk("b", "README.md", "tables")]) == [0, 1]


def test_near_duplicates_are_one_document():
    assert grouped([chunk("a", "a.md"), chunk("b", "b.md"), chunk("c", "c.md")], clusters=[0, 1, 0]) == [0, 1, 0]


def test_answers_of_one_query_are_one_document():
    chunks = [chunk("a", "a.md"), chunk("b", "b.md"), chunk("c", "c.md")]
    assert grouped(chunks, queries=[question("how", "c", "a")]) == [0, 1, 0]


def test_equal_titles_are_one_document_only_with_group_titles():
    chunks = [chunk("a", "a.md", title="max"), chunk("b", "b.md", title="Max"), chunk("c", "c.md", title="min")]
    assert grouped(chunks, group_titles=True) == [0, 0, 1]
    assert grouped(chunks, group_titles=False) == [0, 1, 2]


def test_chunks_without_a_title_are_not_of_one_document():
    assert grouped([chunk("a", "a.md"), chunk("b", "b.md")]) == [0, 1]


def test_documents_join_by_a_chain_of_reasons():
    chunks = [chunk("a", "a.md"), chunk("b", "a.md", title="max"), chunk("c", "b.md", title="max"), chunk("d", "c.md")]
    assert grouped(chunks, clusters=[0, 1, 2, 2]) == [0, 0, 0, 0]


def test_no_document_is_divided(tiny_corpus):
    splits = {(one.document_id, one.split) for one in tiny_corpus.chunks}
    assert len(splits) == len({one.document_id for one in tiny_corpus.chunks})
    assert {name for _, name in splits} == set(SPLITS)


def test_order_of_the_rows_does_not_matter():
    chunks = files([1, 7, 2, 9, 3, 1, 4, 6] * 4) + files([5, 1, 2] * 5, "tables")
    forward, backward = split(chunks), split(chunks[::-1])
    assert {one.chunk_id: one.split for one in forward} == {one.chunk_id: one.split for one in backward}


def test_seed_changes_the_split():
    chunks = files([1] * 40)
    assert [one.split for one in split(chunks, seed=1)] != [one.split for one in split(chunks, seed=2)]


@pytest.mark.parametrize("seed", range(5))
def test_every_category_gets_its_fractions_of_chunks_and_of_queries(seed):
    chunks = files([1, 5, 2, 8, 3] * 12) + files([2, 4, 1] * 12, "tables")
    queries = [question(f"how {one.chunk_id}", one.chunk_id, category=one.category) for one in chunks[::3]]
    done = split(chunks, queries, seed=seed)
    split_of = {one.chunk_id: one.split for one in done}
    for category in ("lists", "tables"):
        found = Counter(one.split for one in done if one.category == category)
        query_splits = Counter(split_of[min(item.relevant)] for item in queries if item.query.category == category)
        for name in SPLITS:
            assert found[name] / found.total() == pytest.approx(getattr(FRACTIONS, name), abs=0.08)
            assert query_splits[name] / query_splits.total() == pytest.approx(getattr(FRACTIONS, name), abs=0.08)


def test_large_documents_do_not_gather_in_one_split():
    sizes = [1] * 60 + [10] * 20
    per_split = {name: [] for name in SPLITS}
    for seed in range(40):
        done = split(files(sizes), seed=seed)
        for name in SPLITS:
            sizes_here = Counter(one.filename for one in done if one.split == name).values()
            per_split[name].append(mean(sizes_here))
    overall = mean(sizes)
    for name in SPLITS:
        assert mean(per_split[name]) == pytest.approx(overall, rel=0.15)


def test_large_document_is_in_each_split_with_the_probability_of_its_fraction():
    splits = Counter(split(files([1] * 60 + [10]), seed=seed)[-1].split for seed in range(100))
    assert {name: splits[name] / 100 for name in SPLITS} == pytest.approx(FRACTIONS.model_dump(), abs=0.15)


def test_split_of_share_zero_stays_empty():
    done = split(files([1] * 20), fractions=Fractions(train=0.5, dev=0.0, test=0.5))
    assert Counter(one.split for one in done) == {"train": 10, "test": 10}


def test_split_that_the_user_gave_is_kept():
    chunks = files([1] * 30)
    queries = [question(f"how {row}", chunks[row].chunk_id, split=SPLITS[row % 3]) for row in range(12)]
    assert [one.split for one in split(chunks, queries)][:12] == list(SPLITS) * 4


def test_document_that_a_test_question_needs_is_test_and_its_train_question_is_dropped():
    chunks = files([2, 1, 1])
    queries = [
        question("how to train", chunks[0].chunk_id, split="train"),
        question("how to test", chunks[1].chunk_id, split="test"),
    ]
    done = split(chunks, queries)
    placed, dropped = placed_in(queries, done)
    assert [one.split for one in done[:2]] == ["test", "test"]
    assert ([item.query.text for item in placed["test"]], placed["train"]) == (["how to test"], [])
    assert dropped == {"answer_in_another_split": 1}


def test_query_is_in_the_split_of_its_answer():
    chunks = [replace(chunk(name), split=name) for name in SPLITS]
    placed, dropped = placed_in([question(f"how {name}", name) for name in SPLITS], chunks)
    assert {name: [item.query.text for item in placed[name]] for name in SPLITS} == {
        name: [f"how {name}"] for name in SPLITS
    }
    assert not dropped


def test_same_question_is_in_one_split_only():
    chunks = [replace(chunk(name), split=name) for name in SPLITS]
    placed, dropped = placed_in([question("How to sort?", "dev"), question("how to sort", "test")], chunks)
    assert (len(placed["dev"]), len(placed["test"])) == (1, 0)
    assert dropped == {"same_text_in_another_split": 1}


def test_splits_do_not_leak(tiny_corpus):
    assert leaks_of(tiny_corpus.chunks, tiny_corpus.judged) == {"text": 0, "cluster": 0, "document": 0, "query": 0}


@pytest.mark.parametrize(
    ("kind", "planted"),
    [
        ("text", {"content": "text of TRAIN"}),
        ("cluster", {"cluster_id": 0}),
        ("document", {"document_id": 0}),
        ("query", {}),
    ],
)
@pytest.mark.parametrize("target", ["dev", "test"])
def test_planted_leak_is_found(kind, planted, target):
    clean = [
        replace(chunk(name), split=name, cluster_id=number, document_id=number) for number, name in enumerate(SPLITS)
    ]
    chunks = [replace(one, **planted) if one.split == target else one for one in clean]
    queries = {"train": [question("How to sort?", "train")]}
    queries[target] = [question("how to sort" if kind == "query" else "how to join", target)]
    expected = {"text": 0, "cluster": 0, "document": 0, "query": 0} | {kind: 1}
    assert leaks_of(chunks, queries) == expected
