"""Pools of negatives for every anchor and profile, made in one pass over the candidates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk
from triptych.params.triplets import PROFILES, Triplets
from triptych.progress import strides
from triptych.triplets.false_negatives import PositivesByAnchor, Relations, codes
from triptych.triplets.heuristics.candidates import Buckets, Candidates, PathIndex, WordIndex, rank_in_group
from triptych.triplets.heuristics.tier_rules import Rule, rules
from triptych.triplets.negatives import STRATEGIES, TIERS, Pool
from triptych.triplets.views import Anchor

_BATCH = 2048  # anchors drawn for together; part of what a seed means


@dataclass(frozen=True, slots=True)
class DrawnPools:
    """Pools of the anchors, by profile, and what there was to choose from."""

    pools: dict[str, Pool]
    looked: np.ndarray  # int64, shape (anchors,): candidates looked at
    related: np.ndarray  # int64, shape (anchors,): of these, related to an answer and left out


class Pools:
    """Draws pools of negatives from the chunks of one split; no anchor costs more in a larger corpus."""

    def __init__(self, chunks: list[Chunk], split: str, relations: Relations, params: Triplets) -> None:
        self._relations, self._params = relations, params
        self._rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == split], np.int64)
        self._place = np.full(len(chunks), -1)
        self._place[self._rows] = np.arange(len(self._rows))
        own = [chunks[row] for row in self._rows]
        self._words = WordIndex((passage(one, params.text_template) for one in own), params.candidates.postings)
        self._paths = PathIndex([one.header_path for one in own])
        self._category = codes(one.category for one in own)
        self._file = codes(one.filename for one in own)
        self._topic = codes((one.category, one.header_path[:1]) for one in own)
        # A domain is a category; where there is only one, what stands under one top heading.
        single = len(set(self._category.tolist())) < 2
        self._domain = self._topic if single else self._category
        self._files, self._topics, self._domains = map(Buckets, (self._file, self._topic, self._domain))
        self._all = Buckets(np.zeros(len(own), np.int32))

    def draw(self, anchors: Sequence[Anchor]) -> DrawnPools:
        """Return for each profile at most ``negatives_per_anchor`` of each tier, none related to the positive."""
        words, positives = codes(one.text for one in anchors), np.array([one.positive for one in anchors], np.int64)
        answers = PositivesByAnchor(words, positives)
        parts: dict[str, list[Pool]] = {profile: [Pool.of([])] for profile in PROFILES}
        counts = [np.empty((2, 0), np.int64)]
        for start in strides(len(anchors), _BATCH, "triplets", "anchors"):
            batch = anchors[start : start + _BATCH]
            random = np.random.default_rng([self._params.seed, start])
            here = slice(start, start + len(batch))
            texts = [one.text for one in batch]
            found, looked = self._candidates(texts, words[here], positives[here], answers, random)
            counts.append(np.stack([looked, looked - np.bincount(found.anchor, minlength=len(batch))]))
            shuffled = random.random(len(found.anchor))
            for profile, pools in parts.items():
                numbers = np.arange(start, start + len(batch))
                pools.append(self._select(found, rules(profile, found, numbers, shuffled, self._params), len(batch)))
        return DrawnPools(
            {profile: Pool.join(pools) for profile, pools in parts.items()}, *np.concatenate(counts, axis=1)
        )

    def _candidates(
        self,
        texts: list[str],
        words: np.ndarray,
        rows: np.ndarray,
        answers: PositivesByAnchor,
        random: np.random.Generator,
    ) -> tuple[Candidates, np.ndarray]:
        """Return the unrelated candidates of a batch, and how many candidates each anchor had.

        ``words`` are numbers that stand for the texts, ``rows`` those of the positives in the corpus.
        """
        sizes, number, positives = self._params.candidates, len(self._rows), self._place[rows]
        hits = self._words.hits(texts, sizes.lexical)
        draws = [
            hits,
            *self._paths.near(positives, sizes.per_prefix, random),
            self._files.inside(self._file[positives], sizes.per_prefix, random),
            self._topics.inside(self._topic[positives], sizes.per_prefix, random),
            self._domains.outside(self._domain[positives], sizes.distant, random),
            self._all.inside(np.zeros(len(texts), np.int32), sizes.distant, random),
        ]
        keys = np.concatenate([anchor * number + chunk for anchor, chunk in draws])
        rank = np.zeros(len(keys), np.int64)
        rank[: len(hits[0])] = rank_in_group(hits[0]) + 1
        keys, first = np.unique(keys, return_index=True)  # hits stand first, so that a chunk drawn too keeps its rank
        anchor, chunk = np.divmod(keys, number)
        looked = np.bincount(anchor, minlength=len(texts))
        apart = ~self._relations.related(self._rows[positives[anchor]], self._rows[chunk])
        apart &= ~answers.reach(self._relations, words, rows, anchor, self._rows[chunk])
        anchor, chunk, rank = anchor[apart], chunk[apart], rank[first[apart]]
        positive = positives[anchor]
        path, lexical = self._paths.overlap(positive, chunk), self._words.overlap(positive, chunk)
        weight = self._params.tiers.hard.path_weight
        return Candidates(
            anchor,
            chunk,
            rank,
            path,
            lexical,
            blend=weight * path + (1 - weight) * lexical,
            other_category=self._category[positive] != self._category[chunk],
            other_domain=self._domain[positive] != self._domain[chunk],
            other_file=self._file[positive] != self._file[chunk],
            same_topic=self._topic[positive] == self._topic[chunk],
        ), looked

    def _select(self, found: Candidates, made: Iterable[Rule], anchors: int) -> Pool:
        """Carry out rules one after another; no candidate is taken twice, no tier holds more than its size."""
        free = np.ones(len(found.anchor), bool)
        missing = {tier: np.full(anchors, self._params.negatives_per_anchor) for tier in TIERS}
        tier, strategy = (np.full(len(found.anchor), -1, np.int8) for _ in range(2))
        for rule in made:
            wanted = np.minimum(rule.quota, missing[rule.tier])
            able = np.flatnonzero(rule.mask & free & (wanted > 0)[found.anchor])
            able = able[np.lexsort((-rule.order[able], found.anchor[able]))]
            owner = found.anchor[able]
            taken = able[rank_in_group(owner) < wanted[owner]]
            free[taken] = False
            tier[taken], strategy[taken] = TIERS.index(rule.tier), STRATEGIES.index(rule.strategy)
            missing[rule.tier] = missing[rule.tier] - np.bincount(found.anchor[taken], minlength=anchors)
        kept = np.flatnonzero(~free)
        kept = kept[np.lexsort((-found.blend[kept], tier[kept], found.anchor[kept]))]
        return Pool(
            np.cumsum([0, *np.bincount(found.anchor[kept], minlength=anchors)], dtype=np.int64),
            self._rows[found.chunk[kept]].astype(np.int32),
            tier[kept],
            strategy[kept],
            found.blend[kept],
            found.path[kept],
            found.lexical[kept],
        )
