"""One small site of each generator: every form of link it has, what is navigation, and what is syntax.

``<site>.yaml`` beside each folder has what the generator's documentation says of it: all links, all header paths, words
that are text and syntax that is not, and the numbers of unknown links and of left-out files, by reason.
"""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from triptych.corpus.readers.sources import SourceReader
from triptych.params.sections import Ingest, Source

SITES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}


@pytest.fixture(scope="module", params=SITES)
def site(request):
    """Return what is expected of a site, its chunks by id, its links as (from, to, text), and its counts."""
    path = SITES[request.param]
    reader = SourceReader(Ingest(sources=[Source(path=str(path.with_suffix("")))]))
    chunks = {chunk.chunk_id: chunk for chunk in reader.chunks(lambda *_: None)}
    links = [(link.from_chunk_id, link.to_chunk_id, link.text) for link in reader.links() if link.text]
    return yaml.safe_load(path.read_text(encoding="utf-8")), chunks, links, reader.counts[0]


def test_every_link_leads_where_the_generator_leads_it(site):
    expected, _, links, _ = site
    assert Counter(links) == Counter(tuple(link) for link in expected["links"])


def test_links_without_a_target_are_counted_by_reason(site):
    expected, _, _, counts = site
    assert dict(counts.unknown_targets) == expected.get("unknown", {})


def test_every_section_has_its_header_path_and_navigation_is_none(site):
    expected, chunks, _, _ = site
    assert {chunk_id: " > ".join(chunk.header_path) for chunk_id, chunk in chunks.items()} == expected["paths"]


def test_text_is_kept_and_syntax_is_not(site):
    expected, chunks, _, _ = site
    text = "\n\n".join("\n".join([*chunk.header_path, chunk.content]) for chunk in chunks.values())
    assert [words for words in expected["present"] if words not in text] == []
    assert [words for words in expected["absent"] if words in text] == []


def test_other_versions_and_languages_are_left_out_and_counted(site):
    expected, _, _, counts = site
    found = {reason: number for reason, number in counts.left_out.items() if reason.startswith("other ")}
    assert found == expected.get("left_out", {})
