"""The question in the words around a link."""

import pytest

from triptych.corpus.queries.sentence_forms import is_empty, leans, question_of


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("To learn how to share state between components, see LINK.", "how to share state between components"),
        ("If you want to reset state in a form, check out the LINK guide.", "reset state in a form"),
        ("For more information about lazy loading of routes, refer to LINK.", "lazy loading of routes"),
        ("For details on how routes are matched see LINK", "how routes are matched"),
        ("See LINK for more details on escaping label names.", "escaping label names"),
        ("Read LINK to learn how to write custom hooks.", "how to write custom hooks"),
        ("Check out “LINK” for a walkthrough of the everyday commands.", "a walkthrough of the everyday commands"),
        ("The LINK guide describes how to write a parser plugin.", "how to write a parser plugin"),
        ("The matching of routes is described in detail in LINK.", "The matching of routes"),
        ("You can learn more about monitoring batch jobs in LINK.", "monitoring batch jobs"),
        ("Use the LINK statement to stop the innermost iteration.", "stop the innermost iteration"),
        ("To read a stream in chunks, call LINK.", "read a stream in chunks"),
        ("See LINK for installing the server on Windows, and see E for editions.", "installing the server on Windows"),
        ("LINK lets you read a stream in chunks.", "LINK lets you read a stream in chunks"),
        ("The LINK directive sets the root folder of a site.", "The LINK directive sets the root folder of a site"),
        ("A LINK (or gauge) represents a value that goes up.", "A LINK (or gauge) represents a value that goes up"),
    ],
)
def test_sentence_whose_form_shows_what_its_target_is_about(sentence, question):
    assert question_of("sentence", "LINK", sentence).text == question


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("link_inside_sentence", "When a component calls LINK, its state is kept between renders."),
        ("link_inside_sentence", "A component that calls LINK keeps its state."),
        ("link_inside_sentence", "Um den Zustand zu teilen, siehe LINK."),
        ("only_points", "See LINK for more information."),
        ("only_points", "For details, see the LINK page."),
        ("only_points", "Read the LINK guide to learn more."),
        ("only_points", "LINK describes more options."),
        ("leans_on_surroundings", "To learn more about this pattern of sharing, see LINK."),
        ("leans_on_surroundings", "See LINK for the format of the options above."),
        ("leans_on_surroundings", "To learn how they share state in a tree, see LINK."),
        ("leans_on_surroundings", "LINK lets you read a stream in chunks:"),
        ("leans_on_surroundings", "Use LINK to read a stream and then close it."),
        ("not_prose", "See LINK for {{ range .Pages }} and { .Title } of sites."),
        ("not_prose", f"LINK is {'a very long text about streams ' * 5}."),
    ],
)
def test_sentence_that_is_not_a_question_about_its_target(reason, sentence):
    assert question_of("sentence", "LINK", sentence) == ("", reason, 0.0)


@pytest.mark.parametrize("kind", ["description", "summary", "glossary"])
@pytest.mark.parametrize(
    ("context", "question", "reason"),
    [
        ("Describes how to share state in a tree.", "how to share state in a tree", ""),
        ("This page explains how to share state.", "how to share state", ""),
        ("for sharing state between components", "sharing state between components", ""),
        ("in Baumstrukturen geteilter Zustand: Übersicht", "in Baumstrukturen geteilter Zustand: Übersicht", ""),
        ("as opções de configuração do servidor", "as opções de configuração do servidor", ""),
        ("如何在组件之间共享状态", "如何在组件之间共享状态", ""),
        ("This shares the state of a tree.", "", "leans_on_surroundings"),
        ("It shares the state of a tree.", "", "leans_on_surroundings"),
        ("And the state of a tree.", "", "leans_on_surroundings"),
        ("In this post, we share the state of a tree.", "", "leans_on_surroundings"),
        ("See the documentation for details.", "", "only_points"),
        ("more information about options", "", "only_points"),
        ("the alternative steps", "", "only_points"),
        ("[cascade.params] color = 'red'", "", "not_prose"),
    ],
)
def test_text_beside_a_link(kind, context, question, reason):
    assert question_of(kind, "LINK", context)[:2] == (question, reason)


def test_line_of_a_change_log_without_its_marks():
    line = "✨ Let hooks read a stream in chunks. PR #12 by @ann."
    assert question_of("change", "stream", line).text == "Let hooks read a stream in chunks"
    assert question_of("change", "Streams", "Streams.").reason == "only_points"


def test_entry_of_an_index_needs_two_words():
    assert question_of("index", "", "state, sharing between parents").text == "state, sharing between parents"
    assert question_of("index", "", "owner").reason == "too_short"


def test_words_of_another_language_do_not_lean():
    assert all(map(leans, ("the section above", "how it works", "read and close it")))
    assert not any(
        map(leans, ("i następnie zapisz plik konfiguracji", "our été", "如何共享状态", "how to share state"))
    )


def test_text_that_only_names_a_place():
    assert all(map(is_empty, ("more information is available", "the reference manual")))
    assert not any(map(is_empty, ("如何共享", "escaping label names")))
