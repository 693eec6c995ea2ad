"""The forms of English sentences around a link, as patterns. Texts of other languages match none of them."""
# ruff: noqa: RUF001 - curved quotes are meant

import re


def _any(*lines: str) -> str:
    """Return a pattern for any of the alternatives in some lines, separated by ``|``."""
    return f"(?:{'|'.join(lines)})"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


LINK = "\ufffc"  # stands for the link in a sentence
_NOUN = _any(
    "command|function|method|option|page|section|guide|docs?|documentation|chapter|tutorial|article|reference|topic",
    "manual|hook|component|directive|property|attribute|setting|keyword|module|API|tool|plugin|macro|trait|type",
    "statement|expression|operator|object|parameter|argument|flag|filter|tag|shortcode|variable|field",
)
_TO = rf"[(\"'“‘]*(?:(?:the|our|its|your|an?|built-in) )*[\"'“‘]*{LINK}[\"'”’)]*(?: [\w-]+)?(?: {_NOUN}s?)*"
_POLITE = _any(
    "please|you (?:can|should|may|might want to|might|could)|we recommend(?: that you)?|make sure to|be sure to"
)
_SEE = rf"(?:{_POLITE} )?(?:also )?" + _any(
    "see|read|check out|check|refer to|consult|visit|review|(?:have|take) a look at|look (?:at|into)|follow|go to",
    "head (?:over )?to|jump to|explore|start with|learn from|continue (?:with|to)|proceed to|turn to",
)
_SEE += "(?: also)?"
_KIND_OF_MORE = _any(
    "(?:some |any |much |even )?"
    + _any("more|further|additional|detailed|full|complete|other|in-depth|specific|the full|a full|a detailed|the")
)
_MORE = f"(?:{_KIND_OF_MORE} )?" + _any(
    "information|info|details?|documentation|instructions?|guidance|background|context|explanations?|description",
    "discussion|list|examples?|help|reading|advice|tips",
)
_ABOUT = _any("about|on|regarding|concerning|of|for")
_LEARN = rf"(?:to )?{_any('learn|find out|read|know|understand|see|discover|get|obtain')}(?: all)?"
_LEARN += rf"(?: (?:more|further))?(?: (?:{_MORE}))?(?: {_ABOUT})?"
_TELLS = _any(
    "describes?|explains?|shows?|covers?|discuss(?:es)?|documents?|demonstrates?|teach(?:es)?|introduces?|details?",
    "outlines?|walks? (?:you )?through|goes (?:over|through)|has (?:more )?(?:information|details) (?:about|on)",
)
_TOLD = _any("described|explained|documented|covered|discussed|shown|listed|detailed|outlined")
_MORE_CLOSELY = r"(?: (?:more|further|fully|separately|in (?:more |greater |further )?(?:detail|depth)|in full))*"
_HOW = _any("how|what|when|why|where|which|whether")
_WANT = _any(
    r"if you(?:'d| would)? (?:want|need|like|wish|are looking|intend)(?: to| for)?",
    "when you (?:want|need) to|in order to|to",
)
_IS_TOLD = rf"(?:is|are|can be|will be)(?: also)?{_MORE_CLOSELY} {_TOLD}{_MORE_CLOSELY}"
_YOU_LEARN = r"(?:you (?:can|will|may|'ll) |we'll |we will )?(?:learn|read|find out|find)"
_YOU = r"you (?:can|should|may|could|need to|must|will) (?:also )?"
_USE = _any(r"use|call|set|pass|run|add|apply|enable|specify|configure|wrap \w+ in|try")

# What a sentence points for, in the group ``what``. The first that matches counts.
POINTING = [
    _pattern(text)
    for text in (
        rf"^(?:{_WANT} )?{_LEARN} (?P<what>[^,;]+?)[,:]? {_SEE} {_TO}",
        rf"^for {_MORE} {_ABOUT} (?P<what>[^,;]+?),? {_SEE} {_TO}",
        rf"^{_WANT} (?P<what>[^,;]+?), {_SEE} {_TO}",
        rf"^for (?P<what>[^,;]+?), {_SEE} {_TO}",
        rf"^{_SEE} {_TO},? (?:for|to) (?:{_LEARN}|{_MORE} {_ABOUT}|{_MORE}) (?P<what>{_HOW}\b.+|.+)$",
        rf"^{_SEE} {_TO},? (?:for|on|about) (?P<what>.+)$",
        rf"^{_SEE} {_TO},? to (?P<what>.+)$",
        rf"^{_TO} {_TELLS}(?: you)? (?P<what>.+)$",
        rf"^(?P<what>.+?),? {_IS_TOLD} (?:in|by|at|on|under|within) {_TO}[^,;]*$",
        rf"^{_YOU_LEARN}(?: {_MORE})?(?: more)? (?:{_ABOUT} )?(?P<what>.+?) (?:in|on|at|from) {_TO}[^,;]*$",
    )
]
# A purpose, in the group ``what``: the target must speak of it.
PURPOSE = [
    _pattern(text)
    for text in (
        rf"^(?:alternatively, |instead, )?(?:{_YOU})?{_USE} {_TO} (?:in order )?to (?P<what>[^;]+)$",
        rf"^{_WANT} (?P<what>[^,;]+?), (?:{_YOU})?{_USE} {_TO}(?: instead)?$",
    )
]
_VERB = _any(
    "is|are|lets|let|allows|allow|provides|provide|enables|enable|returns|return|gives|give|represents|represent|helps",
    "help|makes|describes|defines|define|creates|create|contains|contain|specifies|specify|controls|control|determines",
    "determine|sets|turns|runs|takes|supports|support|uses|use|generates|generate|adds|removes|reads|writes|stores|store",
    "prints|shows|converts|checks|builds|handles|handle|manages|manage|offers|offer|serves|measures|measure|samples",
    "exposes|implements|renders|executes|tells|accepts|sends|loads|starts|stops|updates|finds|searches|caches|wraps",
    "combines|can be used to",
)
# The link is the subject: the sentence says what the target is or does.
TOPIC = _pattern(
    rf"^(?:the |an? )?[\"'“‘]*{LINK}[\"'”’]*(?:\(\))?(?: {_NOUN}s?){{0,2}}"
    rf"(?:,? (?:also|usually|typically))? {_VERB} (?!not\b)"
)

LEANS_ANYWHERE = _pattern(
    r"\b"
    + _any(
        r"this|these|those|above|below|following|here|previous(?:ly)?|earlier|aforementioned|as follows|later|next",
        r"as (?:mentioned|described|discussed|explained|shown|we)|we|we're|we've|we'll|our|us|(?-i:I)|I'm|I'll|I've",
        r"the (?:same|latter|former)|such an?|that (?:page|section|case|way|example)|another",
        r"(?:last|current|present) (?:section|chapter|example|page)|listing \d",
    )
    + r"\b"
)
LEANS_AT_START = _pattern(
    "^"
    + _any(
        r"it|its|they|them|their|he|she|his|her|that|and|but|or|nor|so|also|however|then|instead|otherwise|therefore",
        r"thus|hence|moreover|furthermore|besides|additionally|similarly|likewise|finally|still|yet|alternatively",
        r"in addition|for example|for instance|e\.g|i\.e|both|one|some|many|most|all of|each of|either|neither|there",
        r"because|since|although|though|while|whereas|where|which|who|whose|as|like|unlike|with|without|note|remember",
        r"see|same as|again|too|now|once|doing|be|don't|do not|that's|it's|if|when|unless|until|before|after|others?",
        r"yes|no|not|except|only|even|especially|more|todo|deprecated|new in|added in|changed in",
    )
    + r"\b"
)
PRONOUN_EARLY = _pattern(r"^(?:\W*[\w'’-]+\W+){0,5}?(?:it|its|they|them|their|that one)\b")
PRONOUN_LAST = _pattern(r"\b(?:it|them|that)\W*$")
# Words that say nothing: a text without others only names a place.
EMPTY_WORDS = _pattern(
    r"\b"
    + _any(
        "more|further|additional|other|full|complete|detailed|details?|information|info|examples?|instructions?|the|an?",
        "and|or|of|on|about|for|in|to|documentation|docs?|guides?|pages?|sections?|reference|explanation|description",
        "list|see|read|learn|how|it|works?|is|are|can|be|you|your|usage|overview|introduction|help|available|all|topic",
        "tutorial|article|chapter|manual|also|please|notes?|this|that|context|background|same|some|any|related",
        "discussion|specific|options?|settings?|link|here|what|ones?|including|ways?|things?|use|using",
    )
    + r"\b|\W+|\d+"
)
POINTER_START = _pattern(rf"^(?:{_SEE}|for {_MORE}|learn more|more (?:info|details))\b")  # of a sentence
POINTER = _pattern(
    rf"^(?:{_POLITE} )?(?:also )?"
    + _any("see|refer to|check out|consult|(?:have|take) a look at|(?:read|find|learn) (?:more|all|about)|for", "more")
    + rf"(?: {_MORE}| also| about| the| our|:|$)"
)
_FOR_MORE = _any(
    "for (?:more|further|additional) (?:information|details?|info)|in (?:more |greater )?detail|to learn more",
    r"and (?:more|so on|others|much more)|etc\.?",
)
TAIL = _pattern(rf"\s*(?:,? {_FOR_MORE})?(?:,? (?:and|or|but|which|that))?[\s.,:;!]*$")
SECOND_POINTER = _pattern(rf"[,;] (?:and |or )?(?:{_SEE}|for {_MORE}) .*$")  # as in "..., and see Y for editions"
TELLING = _pattern(rf"^(?:th(?:is|e) (?:{_NOUN}|post|document|example) )?{_TELLS}(?: you)? (?=\w+ \w+)")
ASIDE = re.compile(r"\s*\([^()]*\)")
CODE = re.compile(r"\[<|[{}|\\]|=>|\.\.\.| = |='|=\"|\[\w+\]")
FOR = _pattern(r"^for (?=\w+ )")
CHANGE_LOG_MARKS = re.compile(r"^[^\w\"'“‘(<`$@.-]+|\s*#\d{2,}\b.*$|\s*\bPR (?:\[)?#?\d*.*$|\s+by @\S+.*$")
