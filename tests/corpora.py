"""Shared by tests of triplets: small corpora, overlaps computed by definition, and hand-made examples."""

import re
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk, Link
from triptych.params.triplets import Triplets
from triptych.triplets.examples import Examples
from triptych.triplets.false_negatives import Relations
from triptych.triplets.heuristics.pools import PoolBuilder
from triptych.triplets.negatives import TIERS, Negative, Pool
from triptych.triplets.views import VIEWS, Anchor

TEMPLATE = Triplets.model_fields["text_template"].default
COMMON = "array axis element order memory value shape copy index type"


def look_alikes(number):
    """Make chunks of two categories that share most of their words and no header."""
    return [
        Chunk(
            f"c{row}",
            ("lists", "tables")[row % 2],
            f"c{row}.md",
            (f"head{row}",),
            f"title{row}",
            f"{COMMON} {'x' * (row + 3)} {'y' * (row + 3)}",
            f"c{row}",
            cluster_id=row,
            document_id=row,
            split="train",
        )
        for row in range(number)
    ]


def topics(number, words=24, files=10, depth=3):
    """Make chunks of two categories with paths of ``depth`` and words that their topics share, no two related."""
    return [
        replace(
            one,
            filename=f"{one.category}{row % files}.md",
            header_path=(
                f"{one.category}-{row % 3}",
                *(f"part{row % 5}.{level}" for level in range(depth - 2)),
                f"h{row}",
            ),
            content=" ".join(f"w{letters(row * 7 + place * (row % 11 + 1))}" for place in range(words)),
        )
        for row, one in enumerate(look_alikes(number))
    ]


def letters(number):
    """Spell a number in letters, since words have only letters."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number % 400))


def anchors_of(chunks, template=TEMPLATE):
    """Return a lead for each train chunk: its content."""
    return [
        Anchor(one.content, row, passage(one, template), "lead")
        for row, one in enumerate(chunks)
        if one.split == "train"
    ]


def build_pools(chunks, params, links=(), found=None, split="train"):
    """Build the pools of some chunks for both profiles."""
    builder = PoolBuilder(chunks, split, Relations(chunks, list(links), params.exclude_linked), params)
    return builder.build(anchors_of(chunks) if found is None else found)


def pools(chunks, params, links=(), found=None, profile="embedder"):
    """Build the pools of one profile as lists of negatives."""
    pool = build_pools(chunks, params, links, found).pools[profile]
    return [list(pool[number]) for number in range(len(pool))]


def path_overlap(left, right):
    """Return the share of the longer header path that both begin with."""
    longest = max(len(left.header_path), len(right.header_path))
    shared = 0
    while shared < longest and left.header_path[: shared + 1] == right.header_path[: shared + 1]:
        shared += 1
    return shared / max(longest, 1)


def words(text):
    """Return the words of a text that overlaps count, with repeats."""
    return re.findall(r"[^\W\d_]{3,}", text.casefold())


def lexical_overlap(left, right, template=TEMPLATE):
    """Return how much of the smaller vocabulary is in the larger one."""
    one, other = (set(words(passage(chunk, template))) for chunk in (left, right))
    return len(one & other) / max(min(len(one), len(other)), 1)


def related(left, right, links):
    """Return by definition whether two chunks may not be each other's negatives; titles are single words."""
    pairs = {(one.from_chunk_id, one.to_chunk_id) for one in links}
    return bool(
        left.chunk_id == right.chunk_id
        or (left.content and left.content == right.content)
        or left.cluster_id == right.cluster_id
        or (left.header_path and (left.filename, left.header_path) == (right.filename, right.header_path))
        or (left.title and left.title.casefold() == right.title.casefold())
        or {(left.chunk_id, right.chunk_id), (right.chunk_id, left.chunk_id)} & pairs
    )


@st.composite
def corpora(draw, most=12):
    """Draw a small corpus full of collisions (clusters, titles, sections, files, links) and its links."""
    number = draw(st.integers(2, most))
    path = st.sampled_from([(), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "d"), ("e",), ("e", "f", "g", "h")])
    word = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"])
    chunks = [
        Chunk(
            f"c{row}",
            draw(st.sampled_from(["lists", "tables"])),
            draw(st.sampled_from(["one.md", "two.md", "three.md"])),
            draw(path),
            draw(st.sampled_from(["", "", "max", "Max", f"title{row}"])),
            " ".join(draw(st.lists(word, min_size=1, max_size=8))),
            "",
            cluster_id=draw(st.integers(0, number)),
            split="train",
        )
        for row in range(number)
    ]
    end = st.integers(0, number - 1)
    links = [Link(f"c{a}", f"c{b}", "", "") for a, b in draw(st.lists(st.tuples(end, end), max_size=4)) if a != b]
    return chunks, links


@dataclass(frozen=True, slots=True)
class Example:
    """One row of `Examples`."""

    anchor: int
    positive: int
    positive_chunk: int
    view: str
    category: str
    negatives: tuple[Negative, ...]


def examples_of(rows, pool=None):
    """Return examples as columns; ``pool``, if given, replaces their negatives."""
    rows = list(rows)
    categories = tuple(sorted({row.category for row in rows}))
    ids = ([getattr(row, name) for row in rows] for name in ("anchor", "positive", "positive_chunk"))
    return Examples(
        *(np.array(column, np.int32) for column in ids),
        np.array([VIEWS.index(row.view) for row in rows], np.int8),
        np.array([categories.index(row.category) for row in rows], np.int16),
        categories,
        Pool.of(row.negatives for row in rows) if pool is None else pool,
    )


def rows_of(examples):
    """Return the rows that `examples_of` made columns of."""
    names = ("anchor", "positive", "positive_chunk", "view", "category")
    columns = zip(*(getattr(examples, name).tolist() for name in names), strict=True)
    return [
        Example(anchor, positive, chunk, VIEWS[view], examples.categories[category], examples.pool[row])
        for row, (anchor, positive, chunk, view, category) in enumerate(columns)
    ]


def views(**shares):
    """Return shares of views as params contain them."""
    return dict.fromkeys(VIEWS, 0.0) | shares


def example(number, view="lead", category="lists", tiers=TIERS, size=4, positive=None):
    """Return an example with ``size`` negatives of each tier that no other example has."""
    negatives = [
        Negative(1000 * number + 10 * place + one, tier, "random", 0.0)
        for place, tier in enumerate(tiers)
        for one in range(size)
    ]
    return Example(number, 10_000 + number, number if positive is None else positive, view, category, tuple(negatives))


LEAD_ROWS = [example(number) for number in range(20)]


def pairs_of(examples, triplets):
    """Return (example, negative) as objects for each triplet."""
    rows, offsets = rows_of(examples), examples.pool.offsets.tolist()
    return [
        (rows[row], rows[row].negatives[negative - offsets[row]])
        for row, negative in zip(triplets.example.tolist(), triplets.negative.tolist(), strict=True)
    ]


@st.composite
def example_sets(draw, full=False, most=24):
    """Draw examples of up to three categories with pools that may lack tiers and that share chunks."""
    rows = []
    for number in range(draw(st.integers(1, most))):
        sizes = draw(st.tuples(*[st.integers(int(full), 4)] * 3))
        chunks = iter(draw(st.permutations(range(100, 112))))
        negatives = [
            Negative(next(chunks), tier, "random", 0.0)
            for tier, size in zip(TIERS, sizes, strict=True)
            for _ in range(size)
        ]
        category = draw(st.sampled_from(["lists", "tables", "maps"]))
        rows.append(Example(number, 500 + number, draw(st.integers(0, 5)), "lead", category, tuple(negatives)))
    return examples_of(rows)


def brute_force(texts, query):
    """Return the BM25 score (k1 1.5, b 0.75, Lucene's idf) of each text for the distinct words of a query."""
    split = [words(text) for text in texts]
    mean = sum(map(len, split)) / len(split)
    scores = np.zeros(len(texts))
    for word in set(words(query)):
        holders = sum(word in one for one in split)
        idf = np.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
        for row, one in enumerate(split):
            often = one.count(word)
            scores[row] += idf * often / (often + 1.5 * (1 - 0.75 + 0.75 * len(one) / max(mean, 1e-9)))
    return scores
