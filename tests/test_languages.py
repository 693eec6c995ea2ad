"""A small corpus in each of ten languages: sentences, BM25, links as queries, and what is marked in a hit."""

import json
import unicodedata
from pathlib import Path

import pytest
from hand_made import stored

from triptych.corpus.language import corpus_language, read_language, sampled_rows, write_language
from triptych.corpus.queries.link_queries import crossref_queries
from triptych.corpus.records import Chunk, Link, link_table
from triptych.corpus.texts import is_prose, normalized, sentence_spans, word_count, word_spans, words
from triptych.retrieval.lexical import LexicalIndex, stop_words, terms
from triptych.serving.snippets import snippet

LANGUAGES = json.loads((Path(__file__).parent / "data/languages.json").read_text(encoding="utf-8"))


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


@pytest.fixture
def corpus(language):
    return LANGUAGES[language]


def index_of(corpus, language):
    return LexicalIndex(["pump", "valve", "filter"], corpus["pages"], language)


def test_each_page_has_three_sentences_of_prose(corpus):
    for page in corpus["pages"]:
        sentences = [page[start:end] for start, end in sentence_spans(page)]
        assert len(sentences) == 3
        assert all(is_prose(sentence, at_least=3) for sentence in sentences)


def test_bm25_finds_the_page_of_a_question(corpus, language):
    rows, scores = index_of(corpus, language).search([corpus["question"]], 3)
    assert rows[0, 0] == 2
    assert scores[0, 0] > scores[0, 1]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_written_apart_find_the_same(corpus, language, form):
    question = corpus["question"]
    other = unicodedata.normalize(form, question)
    index = index_of(corpus, language)
    assert index.search([other], 3)[1].tobytes() == index.search([question], 3)[1].tobytes()
    assert normalized(other) == normalized(question)
    assert snippet(corpus["pages"][2], other, language=language) == snippet(
        corpus["pages"][2], question, language=language
    )


def test_a_link_text_is_a_query(corpus):
    chunks = [Chunk(str(row), "a", f"{row}.md", (f"{row}",), "", text, "") for row, text in enumerate(corpus["pages"])]
    queries, dropped = crossref_queries(*stored(chunks), link_table([Link("0", "2", corpus["link"], "")]), 3)
    assert [one.query.text for one in queries] == [corpus["link"]], dropped


def test_the_words_of_the_question_are_marked(corpus, language):
    shown = snippet(corpus["pages"][2], corpus["question"], language=language)
    marked = [shown.text[start:end] for start, end in shown.matches]
    for word in corpus["marked"]:
        assert any(word in one or one in word for one in marked), marked


def test_the_language_of_a_corpus_is_that_of_most_texts(corpus, language):
    english = ["Return the largest value of an array."]
    assert corpus_language(corpus["pages"] + english, "auto") == language
    assert corpus_language(corpus["pages"] + 5 * english, "auto") == "en"
    assert corpus_language(corpus["pages"], "en") == "en"


def test_frequent_words_of_a_language_are_left_out(corpus, language):
    assert stop_words(language)
    assert not set(terms(corpus["link"])) <= stop_words(language)


def test_identifiers_keep_their_parts_in_any_language():
    assert terms("使用np.linalg.svd计算") == ["使用", "np.linalg.svd", "np", "linalg", "svd", "计算"]
    assert terms("Используйте setIndex") == ["используйте", "setindex", "set", "index"]


def test_marks_belong_to_their_word_and_alone_are_none():
    assert terms("बिजली") == ["बिजली"]
    assert normalized("«बिजली»") == "बिजली"
    assert terms("\u26a0\ufe0f \u0301") == []


def test_words_without_spaces():
    assert words("清洗过滤器") == ["清洗", "洗过", "过滤", "滤器"]
    assert [word_count(text) for text in ("水", "过滤器", "如何清洗", "フィルター", "filter reinigen", "")] == [
        1,
        2,
        3,
        1,
        2,
        0,
    ]
    text = "清洗 np.max 过滤器"
    assert [text[start:end] for start, end in word_spans(text)] == ["清洗", "np.max", "过滤", "器"]


def test_closing_marks_stay_with_their_sentence():
    sentences = ["他说“清洗。”", "然后走了。!", "好的।"]
    text = "".join(sentences)
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


def test_the_language_is_stored_with_the_corpus(tmp_path):
    assert read_language(tmp_path) == "en"  # as an earlier version left it
    write_language(tmp_path, "de")
    assert read_language(tmp_path) == "de"


@pytest.mark.parametrize("number", [0, 1, 199, 201, 399, 400, 123_456])
def test_sampled_texts_are_all_looked_at_again(number):
    sampled = len(sampled_rows(number))
    assert sampled <= 400
    assert len(sampled_rows(sampled)) in (sampled, 200)
