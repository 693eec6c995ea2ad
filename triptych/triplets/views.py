"""Views: the ways to extract pairs of anchor and positive from documentation."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from triptych.corpus.chunk_questions import ChunkQuestions
from triptych.corpus.embedded_text import framed_passage, passage
from triptych.corpus.records import AUTHOR_KINDS, Chunk, Link, Qrels, Query
from triptych.corpus.texts import is_prose, normalized, sentence_spans, word_spans
from triptych.ids import ChunkRow
from triptych.params.triplets import Triplets

VIEWS = ("query", "crossref", "heading", "lead", "sentence", "phrase", "sibling", "imported", "generated")
_VIEW_OF_KIND = {"user": "query", **dict.fromkeys(AUTHOR_KINDS, "crossref"), "pseudo": "sentence"}
_PHRASE = (4, 9)  # words
_OF_LINKS = ("crossref", "sibling")  # the views whose anchor and positive may be of two categories
_SAME_SOURCE = 0.7  # share of view sibling's pairs within a category


@dataclass(frozen=True, slots=True)
class Anchor:
    """An anchor with its positive."""

    text: str
    positive: ChunkRow
    positive_text: str  # what is embedded for the positive; a view may leave a part of the chunk out
    view: str
    positive_content: tuple[int, int] = (
        0,
        0,
    )  # of ``positive_text``, what may be cut into windows, if it is no passage
    across: bool = False  # whether the anchor is from another category than its positive


def anchors(
    chunks: list[Chunk],
    links: list[Link],
    queries: dict[str, Query],
    train: Qrels,
    forbidden: set[str],
    params: Triplets,
    questions: ChunkQuestions | None = None,
    passages: Sequence[str] | None = None,
) -> list[Anchor]:
    """Return the anchors of the train split in every view whose share is above zero.

    ``forbidden`` holds the normalized dev and test queries; an anchor that equals one is left out. A view of chunks'
    own texts gives at most ``anchors_per_chunk`` anchors for each chunk. ``questions`` were written by a language model
    for the chunks of all splits. ``passages`` are the texts of the chunks, where they are in memory already.
    """
    if passages is None:
        passages = [passage(chunk, params.text_template) for chunk in chunks]
    of_queries = query_anchors(chunks, queries, train, params.text_template)
    extracted = [anchor for anchor in of_queries if getattr(params.views, anchor.view) > 0]
    for row, chunk in enumerate(chunks):
        if chunk.split != "train":
            continue
        for view, extract in _FROM_CHUNK.items():
            if getattr(params.views, view) > 0:
                random = Random(f"{params.seed}:{view}:{chunk.chunk_id}")
                of_chunk = list(extract(ChunkRow(row), chunk, passages[row], params.text_template, random))
                extracted += random.sample(of_chunk, min(len(of_chunk), params.anchors_per_chunk))
    if params.views.sibling > 0:
        extracted += _siblings(chunks, links, params, passages)
    if params.views.generated > 0 and questions is not None:
        extracted += _generated(chunks, questions, passages)
    allowed = [anchor for anchor in extracted if normalized(anchor.text) not in forbidden]
    return _with_same_source_share(allowed, params)


def same_source_share(anchors: list[Anchor]) -> float | None:
    """Return the share of positives in the category of their anchor, in the views that links make; None without any."""
    across = [anchor.across for anchor in anchors if anchor.view in _OF_LINKS]
    return 1 - sum(across) / len(across) if across else None


def query_anchors(chunks: list[Chunk], queries: dict[str, Query], qrels: Qrels, template: str) -> list[Anchor]:
    """Return an anchor for each relevant chunk of each query in the qrels."""
    rows = {chunk.chunk_id: row for row, chunk in enumerate(chunks)}
    return [
        Anchor(
            queries[query_id].text,
            ChunkRow(rows[chunk_id]),
            passage(chunks[rows[chunk_id]], template),
            _VIEW_OF_KIND[queries[query_id].kind],
            across=_is_across(queries[query_id], chunks, rows, chunk_id),
        )
        for query_id, relevant in qrels.items()
        for chunk_id in relevant
    ]


def _is_across(query: Query, chunks: list[Chunk], rows: dict[str, int], chunk_id: str) -> bool:
    """Return whether all chunks that a query was taken from are of other categories than the chunk that answers it."""
    origins = {chunks[rows[origin]].category for origin in query.exclude if origin in rows}
    return bool(origins) and chunks[rows[chunk_id]].category not in origins


def _with_same_source_share(anchors: list[Anchor], params: Triplets) -> list[Anchor]:
    """Leave out links into other categories, at random, so that ``same_source_positives`` of the links are not.

    View sibling has this share already.
    """
    share = params.same_source_positives
    across = [row for row, anchor in enumerate(anchors) if anchor.view == "crossref" and anchor.across]
    if not share:
        return anchors
    same = sum(anchor.view == "crossref" for anchor in anchors) - len(across)
    most = round(same * (1 - share) / share)
    kept = set(Random(f"{params.seed}:crossref").sample(across, min(most, len(across))))
    left_out = set(across) - kept
    return [anchor for row, anchor in enumerate(anchors) if row not in left_out]


def _headings(row: ChunkRow, chunk: Chunk, text: str, _template: str, _random: Random) -> Iterator[Anchor]:
    """Pair the last two headings with the whole chunk.

    Its passage repeats them. Leaving them out trained worse: indexed passages include the header path, and a positive
    without it could be told from negatives by that alone.
    """
    heading = " ".join(chunk.header_path[-2:]) or chunk.title
    if heading and chunk.content.strip():
        yield Anchor(heading, row, text, "heading")


def _leads(row: ChunkRow, chunk: Chunk, text: str, _template: str, _random: Random) -> Iterator[Anchor]:
    """Pair the first sentence with the whole chunk: the passage keeps the decisive words."""
    for start, end in sentence_spans(chunk.content):
        sentence = " ".join(chunk.content[start:end].split())
        if is_prose(sentence, at_least=3):
            yield Anchor(sentence, row, text, "lead")
            return


def _sentences(row: ChunkRow, chunk: Chunk, _text: str, template: str, _random: Random) -> Iterator[Anchor]:
    """Pair each further sentence of prose with its chunk without that sentence."""
    for start, end in sentence_spans(chunk.content)[1:]:
        sentence = " ".join(chunk.content[start:end].split())
        if is_prose(sentence, at_least=5):
            rest = chunk.content[:start] + chunk.content[end:]
            framed = framed_passage(replace(chunk, content=rest), template)
            start = len(framed.before)
            yield Anchor(sentence, row, framed.text, "sentence", (start, start + len(framed.content)))


def _phrases(row: ChunkRow, chunk: Chunk, text: str, _template: str, random: Random) -> Iterator[Anchor]:
    """Pair a short run of words of each sentence of prose with the whole chunk, like a query typed in a hurry."""
    for start, end in sentence_spans(chunk.content):
        sentence = " ".join(chunk.content[start:end].split())
        words = word_spans(sentence)
        if is_prose(sentence, at_least=5):
            number = min(random.randint(*_PHRASE), len(words))
            first = random.randint(0, len(words) - number)
            phrase = sentence[words[first][0] : words[first + number - 1][1]]
            yield Anchor(phrase, row, text, "phrase")


def _siblings(chunks: list[Chunk], links: list[Link], params: Triplets, passages: Sequence[str]) -> list[Anchor]:
    """Pair chunks with others under the same parent header, and with chunks of another category that they link to.

    ``same_source_positives`` is the share of pairs within a category. Only authors can link across categories: where
    there are too few such links, there are fewer such pairs.
    """
    rows = {chunk.chunk_id: row for row, chunk in enumerate(chunks) if chunk.split == "train"}
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row in rows.values():
        groups[(chunks[row].category, *chunks[row].header_path[:-1])].append(row)
    same: list[tuple[int, int]] = []
    for row in rows.values():
        group = groups[(chunks[row].category, *chunks[row].header_path[:-1])]
        random = Random(f"{params.seed}:sibling:{chunks[row].chunk_id}")
        sampled = random.sample(group, min(len(group), params.anchors_per_chunk + 1))
        same += [(row, other) for other in sampled if other != row][: params.anchors_per_chunk]
    ends = ((rows.get(link.from_chunk_id), rows.get(link.to_chunk_id)) for link in links)
    across = {(a, b) for a, b in ends if a is not None and b is not None and chunks[a].category != chunks[b].category}
    share = _SAME_SOURCE if params.same_source_positives is None else params.same_source_positives
    number = len(across) if share == 0 else round(len(same) * (1 - share) / share)
    random = Random(f"{params.seed}:sibling")
    linked = random.sample(sorted(across), min(number, len(across)))
    return [
        Anchor(
            passages[row],
            ChunkRow(other),
            passages[other],
            "sibling",
            across=chunks[row].category != chunks[other].category,
        )
        for row, other in [*(same if share > 0 else []), *linked]
    ]


def _generated(chunks: list[Chunk], questions: ChunkQuestions, passages: Sequence[str]) -> Iterator[Anchor]:
    """Pair each question that a language model wrote for a train chunk with that chunk."""
    for row, question in zip(questions.chunk.tolist(), questions.texts, strict=True):
        if chunks[row].split == "train":
            yield Anchor(question, ChunkRow(row), passages[row], "generated")


# Row, chunk, its passage and the template of passages.
_FROM_CHUNK: dict[str, Callable[[ChunkRow, Chunk, str, str, Random], Iterator[Anchor]]] = {
    "heading": _headings,
    "lead": _leads,
    "sentence": _sentences,
    "phrase": _phrases,
}
