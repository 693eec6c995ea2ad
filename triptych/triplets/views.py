"""Views: the ways to find an anchor and a positive in documentation."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk, Link, Qrels, Query
from triptych.corpus.texts import is_prose, normalized, sentence_spans
from triptych.params.triplets import Triplets

VIEWS = ("query", "crossref", "heading", "lead", "sentence", "phrase", "sibling", "imported")
_VIEW_OF_KIND = {"user": "query", "crossref": "crossref", "pseudo": "sentence"}
_PHRASE = (4, 9)  # words


@dataclass(frozen=True, slots=True)
class Anchor:
    """An anchor with its positive: the chunk it belongs to, and the text that is embedded for it."""

    text: str
    positive: int  # row of the chunk in the corpus
    positive_text: str
    view: str


def anchors(
    chunks: list[Chunk],
    links: list[Link],
    queries: dict[str, Query],
    train: Qrels,
    forbidden: set[str],
    params: Triplets,
) -> list[Anchor]:
    """Return the anchors of every view whose share is above zero, all of them of the train split.

    ``forbidden`` holds the normalized dev and test queries; an anchor that repeats one is left out. One chunk
    gives at most ``anchors_per_chunk`` anchors of a view made from its own text.
    """
    asked = question_anchors(chunks, queries, train, params.text_template)
    found = [anchor for anchor in asked if getattr(params.views, anchor.view) > 0]
    for index, chunk in enumerate(chunks):
        if chunk.split != "train":
            continue
        for view, make in _FROM_CHUNK.items():
            if getattr(params.views, view) > 0:
                random = Random(f"{params.seed}:{view}:{chunk.chunk_id}")
                made = list(make(index, chunk, params.text_template, random))
                found += random.sample(made, min(len(made), params.anchors_per_chunk))
    if params.views.sibling > 0:
        found += _siblings(chunks, links, params)
    return [anchor for anchor in found if normalized(anchor.text) not in forbidden]


def question_anchors(chunks: list[Chunk], queries: dict[str, Query], qrels: Qrels, template: str) -> list[Anchor]:
    """Return an anchor for every judgment: what people asked, and the chunk that answers."""
    row = {chunk.chunk_id: index for index, chunk in enumerate(chunks)}
    return [
        Anchor(
            queries[query_id].text,
            row[one],
            passage(chunks[row[one]], template),
            _VIEW_OF_KIND[queries[query_id].kind],
        )
        for query_id, relevant in qrels.items()
        for one in relevant
    ]


def _headings(index: int, chunk: Chunk, template: str, _random: Random) -> Iterator[Anchor]:
    """Pair the last two headings with the whole chunk.

    Its passage repeats them. Content alone taught less: no passage that is searched looks so, and what sets it apart
    from all negatives is that it has no header path.
    """
    heading = " ".join(chunk.header_path[-2:]) or chunk.title
    if heading and chunk.content.strip():
        yield Anchor(heading, index, passage(chunk, template), "heading")


def _leads(index: int, chunk: Chunk, template: str, _random: Random) -> Iterator[Anchor]:
    """Pair the first sentence with the whole chunk: the decisive words stay in the passage."""
    for start, end in sentence_spans(chunk.content):
        sentence = " ".join(chunk.content[start:end].split())
        if is_prose(sentence, at_least=3):
            yield Anchor(sentence, index, passage(chunk, template), "lead")
            return


def _sentences(index: int, chunk: Chunk, template: str, _random: Random) -> Iterator[Anchor]:
    """Pair each later sentence of prose with its chunk without that sentence."""
    for start, end in sentence_spans(chunk.content)[1:]:
        sentence = " ".join(chunk.content[start:end].split())
        if is_prose(sentence, at_least=5):
            rest = chunk.content[:start] + chunk.content[end:]
            yield Anchor(sentence, index, passage(replace(chunk, content=rest), template), "sentence")


def _phrases(index: int, chunk: Chunk, template: str, random: Random) -> Iterator[Anchor]:
    """Pair a few words in a row out of each sentence of prose with the whole chunk: what a hurried reader types."""
    for start, end in sentence_spans(chunk.content):
        sentence = " ".join(chunk.content[start:end].split())
        words = sentence.split()
        if is_prose(sentence, at_least=5):
            number = min(random.randint(*_PHRASE), len(words))
            first = random.randint(0, len(words) - number)
            yield Anchor(" ".join(words[first : first + number]), index, passage(chunk, template), "phrase")


def _siblings(chunks: list[Chunk], links: list[Link], params: Triplets) -> list[Anchor]:
    """Pair chunks with those under the same parent header, and with those of another category that they link to.

    ``same_source_positives`` of the pairs stay within a category; where there are too few links across categories,
    which only a person can draw, there are fewer pairs of that kind, and none are made up.
    """
    row = {chunk.chunk_id: index for index, chunk in enumerate(chunks) if chunk.split == "train"}
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index in row.values():
        groups[(chunks[index].category, *chunks[index].header_path[:-1])].append(index)
    same: list[tuple[int, int]] = []
    for index in row.values():
        group = groups[(chunks[index].category, *chunks[index].header_path[:-1])]
        random = Random(f"{params.seed}:sibling:{chunks[index].chunk_id}")
        drawn = random.sample(group, min(len(group), params.anchors_per_chunk + 1))
        same += [(index, other) for other in drawn if other != index][: params.anchors_per_chunk]
    ends = ((row.get(one.from_chunk_id), row.get(one.to_chunk_id)) for one in links)
    across = {(a, b) for a, b in ends if a is not None and b is not None and chunks[a].category != chunks[b].category}
    share = params.same_source_positives
    wanted = len(across) if share == 0 else round(len(same) * (1 - share) / share)
    random = Random(f"{params.seed}:sibling")
    linked = random.sample(sorted(across), min(wanted, len(across)))
    return [
        Anchor(
            passage(chunks[one], params.text_template), other, passage(chunks[other], params.text_template), "sibling"
        )
        for one, other in [*(same if share > 0 else []), *linked]
    ]


_FROM_CHUNK: dict[str, Callable[[int, Chunk, str, Random], Iterator[Anchor]]] = {
    "heading": _headings,
    "lead": _leads,
    "sentence": _sentences,
    "phrase": _phrases,
}
