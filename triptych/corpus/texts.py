"""The shared definitions of a word, of a sentence, and of equal texts, in any script.

ASCII text, most of any documentation of code, is read by the same rules, written with the faster `re`.
"""

import re
import unicodedata
from itertools import pairwise

import regex

_LETTER = r"[\p{L}\p{M}\p{Nl}\p{No}]"  # a vowel sign or an accent belongs to its word
_HAN = rf"[[\p{{scx=Han}}\p{{scx=Hira}}]&&{_LETTER}]"
_KATAKANA = rf"[[\p{{scx=Kana}}--\p{{scx=Han}}]&&{_LETTER}]"
_SOUTHEAST_ASIAN = rf"[[\p{{Thai}}\p{{Lao}}\p{{Khmer}}\p{{Myanmar}}]&&{_LETTER}]"
_UNSPACED = rf"[{_HAN}{_KATAKANA}{_SOUTHEAST_ASIAN}]"  # letters of scripts without spaces between words
# Korean has spaces, but particles are attached to its words, so that pairs of characters match more than words do.
_PAIRED = rf"[{_UNSPACED}[\p{{Hangul}}&&{_LETTER}]]"

PAIRED_RUN = rf"(?P<paired>(?!\p{{M}}){_PAIRED}+)"  # of letters that are searched and compared by `pair_spans`
_SPACED = rf"[[{_LETTER}\p{{N}}_]--{_PAIRED}]"
SPACED_WORD = rf"(?!\p{{M}}){_SPACED}+"  # a mark alone, as of an emoji, is not a word

_ASCII_WORD = re.compile(r"\w+")
_WORD = regex.compile(rf"{PAIRED_RUN}|{SPACED_WORD}", regex.V1)
_WORD_CHARACTER = regex.compile(r"[\p{L}\p{N}_]")
# From the first word to the last, with its vowel signs.
_BETWEEN_PUNCTUATION = regex.compile(r"[\p{L}\p{N}_](?:.*[\p{L}\p{N}_])?\p{M}*", regex.DOTALL)
_LONG_ASCII_WORD = re.compile(r"[^\W\d_]{3,}")
_LONG_WORD = regex.compile(rf"{PAIRED_RUN}|(?!\p{{M}})[{_LETTER}--{_PAIRED}]{{3,}}", regex.V1)
_PROSE_WORD = regex.compile(rf"{_LETTER}{{2,}}", regex.V1)
_CHARACTER = regex.compile(r"\X")  # as a reader sees it, with its vowel signs
# A stretch that counts as one word, as a word for every three characters, or as the pairs of its characters.
_UNSPACED_STRETCH = regex.compile(rf"(?P<one>{_KATAKANA}+)|(?P<threes>{_SOUTHEAST_ASIAN}+)|{_HAN}+", regex.V1)
# A piece of text about as long as a word: what a phrase is cut from.
_PIECE = regex.compile(rf"{_KATAKANA}+|{_HAN}{{1,2}}|(?:(?={_SOUTHEAST_ASIAN})\X){{1,3}}|[\S--{_UNSPACED}]+", regex.V1)

_ASCII_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(`\"'\d])|\n\s*\n")
# A sentence begins with a capital, a letter of a script without capitals, a digit or an opening mark.
_SENTENCE_END = regex.compile(
    r"(?<=[.!?])\s+(?=[\p{Lu}\p{Lt}\p{Lo}(`\"'\d«„¿¡])"
    r"|\n\s*\n"
    # The full stops and question marks of other scripts, which no space needs to follow.
    r"|[\p{STerm}--[.!?]][\p{STerm}]*+[\p{Pe}\p{Pf}\"']*+\K\s*(?=\S)"
    # Thai and its neighbors separate clauses by a space, which also surrounds numbers and foreign words.
    rf"|(?<={_SOUTHEAST_ASIAN}{{8}})[ \t]+(?={_SOUTHEAST_ASIAN}{{8}})",
    regex.V1,
)


def words(text: str) -> list[str]:
    """Return the words of a text in order: those that shingles and similarities are computed from.

    Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese text gives its pairs of adjacent characters.

    >>> words("np.max(a, axis=0) isn't")
    ['np', 'max', 'a', 'axis', '0', 'isn', 't']
    >>> words("清洗过滤器 first")
    ['清洗', '洗过', '过滤', '滤器', 'first']
    """
    return _ASCII_WORD.findall(text) if text.isascii() else _words_and_pairs(_WORD, text)


def long_words(text: str) -> list[str]:
    """Return the words of three letters or more and the pairs that `words` returns; digits and ``_`` end a word.

    >>> long_words("sort_by 2 keys at once")
    ['sort', 'keys', 'once']
    """
    return _LONG_ASCII_WORD.findall(text) if text.isascii() else _words_and_pairs(_LONG_WORD, text)


def pair_spans(run: str) -> list[tuple[int, int]]:
    """Return (start, end) of each pair of adjacent characters, or of the only character.

    >>> pair_spans("過濾器"), pair_spans("水")
    ([(0, 2), (1, 3)], [(0, 1)])
    """
    spans = [match.span() for match in _CHARACTER.finditer(run)]
    return [(start, end) for (start, _), (_, end) in pairwise(spans)] or spans


def word_count(text: str) -> int:
    """Return the number of words separated by white space: what every minimum number of words refers to.

    Where words are not separated, every pair of adjacent Chinese characters or hiragana counts, every run of katakana,
    and three characters of Thai and its neighbors.

    >>> word_count("how to call np.max")
    4
    >>> word_count("如何清洗"), word_count("フィルターの掃除。")
    (3, 3)
    """
    if text.isascii() or not (stretches := list(_UNSPACED_STRETCH.finditer(text))):
        return len(text.split())
    count = sum(_WORD_CHARACTER.search(word) is not None for word in _UNSPACED_STRETCH.sub(" ", text).split())
    for match in stretches:
        characters = len(_CHARACTER.findall(match[0]))
        count += 1 if match["one"] else max(1, characters // 3 if match["threes"] else characters - 1)
    return count


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each word separated by white space, and of pieces as long as a word where none is.

    >>> [text[start:end] for text in ("call np.max now", "清洗过滤器") for start, end in word_spans(text)]
    ['call', 'np.max', 'now', '清洗', '过滤', '器']
    """
    return [match.span() for match in _PIECE.finditer(text)]


def normalized(text: str) -> str:
    r"""Fold case, white space, accents written apart and the punctuation at both ends: equal questions compare equal.

    >>> normalized('  "How do I sort\n a List?" ')
    'how do i sort a list'
    >>> normalized("...")
    ''
    """
    folded = unicodedata.normalize("NFC", " ".join(text.casefold().split()))
    match = _BETWEEN_PUNCTUATION.search(folded)
    return match[0] if match else ""


def sentence_spans(text: str) -> list[tuple[int, int]]:
    r"""Return (start, end) of each sentence.

    Sentences end at ``.``, ``!``, ``?`` before a capital or a letter of a script without capitals, at the marks that
    other scripts have for it, or at a blank line.

    >>> text = "Sort e.g. lists. It is fast!\n\nnot stable。"
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['Sort e.g. lists.', 'It is fast!', 'not stable。']
    """
    spans, start = [], 0
    ends = _ASCII_SENTENCE_END.finditer(text) if text.isascii() else _SENTENCE_END.finditer(text)
    for match in [*ends, None]:
        end = match.start() if match else len(text)
        if text[start:end].strip():
            spans.append((start, end))
        start = match.end() if match else end
    return spans


def is_prose(sentence: str, at_least: int) -> bool:
    """Tell a sentence of ``at_least`` to 40 words that a person might type from code, tables and parameter lists.

    >>> is_prose("Return the largest value of an array.", at_least=3)
    True
    >>> is_prose(">>> np.max([1, 2, 3])", at_least=3)
    False
    """
    letters = sum(map(len, _PROSE_WORD.findall(sentence)))
    code = ">>>" in sentence or "----" in sentence or ".. " in sentence or "::" in sentence
    right_length = at_least <= word_count(sentence) and len(word_spans(sentence)) <= 40
    return not code and right_length and letters >= 0.65 * len(sentence)


def _words_and_pairs(pattern: "regex.Pattern[str]", text: str) -> list[str]:
    """Return what a pattern matches, and instead of a run of its group ``paired`` the pairs of characters."""
    found: list[str] = []
    for match in pattern.finditer(text):
        run = match[0]
        found += [run[start:end] for start, end in pair_spans(run)] if match["paired"] else [run]
    return found
