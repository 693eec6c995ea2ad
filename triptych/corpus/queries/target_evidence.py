"""Whether a target bears a judgment out: it must speak of the question, and not only be quoted or named by it."""

from triptych.corpus.queries.sentence_forms import Question
from triptych.corpus.records import CHANGE, SUMMARY, Chunk
from triptych.corpus.texts import long_words, words

QUOTES, NAMES, SILENT = "repeats_target", "names_target", "target_says_nothing_of_it"
_QUOTED = 0.6  # share of the triples of words that the target contains: above that the question quotes it
_LEAST = 0.25  # share of the words that the target must contain, whatever the form
_STEM = 5  # characters of a word that are compared
_STOP_WORDS = frozenset(
    """
    about after all also and any are because been before being between both but can could does each for from had has
    have how into its itself just let lets like make makes many may more most must not off only other our out over own
    same should some such than that the their them then there these they this those through too under until use used
    using very via want was way were what when where which while who why will with within without would you your
    """.split()  # noqa: SIM905
)
# What documentation calls its own parts and their changes.
_GENERIC = frozenset(
    word[:_STEM]
    for word in """
    add added adds api article change changed chapter doc docs documentation example examples fix fixed guide guides
    improve info link links new note notes option options overview page pages recipe refactor reference remove removed
    section support supported tutorial typo update updated
    """.split()  # noqa: SIM905
)


def objection(kind: str, question: Question, link_text: str, target: Chunk) -> str:
    """Return why a target does not bear a question out, "" if it does."""
    searched = f"{' '.join(target.header_path)} {target.content}"
    if _is_quote(question.text, searched):
        return QUOTES
    beside = beyond_names(question.text, target) - _stems(link_text)
    if len(beside) < (2 if kind == CHANGE else 1):
        return NAMES
    if len(beside & _stems(target.content)) < question.evidence * len(beside):
        return SILENT
    asked = _stems(question.text) - _GENERIC
    if kind != SUMMARY and len(asked & _stems(searched)) < _LEAST * len(asked):
        return SILENT
    return ""


def beyond_names(text: str, target: Chunk) -> set[str]:
    """Return the stems of a text apart from those of the headings of its target."""
    return _stems(text) - _stems(" ".join((target.title, *target.header_path))) - _GENERIC


def _is_quote(text: str, searched: str) -> bool:
    asked, known = _triples(text), set(_triples(searched))
    return bool(asked) and sum(triple in known for triple in asked) > _QUOTED * len(asked)


def _triples(text: str) -> list[tuple[str, str, str]]:
    found = words(text.lower())
    return list(zip(found, found[1:], found[2:], strict=False))


def _stems(text: str) -> set[str]:
    return {word[:_STEM] for word in long_words(text.lower()) if word not in _STOP_WORDS}
