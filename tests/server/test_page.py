"""The search page as a person uses it: in a browser, by keyboard, on a phone, with scripts in every text."""

import re
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import expect

from triptych.serving.snippets import snippet

EVIL = "</script><script>window.broken = true</script><img src=x onerror='window.broken = true'>"
LABELED = "[...document.querySelectorAll('select, input')].every(one => one.labels.length === 1)"


@pytest.fixture
def opened(chromium):
    """Open the page of a server: ``opened(client, "?q=mask", scheme="dark", width=390)``."""
    contexts = []

    def call(client, query="", scheme="light", width=1280):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(f"{client.url}/{query}")
        return page

    yield call
    for context in contexts:
        context.close()


def titles(page):
    page.wait_for_selector("#hits li")
    return page.locator("#hits h2").all_inner_texts()


def expected(searcher, question, category=None):
    hits = searcher.search(question, 10, category)
    return [f"{rank}. {hit.chunk.title or hit.chunk.chunk_id}" for rank, hit in enumerate(hits, start=1)]


class Changed:
    """A searcher whose chunks are changed before they are returned."""

    def __init__(self, searcher, change, categories=None):
        self._searcher, self._change = searcher, change
        self.categories = categories or searcher.categories

    def __getattr__(self, name):
        return getattr(self._searcher, name)

    def __len__(self):
        return len(self._searcher)

    def check(self, questions, k, category):
        self._searcher.check(questions, k, None)

    def search_all(self, questions, k, category):
        return [
            [self._change(question, hit) for hit in hits]
            for question, hits in zip(questions, self._searcher.search_all(questions, k, None), strict=True)
        ]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_it_opens_and_searches_without_console_messages_or_other_hosts(client, searcher, opened, scheme, width):
    page = opened(client, "?q=mask", scheme, width)
    assert titles(page) == expected(searcher, "mask")
    assert page.said == []
    assert {urlparse(one).netloc for one in page.asked if not one.startswith("data:")} == {urlparse(page.url).netloc}
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(LABELED)
    assert [page.locator(one).count() for one in ("h1", "main", "header", "[role=search]", "[role=status]")] == [1] * 5
    assert page.get_attribute("html", "lang") == "en"


def test_everything_is_done_by_keyboard(client, searcher, opened):
    page = opened(client)
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("mask an array")
    page.keyboard.press("Enter")
    assert titles(page) == expected(searcher, "mask an array")
    assert page.inner_text("#status") == "10 hits"
    assert page.title() == "mask an array | Search"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    hits = searcher.search("mask an array")
    assert page.locator("details[open]").count() == 1
    assert page.text_content("#hits li >> nth=1 >> pre") == hits[1].chunk.content
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "category"  # a select keeps its keys
    page.keyboard.press("Tab")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "question"
    assert page.evaluate("getSelection().toString()") == "mask an array"
    page.keyboard.type("1/2")
    assert page.input_value("#question") == "1/2"


def test_what_is_typed_before_the_categories_have_come_stays(client, searcher, chromium):
    context, held = chromium.new_context(), []
    page = context.new_page()
    page.route("**/info", lambda route: held.append(route))  # playwright marks what it is given
    page.goto(client.url)
    page.keyboard.type("mask an array")
    page.wait_for_function("document.activeElement.value === 'mask an array'")
    held[0].continue_()
    page.wait_for_selector("#category option:nth-child(2)", state="attached")
    assert page.input_value("#question") == "mask an array"
    page.keyboard.press("Enter")
    assert titles(page) == expected(searcher, "mask an array")
    context.close()


def test_words_of_the_question_are_marked(client, searcher, opened):
    page = opened(client, "?q=mask+array")
    titles(page)
    for row, hit in enumerate(searcher.search("mask array")):
        marks = page.locator("#hits li").nth(row).locator("mark").all_text_contents()
        assert marks == [hit.snippet.text[start:end] for start, end in hit.snippet.matches]
    assert page.locator("mark").count()


def test_marks_are_right_after_letters_that_take_two_units(serve, searcher, opened):
    def change(question, hit):
        content = "\U0001f600\U0001d54f the mask \U0001f600 of it"
        return replace(hit, chunk=replace(hit.chunk, content=content), snippet=snippet(content, question))

    page = opened(serve(Changed(searcher, change)), "?q=mask")
    titles(page)
    assert set(page.locator("mark").all_text_contents()) == {"mask"}
    assert page.text_content("#hits .snippet >> nth=0") == "\U0001f600\U0001d54f the mask \U0001f600 of it"


def test_a_category_is_chosen_and_the_address_keeps_the_search(client, searcher, opened):
    page = opened(client)
    page.fill("#question", "mask")
    page.press("#question", "Enter")
    titles(page)
    page.select_option("#category", "fft")
    page.wait_for_url(lambda url: parse_qs(urlparse(url).query).get("category") == ["fft"])
    expect(page.locator("#status")).to_have_text(re.compile("hits$"))
    assert titles(page) == expected(searcher, "mask", "fft")
    assert parse_qs(urlparse(page.url).query) == {"q": ["mask"], "category": ["fft"]}
    page.reload()
    assert titles(page) == expected(searcher, "mask", "fft")
    page.go_back()
    expect(page.locator("#category")).to_have_value("")
    expect(page.locator("#status")).to_have_text(re.compile("hits$"))
    assert titles(page) == expected(searcher, "mask")


def test_a_hit_links_to_its_source(serve, searcher, opened):
    page = opened(serve(searcher, source_url="https://docs.example.com/{filename}.html"), "?q=mask")
    titles(page)
    best = searcher.search("mask")[0].chunk
    assert page.get_attribute("#hits h2 a >> nth=0", "href") == f"https://docs.example.com/{best.filename}.html"
    assert "noopener" in page.get_attribute("#hits h2 a >> nth=0", "rel")


def test_scripts_in_every_field_stay_text(serve, searcher, opened, monkeypatch):
    def change(question, hit):
        names = ("chunk_id", "category", "filename", "title", "content", "source")
        evil = dict.fromkeys(names, f"{EVIL} mask") | {"header_path": (EVIL, EVIL)}
        chunk = replace(hit.chunk, **evil)
        return replace(hit, chunk=chunk, snippet=snippet(chunk.content, question), written_question=EVIL)

    monkeypatch.setattr("triptych.server.chunk_records._address", lambda *_: {"url": "javascript:window.broken = true"})
    client = serve(Changed(searcher, change, [EVIL, "fft"]))
    page = opened(client, "?q=" + "%3Cimg src=x onerror='window.broken = true'%3E mask")
    assert titles(page)[0] == f"1. {EVIL} mask"
    assert page.input_value("#question").startswith("<img")
    assert EVIL in page.text_content("#hits li >> nth=0 >> .where")
    assert EVIL in page.locator("#category option").all_text_contents()
    assert page.locator("#hits img, #hits script, #hits a").count() == 0
    page.click("summary >> nth=0")
    assert page.text_content("pre >> nth=0") == f"{EVIL} mask"
    assert page.evaluate("window.broken === undefined")
    assert page.said == []


def test_the_policy_of_the_page_lets_no_script_of_a_text_run(client, opened):
    page = opened(client)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', \"<img src='data:,' onerror='window.broken = 1'>\")")
    page.wait_for_timeout(200)
    assert page.evaluate("window.broken === undefined")
    assert any("Content Security Policy" in one for one in page.said)


def test_the_token_is_asked_for_once(serve, searcher, opened):
    page = opened(serve(searcher, token="sesame"), "?q=mask")
    page.wait_for_selector("#token-form:not([hidden])")
    assert "token is missing or wrong" in page.inner_text("#status")
    page.fill("#token", "wrong")
    page.press("#token", "Enter")
    page.wait_for_timeout(200)
    assert page.is_visible("#token-form")
    page.fill("#token", "sesame")
    page.press("#token", "Enter")
    assert titles(page) == expected(searcher, "mask")
    assert page.is_hidden("#token-form")
    page.reload()
    assert titles(page) == expected(searcher, "mask")


def test_an_error_is_shown_in_words(serve, searcher, opened):
    page = opened(serve(searcher), "?q=mask")
    titles(page)
    page.route("**/search", lambda route: route.abort())
    page.press("#question", "Enter")
    page.wait_for_selector("#status.failed")
    page.unroute("**/search")
    page.press("#question", "Enter")
    titles(page)
    assert page.get_attribute("#status", "class") == "quiet"
