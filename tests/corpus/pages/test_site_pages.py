"""Which files of a folder are pages: one version, one language, no parts of pages, and links once."""

from pathlib import Path

import pytest
from readings import read_from

from triptych.corpus.pages.html import read_html
from triptych.corpus.pages.markdown import read_markdown
from triptych.corpus.pages.site_pages import is_part, site_pages


def taken(*names, every=False):
    site = site_pages({name: Path(name) for name in names}, {}, every)
    return sorted(site.pages)


BOTH = ("a.md", "b.md")


def under(*folders):
    return [f"{folder}/{page}" for folder in folders for page in BOTH]


@pytest.mark.parametrize(
    ("folders", "kept"),
    [
        (("v1.0", "v2.0"), "v2.0"),
        (("1.9", "1.10"), "1.10"),
        (("docs/version-1.x", "docs/version-2.x"), "docs/version-2.x"),
        (("latest", "stable", "1.4"), "stable"),
        (("latest", "3.0"), "latest"),
        (("dev", "0.9"), "0.9"),
        (("next", "current"), "current"),
        (("en", "fr", "ja"), "en"),
        (("de", "fr"), "de"),
        (("content/zh-cn", "content/en-US", "content/pt_BR"), "content/en-US"),
        (("docs", "versioned_docs/version-1"), "docs"),
        (("docs", "i18n/fr/docusaurus-plugin-content-docs/current"), "docs"),
    ],
)
def test_one_version_or_language_is_taken(folders, kept):
    assert taken(*under(*folders)) == sorted(under(kept))
    assert taken(*under(*folders), every=True) == sorted(under(*folders))


@pytest.mark.parametrize(
    "names",
    [
        ("v1/a.md", "v2/b.md"),  # two interfaces, not two versions of one site
        ("is/index.md", "id/index.md", "no/index.md"),  # words
        ("2023/a.md", "2023/b.md", "2024/a.md", "2024/b.md"),
        ("js/a.md", "os/a.md", "js/b.md", "os/b.md"),
        ("a.md", "b.md", "c.md", "dev/a.md"),  # what developers do
    ],
)
def test_folders_that_are_no_editions_stay(names):
    assert taken(*names) == sorted(names)


def test_an_old_version_with_other_pages_is_left_out_beside_three_that_are_alike():
    alike = under("v3.1", "v3.2", "v3.8")
    assert taken(*alike, "v2.3/admin.md", "v2.3/api.md") == under("v3.8")
    assert taken(*alike, "v4.0/admin.md", "v4.0/api.md") == [*under("v3.8"), "v4.0/admin.md", "v4.0/api.md"]
    assert taken(*under("v3.1", "v3.8"), "v2/admin.md") == ["v2/admin.md", *under("v3.8")]  # two say little


def test_translations_beside_the_originals_are_left_out():
    assert taken("a.md", "b.md", "sub/c.md", "zh/a.md", "zh/sub/c.md") == ["a.md", "b.md", "sub/c.md"]


def test_small_translation_is_not_taken_though_it_is_english():
    names = [f"ja/{number}.md" for number in range(10)]
    assert taken(*names, "en/1.md", "en/2.md") == sorted(names)


def test_language_in_file_names():
    names = ("a.md", "a.fr.md", "b.en.md", "b.de.md", "c.de.md", "d.en.md")
    assert taken(*names) == ["a.md", "b.en.md", "c.de.md", "d.en.md"]


def test_pages_of_apache_with_type_maps(tmp_path):
    for name, text in {
        "bind.html": "URI: bind.html.en\nContent-Language: en\nContent-type: text/html\n",
        "bind.html.en": "<h1>Binding</h1><p>To addresses, see <a href='dns.html'>names</a>.</p>",
        "bind.html.fr": "<h1>Liaison</h1><p>aux adresses</p>",
        "dns.html.en": "<h1>Names</h1><p>Resolve slowly.</p>",
        "dns.html.tr.utf8": "<h1>Adlar</h1><p>yavas</p>",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    reading = read_from(read_html, tmp_path, "manual")
    assert [chunk.title for chunk in reading.chunks] == ["Binding", "Names"]
    assert [link.to_chunk_id for link in reading.links if link.text] == ["dns.html.en#names"]
    assert reading.counts.left_out["other languages"] == 2
    assert reading.counts.editions


@pytest.mark.posix
def test_untranslated_page_that_links_to_the_original_has_the_name_of_the_original(tmp_path):
    for name in ("da", "en"):
        (tmp_path / name).mkdir()
    (tmp_path / "en/a.html").write_text("<h1>A</h1><p>one</p>", encoding="utf-8")
    (tmp_path / "en/b.html").write_text("<h1>B</h1><p>two, <a href='../da/a.html'>one</a></p>", encoding="utf-8")
    (tmp_path / "da/a.html").symlink_to("../en/a.html")
    (tmp_path / "da/b.html").write_text("<h1>B</h1><p>to</p>", encoding="utf-8")
    reading = read_from(read_html, tmp_path, "manual", editions="all")
    assert [chunk.filename for chunk in reading.chunks] == ["da/b.html", "en/a.html", "en/b.html"]
    assert [link.to_chunk_id for link in reading.links if link.text] == ["en/a.html#a"]


def test_link_into_another_edition_says_so(tmp_path):
    for name, text in {"en/a.md": "# A\n\n[b](/de/b)\n", "en/b.md": "# B\n\nb\n", "de/a.md": "# A\n\na\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "de/b.md").write_text("# B\n\nbe\n", encoding="utf-8")
    reading = read_from(read_markdown, tmp_path, "docs")
    assert dict(reading.counts.unknown_targets) == {"page left out": 1}
    assert "took en, not de (2 pages)" in reading.counts.editions[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_Sidebar.md", True),
        ("_includes/a.md", True),
        ("_index.md", False),
        ("__init__.md", False),
        ("_docs/a.md", False),
        ("a_b.md", False),
    ],
)
def test_names_of_parts(name, expected):
    assert is_part(name) is expected


def test_included_file_is_no_page_and_links_to_it_lead_to_the_page_that_shows_it(tmp_path):
    for name, text in {
        "a.md": "# A\n\n{{#include shared/b.md}}\n",
        "c.md": "# C\n\n[part](shared/b.md) and [list](SUMMARY.md)\n",
        "shared/b.md": "words\n",
        "SUMMARY.md": "# Summary\n\n- [A](a.md)\n- [C](c.md)\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    reading = read_from(read_markdown, tmp_path, "docs")
    assert [chunk.chunk_id for chunk in reading.chunks] == ["a.md#a", "c.md#c"]
    assert [link.to_chunk_id for link in reading.links if link.text] == ["a.md#a"]
    assert reading.counts.left_out == {"parts of other pages": 2}


def test_folder_of_parts_only_is_read(tmp_path):
    (tmp_path / "_one.md").write_text("# One\n\nword\n", encoding="utf-8")
    assert len(read_from(read_markdown, tmp_path, "docs").chunks) == 1


def test_translations_with_translated_names_are_left_out():
    names = [
        f"{language}/{word}{number}.md"
        for language, word in (("en", "bed"), ("de", "beet"), ("ru", "сад"))
        for number in range(5)
    ]
    assert taken(*names, "notes/a.md") == [*sorted(name for name in names if name.startswith("en")), "notes/a.md"]
    assert taken(*(name for name in names if not name.startswith("ru"))) == sorted(names)[:10]  # two may be topics


@pytest.mark.parametrize(
    ("pages", "listings"),
    [
        (("allclasses-index.html", "lib/A.html"), ("lib/class-use/A.html", "src-html/lib/A.html", "help-doc.html")),
        (("classA.html", "functions.md.html"), ("annotated.html", "a_8h_source.html", "functions_a.html")),
        (("a/struct.A.html",), ("src/a/lib.rs.html", "all.html")),
        (("doc-index.html", "A.html"), ("src/A.html",)),
        (("genindex.html", "a.html"), ("_modules/a.html",)),
    ],
)
def test_pages_that_list_code_or_names_are_left_out(pages, listings):
    assert set(taken(*pages, *listings)) == set(pages) - {"allclasses-index.html"}


def test_pages_with_such_names_stay_where_no_reference_is():
    names = ("all.html", "functions.html", "search/help.html", "src/a.html")
    assert taken(*names) == sorted(names)


def test_hidden_folders_and_menus_are_no_pages(tmp_path):
    for name, text in {
        "a.md": "# A\n\nwords\n",
        ".github/b.md": "# B\n\nwords\n",
        "TOC-all.md": "<!-- markdownlint-disable -->\n\n# All\n\n- Parts\n" + "  - [A](a.md)\n" * 3,
        "nav.md": "# Nav\n\nThis is how [A](a.md) is found.\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    reading = read_from(read_markdown, tmp_path, "docs")
    assert [chunk.chunk_id for chunk in reading.chunks] == ["a.md#a", "nav.md#nav"]
    assert reading.counts.left_out == {"parts of other pages": 1, "hidden folders": 1}


def test_category_is_a_folder_that_divides_the_pages(tmp_path):
    for name in (
        "docs/en/make/a.md",
        "docs/en/make/b.md",
        "docs/en/mend/a.md",
        "docs/en/c.md",
        "docs/de/make/a.md",
        "docs/de/make/b.md",
        "docs/de/mend/a.md",
        "docs/de/c.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"words of {name}", encoding="utf-8")
    reading = read_from(read_markdown, tmp_path, None)
    assert [(chunk.filename, chunk.category) for chunk in reading.chunks] == [
        ("docs/en/c.md", "en"),
        ("docs/en/make/a.md", "make"),
        ("docs/en/make/b.md", "make"),
        ("docs/en/mend/a.md", "mend"),
    ]


def test_summary_of_words_is_a_page(tmp_path):
    (tmp_path / "SUMMARY.md").write_text("# Summary\n\n- Oil it\n- Turn it\n", encoding="utf-8")
    (tmp_path / "a.md").write_text("words", encoding="utf-8")
    assert len(read_from(read_markdown, tmp_path, "docs").chunks) == 2
