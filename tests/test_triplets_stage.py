"""Stage triplets on hand-made corpora: its outputs, and its messages about poor input."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
from corpora import rows_of
from hand_made import OUTS, VOCABULARY, check_mix, chunk, shares, two_categories, warnings

from triptych.corpus.records import Link
from triptych.triplets.examples import read_examples, read_question_ids, read_texts


def test_both_profiles_of_a_sound_corpus_hold_their_mix_without_a_warning(staged, tmp_path):
    metrics, lines = staged(two_categories(60), cross_category_hard=0.0)
    check_mix(metrics)
    assert warnings(lines) == []
    assert lines[-1].startswith("triplets: 120 examples (lead 60, sentence 60) over ")
    for profile in ("embedder", "reranker"):
        assert metrics[profile]["triplets"] == 120
        assert metrics[profile]["warnings"] == []
        flat = pd.read_parquet(tmp_path / OUTS[profile] / "triplets.parquet")
        counts = Counter(flat["category"])
        assert counts == metrics[profile]["triplets_by_category"] == {"lists": 60, "tables": 60}
        found = Counter(zip(flat["category"], flat["difficulty"], strict=True))
        assert all(found[name, tier] / counts[name] == pytest.approx(share, abs=1e-6)
                   for name, tiers in metrics[profile]["mix"].items() for tier, share in tiers.items())  # fmt: skip


def test_hard_negatives_of_another_category_are_counted_and_too_few_are_named(staged):
    metrics, lines = staged(two_categories(60))
    for profile in ("embedder", "reranker"):
        found = metrics[profile]["cross_category_hard"]
        assert found["wanted"] == 0.3
        named = [line for line in metrics[profile]["warnings"] if "from another category" in line]
        assert len(named) == (found["share"] < 0.29)
        assert [line for line in warnings(lines) if line.startswith(f"{profile}: ")] == named
    assert metrics["embedder"]["cross_category_hard"]["share"] == 0.0  # no two chunks of two categories are alike


def test_same_corpus_gives_the_same_bytes(staged, tmp_path):
    written = []
    for _ in range(2):
        staged(two_categories())
        written.append(
            {path.relative_to(tmp_path): path.read_bytes() for path in (tmp_path / "data/triplets").rglob("*.*")}
        )
    assert written[0] == written[1]
    assert len(written[0]) == 9


def test_test_queries_get_triplets_of_test_chunks_only(staged, tmp_path):
    chunks = [*two_categories(), *(chunk(row, split="test") for row in range(40, 50))]
    staged(chunks, questions=[("where do rows go", "lists40", "test"), ("how do I sort", "lists0", "train")])
    (one,) = rows_of(read_examples(tmp_path / "data/triplets/heldout/examples.parquet"))
    assert chunks[one.positive_chunk].chunk_id == "lists40"
    assert one.negatives
    assert {chunks[negative.chunk].split for negative in one.negatives} == {"test"}


def test_written_questions_of_train_chunks_teach_and_all_have_text_ids(staged, tmp_path):
    chunks = [*two_categories(), chunk(40, split="test")]
    written = [("how do I sort?", "lists0"), ("what is held out?", "lists40"), ("and why?", "lists0")]
    plain, _ = staged(chunks, written=[])
    before = read_texts(tmp_path / OUTS["texts"])
    metrics, lines = staged(chunks, written=written, views=shares(lead=0.5, generated=0.5))
    assert metrics["embedder"]["examples_by_view"] == {"generated": 2, "lead": 30}
    assert "generated 2, lead 30" in lines[-1]
    metrics, _ = staged(chunks, written=written)
    assert metrics == plain
    (roles, texts), found = read_texts(tmp_path / OUTS["texts"]), read_question_ids(tmp_path / OUTS["texts"])
    assert [(texts[one], roles[one]) for one in found.text] == [
        ("how do I sort?", "query"),
        ("and why?", "query"),
        ("what is held out?", "query"),
    ]
    assert [chunks[row].chunk_id for row in found.chunk] == ["lists0", "lists0", "lists40"]
    assert (roles[:-3], texts[:-3]) == before


def test_written_questions_of_chunks_that_are_gone_are_left_out_with_a_warning(staged, tmp_path):
    written = [("how do I sort?", "lists0"), ("how did it work?", "gone")]
    _, lines = staged(two_categories(), written=written, views=shares(generated=1.0))
    assert "1 of 2 written questions are about chunks that the corpus does not have, and are left out" in warnings(
        lines
    )
    assert len(read_question_ids(tmp_path / OUTS["texts"])) == 1
    assert lines[-1].startswith("triplets: 1 examples (generated 1) over ")


def test_a_written_question_that_is_asked_in_dev_or_test_does_not_teach(staged):
    chunks = [*two_categories(), chunk(40, split="test")]
    written = [("How do I  sort?", "lists0"), ("and why?", "lists0")]
    questions = [("how do I sort?", "lists40", "test")]
    metrics, _ = staged(chunks, questions=questions, written=written, views=shares(generated=1.0))
    assert metrics["embedder"]["examples"] == 1


def test_question_of_dev_or_test_is_not_an_anchor(staged):
    held = [(one.content.split(". ")[0] + ".", "lists30", side) for one, side in zip(two_categories(), ("dev", "test"))]  # noqa: B905
    chunks = [*two_categories(), chunk(30, split="test")]
    metrics, _ = staged(chunks, questions=held, views=shares(lead=1.0))
    assert metrics["embedder"]["examples"] == 30 - 2


def test_one_category_takes_its_easy_negatives_from_another_top_heading(staged):
    chunks = [replace(chunk(row), header_path=(f"top{row % 3}", f"head{row}")) for row in range(40)]
    metrics, _ = staged(chunks)
    check_mix(metrics)
    assert metrics["embedder"]["strategies"]["other_domain"] > 0
    assert metrics["embedder"]["triplets_by_category"].keys() == {"lists"}


def test_chunks_without_a_header_fall_back_to_files_and_words(staged):
    metrics, _ = staged([replace(one, header_path=()) for one in two_categories(60)])
    check_mix(metrics)
    assert metrics["embedder"]["triplets"] > 100
    assert metrics["embedder"]["strategies"].keys() >= {"same_file", "other_domain", "overlap"}
    assert metrics["embedder"]["overlap"]["hard"]["path"] == 0


def test_without_headers_one_file_and_one_category_still_give_every_tier(staged):
    chunks = [replace(chunk(row), header_path=(), filename="all.csv", title="") for row in range(60)]
    metrics, lines = staged(chunks)
    check_mix(metrics)
    assert metrics["embedder"]["strategies"].keys() & {"other_domain", "other_file"} == set()
    assert warnings(lines) == []


def test_chunks_that_are_all_near_duplicates_give_a_warning_with_the_remedy(staged):
    _, lines = staged([replace(one, cluster_id=0) for one in two_categories()])
    said = warnings(lines)[0]
    assert "no negative for any of 60 anchors: all chunks of the train split are related (near-duplicates," in said
    assert "raise split.near_duplicates.threshold" in said


def test_category_of_near_duplicates_is_named_though_another_has_negatives(staged):
    # Every chunk of tables is linked to all the others.
    chunks = two_categories(20)
    links = [Link(f"tables{a}", one.chunk_id, "", "") for a in range(1, 20, 2) for one in chunks]
    metrics, lines = staged([*chunks, *(chunk(row, "maps") for row in range(20, 40))], [*links, *(
        Link(f"tables{a}", f"maps{b}", "", "") for a in range(1, 20, 2) for b in range(20, 40))])  # fmt: skip
    said = [line for line in warnings(lines) if line.startswith("tables: every candidate is related to its positive")]
    assert len(said) == 1
    assert said[0] in metrics["embedder"]["warnings"]
    assert "tables" not in metrics["embedder"]["mix"]
    assert metrics["embedder"]["shortfall"]["tables"]["missing"] > 0


def test_tier_without_a_candidate_is_reported_and_its_share_left_out(staged):
    strangers = [
        chunk(row, header_path=(f"h{row}",), filename=f"{row}.md", content=f"{' '.join(VOCABULARY[row * 10 :][:10])}.")
        for row in range(24)
    ]
    metrics, lines = staged(strangers, views=shares(heading=1.0), anchors_per_chunk=1)
    made = metrics["embedder"]
    assert made["pool_size"]["hard"] == made["pool_size"]["medium"] == 0
    assert made["mix"] == {"lists": {"easy": 1.0, "medium": 0.0, "hard": 0.0}}
    assert (made["triplets"], made["shortfall"]["lists"]["missing"]) == (7, 17)  # 0.3 of 24 are easy; no other is
    for tier in ("medium", "hard"):
        assert any(line.startswith(f"lists: 100% of the anchors have no {tier} negative") for line in warnings(lines))
    assert any("lists: 17 triplets fewer than wanted" in line for line in warnings(lines))


def test_category_of_one_chunk_gives_what_it_can_and_a_warning(staged):
    metrics, lines = staged([*two_categories(), chunk(40, "faq")], min_triplets_per_category=21)
    assert metrics["embedder"]["examples_by_category"]["faq"] == 2
    check_mix(metrics, but=["faq"])
    (line,) = (one for one in metrics["embedder"]["warnings"] if one.startswith("faq: "))
    assert any(one.startswith(line) for one in warnings(lines))
    assert line.endswith(" or bring more text")
    assert "distinct triplets of 1 chunks, fewer than 21; raise triplets.anchors_per_chunk" in line


def test_share_of_positives_of_one_category_that_cannot_be_reached_is_named(staged):
    siblings, leads = shares(sibling=1.0), shares(lead=1.0)
    chunks = [replace(one, header_path=(one.category, one.chunk_id)) for one in two_categories()]
    links = [Link(f"lists{row}", f"tables{row + 1}", "", "") for row in range(0, 30, 2)]
    key = "triplets.same_source_positives: 0.5"
    metrics, lines = staged(chunks, views=siblings, same_source_positives=0.5)
    (line,) = [one for one in warnings(lines) if one.startswith(key)]
    assert "0.5 cannot be reached: 100% of the positives that links give are in the category" in line
    assert metrics["same_source_positives"] == {"share": 1.0, "wanted": 0.5}
    metrics, lines = staged(chunks, links, views=siblings, anchors_per_chunk=1, same_source_positives=0.7)
    assert metrics["same_source_positives"]["share"] == pytest.approx(0.7, abs=0.02)
    assert not [one for one in warnings(lines) if "same_source" in one]
    _, lines = staged(chunks, views=leads, same_source_positives=0.5)
    assert [one for one in warnings(lines) if one.startswith(f"{key} decides nothing: no anchor comes from a link")]
    metrics, lines = staged(chunks, views=siblings)
    assert metrics["same_source_positives"]["wanted"] is None
    assert not [one for one in warnings(lines) if "same_source" in one]


@pytest.mark.parametrize("number", [1, 2])
def test_corpus_of_a_chunk_or_two_is_warned_about(staged, number):
    chunks = [chunk(row) for row in range(number)]
    said = warnings(staged(chunks)[1])
    assert any("fewer than 10" in line for line in said)
    assert any("no negative for any of 2 anchors" in line for line in said) == (number == 1)


@pytest.mark.parametrize(
    ("changes", "train"), [({"content": ">>> 1 + 1"}, 30), ({"split": "test"}, 0)], ids=["code", "no train"]
)
def test_corpus_without_an_anchor_is_warned_about_once(staged, changes, train):
    metrics, lines = staged([replace(one, **changes) for one in two_categories()], views=shares(lead=1.0))
    (line,) = warnings(lines)
    assert line.startswith(f"no anchor found in views lead of {train} train chunks, so no model is trained; bring")
    assert metrics["embedder"]["examples"] == metrics["reranker"]["triplets"] == 0
    assert lines[-1].startswith("triplets: 0 examples (no view) over")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"views": shares(lead=0.5, sentence=0.4)}, "triplets.views: "),
        ({"profiles": {"embedder": {"easy": 0.3, "medium": 0.4, "hard": 0.4},
                       "reranker": {"easy": 0.2, "medium": 0.35, "hard": 0.45}}}, "triplets.profiles.embedder: "),
        ({"tiers.easy.strategies": {"other_domain": 0.6, "other_file": 0.1, "other_path": 0.1, "low_lexical": 0.1,
                                    "random": 0.2}}, "triplets.tiers.easy.strategies: "),
    ],
)  # fmt: skip
def test_shares_that_do_not_sum_to_one_stop_the_stage_with_their_key(staging_fails, changes, key):
    said = staging_fails(two_categories(), **changes)
    assert key in said
    assert "must sum to 1, got " in said
