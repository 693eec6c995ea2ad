"""Texts longer than the cut, in windows."""

import re

import pytest
from transformers import AutoTokenizer

from triptych.corpus.embedded_text import FramedText
from triptych.models.loading import locate
from triptych.params.load import load_params
from triptych.tokens.windows import WindowCutter

SENTENCES = [f"The pump number {row} has a filter that is cleaned once a week." for row in range(30)]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(locate(load_params().model))


@pytest.fixture
def cut(tokenizer):
    def call(text, length=48, most=100, prompt=""):
        windows = WindowCutter(tokenizer, prompt, length, most).further([text])[0]
        assert all(len(tokenizer(prompt + one)["input_ids"]) <= length for one in windows)
        return windows

    return call


def test_a_text_that_fits_has_no_further_window(cut):
    assert cut(FramedText("Pump > Filter\n", SENTENCES[0])) == []


def test_windows_end_at_sentences_repeat_the_heading_and_lose_nothing(cut, tokenizer):
    text = FramedText("Pump > Filter\n", " ".join(SENTENCES))
    windows = cut(text)
    assert all(one.startswith("Pump > Filter\nThe pump number") and one.endswith("week.") for one in windows)
    beginning = tokenizer.decode(tokenizer(text.text, truncation=True, max_length=48)["input_ids"])
    in_beginning = len(re.findall("once a week", beginning))
    in_windows = [int(number) for one in windows for number in re.findall(r"number (\d+)", one)]
    assert in_windows == list(range(in_beginning, 30))  # each sentence once, the one that was truncated whole


def test_code_is_cut_between_lines(cut):
    lines = [f"result_{row} = client.request('/pumps/{row}/filter')" for row in range(12)]
    windows = cut(FramedText("Client\n", "\n".join(lines)))
    assert all(line in lines for one in windows for line in one.splitlines()[1:])
    assert windows[-1].splitlines()[-1] == lines[-1]


def test_a_line_longer_than_a_window_is_cut_between_tokens(cut):
    windows = cut(FramedText("Blob\n", " ".join(str(row) for row in range(3000))), most=5)
    assert len(windows) == 4
    assert all(one.startswith("Blob\n") for one in windows)


def test_a_long_heading_leaves_half_of_a_window_to_the_text(cut):
    text = FramedText(" > ".join(f"Chapter {row}" for row in range(40)) + "\n", " ".join(SENTENCES))
    windows = cut(text)
    assert all("Chapter 39\n" in one and "Chapter 1 >" not in one and "The pump number" in one for one in windows)


def test_at_most_so_many_windows_are_cut(cut):
    text = FramedText("Pump\n", " ".join(SENTENCES))
    assert cut(text, most=3) == cut(text)[:2]
    assert cut(text, most=1) == []


def test_the_prompt_of_the_model_is_counted(cut):
    text = FramedText("Pump\n", " ".join(SENTENCES))
    assert len(cut(text, prompt="passage: the documentation of a machine says ")) > len(cut(text))


@pytest.mark.parametrize("content", ["word", "\n\n \n" * 50, "。" * 400, "ä" * 900, "|---" * 200])
def test_any_content_is_cut(cut, content):
    cut(FramedText("Odd\n", content))
