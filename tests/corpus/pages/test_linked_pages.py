"""Random Markdown and HTML pages: no text is lost or added, and the order is kept."""

from html import escape

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readings import read_from

from triptych.corpus.pages.html import read_html
from triptych.corpus.pages.markdown import read_markdown

WORD = st.text("abcäжع漢😀.,", min_size=1, max_size=6).map(lambda word: f"w{word}")
WORDS = st.lists(WORD, min_size=1, max_size=5).map(" ".join)
LINES = st.lists(WORDS, min_size=1, max_size=3)
BLOCKS = st.lists(
    st.tuples(st.sampled_from(["h1", "h2", "h3", "underlined"]), WORDS.map(lambda one: [one]))
    | st.tuples(st.sampled_from(["paragraph", "code", "list", "quote", "table"]), LINES),
    max_size=10,
)


def markdown(kind, lines):
    if kind == "underlined":
        return f"{lines[0]}\n---"
    if kind.startswith("h"):
        return f"{'#' * int(kind[1])} {lines[0]}"
    if kind == "code":
        return "\n".join(["```", "# no heading", "", *lines, "```"])
    if kind == "table":
        return "\n".join(["| w |", "|---|", *(f"| {line} |" for line in lines)])
    mark = {"paragraph": "", "list": "- ", "quote": "> "}[kind]
    return "\n".join(mark + line for line in lines)


def html(kind, lines):
    lines = [escape(line) for line in lines]
    if kind in ("h1", "h2", "h3", "underlined"):
        tag = kind.replace("underlined", "h2")
        return f"<{tag}>{lines[0]}</{tag}>"
    if kind == "code":
        return "<pre>{}</pre>".format("\n".join(["# no heading", "", *lines]))
    if kind == "table":
        return "<table>{}</table>".format("".join(f"<tr><td>{line}</td></tr>" for line in ["w", *lines]))
    if kind == "list":
        return "<ul>{}</ul>".format("".join(f"<li>{line}</li>" for line in lines))
    return f"<{kind[0]}>{' '.join(lines)}</{kind[0]}>"


def words(text):
    return [word for word in text.split() if word.startswith("w")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.parametrize(("reader", "write", "suffix"), [(read_markdown, markdown, "md"), (read_html, html, "html")])
@given(blocks=BLOCKS)
def test_no_text_is_lost_or_invented_and_the_order_is_kept(tmp_path, reader, write, suffix, blocks):
    named = [  # sections with equal title and content would be merged
        (kind, [f"{lines[0]} w{number}"] if kind in ("h1", "h2", "h3", "underlined") else lines)
        for number, (kind, lines) in enumerate(blocks)
    ]
    path = tmp_path / f"page.{suffix}"
    path.write_text("\n\n".join(write(kind, lines) for kind, lines in named), encoding="utf-8")
    reading = read_from(reader, path, "docs")
    headings = {" ".join(lines[0].split()) for kind, lines in named if kind in ("h1", "h2", "h3", "underlined")}
    wanted = [
        word
        for kind, lines in named
        if kind not in ("h1", "h2", "h3", "underlined")
        for line in (["w", *lines] if kind == "table" else lines)
        for word in words(line)
    ]
    assert [word for one in reading.chunks for word in words(one.content)] == wanted
    titles = {one.header_path[-1] for one in reading.chunks} | {one.detail.split(" > ")[-1] for one in reading.rejected}
    assert headings <= titles <= headings | {"page"}
