"""Links in the forms of every generator, and the syntax that is no text."""

import pytest
from readings import read_from

from triptych.corpus.pages.html import read_html
from triptych.corpus.pages.link_targets import LinkTargets, PageAnchors
from triptych.corpus.pages.markdown import read_markdown


def read(tmp_path, files, reader=read_markdown):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_from(reader, tmp_path, "docs")


def target(tmp_path, link, files, page="guide/a.md"):
    reading = read(tmp_path, {page: f"# A\n\nSee {link}\n"} | files)
    return [one.to_chunk_id for one in reading.links]


PAGE = "# Reset\n\nfirst\n\n## Steps & tools\n\nsecond\n"


@pytest.mark.parametrize(
    ("link", "name", "page", "anchor"),
    [
        ("[x](reset)", "guide/reset.md", PAGE, "#reset"),
        ("[x](reset/)", "guide/reset.md", PAGE, "#reset"),
        ("[x](./reset#steps-tools)", "guide/reset.md", PAGE, "#steps--tools"),
        ("[x](reset.html#steps-tools)", "guide/reset.md", PAGE, "#steps--tools"),
        ("[x](../reset/)", "guide/reset.md", PAGE, "#reset"),
        ("[x](/guide/reset)", "guide/reset.md", PAGE, "#reset"),
        ("[x](/docs/guide/reset/)", "guide/reset.md", PAGE, "#reset"),
        ("[x](/guide/reset)", "content/en/guide/reset.md", PAGE, "#reset"),
        ("[x](reset/)", "guide/reset/index.md", PAGE, "#reset"),
        ("[x](reset)", "guide/reset/README.md", PAGE, "#reset"),
        ("[x](/guide/reset/)", "guide/reset/_index.md", PAGE, "#reset"),
        ("[x](reset)", "guide/02-reset.mdx", PAGE, "#reset"),
        ("[x](@docroot@/guide/reset.md#steps-tools)", "guide/reset.md", PAGE, "#steps--tools"),
        ("[x](${docs}/guide/reset.md)", "guide/reset.md", PAGE, "#reset"),
        ("[x](%PUBLIC_URL%/guide/reset)", "guide/reset.md", PAGE, "#reset"),
        ("[x](/new/)", "guide/reset.md", "---\nslug: /new\n---\n" + PAGE, "#reset"),
        ("[x](/new.html)", "guide/reset.md", "---\npermalink: /new.html\n---\n" + PAGE, "#reset"),
        ("[x](/old/one)", "guide/reset.md", '+++\naliases = ["/old/one/"]\n+++\n' + PAGE, "#reset"),
        ("[x](controller-reset)", "guide/reset.md", "---\nid: controller-reset\n---\n" + PAGE, "#reset"),
        ("[x][r]\n\n[r]: reset", "guide/reset.md", PAGE, "#reset"),
        ("[[Reset]]", "deep/reset.md", PAGE, "#reset"),
        ("[[reset#Steps & tools|x]]", "deep/reset.md", PAGE, "#steps--tools"),
        ("<a href='reset.md'>x</a>", "guide/reset.md", PAGE, "#reset"),
        ("<Link to='/guide/reset'>x</Link>", "guide/reset.md", PAGE, "#reset"),
        ('[x]({{< ref "reset.md" >}})', "deep/reset.md", PAGE, "#reset"),
        ('[x]({{< relref "reset#steps-tools" >}})', "guide/reset.md", PAGE, "#steps--tools"),
        ("[x]({{ site.baseurl }}{% link guide/reset.md %})", "guide/reset.md", PAGE, "#reset"),
        ("[x]({% post_url 2024-02-03-reset %})", "_posts/2024-02-03-reset.md", PAGE, "#reset"),
        ("[x](xref:pump.reset)", "guide/reset.md", "---\nuid: Pump.Reset\n---\n" + PAGE, "#reset"),
        ("<xref:Pump.Reset>", "guide/reset.md", "---\nuid: Pump.Reset\n---\n" + PAGE, "#reset"),
        ("{doc}`x <reset>`", "guide/reset.md", PAGE, "#reset"),
        ("{ref}`x <the-label>`", "guide/reset.md", PAGE.replace("## Steps", "(the-label)=\n## Steps"), "#steps--tools"),
        ("[x](reset#own)", "guide/reset.md", PAGE.replace("tools", "tools {#own}"), "#own"),
        ("[x](reset#own)", "guide/reset.md", PAGE.replace("tools", "tools {/*own*/}"), "#own"),
        ("[x](reset#own)", "guide/reset.md", PAGE.replace("## S", '<a id="own"></a>\n\n## S'), "#steps--tools"),
        ("[x](reset#gone)", "guide/reset.md", PAGE, "#reset"),
        ('tabs\n\n=== "One"\n\n    - [x](reset)\n', "guide/reset.md", PAGE, "#reset"),
        ('notes\n\n!!! note "One"\n\n    [x](reset)\n', "guide/reset.md", PAGE, "#reset"),
        ("notes\n\n:::tip\n\n[x](reset)\n\n:::\n", "guide/reset.md", PAGE, "#reset"),
        ("tabs\n\n<Tabs>\n  <TabItem>\n\n    [x](reset)\n\n  </TabItem>\n</Tabs>\n", "guide/reset.md", PAGE, "#reset"),
    ],
)
def test_link_resolves_as_its_generator_would(tmp_path, link, name, page, anchor):
    assert target(tmp_path, link, {name: page}) == [name + anchor]


def test_link_to_a_page_means_its_first_section_with_a_heading(tmp_path):
    files = {"b.md": "<!-- a license -->\nNot yet reviewed.\n\n# B\n\ntext\n"}
    assert target(tmp_path, "[x](b.md)", files, "a.md") == ["b.md#b"]


def test_directory_addresses_of_html_resolve(tmp_path):
    files = {
        "guide/filter/index.html": "<main><h1 id=f>F</h1>text</main>",
        "guide/reset/index.html": "<main><h1 id=r>R</h1><p>See <a href='../filter/'>the filter</a>.</p></main>",
        "index.html": "<main><h1 id=h>H</h1><p>See <a href='/guide/reset/#r'>the reset</a>.</p></main>",
    }
    links = read(tmp_path, files, read_html).links
    assert [one.to_chunk_id for one in links] == ["guide/filter/index.html#f", "guide/reset/index.html#r"]


@pytest.mark.parametrize(
    "noise",
    [
        "<!-- license\n\n# of many lines -->\n",
        "import Tabs from '@theme/Tabs';\nimport {\n  One,\n} from './one.mdx'\n",
        "export const meta = {\n  title: 'x',\n}\n",
        "[TOC]\n",
        "[![build](https://ci.example/x.svg)](https://ci.example) ![v](https://img.shields.io/x.svg)\n",
        "{/* a comment */}\n",
        "{% raw %}\n",
        '{{< toc depth="2" >}}\n',
        "<Intro>\n\n</Intro>\n",
        "<script setup>\nimport x from 'y'\n\nconst a = 1\n</script>\n",
        "&nbsp;\n",
        "- [One](#one)\n- [Two](#two)\n- [Three](#three)\n",
    ],
)
@pytest.mark.parametrize("template", ["{}\n# A\n\ntext\n", "# A\n\ntext\n\n{}"])
def test_syntax_of_generators_is_no_text(tmp_path, noise, template):
    chunks = read(tmp_path, {"a.md": template.format(noise)}).chunks
    assert [(one.chunk_id, one.content) for one in chunks] == [("a.md#a", "text")]


@pytest.mark.parametrize(
    "code",
    ["`<Tabs>` and `{{ x }}`", "```jsx\nimport x from 'y'\n<!-- no -->\n<Tabs>\n```", r"\<script setup>", "List<T>"],
)
def test_code_is_kept_as_it_is(tmp_path, code):
    assert read(tmp_path, {"a.md": f"# A\n\n{code}\n"}).chunks[0].content == code


def test_text_in_blocks_is_kept_without_their_marks(tmp_path):
    text = (
        '# A\n\n!!! note "Care"\n\n    One.\n\n    ```sh\n    two\n    ```\n\n::: details More\nThree.\n:::\n\n'
        "<details><summary>Four</summary>\n\nFive.\n\n</details>\n"
    )
    (chunk,) = read(tmp_path, {"a.md": text}).chunks
    assert chunk.content == "**Care**\n\nOne.\n\n```sh\ntwo\n```\n\n**More**\nThree.\n\nFour\n\nFive."


def test_title_in_front_matter_heads_the_paths_of_a_page_without_a_heading_of_level_one(tmp_path):
    files = {
        "a.md": "---\ntitle: Pump\n---\nIntro.\n\n## Install\n\ntext a\n",
        "b.md": "+++\ntitle = 'Motor'\n+++\n## Install\n\ntext b\n",
        "c.md": "---\nsidebar_label: Valve\n---\n## Install\n\ntext c\n",
        "d.md": "---\ntitle: Other\n---\n# Seal\n\n## Install\n\ntext d\n",
    }
    assert [one.header_path for one in read(tmp_path, files).chunks] == [
        ("Pump",),
        ("Pump", "Install"),
        ("Motor", "Install"),
        ("Valve", "Install"),
        ("Seal", "Install"),
    ]


@pytest.mark.parametrize(
    "include",
    [
        '--8<-- "parts/one.md"',
        '{% include "parts/one.md" %}',
        "{! parts/one.md !}",
        "{{#include parts/one.md}}",
        "[!INCLUDE [one](parts/one.md)]",
        "<!--@include: ./parts/one.md-->",
        "import One from './parts/one.md'\n\n<One/>",
    ],
)
def test_include_is_expanded_and_one_that_leads_out_is_removed(tmp_path, include):
    (tmp_path / "secret.md").write_text("secret", encoding="utf-8")
    files = {"a.md": f"# A\n\n{include}\n\ntext\n", "parts/one.md": "included text\n"}
    reading = read(tmp_path / "root", files)
    assert reading.chunks[0].content == "included text\n\ntext"
    assert reading.counts.normalized["includes_expanded"] == 1
    reading = read(tmp_path / "root", {"a.md": f"# A\n\n{include}\n\ntext\n".replace("parts/one", "../secret")})
    assert reading.chunks[0].content == "text"
    assert reading.counts.normalized["includes_removed"] == 1


def test_hidden_panels_notes_and_questions_in_buttons_are_content(tmp_path):
    text = (
        "<main><h1>A</h1><div role=tabpanel hidden>one</div><h2><button>Why?</button></h2>"
        "<div role=region hidden>two</div><aside class=sidebar><p class=sidebar-title>S</p><p>three</p></aside>"
        "<h2>Tools<a class=hash-link href=#tools>\u200b</a></h2>four</main>"
    )
    chunks = read(tmp_path, {"a.html": text}, read_html).chunks
    assert [(one.title, one.content) for one in chunks] == [
        ("A", "one"),
        ("Why?", "two\n\nS\n\nthree"),
        ("Tools", "four"),
    ]


def test_a_name_without_a_folder_is_that_of_the_only_page_with_it():
    pages = {name: PageAnchors(chunk_ids=[name]) for name in ("01-a/02-$state.md", "b/flow.md", "c/flow.md", "c/x.md")}
    targets = LinkTargets(pages, files=["c/notes"])
    found = [targets.resolve("c/x.md", one).chunk_id for one in ("$state", "$state.md", "flow", "b/x", "notes")]
    assert found == ["01-a/02-$state.md", "01-a/02-$state.md", "c/flow.md", None, None]
