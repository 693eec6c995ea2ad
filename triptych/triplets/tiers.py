"""Three tiers of negatives for every anchor, made in one pass."""

import re
from collections import defaultdict
from dataclasses import dataclass
from random import Random

import numpy as np

from triptych.corpus.records import Chunk
from triptych.params import Triplets
from triptych.retrieval.lexical import LexicalIndex
from triptych.triplets.relations import Relations
from triptych.triplets.views import Anchor, passage

TIERS = ("easy", "medium", "hard")
_DRAWS = 12  # candidates looked at per bucket; keeps the cost of an anchor flat in the size of the corpus
_HITS = 50  # lexical candidates per anchor
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Negative:
    """A chunk that does not answer the anchor: where it stands, how it was found, how close it is."""

    chunk: int  # row of the chunk in the corpus
    tier: str
    strategy: str
    score: float  # overlap in [0, 1] for heuristic tiers, cosine similarity for mined ones


class Pools:
    """Draws pools of negatives from one split; candidates come from buckets and BM25, never from all pairs."""

    def __init__(self, chunks: list[Chunk], split: str, relations: Relations, params: Triplets) -> None:
        self._chunks, self._relations, self._params = chunks, relations, params
        self._rows = [index for index, chunk in enumerate(chunks) if chunk.split == split]
        texts = {index: passage(chunks[index], params.text_template) for index in self._rows}
        self._words = {index: frozenset(_WORD.findall(text.casefold())) for index, text in texts.items()}
        self._lexical = LexicalIndex([chunks[index].chunk_id for index in self._rows], list(texts.values()))
        self._by_prefix: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._outside: dict[str, list[int]] = {}
        for index in self._rows:
            path = chunks[index].header_path
            for depth in range(1, len(path) + 1):
                self._by_prefix[path[:depth]].append(index)
        for category in {chunk.category for chunk in chunks}:
            self._outside[category] = [index for index in self._rows if chunks[index].category != category]

    def draw(self, anchors: list[Anchor]) -> list[list[Negative]]:
        """Return each anchor's pool: at most ``negatives_per_anchor`` of each tier, none related to the positive."""
        hits, _ = self._lexical.search([anchor.text for anchor in anchors], _HITS)
        quota = self._params.cross_category_hard * self._params.negatives_per_anchor
        pools = []
        for number, (anchor, rows) in enumerate(zip(anchors, hits, strict=True)):
            random = Random(f"{self._params.seed}:{number}:{anchor.text}")
            # A running quota: the share holds over all anchors even where one pool cannot be divided so.
            cross = int((number + 1) * quota) - int(number * quota)
            pools.append(self._pool(anchor.positive, [self._rows[row] for row in rows], cross, random))
        return pools

    def _pool(self, positive: int, hits: list[int], cross: int, random: Random) -> list[Negative]:
        size, overlaps = self._params.negatives_per_anchor, self._params.overlaps
        near = self._near(positive, random)
        unrelated = self._unrelated(positive, list(dict.fromkeys([*hits, *near])))
        lexical = {index: self._lexical_overlap(positive, index) for index in unrelated}
        path = {index: self._path_overlap(positive, index) for index in unrelated}
        pool: list[Negative] = []

        def take(tier: str, strategy: str, candidates: list[int], number: int, scores: dict[int, float]) -> None:
            taken = {negative.chunk for negative in pool}
            fresh = [index for index in candidates if index not in taken][: max(number, 0)]
            pool.extend(Negative(index, tier, strategy, round(scores.get(index, 0.0), 6)) for index in fresh)

        def missing(tier: str) -> int:
            return size - sum(negative.tier == tier for negative in pool)

        weight = overlaps.path_weight
        blend = {index: weight * path[index] + (1 - weight) * lexical[index] for index in unrelated}
        hard = [i for i in unrelated if path[i] > overlaps.hard_path or lexical[i] > overlaps.hard_lexical]
        hard.sort(key=lambda index: (-blend[index], index))
        home = self._chunks[positive].category
        take("hard", "cross_category", [i for i in hard if self._chunks[i].category != home], cross, blend)
        take("hard", "overlap", [i for i in hard if self._chunks[i].category == home], missing("hard"), blend)
        take("hard", "overlap", hard, missing("hard"), blend)

        low, high = overlaps.medium_path
        name = self._chunks[positive].filename
        too_close = set(hard)
        rest = [i for i in random.sample(unrelated, len(unrelated)) if i not in too_close]
        same_file = [i for i in rest if self._chunks[i].filename == name]
        moderate = [i for i in rest if lexical[i] >= 0.5 * overlaps.hard_lexical]
        take("medium", "same_file", same_file, missing("medium"), path)
        take("medium", "header_path", [i for i in rest if low <= path[i] <= high], missing("medium"), path)
        take("medium", "lexical", moderate, missing("medium"), lexical)

        outside = self._far(positive, self._outside[home], random)
        anywhere = self._far(positive, self._rows, random)
        other_file = [i for i in anywhere if self._chunks[i].filename != name]
        other_heading = [i for i in other_file if self._path_overlap(positive, i) == 0]
        take("easy", "other_category", outside, missing("easy"), {})
        take("easy", "other_heading", other_heading, missing("easy"), {})
        take("easy", "other_file", other_file, missing("easy"), {})
        take("easy", "random", anywhere, missing("easy"), {})
        return pool

    def _near(self, positive: int, random: Random) -> list[int]:
        """Return some chunks for every length of shared header path, the longest first."""
        path = self._chunks[positive].header_path
        found: list[int] = []
        for depth in range(len(path), 0, -1):
            bucket = self._by_prefix[path[:depth]]
            found += random.sample(bucket, min(_DRAWS, len(bucket)))
        return found

    def _far(self, positive: int, rows: list[int], random: Random) -> list[int]:
        """Return some chunks that are neither related to the positive nor close enough to be hard."""
        drawn = self._unrelated(positive, random.sample(rows, min(_DRAWS, len(rows))))
        return [
            index
            for index in drawn
            if self._path_overlap(positive, index) <= self._params.overlaps.hard_path
            and self._lexical_overlap(positive, index) <= self._params.overlaps.hard_lexical
        ]

    def _unrelated(self, positive: int, rows: list[int]) -> list[int]:
        if not rows:
            return []
        related = self._relations.related(np.array([positive]), np.array(rows))
        return [index for index, is_related in zip(rows, related.tolist(), strict=True) if not is_related]

    def _path_overlap(self, left: int, right: int) -> float:
        """Return the share of the longer header path that both paths begin with."""
        one, other = self._chunks[left].header_path, self._chunks[right].header_path
        shared = 0
        for mine, theirs in zip(one, other, strict=False):
            if mine != theirs:
                break
            shared += 1
        return shared / max(len(one), len(other), 1)

    def _lexical_overlap(self, left: int, right: int) -> float:
        """Return the overlap coefficient of the word sets (Szymkiewicz and Simpson)."""
        one, other = self._words[left], self._words[right]
        return len(one & other) / max(min(len(one), len(other)), 1)
