"""Markdown files: sections, anchors, links."""

import pytest
from readings import read_from

from triptych.corpus.pages.markdown import read_markdown
from triptych.errors import UserError

GUIDE = """\
Read this first.

# Guide

Welcome.

## Install

Run the installer.

```sh
# not a heading

pip install triptych
```

Advanced
--------

Build it.

### Flags

Use -O2.

## Uninstall

Remove it.
"""


def read(tmp_path, category="docs", **files):
    for name, text in files.items():
        path = tmp_path / (name.replace("__", "/") + ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_from(read_markdown, tmp_path, category)


def targets(reading):
    return [(one.from_chunk_id, one.to_chunk_id) for one in reading.links]


def test_sections_are_cut_at_atx_and_setext_headings(tmp_path):
    chunks = read(tmp_path, guide=GUIDE).chunks
    assert [(one.chunk_id, one.header_path) for one in chunks] == [
        ("guide.md", ("guide",)),
        ("guide.md#guide", ("Guide",)),
        ("guide.md#install", ("Guide", "Install")),
        ("guide.md#advanced", ("Guide", "Advanced")),
        ("guide.md#flags", ("Guide", "Advanced", "Flags")),
        ("guide.md#uninstall", ("Guide", "Uninstall")),
    ]


def test_content_is_raw_markdown_without_the_heading(tmp_path):
    chunks = {one.title: one.content for one in read(tmp_path, guide=GUIDE).chunks}
    assert chunks["Install"] == "Run the installer.\n\n```sh\n# not a heading\n\npip install triptych\n```"
    assert chunks["Advanced"] == "Build it."


def test_source_is_the_line_of_the_heading(tmp_path):
    chunks = read(tmp_path, guide=GUIDE, titled="---\ntitle: T\n---\n# A\ntext\n").chunks
    assert [one.source for one in chunks][1:3] == ["guide.md:3", "guide.md:7"]
    assert chunks[-1].source == "titled.md:4"


def test_indent_of_the_first_line_is_kept(tmp_path):
    assert read(tmp_path, a="# A\n\n    code\n\n").chunks[0].content == "    code"


def test_section_with_a_heading_only_is_rejected(tmp_path):
    reading = read(tmp_path, a="# Top\n\n## Inner\n\ntext\n")
    assert [one.chunk_id for one in reading.chunks] == ["a.md#inner"]
    assert reading.reasons() == [("a.md:1", "empty section", "", "Top")]


def test_file_without_text_is_rejected(tmp_path):
    assert read(tmp_path, a="\n").reasons() == [("a.md:1", "empty section", "", "a")]


def test_heading_inside_a_list_cuts_nothing(tmp_path):
    reading = read(tmp_path, a="# A\n\n- # Item\n\n> ## Quoted\n", b="[q](a.md#quoted)")
    assert [one.chunk_id for one in reading.chunks] == ["a.md#a", "b.md"]
    assert targets(reading) == [("b.md", "a.md#a")]


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("What's new in 2.0?", "whats-new-in-20"),
        ("The `sort_by()` *method*", "the-sort_by-method"),
        ("C++ & Rust", "c--rust"),
        ("Größe ändern", "größe-ändern"),
        ("हिन्दी में", "हिन्दी-में"),
        ("See [the docs](x.md)", "see-the-docs"),
    ],
)
def test_anchor_is_that_of_github(tmp_path, heading, anchor):
    assert read(tmp_path, a=f"# {heading}\n\ntext\n").chunks[0].chunk_id == f"a.md#{anchor}"


def test_repeated_headings_are_numbered(tmp_path):
    text = "".join(f"# {name}\n\ntext {number}\n\n" for number, name in enumerate(["A", "A 1", "A", "A"]))
    ids = [one.chunk_id for one in read(tmp_path, a=text).chunks]
    assert ids == ["a.md#a", "a.md#a-1", "a.md#a-2", "a.md#a-3"]


def test_front_matter_is_removed_and_gives_the_title(tmp_path):
    (top, section) = read(tmp_path, a="---\ntitle: Sorting\n---\nIntro.\n\n# More\n\ntext\n").chunks
    assert (top.header_path, top.title, top.content) == (("Sorting",), "Sorting", "Intro.")
    assert (section.title, section.content) == ("More", "text")


def test_front_matter_that_is_not_yaml_is_read_by_its_lines_and_counted(tmp_path):
    found = read(tmp_path, None, a='---\ntitle: "Numbers: an overview\ncategory: ops: all\n---\nIntro.\n')
    (chunk,) = found.chunks
    assert (chunk.title, chunk.category, chunk.content) == ("Numbers: an overview", "ops: all", "Intro.")
    assert found.counts.normalized["front_matter_not_yaml"] == 1


def test_title_and_category_that_are_not_text_are_ignored_and_counted(tmp_path):
    found = read(tmp_path, a="---\ntitle: [x, y]\ncategory: yes\n---\nIntro.\n")
    assert found.chunks[0].title == "a"
    assert found.counts.normalized["front_matter_ignored"] == 2


def test_empty_front_matter_is_removed(tmp_path):
    assert [one.content for one in read(tmp_path, a="---\n---\nIntro.\n").chunks] == ["Intro."]


def test_rulers_around_prose_are_not_front_matter(tmp_path):
    assert "Some prose." in read(tmp_path, a="---\n\nSome prose.\n\n---\nIntro.\n").chunks[0].content


def test_files_come_in_the_order_of_their_paths(tmp_path):
    reading = read(tmp_path, b="x", a__z="x", a="x")
    (tmp_path / "c.MARKDOWN").write_text("x")
    assert [one.filename for one in reading.chunks] == ["a.md", "a/z.md", "b.md"]
    assert read_from(read_markdown, tmp_path, "docs").chunks[-1].filename == "c.MARKDOWN"


def test_category_is_the_first_folder_or_the_root(tmp_path):
    reading = read(tmp_path, None, top="x", api__lists__sort="x")
    assert [one.category for one in reading.chunks] == ["api", tmp_path.name]


def test_single_file_is_a_source_too(tmp_path):
    read(tmp_path, a="# A\n\ntext\n", b="text")
    (chunk,) = read_from(read_markdown, tmp_path / "a.md", None).chunks
    assert (chunk.chunk_id, chunk.category) == ("a.md#a", tmp_path.name)


@pytest.mark.parametrize(
    ("destination", "target"),
    [
        ("b.md#two", "sub/b.md#two"),
        ("./b.md#Two", "sub/b.md#two"),
        ("b.md", "sub/b.md#one"),
        ("../other%20file.md", "other file.md"),
        ("/sub/b.md#two", "sub/b.md#two"),
        ("#here", "sub/a.md#here"),
        ("b.md?plain=1#two", "sub/b.md#two"),
        ("b.md#gone", "sub/b.md#one"),
        ("gone.md", None),
        ("#", None),
        ("https://example.org/b.md", None),
        ("//example.org/other%20file.md", None),
        ("mailto:b.md", None),
        ("../../outside.md", None),
        ("%2e%2e/%2e%2e/outside.md", None),
        ("<//[::g]>", None),
    ],
)
def test_link_resolves_to_a_chunk_of_the_folder(tmp_path, destination, target):
    (tmp_path / "outside.md").write_text("secret", encoding="utf-8")
    files = {
        "sub__a": f"See [the page]({destination}).\n\n# Here\n\ntext\n",
        "sub__b": "# One\n\ntext\n\n# Two\n\ntext\n",
        "other file": "text",
    }
    assert targets(read(tmp_path / "root", **files)) == ([("sub/a.md", target)] if target else [])


def test_link_to_an_empty_section_goes_to_the_first_text_below(tmp_path):
    files = {
        "a": "[x](b.md#top) [y](b.md) [z](b.md#end)",
        "b": "# Top\n\n## Empty\n\n## Full\n\ntext\n\n# End\n",
    }
    assert targets(read(tmp_path, **files)) == [("a.md", "b.md#full")] * 2


def test_link_carries_its_words_and_its_sentence(tmp_path):
    text = "First one. To order\nitems see `x` and\nthe **[sort *by* `key`](b.md)** guide. Last one."
    (link,) = read(tmp_path, a=text, b="text").links
    assert link.text == "sort by key"
    assert link.context == "To order items see x and the sort by key guide."


def test_link_of_reference_style_resolves(tmp_path):
    assert targets(read(tmp_path, a="See [it][1].\n\n# More\n\ntext\n\n[1]: b.md", b="text")) == [("a.md", "b.md")]


def test_links_in_tables_and_lists_are_found(tmp_path):
    text = "| a | b |\n|---|---|\n| [one](b.md) | x |\n\n- [two](b.md)\n"
    assert [one.context for one in read(tmp_path, a=text, b="text").links] == ["one", "two"]


def test_link_belongs_to_its_section(tmp_path):
    assert targets(read(tmp_path, a="# A\n\ntext\n\n# B\n\n[x](b.md)", b="text")) == [("a.md#b", "b.md")]


def test_link_in_an_empty_section_is_left_out(tmp_path):
    assert read(tmp_path, a="# [B](b.md)\n\n# C\n\ntext", b="text").links == []


def test_link_around_an_image_is_left_out(tmp_path):
    assert read(tmp_path, a="[![logo](x.png)](b.md)", b="text").links == []


def test_section_that_pages_repeat_is_merged_into_the_first(tmp_path):
    reading = read(tmp_path, a="# A\n\nx\n\n# License\n\nMIT", b="# B\n\n[y](#license)\n\n# License\n\nMIT")
    assert [one.chunk_id for one in reading.chunks] == ["a.md#a", "a.md#license", "b.md#b"]
    assert (reading.merged, targets(reading)) == (1, [("b.md#b", "a.md#license")])


@pytest.mark.parametrize("name", ["gone", "."])
def test_folder_without_markdown_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"ingest\.sources"):
        read_from(read_markdown, tmp_path / name, None)


def test_file_that_is_not_utf8_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.md").write_bytes(b"fine\n\xe9t\xe9\n")
    with pytest.raises(UserError, match=r"a\.md:2: byte 0xe9 is not UTF-8"):
        read_from(read_markdown, tmp_path, None)


@pytest.mark.parametrize(
    ("heading", "title"),
    [
        ("collect() {.method}", "collect()"),
        ("Warm {: .warning}", "Warm"),
        ("Notes {-}", "Notes"),
        ("{:else}", "{:else}"),
        ("git {--version}", "git {--version}"),
    ],
)
def test_attributes_of_a_heading_are_not_its_title(tmp_path, heading, title):
    assert read(tmp_path, a=f"# {heading}\n\ntext\n").chunks[0].title == title


def test_page_without_a_title_is_named_by_its_file(tmp_path):
    files = {"02-first_steps": "## Buy\n\ntext\n", "buy": "## Buy\n\nmore\n", "top": "# T\n\n## Buy\n\nother\n"}
    assert [one.header_path for one in read(tmp_path, **files).chunks] == [
        ("first steps", "Buy"),
        ("Buy",),
        ("T", "Buy"),
    ]
