"""The words around a link, by the form of their place."""

import pytest

from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.pages.html import read_html
from triptych.corpus.pages.markdown import read_markdown
from triptych.corpus.records import Link
from triptych.params.sections import Source


@pytest.fixture
def links_of(tmp_path):
    """Return the links of pages as (kind, text, context)."""

    def read(**pages):
        for name, text in pages.items():
            stem, _, suffix = name.rpartition("_")
            path = tmp_path / f"{stem.replace('__', '/')}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        reader = read_html if name.endswith("html") else read_markdown
        outcomes = reader(Source(path=str(tmp_path)), SourceCounts("docs"))
        return [(one.kind, one.text, one.context) for one in outcomes if isinstance(one, Link)]

    return read


TARGET = "# Sharing state\n\nMove it up to the parent.\n\n## Lifting\n\nUp it goes.\n"


def test_sentence_around_a_link(links_of):
    page = "# Guide\n\nState is private. To share it, see [Sharing](b.md). More follows.\n"
    assert links_of(a_md=page, b_md=TARGET) == [("sentence", "Sharing", "To share it, see Sharing.")]


@pytest.mark.parametrize(
    "line",
    [
        "- [Sharing](b.md): how to move state up. It is easy.",
        "- **[Sharing](b.md)** - how to move state up.",
        "- [Sharing](b.md) — how to move state up.",
        "- [Sharing](b.md)\n\n  how to move state up.",
        "- [Sharing](b.md)\n  : (`string`) how to move state up.",
        "| Page | Type | What |\n|--|--|--|\n| [Sharing](b.md) | page | how to move state up. |",
        "| What | Page |\n|--|--|\n| how to move state up. | [Sharing](b.md) |",
        '<Card title="Sharing" href="b.md">\nhow to move state up.\n</Card>',
    ],
)
def test_description_beside_a_link(links_of, line):
    found = links_of(a_md=f"# Guide\n\nNext steps.\n\n{line}\n", b_md=TARGET)
    assert found == [("description", "Sharing", "how to move state up.")]


@pytest.mark.parametrize(
    "line",
    [
        "- Read [Sharing](b.md): how to move state up.",  # the link is not first
        "- [Sharing](b.md): up",  # too few words
        "- [Sharing](b.md) moves state up to the parent.",  # no separator
        "- [Sharing](b.md)\n- how to move state up.",  # two items
        "[Sharing](b.md)\n\nhow to move state up.",  # no item
    ],
)
def test_text_after_a_link_that_is_not_its_description(links_of, line):
    assert [kind for kind, _, _ in links_of(a_md=f"# Guide\n\n{line}\n", b_md=TARGET)] == ["sentence"]


def test_description_is_of_the_first_link_only(links_of):
    page = "# Guide\n\n- [Sharing](b.md): how to move state up with [Lifting](b.md#lifting).\n"
    first, second = links_of(a_md=page, b_md=TARGET)
    assert first == ("description", "Sharing", "how to move state up with Lifting.")
    assert second == ("sentence", "Lifting", "Sharing: how to move state up with Lifting.")


def test_descriptions_in_lists_tables_and_definitions_of_html(links_of):
    page = """<html><head><title>G</title></head><body><h1>Guide</h1><p>Text.</p>
    <ul><li><a href="b.html">One</a>: how to move state up.</li></ul>
    <table><tr><td><a href="b.html">Two</a></td><td>page</td><td>how to move state down.</td></tr></table>
    <dl><dt><a href="b.html">Three</a></dt><dd>how to move state around.</dd></dl></body></html>"""
    target = "<html><body><h1>Sharing</h1><p>Move it.</p></body></html>"
    assert links_of(a_html=page, b_html=target) == [
        ("description", "One", "how to move state up."),
        ("description", "Two", "how to move state down."),
        ("description", "Three", "how to move state around."),
    ]


def test_definition_in_a_glossary_that_points_to_a_page(links_of):
    page = "# Glossary\n\n## shared state\n\nState that *two components* read. It has one owner.\n"
    page += "\nSee also:\n\n- [Sharing](b.md)\n"
    assert links_of(glossary_md=page, b_md=TARGET) == [("glossary", "Sharing", "State that two components read.")]


def test_link_inside_a_definition_does_not_point_there(links_of):
    page = "# Glossary\n\n## owner\n\nThe component that keeps [state](b.md) for some others to read.\n"
    assert [kind for kind, _, _ in links_of(glossary_md=page, b_md=TARGET)] == ["sentence"]


def test_definition_beside_its_term_in_html(links_of):
    page = """<html><body><h1>Glossary</h1><dl><dt>Owner</dt><dd>The component that keeps state.
    See: <a href="b.html">Sharing</a></dd><dt>State</dt><dd>What a component remembers.
    See: <a href="b.html">Memory</a></dd></dl></body></html>"""
    target = "<html><body><h1>Sharing</h1><p>Move it.</p></body></html>"
    assert links_of(glossary_html=page, b_html=target) == [
        ("glossary", "Sharing", "The component that keeps state."),
        ("glossary", "Memory", "What a component remembers."),
    ]


@pytest.mark.parametrize("name", ["CHANGELOG_md", "release__1.0_md", "docs__release-notes_md"])
def test_line_of_a_change_log(links_of, name):
    page = "# 1.0\n\nAll about [sharing](b.md) here.\n\n- Let [sharing](b.md) work across roots.\n"
    up = "../" * name.count("__")
    found = links_of(**{name: page.replace("b.md", f"{up}b.md"), "b_md": TARGET})
    assert [kind for kind, _, _ in found] == ["sentence", "change"]


@pytest.mark.parametrize("key", ["description", "summary"])
def test_summary_in_front_matter_points_at_the_page(links_of, key):
    found = links_of(b_md=f"---\n{key}: How to move state\n  up.\n---\n{TARGET}")
    assert found == [("summary", "", "How to move state up.")]


def test_summary_in_the_head_of_html(links_of):
    page = """<html><head><meta name="Description" content="How to  move state."></head>
    <body><h1>Sharing</h1><p>Move it.</p></body></html>"""
    assert links_of(b_html=page) == [("summary", "", "How to move state.")]


def test_entries_of_an_index(links_of):
    page = """<html><body><h1>Index</h1><table class="genindextable"><tr><td><ul>
    <li>state<ul><li><a href="b.html#s">sharing between parents</a>, <a href="b.html#t">[1]</a></li></ul></li>
    <li><a href="b.html#s">owner</a></li><li><a href="gone.html">gone</a></li></ul></td></tr></table></body></html>"""
    target = '<html><body><h1 id="s">Sharing</h1><p>Move it.</p><h2 id="t">Lifting</h2><p>Up.</p></body></html>'
    assert links_of(genindex_html=page, b_html=target) == [
        ("index", "", "state, sharing between parents"),
        ("index", "", "state, sharing between parents"),
        ("index", "", "owner"),
    ]


def test_same_list_on_another_page_is_navigation(links_of):
    items = "".join(f'<li><a href="b.html">{text}</a></li>' for text in "abc")
    page = f"<html><body><h1>All</h1><ul>{items}</ul></body></html>"
    assert links_of(all_html=page, b_html="<html><body><h1>S</h1><p>Move it.</p></body></html>") == []


def test_link_to_a_missing_anchor_is_unsure(links_of):
    page = "# Guide\n\n- [Sharing](b.md#gone): how to move state up.\n"
    assert [kind for kind, _, _ in links_of(a_md=page, b_md=TARGET)] == ["unsure"]


def test_summaries_and_entries_are_not_counted_as_links(tmp_path):
    from triptych.corpus.readers.sources import SourceReader
    from triptych.params.sections import Ingest

    (tmp_path / "a.md").write_text(f"---\ndescription: How to move state.\n---\n{TARGET}", encoding="utf-8")
    (tmp_path / "b.md").write_text("# Guide\n\nSee [it](a.md).\n", encoding="utf-8")
    reader = SourceReader(Ingest(sources=[Source(path=str(tmp_path))]))
    list(reader.chunks(lambda *_: None))
    assert [link.kind for link in reader.links()] == ["summary", "sentence"]
    assert (reader.counts[0].links, reader.written["links"]) == (1, 1)
