"""The question in the words around a link, or why they are none.

A link inside a sentence mostly leads to the definition of one word, so that the sentence is no question about its
target. Only sentences whose form says what the target is about are used, and of a sentence that points there ("To
learn how to share state, see X") only what it points for. These forms are English; in other languages there are
descriptions, summaries, definitions and entries of an index, which are told by their place.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from triptych.corpus.records import CHANGE, INDEX, SENTENCE
from triptych.corpus.texts import is_prose, word_count

LEANS = "leans_on_surroundings"
POINTS = "only_points"
INSIDE = "link_inside_sentence"
TOO_SHORT = "too_short"
NOT_PROSE = "not_prose"
LONGEST = 30  # words
_LONGEST_CONTEXT = 500  # characters


class Question(NamedTuple):
    """A text to ask, and how much of it the target must contain; or an empty text and the reason."""

    text: str
    reason: str = ""
    evidence: float = 0.0  # share of its words


_LINK = "\ufffc"  # stands for the link in a sentence
_NOUN = (
    r"(?:command|function|method|option|page|section|guide|docs?|documentation|chapter|tutorial|article|reference|topic"
    r"|manual|hook|component|directive|property|attribute|setting|keyword|module|API|tool|plugin|macro|trait|type"
    r"|statement|expression|operator|object|parameter|argument|flag|filter|tag|shortcode|variable|field)s?"
)
_TO = rf"[(\"'“‘]*(?:(?:the|our|its|your|an?|built-in) )*[\"'“‘]*{_LINK}[\"'”’)]*(?: [\w-]+)?(?: {_NOUN})*"
_SEE = (
    r"(?:please |you (?:can|should|may|might want to|might|could) |we recommend (?:that you )?|make sure to |be sure to )?"
    r"(?:also )?(?:see|read|check out|check|refer to|consult|visit|review|(?:have|take) a look at|look (?:at|into)|follow"
    r"|go to|head (?:over )?to|jump to|explore|start with|learn from|continue (?:with|to)|proceed to|turn to)(?: also)?"
)
_MORE = (
    r"(?:(?:some |any |much |even )?(?:more|further|additional|detailed|full|complete|other|in-depth|specific|the full|a full|a detailed|the)"
    r" )?(?:information|info|details?|documentation|instructions?|guidance|background|context|explanations?|description|discussion|list|examples?|help|reading|advice|tips|documentation)"
)
_ABOUT = r"(?:about|on|regarding|concerning|of|for)"
_LEARN = (
    r"(?:(?:to )?(?:learn|find out|read|know|understand|see|discover|get|obtain)(?: all)?"
    rf"(?: (?:more|further))?(?: (?:{_MORE}))?(?: {_ABOUT})?)"
)
_TELLS = (
    r"(?:describes?|explains?|shows?|covers?|discuss(?:es)?|documents?|demonstrates?|teach(?:es)?(?: you)?|introduces?"
    r"|details?|outlines?|walks? (?:you )?through|goes (?:over|through)|has (?:more )?(?:information|details) (?:about|on))"
)
_TOLD = (
    r"(?:described|explained|documented|covered|discussed|shown|listed|defined|detailed|outlined|demonstrated|introduced"
    r"|specified)"
)
_MORE_CLOSELY = r"(?: (?:more|further|fully|separately|in (?:more |greater |further )?(?:detail|depth)|in full))*"
_HOW = r"(?:how|what|when|why|where|which|whether)"
_WANT = r"(?:if you(?:'d| would)? (?:want|need|like|wish|are looking|intend)(?: to| for)?|when you (?:want|need) to|in order to|to)"

# What a sentence points for, in the group ``what``. The first that matches counts.
_POINTING = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:{_WANT} )?{_LEARN} (?P<what>[^,;]+?)[,:]? {_SEE} {_TO}",
        rf"^for {_MORE} {_ABOUT} (?P<what>[^,;]+?), {_SEE} {_TO}",
        rf"^for {_MORE} {_ABOUT} (?P<what>[^,;]+?) {_SEE} {_TO}",
        rf"^{_WANT} (?P<what>[^,;]+?), {_SEE} {_TO}",
        rf"^for (?P<what>[^,;]+?), {_SEE} {_TO}",
        rf"^{_SEE} {_TO},? (?:for|to) (?:{_LEARN}|{_MORE} {_ABOUT}|{_MORE}) (?P<what>{_HOW}\b.+|.+)$",
        rf"^{_SEE} {_TO},? (?:for|on|about) (?P<what>.+)$",
        rf"^{_SEE} {_TO},? to (?P<what>.+)$",
        rf"^{_TO} {_TELLS}(?: you)? (?P<what>.+)$",
        rf"^(?P<what>.+?),? (?:is|are|can be|will be)(?: also)?{_MORE_CLOSELY} {_TOLD}{_MORE_CLOSELY} (?:in|by|at|on|under|within) {_TO}[^,;]*$",
        rf"^(?:you (?:can|will|may|'ll) |we'll |we will )?(?:learn|read|find out|find)(?: {_MORE})?(?: more)? (?:{_ABOUT} )?(?P<what>.+?) (?:in|on|at|from) {_TO}[^,;]*$",
    )
]
_USE = r"(?:use|call|set|pass|run|add|apply|enable|specify|configure|wrap \w+ in|try)"
# A purpose, in the group ``what``: the target must speak about it.
_PURPOSE = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:alternatively, |instead, )?(?:you (?:can|should|may|could) (?:also )?)?{_USE} {_TO} (?:in order )?to (?P<what>[^;]+)$",
        rf"^(?:{_WANT}) (?P<what>[^,;]+?), (?:you (?:can|should|may|could|need to|must|will) (?:also )?)?(?:{_USE}) {_TO}(?: instead)?$",
    )
]
_VERB = (
    r"(?:is|are|lets|let|allows|allow|provides|provide|enables|enable|returns|return|gives|give|represents|represent|helps|help|makes"
    r"|describes|defines|define|creates|create|contains|contain|specifies|specify|controls|control|determines|determine|sets"
    r"|turns|runs|takes|supports|support|uses|use|generates|generate|adds|removes|reads|writes|stores|store|prints|shows"
    r"|converts|checks|builds|handles|handle|manages|manage|offers|offer|serves|measures|samples|exposes|implements"
    r"|renders|executes|tells|accepts|sends|loads|starts|stops|updates|finds|searches|caches|measure|wraps|combines"
    r"|can be used to|is used to|are used to)"
)
# The link is the subject: the sentence says what the target is or does.
_TOPIC = re.compile(
    rf"^(?:the |an? )?[\"'“‘]*{_LINK}[\"'”’]*(?:\(\))?(?: {_NOUN}){{0,2}}(?:,? (?:also|usually|typically))? {_VERB} (?!not\b)",
    re.IGNORECASE,
)

_ANYWHERE = re.compile(
    r"\b(?:this|these|those|above|below|following|here|previous(?:ly)?|earlier|aforementioned|as follows|later|next"
    r"|as mentioned|as described|as shown|as we|we|we're|we've|we'll|our|us|I|I'm|I'll|I've|the (?:same|latter|former)|such an?"
    r"|that (?:page|section|case|way|example)|another|this\b|(?:last|current|present) (?:section|chapter|example|page)|listing \d)\b",
    re.IGNORECASE,
)
_AT_START = re.compile(
    r"^(?:it|its|they|them|their|he|she|his|her|that|and|but|or|nor|so|also|however|then|instead|otherwise|therefore"
    r"|thus|hence|moreover|furthermore|besides|additionally|similarly|likewise|finally|still|yet|alternatively|in addition"
    r"|for example|for instance|e\.g|i\.e|both|one|some|many|most|all of|each of|either|neither|there|because|since|although"
    r"|though|while|whereas|where|which|who|whose|as|like|unlike|with|without|note|remember|see|same as|again|too|now|once|doing|be"
    r"|don't|do not|that's|it's|if|when|unless|until|before|after|other|others|yes|no|not|except|only|even|especially|more|again|todo|deprecated|new in|added in|changed in)\b",
    re.IGNORECASE,
)
_PRONOUN_EARLY = re.compile(r"^(?:\W*[\w'’-]+\W+){0,3}?(?:it|its|they|them|their|that one)\b", re.IGNORECASE)
_PRONOUN_LAST = re.compile(r"\b(?:it|them|that)\W*$", re.IGNORECASE)
# Words that say nothing: of a text with no others, only its place was meant.
_EMPTY = re.compile(
    r"\b(?:more|further|additional|other|full|complete|detailed|details?|information|info|examples?|instructions?|the|an?"
    r"|and|or|of|on|about|for|in|to|documentation|docs?|guides?|pages?|sections?|reference|explanation|description|list|see|read"
    r"|learn|how|it|works?|usage|overview|introduction|help|available|all|topic|tutorial|article|chapter|also|please|notes?"
    r"|this|that|context|background|same|some|any|related|discussion|specific|options?|settings?|link|here|what|ones?|including|way|ways|thing|things|use|using)\b|\W+|\d+",
    re.IGNORECASE,
)
_POINTER_START = re.compile(rf"^(?:{_SEE}|for {_MORE}|learn more|more (?:info|details))\b", re.IGNORECASE)
_TAIL = re.compile(
    r"\s*(?:,? (?:for (?:more|further|additional) (?:information|details?|info)|in (?:more |greater )?detail|to learn more"
    r"|and (?:more|so on|others|much more)|etc\.?))?(?:,? (?:and|or|but))?[\s.,:;!]*$",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\s*\([^()]*\)")
_CODE = re.compile(r"\[<|[{}|\\]|=>|\.\.\.")
_FOR = re.compile(r"^for (?=\w+ )", re.IGNORECASE)
_MARKS = re.compile(r"^[^\w\"'“‘(<`$@.-]+|\s*#\d{2,}\b.*$|\s*\bPR (?:\[)?#?\d*.*$|\s+by @\S+.*$")  # of a change log


@lru_cache(maxsize=65_536)
def question_of(kind: str, link_text: str, context: str) -> Question:
    """Return the question in the context of a link.

    >>> question_of("sentence", "Sharing state", "To learn how to share state, see Sharing state.").text
    'how to share state'
    >>> question_of("sentence", "state", "A component keeps its state between renders.").reason
    'link_inside_sentence'
    """
    if len(context) > _LONGEST_CONTEXT:
        return Question("", NOT_PROSE)
    if kind == SENTENCE:
        return _of_sentence(link_text, context)
    text = _MARKS.sub("", context).strip() if kind == CHANGE else context.strip()
    if kind == INDEX:
        return Question(text) if word_count(text) > 1 else Question("", TOO_SHORT)
    text = _TAIL.sub("", text)
    if kind == CHANGE and not _EMPTY.sub("", text.replace(link_text, " ")).strip():
        return Question("", POINTS)
    return _standing(text, 0.5 if kind == CHANGE else 0.0)


def leans(text: str) -> bool:
    """Return whether a text makes no sense without what is around it.

    >>> leans("the section above"), leans("how to share state")
    (True, False)
    """
    return bool(_ANYWHERE.search(text) or _PRONOUN_EARLY.match(text) or _PRONOUN_LAST.search(text))


def _of_sentence(link_text: str, context: str) -> Question:
    at = context.find(link_text)
    sentence = context[:at] + _LINK + context[at + len(link_text) :] if at >= 0 else context
    sentence = _ASIDE.sub(lambda match: match[0] if _LINK in match[0] else "", sentence.strip())
    bare = _TAIL.sub("", sentence)
    for pattern in _POINTING:
        if match := pattern.match(bare):
            what = _TAIL.sub("", match["what"]).strip(" “”\"'")
            if _LINK in what:
                return Question("", INSIDE)
            return _standing(what, 0.0)
    for pattern in _PURPOSE:
        if (match := pattern.match(bare)) and _LINK not in match["what"]:
            return _standing(_TAIL.sub("", match["what"]), 0.4)
    if _TOPIC.match(sentence) and sentence.count(_LINK) == 1:
        if context.rstrip().endswith(":"):
            return Question("", LEANS)
        return _standing(_TAIL.sub("", context), 0.4)
    return Question("", POINTS if _POINTER_START.match(sentence) else INSIDE)


def _standing(text: str, evidence: float) -> Question:
    """Return a text as a question if it stands by itself."""
    text = _FOR.sub("", text.replace(_LINK, " ").strip())
    words = _EMPTY.sub(" ", text).split()
    if _POINTER_START.match(text) or len(words) < 2 or len(words) + word_count(text) < 6:
        return Question("", POINTS)
    if leans(text) or _AT_START.match(text):
        return Question("", LEANS)
    if word_count(text) < 3:
        return Question("", TOO_SHORT)
    if word_count(text) > LONGEST or not is_prose(text, 3) or _CODE.search(text):
        return Question("", NOT_PROSE)
    return Question(text, "", evidence)
