"""The corpus of the scale benchmark has what its description says, and its commands are those of the pipeline."""

import re

import pytest

from benchmarks.scale import STAGES, Sections, commands, write_project
from triptych.corpus.duplicates.near_duplicates import cluster


@pytest.fixture(scope="module")
def sections():
    return Sections()


def test_copies_are_near_duplicates_of_a_section_of_their_file_and_nothing_else_is(sections, params_with):
    texts = [sections.content(row) for row in range(400)]
    clusters = cluster([texts], params_with().split.near_duplicates).cluster
    for row in range(400):
        others = [other for other in range(400) if other != row and clusters[other] == clusters[row]]
        assert (row % 20 >= 17) <= bool(others)
        assert {other // 20 for other in others} <= {row // 20}
    assert len(set(clusters)) == 400 * 17 // 20


def test_every_stage_has_its_command_without_a_placeholder():
    found = commands()
    assert set(STAGES) == found.keys() - {"report"}
    assert not [command for command in found.values() if "$" in command]
    assert "--previous models/round0 --model models/round1" in found["train@round1"]


def test_pages_link_to_sections_that_exist(tmp_path):
    write_project(tmp_path, 1_000)
    pages = {path.relative_to(tmp_path / "pages").as_posix(): path for path in (tmp_path / "pages").rglob("*.md")}
    assert len(pages) == 5
    for path in pages.values():
        for target, anchor in re.findall(r"\]\(\.\./(\S+)#(\S+)\)", path.read_text(encoding="utf-8")):
            titles = re.findall(r"^## (.+)$", pages[target].read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [title.lower().replace(" ", "-") for title in titles]
