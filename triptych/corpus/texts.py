"""The shared definitions of a word, of a sentence, and of equal texts."""

import re

WORD = re.compile(r"\w+")  # letters, digits and underscores of any script
_WORD_CHARACTER = re.compile(r"\w")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(`\"'\d])|\n\s*\n")


def words(text: str) -> list[str]:
    """Return the words of a text in order: those that shingles and similarities are computed from.

    >>> words("np.max(a, axis=0) isn't")
    ['np', 'max', 'a', 'axis', '0', 'isn', 't']
    """
    return WORD.findall(text)


def letter_words(at_least: int) -> re.Pattern[str]:
    """Return a pattern for words of ``at_least`` letters; digits and underscores end such a word.

    >>> letter_words(3).findall("sort_by 2 keys at once")
    ['sort', 'keys', 'once']
    """
    return re.compile(rf"[^\W\d_]{{{at_least},}}")


_PROSE_WORD = letter_words(at_least=2)


def word_count(text: str) -> int:
    """Return the number of words separated by white space: what every minimum number of words refers to.

    >>> word_count("how to call np.max")
    4
    """
    return len(text.split())


def normalized(text: str) -> str:
    r"""Fold case, white space and the punctuation at both ends, so that equal questions compare equal.

    >>> normalized('  "How do I sort\n a List?" ')
    'how do i sort a list'
    >>> normalized("...")
    ''
    """
    folded = " ".join(text.casefold().split())
    first, last = _WORD_CHARACTER.search(folded), _WORD_CHARACTER.search(folded[::-1])
    return folded[first.start() : len(folded) - last.start()] if first and last else ""


def sentence_spans(text: str) -> list[tuple[int, int]]:
    r"""Return (start, end) of each sentence. Sentences end at ``.``, ``!``, ``?`` before a capital, or at a blank line.

    >>> text = "Sort e.g. lists. It is fast!\n\nnot stable"
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['Sort e.g. lists.', 'It is fast!', 'not stable']
    """
    spans, start = [], 0
    for match in [*_SENTENCE_END.finditer(text), None]:
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
    return not code and at_least <= word_count(sentence) <= 40 and letters >= 0.65 * len(sentence)
