"""HTML files: sections, definitions, anchors, links, and elements that are not content."""

import codecs

import pytest
from readings import read_from

from triptych.corpus.pages.html import read_html
from triptych.errors import UserError

SPHINX = """\
<!DOCTYPE html><html><head><meta charset="utf-8"><title>os — Interfaces</title><style>p {}</style></head><body>
<div class="related" role="navigation"><h3>Navigation</h3><ul><li><a href="genindex.html">index</a></li></ul></div>
<div class="body" role="main">
<section id="module-os"><span id="os-module"></span>
<h1><span class="section-number">16. </span><code>os</code> — Interfaces<a class="headerlink" href="#os">¶</a></h1>
<p>Portable. To end a process
see <a class="reference internal" href="#os.kill"><code>kill()</code> below</a> or <em>signals</em>. The end.</p>
<section id="process-management">
<h2>Process Management<a class="headerlink" href="#process-management" title="Permalink">¶</a></h2>
<p>Functions for processes.</p>
<dl class="py function">
<dt class="sig sig-object py" id="os.kill"><span class="sig-prename descclassname">os.</span><span class="sig-name
descname">kill</span>(<em>pid</em>, <em>sig</em>)<a class="headerlink" href="#os.kill">¶</a></dt>
<dd><p>Send signal <em>sig</em> to a process.</p>
<dl class="field-list simple"><dt>Parameters</dt><dd><p>pid: the process</p></dd></dl></dd></dl>
<p>More text.</p>
</section></section></div>
<div class="sphinxsidebar"><h4>This Page</h4><p>Show source</p></div>
<footer>Copyright</footer><script>var x = "</p>";</script></body></html>
"""
GIT = """\
<html><head><title>git-add(1)</title></head><body class="manpage">
<div id="header"><h1>git-add(1) Manual Page</h1><h2>NAME</h2>
<div class="sectionbody"><p>git-add - Add file contents to the index</p></div></div>
<div id="content"><div class="sect1"><h2 id="_options">OPTIONS</h2><div class="sectionbody"><div class="dlist"><dl>
<dt class="hdlist1">
-n
</dt>
<dt class="hdlist1">
--dry-run
</dt>
<dd><p>Don't actually add the file(s). {long}</p></dd>
<dt class="hdlist1">--verbose</dt>
<dd><p>Be verbose. See <a href="git-add.html">git-add(1)</a>.</p></dd>
</dl></div></div></div></div>
<div id="footer"><div id="footer-text">Last updated</div></div></body></html>
"""


def read(tmp_path, category="docs", **files):
    for name, text in files.items():
        path = tmp_path / (name.replace("__", "/") + ".html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_from(read_html, tmp_path, category)


def content(tmp_path, text):
    (chunk,) = read(tmp_path, a=text).chunks
    return chunk.content


def targets(reading):
    return [(one.from_chunk_id, one.to_chunk_id) for one in reading.links]


def test_sections_of_sphinx(tmp_path):
    chunks = read(tmp_path, os=SPHINX).chunks
    assert [(one.chunk_id, one.header_path, one.title, one.source) for one in chunks] == [
        ("os.html#module-os", ("os — Interfaces",), "os — Interfaces", "os.html:5"),
        ("os.html#process-management", ("os — Interfaces", "Process Management"), "Process Management", "os.html:9"),
    ]
    assert chunks[0].content == "Portable. To end a process see kill() below or signals. The end."
    assert chunks[1].content == (
        "Functions for processes.\n\nos.kill(pid, sig)\nSend signal sig to a process.\n\n"
        "Parameters\npid: the process\n\nMore text."
    )


def test_link_carries_its_words_and_its_sentence(tmp_path):
    (link,) = read(tmp_path, os=SPHINX).links
    assert (link.from_chunk_id, link.to_chunk_id) == ("os.html#module-os", "os.html#process-management")
    assert (link.text, link.context) == ("kill() below", "To end a process see kill() below or signals.")


def test_sections_of_a_manual_page(tmp_path):
    chunks = read(tmp_path, **{"git-add": GIT.format(long="")}).chunks
    assert [(one.chunk_id, one.header_path) for one in chunks] == [
        ("git-add.html#name", ("git-add(1) Manual Page", "NAME")),
        ("git-add.html#_options", ("git-add(1) Manual Page", "OPTIONS")),
    ]
    assert chunks[1].content == (
        "-n\n--dry-run\nDon't actually add the file(s).\n\n--verbose\nBe verbose. See git-add(1)."
    )


def test_entries_of_a_long_section_are_chunks(tmp_path):
    reading = read(tmp_path, **{"git-add": GIT.format(long="Show only. " * 200)})
    _, dry_run, verbose = reading.chunks
    assert (dry_run.chunk_id, dry_run.title) == ("git-add.html#_options/n-dry-run", "-n, --dry-run")
    assert verbose.header_path == ("git-add(1) Manual Page", "OPTIONS", "--verbose")
    assert verbose.content == "--verbose\nBe verbose. See git-add(1)."
    assert targets(reading) == [(verbose.chunk_id, "git-add.html#name")]
    assert [(one.reason, one.detail) for one in reading.rejected] == [
        ("empty section", "git-add(1) Manual Page"),
        ("empty section", "git-add(1) Manual Page > OPTIONS"),
    ]


def test_entry_of_a_long_section_is_named_without_its_arguments_and_found_by_its_id(tmp_path):
    reading = read(tmp_path, os=SPHINX.replace("More text.", "More text. " * 200))
    assert [(one.chunk_id, one.title) for one in reading.chunks][1:] == [
        ("os.html#process-management", "Process Management"),
        ("os.html#os.kill", "os.kill"),
    ]
    assert reading.chunks[1].content.startswith("Functions for processes.\n\nMore text.")
    assert "Parameters\npid" in reading.chunks[2].content
    assert targets(reading) == [("os.html#module-os", "os.html#os.kill")]


def test_long_entry_is_cut_at_its_own_entries(tmp_path):
    method = "<dl><dt id='C.m'>m()</dt><dd>{}</dd></dl>".format("Does it. " * 150)
    text = f"<h1 id=t>T</h1><dl><dt id='C'>C</dt><dd>{'A class. ' * 150}{method}</dd></dl>"
    assert [(one.chunk_id, one.header_path) for one in read(tmp_path, a=text).chunks] == [
        ("a.html#C", ("T", "C")),
        ("a.html#C.m", ("T", "C", "m()")),
    ]


def test_code_keeps_its_lines(tmp_path):
    text = "<h1>A</h1><p>Run\n  it:</p><pre><span></span>def f():\n\n    <b>return</b> 1\n</pre>"
    assert content(tmp_path, text) == "Run it:\n\ndef f():\n\n    return 1"


def test_lists_and_tables_are_readable(tmp_path):
    text = (
        "<h1>A</h1><ul><li><p>one</p></li><li>two<ol><li>x</li><li>y</li></ol></li></ul>"
        "<table><thead><tr><th><p>Mode</p></th><th>Use</th></tr></thead>"
        "<tbody><tr><td>r</td><td>read<br>only</td></tr></tbody></table>a<br>b"
    )
    assert content(tmp_path, text) == "- one\n- two\n  1. x\n  2. y\n\nMode | Use\nr | read only\n\na\nb"


@pytest.mark.parametrize(
    "extra",
    [
        "<nav><h2>Menu</h2><a href=b.html>x</a></nav>",
        "<header><h2>Site</h2></header>",
        "<aside>margin</aside>",
        "<footer>foot</footer>",
        "<script>if (a < b) {}</script><style>h2 {}</style><noscript>off</noscript>",
        "<div role=search>find</div>",
        "<div class='left sphinxsidebar'><h2>Side</h2></div>",
        "<div id=footer>foot</div>",
        "<div hidden>gone</div>",
        "<!-- a comment -->",
    ],
)
def test_elements_that_are_not_content_are_left_out(tmp_path, extra):
    assert content(tmp_path, f"{extra}<h1>A</h1>text{extra}") == "text"


def test_only_the_main_part_of_a_page_is_read(tmp_path):
    text = "<div>bar</div><main><header><h1>A</h1></header>text<aside>note</aside></main><p>tail</p>"
    assert content(tmp_path, text) == "text\n\nnote"


def test_section_whose_heading_is_navigation_is_content(tmp_path):
    assert content(tmp_path, "<section id=navigation><h1>Navigation</h1>text</section>") == "text"


def test_table_of_contents_and_its_links_are_left_out(tmp_path):
    contents = "<ul><li><a href=b.html>One</a></li><li><a href=b.html>Two</a>, <a href=b.html>[1]</a></li></ul>"
    reading = read(tmp_path, a=f"<h1>A</h1>text {contents}<h2>Index</h2>{contents}<h2>C</h2>", b="<h1>B</h1>text b")
    assert [one.content for one in reading.chunks] == ["text", "text b"]
    assert reading.reasons() == [
        ("a.html:1", "only links", "", "A > Index"),
        ("a.html:1", "empty section", "", "A > C"),
    ]
    assert reading.links == []


def test_every_section_is_kept_merged_or_rejected(tmp_path):
    part = "<h2>GIT</h2>Part of the git suite. <a href=a.html>x</a>"
    reading = read(tmp_path, a=f"<h1>A</h1>{part}", b=f"<h1>B</h1>text{part}", c=f"<h2 id=x>GIT</h2>other{part}", d="")
    assert (reading.counts.read, len(reading.chunks), reading.merged, len(reading.rejected)) == (7, 3, 2, 2)


def test_section_that_pages_repeat_is_merged_into_the_first_and_links_follow(tmp_path):
    part = "<h2 id=git>GIT</h2>Part of the suite."
    reading = read(tmp_path, a=f"<h1>A</h1>text{part}", b=f"<h1>B</h1><a href=#git>x</a> text{part}")
    assert [one.chunk_id for one in reading.chunks] == ["a.html#a", "a.html#git", "b.html#b"]
    assert (reading.merged, targets(reading)) == (1, [("b.html#b", "a.html#git")])


@pytest.mark.parametrize(
    ("destination", "target"),
    [
        ("b.html#two", "sub/b.html#two"),
        ("./b.html#inner", "sub/b.html#two"),
        ("b.html#behind", "sub/b.html#two"),
        ("b.html#named", "sub/b.html#two"),
        ("b.html", "sub/b.html#one"),
        ("../other%20file.html#top", "other file.html"),
        ("/sub/b.html", "sub/b.html#one"),
        ("#here", "sub/a.html#here"),
        ("b.html?x=1#two", "sub/b.html#two"),
        ("b.html#gone", "sub/b.html#one"),
        ("gone.html", None),
        ("#", None),
        ("https://example.org/b.html", None),
        ("mailto:b.html", None),
        ("../../outside.html", None),
        ("//[::g]", None),
    ],
)
def test_link_resolves_to_the_chunk_that_contains_the_id(tmp_path, destination, target):
    (tmp_path / "outside.html").write_text("secret", encoding="utf-8")
    files = {
        "sub__a": f"<p>See <a href='{destination}'>the page</a>.</p><h1 id=here>Here</h1>text a",
        "sub__b": "<h1 id=one>One</h1><p>1</p><span id=behind></span><section id=two><h1><a name=named></a>Two</h1>"
        "<p>x <b id=inner>y</b></p></section>",
        "other file": "<p id=top>text</p>",
    }
    assert targets(read(tmp_path / "root", **files)) == ([("sub/a.html", target)] if target else [])


def test_link_to_an_empty_section_goes_to_the_first_text_below(tmp_path):
    files = {"a": "<a href=b.html#top>x</a> y", "b": "<h1 id=top>Top</h1><h2 id=in>In</h2>text"}
    assert targets(read(tmp_path, **files)) == [("a.html", "b.html#in")]


def test_link_around_an_image_is_left_out(tmp_path):
    assert read(tmp_path, a="text <a href=b.html><img alt=logo></a>", b="text b").links == []


def test_text_above_the_first_heading_has_the_title_of_the_page(tmp_path):
    top, section = read(tmp_path, a="<title>The page</title><p>Intro.</p><h1>One</h1>text").chunks
    assert (top.chunk_id, top.header_path, top.content) == ("a.html", ("The page",), "Intro.")
    assert (section.chunk_id, section.header_path) == ("a.html#one", ("One",))


def test_equal_ids_are_numbered(tmp_path):
    chunks = read(tmp_path, a="<h1 id=x>A</h1>1<h1 id=x>B</h1>2<h1>x</h1>3").chunks
    assert [one.chunk_id for one in chunks] == ["a.html#x", "a.html#x-2", "a.html#x-3"]


def test_heading_in_a_list_and_one_without_words_cut_nothing(tmp_path):
    assert content(tmp_path, "<h1>A</h1><ul><li><h2>Item</h2>x</li></ul><h2><img></h2>y") == "- Item\n\nx\n\ny"


def test_layout_table_contains_sections(tmp_path):
    text = "<table><tr><td>menu</td><td><h1>A</h1><p>one</p><p>two</p></td></tr></table>"
    assert [one.content for one in read(tmp_path, a=text).chunks] == ["menu", "one\n\ntwo"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<meta charset='iso-8859-1'><p>\x93\xe9\x94", "“é”"),
        (b'<meta http-equiv="Content-Type" content="text/html; charset=windows-1251"><p>\xe4\xe0', "да"),
        (b"<?xml version='1.0' encoding='euc-jp'?><html><p>\xc6\xfc</p></html>", "日"),
        (codecs.BOM_UTF8 + b"<meta charset=latin-1><p>\xc3\xa9", "é"),
        ("<p>é".encode("utf-16"), "é"),
        (b"<meta charset=utf-16><p>\xc3\xa9", "é"),
        (b"<p>\xc3\xa9 &amp; &#233;", "é & é"),
    ],
)
def test_encoding_is_that_of_the_byte_order_mark_else_of_the_meta_element(tmp_path, data, text):
    (tmp_path / "a.htm").write_bytes(data)
    assert [one.content for one in read_from(read_html, tmp_path, "docs").chunks] == [text]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<p>fine\n\xe9t\xe9", r"a\.html:2: byte 0xe9 is not UTF-8; save it as UTF-8 or correct its <meta charset>"),
        (b"<meta charset=klingon>", r"a\.html: unknown encoding 'klingon' in <meta charset>"),
        (b"<div>" * 3000 + b"text", r"a\.html:1: Excessive depth in document: 2048; fix the page or remove it"),
    ],
)
def test_bad_file_is_refused_by_name(tmp_path, data, message):
    (tmp_path / "a.html").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_from(read_html, tmp_path, None)


@pytest.mark.parametrize("text", ["", " \n", "<!-- nothing -->", "<html></html>", "<?xml version='1.0'?>"])
def test_file_without_text_is_rejected(tmp_path, text):
    assert read(tmp_path, a=text).reasons() == [("a.html:1", "empty section", "", "a")]


def test_category_is_the_first_folder_or_the_root(tmp_path):
    reading = read(tmp_path, None, top="x", api__lists__sort="y")
    assert [one.category for one in reading.chunks] == ["api", tmp_path.name]


@pytest.mark.parametrize("name", ["gone", "."])
def test_folder_without_html_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"ingest\.sources"):
        read_from(read_html, tmp_path / name, None)


@pytest.mark.parametrize("text", ["Loose text. ", "<p>An open paragraph. ", "<p>A paragraph.</p>", ""])
@pytest.mark.parametrize("anchor", ['<a name="busy"></a>', '<span id="busy"></span>', '<p><a name="busy"></a></p>'])
def test_anchor_before_a_heading_belongs_to_its_section(tmp_path, text, anchor):
    page = f"<h1>Codes</h1><p>All of them.</p><h3>Abort</h3>{text}{anchor}<h3>Busy</h3><p>Try again.</p>"
    reading = read(tmp_path, a=page, b='<h1>See</h1><p>What to do when <a href="a.html#busy">the file is busy</a></p>')
    assert [target for _, target in targets(reading)] == ["a.html#busy"]


@pytest.mark.parametrize("end", ["", "<p>More.</p>"])
def test_anchor_in_a_text_belongs_to_that_text(tmp_path, end):
    page = f'<h1>Codes</h1><h3>Abort</h3><p>It <a name="stop"></a>stops.</p>{end}<h3>Busy</h3><p>Try again.</p>'
    reading = read(tmp_path, a=page, b='<h1>See</h1><p>What to do when <a href="a.html#stop">it stops</a></p>')
    assert [target for _, target in targets(reading)] == ["a.html#abort"]


def page(title, body):
    return f"<html><head><title>{title}</title></head><body>{body}</body></html>"


def test_a_page_without_a_top_heading_has_its_title_at_the_root(tmp_path):
    body = (
        "<h2>{0}</h2><p>Reads rows.</p><h2>Synopsis</h2><p>{0} list</p><dl><dt>-n</dt><dd>{0} "
        + "x " * 1100
        + "</dd></dl>"
    )
    pages = {name: page(f"{name} — Mill manual", body.format(name)) for name in ("SELECT", "MERGE", "GRIND")}
    paths = [chunk.header_path for chunk in read(tmp_path, **pages).chunks]
    expected = [[(name,), (name, "Synopsis"), (name, "Synopsis", "-n")] for name in sorted(pages)]
    assert paths == [path for of_page in expected for path in of_page]


def test_a_page_with_a_top_heading_keeps_its_paths(tmp_path):
    (chunk, below) = read(tmp_path, a=page("Other words", "<h1>Mill</h1><p>Turns.</p><h2>Sails</h2><p>Two.</p>")).chunks
    assert (chunk.header_path, below.header_path) == (("Mill",), ("Mill", "Sails"))


@pytest.mark.parametrize(
    ("title", "path"),
    [
        ("", ("Options",)),
        ("Mill manual", ("Options",)),  # the same on all pages
        ("Mill manual | Stones", ("Stones", "Options")),
        ("Mill manual: Options", ("Options",)),
        ("std::vector — Mill manual", ("std::vector", "Options")),
        ("Stones — old — Mill manual", ("Stones — old", "Options")),
    ],
)
def test_the_name_of_the_site_is_not_in_header_paths(tmp_path, title, path):
    others = {name: page(f"{name} — Mill manual", f"<h1>{name}</h1><p>{name}.</p>") for name in ("b", "c")}
    others |= {name: page(f"Mill manual: {name}", f"<h1>{name}</h1><p>{name}.</p>") for name in ("d", "e")}
    others |= {"f": page("Mill manual", "<h1>f</h1><p>f.</p>")}
    chunks = read(tmp_path, a=page(title, "<h2>Options</h2><p>Words.</p>"), **others).chunks
    assert chunks[0].header_path == path


def test_the_title_of_a_few_pages_stays_whole(tmp_path):
    (chunk,) = read(tmp_path, a=page("Stones — Mill manual", "<h2>Options</h2><p>Words.</p>")).chunks
    assert chunk.header_path == ("Stones — Mill manual", "Options")


def test_a_list_named_toc_without_links_is_text(tmp_path):
    assert content(tmp_path, '<h1>A</h1><ul class="toc"><li>one</li><li>two</li></ul>') == "- one\n- two"
    linked = '<h1>A</h1><p>Words.</p><ul class="toc"><li><a href="#b">one</a> and</li></ul>'
    assert content(tmp_path, linked) == "Words."


def test_a_link_back_is_no_text(tmp_path):
    back = "<h1>A</h1><p>{}</p><p>Words.</p>"
    assert content(tmp_path, back.format('&lt;&lt; <a href="b">Back to the index</a>')) == "Words."
    assert content(tmp_path, back.format('<a href="b">&lt;&lt; Back to the index</a>')) == "Words."
    kept = content(tmp_path, back.format('<a href="b">&lt;&lt; Back to the index</a> for more'))
    assert kept == "<< Back to the index for more\n\nWords."


def test_navigation_between_neighbors_is_no_text(tmp_path):
    way = '<p>Next: <a href="b.html" rel="next" accesskey="n">Grinding</a>, Up: <a href="a.html" rel="up">Mill</a></p>'
    assert content(tmp_path, f"<h1>A</h1>{way}<p>Words.</p>") == "Words."
    said = '<p>The next chapter, <a href="b.html">Grinding</a>, has more.</p>'
    assert content(tmp_path, f"<h1>A</h1>{said}") == "The next chapter, Grinding, has more."


def test_code_in_lines_that_are_elements_keeps_its_lines(tmp_path):
    lines = '<div class="line">if (dry) {</div>\n<div class="line">  oil();</div>\n<div class="line">}</div>\n'
    assert content(tmp_path, f'<h1>A</h1><div class="fragment">{lines}</div><p>Words.</p>') == (
        "if (dry) {\n  oil();\n}\n\nWords."
    )


def test_links_are_relative_to_the_base_of_the_page(tmp_path):
    words = 'Lift <a href="b.html#x">the stone</a> with both hands and a bar.'
    linking = f'<html><head><base href="../../mill/"></head><h1>A</h1><p>{words}</p></html>'
    stone = "<h1>B</h1><p>One of {}.</p><h2 id='x'>X</h2><p>Two of {}.</p>"
    files = {"text/deep/a.html": linking} | {f"{one}/b.html": stone.format(one, one) for one in ("mill", "text")}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (link,) = (one for one in read_from(read_html, tmp_path, "docs").links if one.text)
    assert link.to_chunk_id == "mill/b.html#x"


def test_headings_in_lists_of_javadoc_start_sections(tmp_path):
    body = (
        '<h2>Class Mill</h2><ul class="blockList"><li class="blockList"><p>It grinds.</p>'
        '<ul class="blockListLast"><li class="blockList"><h4>turn</h4><p>Turns once.</p></li></ul></li></ul>'
    )
    others = {name: page(f"{name} (Mill API)", f"<h2>{name}</h2><p>{name}.</p>") for name in ("b", "c", "d")}
    chunks = read(tmp_path, a=page("Mill (Mill API)", body), **others).chunks
    assert [(one.header_path, one.content) for one in chunks[:2]] == [
        (("Class Mill",), "It grinds."),
        (("Class Mill", "turn"), "Turns once."),
    ]
