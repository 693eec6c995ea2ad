"""The queries of the second corpus, extracted from small pages."""

import json

import pytest

from benchmarks.second_queries import filter_queries, first_sentence, index_entries, option_help, options, synopses
from triptych.corpus.pages.html import html_pages

EXPRESSIONS = """<h1>Expressions</h1><section id=arith><h2>Conversions</h2><span id=index-0></span>
<p>An arithmetic conversion makes numbers equal in type.</p></section>
<section id=calls><h2>Calls</h2><p id=index-1>A call calls.</p></section>"""
INDEX = """<table><tr><td><ul>
<li><a href="expressions.html#index-1">pipe() (in module os)</a></li>
<li>arithmetic<ul><li><a href="expressions.html#index-0">conversion</a></li></ul></li>
<li>conversion<ul><li><a href="expressions.html#index-0">arithmetic</a></li></ul></li>
<li>call<ul><li><a href="expressions.html#index-1">instance</a></li><li><a href="gone.html">of mother</a></li></ul></li>
<li><a href="expressions.html#index-1">TypeError exception</a></li>
<li><a href="expressions.html#index-1">calls</a></li></ul></td></tr></table>"""
HELP = """usage: git add [<options>] [--] <pathspec>...

    -n, --dry-run         dry run
    --ignore-missing      check if - even missing - files are ignored in dry run
    --pathspec-from-file <file>
                          read pathspec from file
"""


@pytest.fixture
def pages(tmp_path):
    def parse(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name.replace('_', '-')}.html").write_text(text, encoding="utf-8")
        return html_pages(tmp_path)

    return parse


def test_nested_index_entries_are_joined_in_the_order_that_the_text_uses(pages, tmp_path):
    pages_by_name = pages(expressions=EXPRESSIONS)
    (tmp_path / "index").write_text(INDEX, encoding="utf-8")
    assert list(index_entries(tmp_path / "index", pages_by_name)) == [
        ("index", "arithmetic conversion", "expressions.html#arith"),
        ("index", "call instance", "expressions.html#calls"),
    ]


def test_answer_of_a_synopsis_is_the_page_of_its_module(pages, tmp_path):
    pages_by_name = pages(csv="<h1 id=module-csv>csv</h1>Comma separated values.")
    row = "<table><tr><td><a href='csv.html#module-csv'>csv</a></td><td><em>Write tabular data.</em></td></tr></table>"
    (tmp_path / "index").write_text(row, encoding="utf-8")
    assert list(synopses(tmp_path / "index", pages_by_name)) == [
        ("synopsis", "Write tabular data", "csv.html#module-csv")
    ]


def test_first_sentence_of_a_docstring():
    assert first_sentence(json.dumps) == "Serialize ``obj`` to a JSON formatted ``str``"
    assert first_sentence(dict.get) == "Return the value for key if key is in the dictionary, else default"
    assert first_sentence("a constant") == ""
    assert first_sentence(None) == ""


def test_help_of_an_option_may_take_two_lines():
    assert list(options(HELP)) == [
        ("-n, --dry-run", "dry run"),
        ("--ignore-missing", "check if - even missing - files are ignored in dry run"),
        ("--pathspec-from-file <file>", "read pathspec from file"),
    ]


def test_answer_of_an_options_help_is_its_entry(pages, monkeypatch):
    monkeypatch.setattr("benchmarks.second_queries._help", lambda command: HELP)
    entries = "".join(f"<dt>--{name}</dt><dd>{'Long text. ' * 100}</dd>" for name in ("[no-]ignore-missing", "other"))
    pages_by_name = pages(git_add=f"<h1>git-add</h1><h2 id=o>OPTIONS</h2><dl>{entries}</dl>")
    assert list(option_help(pages_by_name)) == [
        (
            "option",
            "git add: check if - even missing - files are ignored in dry run",
            "git-add.html#o/no-ignore-missing",
        )
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no text"),
        ("how a list is put in order", "several answers"),
        ("sort lists", "repeats the title"),
        ("puts a list in order", "quoted"),
        ("stable sorting keeps equal items", "nearly quoted"),
    ],
)
def test_unsuitable_query_is_dropped_with_its_reason(pages, text, reason):
    pages_by_name = {
        "docs": pages(
            a="<h1>Sort lists</h1>It puts a list in order. Stable sorting keeps the equal items.", b="<h1>B</h1>x"
        )
    }
    other = ("docstring", "how a list is put in order", "b.html#b")
    kept, dropped = filter_queries([("docstring", text, "a.html#sort-lists"), other], pages_by_name)
    assert dropped[reason] == (2 if reason == "several answers" else 1)
    assert kept == ([] if reason == "several answers" else [other])
