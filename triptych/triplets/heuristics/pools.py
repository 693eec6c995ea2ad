"""Candidate pools of negatives for every anchor and profile, built in one pass over the candidates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from triptych.corpus.embedded_text import passage
from triptych.corpus.records import Chunk
from triptych.engine.in_order import in_order
from triptych.ids import ChunkRows
from triptych.params.triplets import PROFILES, Triplets
from triptych.progress import strides
from triptych.triplets.false_negatives import PositivesByAnchor, Relations, codes
from triptych.triplets.heuristics.candidates import Buckets, Candidates, PathIndex, WordIndex, rank_in_group
from triptych.triplets.heuristics.tier_rules import Rule, rules
from triptych.triplets.negatives import STRATEGIES, TIERS, Pool
from triptych.triplets.views import Anchor

_BATCH = 2048  # anchors per batch; changing it changes what a seed draws


@dataclass(frozen=True, slots=True)
class PoolsByProfile:
    """The pools of all anchors by profile, and how many candidates they were chosen from."""

    pools: dict[str, Pool]
    considered: np.ndarray  # int64, shape (anchors,): candidates of each anchor
    related: np.ndarray  # int64, shape (anchors,): those of them related to a positive and therefore left out


@dataclass(frozen=True, slots=True)
class _Batch:
    """Anchors whose pools are built together."""

    start: int  # index of the first among all anchors, which seeds what is drawn
    texts: list[str]
    anchor_codes: np.ndarray  # int32, shape (anchors,): equal where texts are
    positives: ChunkRows  # int64, shape (anchors,)


class PoolBuilder:
    """Builds pools of negatives from the chunks of one split; the cost per anchor does not grow with the corpus."""

    def __init__(self, chunks: list[Chunk], split: str, relations: Relations, params: Triplets) -> None:
        self._relations, self._params = relations, params
        self._rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == split], np.int64)
        self._index_in_split = np.full(len(chunks), -1)
        self._index_in_split[self._rows] = np.arange(len(self._rows))
        of_split = [chunks[row] for row in self._rows]
        passage_texts = (passage(chunk, params.text_template) for chunk in of_split)
        self._words = WordIndex(passage_texts, params.candidates.postings)
        self._paths = PathIndex([chunk.header_path for chunk in of_split])
        self._category = codes(chunk.category for chunk in of_split)
        self._file = codes(chunk.filename for chunk in of_split)
        self._topic = codes((chunk.category, chunk.header_path[:1]) for chunk in of_split)
        # A domain is a category, or a top heading where there is only one category.
        single = len(set(self._category.tolist())) < 2
        self._domain = self._topic if single else self._category
        self._files, self._topics, self._domains = map(Buckets, (self._file, self._topic, self._domain))
        self._all = Buckets(np.zeros(len(of_split), np.int32))

    def build(self, anchors: Sequence[Anchor]) -> PoolsByProfile:
        """Return for each profile at most ``negatives_per_anchor`` of each tier, none related to a positive."""
        anchor_codes = codes(anchor.text for anchor in anchors)
        positives = ChunkRows(np.array([anchor.positive for anchor in anchors], np.int64))
        all_positives = PositivesByAnchor(anchor_codes, positives)
        parts: dict[str, list[Pool]] = {profile: [Pool.of([])] for profile in PROFILES}
        counts = [np.empty((2, 0), np.int64)]
        pieces = (
            _Batch(
                start,
                [anchor.text for anchor in anchors[start : start + _BATCH]],
                anchor_codes[start : start + _BATCH],
                ChunkRows(positives[start : start + _BATCH]),
            )
            for start in strides(len(anchors), _BATCH, "triplets", "anchors")
        )
        for pools, of_batch in in_order(partial(self._pools, all_positives), pieces):
            counts.append(of_batch)
            for profile, of_profile in zip(PROFILES, pools, strict=True):
                parts[profile].append(of_profile)
        joined = {profile: Pool.join(parts.pop(profile)) for profile in PROFILES}  # never all of them twice
        return PoolsByProfile(joined, *np.concatenate(counts, axis=1))

    def _pools(self, all_positives: PositivesByAnchor, batch: "_Batch") -> tuple[list[Pool], np.ndarray]:
        """Return the pools of a batch by profile, and its numbers of candidates and of related ones, (2, anchors)."""
        random = np.random.default_rng([self._params.seed, batch.start])
        candidates, considered = self._candidates(
            batch.texts, batch.anchor_codes, batch.positives, all_positives, random
        )
        unrelated = np.bincount(candidates.anchor, minlength=len(batch.texts))
        random_order = random.random(len(candidates.anchor))
        numbers = np.arange(batch.start, batch.start + len(batch.texts))
        pools = [
            self._select(candidates, rules(one, candidates, numbers, random_order, self._params), len(batch.texts))
            for one in PROFILES
        ]
        return pools, np.stack([considered, considered - unrelated])

    def _candidates(
        self,
        texts: list[str],
        anchor_codes: np.ndarray,
        positive_rows: np.ndarray,
        all_positives: PositivesByAnchor,
        random: np.random.Generator,
    ) -> tuple[Candidates, np.ndarray]:
        """Return the unrelated candidates of a batch, and how many candidates each anchor had.

        ``anchor_codes`` are equal where texts are.
        """
        sizes, number, positives = self._params.candidates, len(self._rows), self._index_in_split[positive_rows]
        hits = self._words.hits(texts, sizes.lexical)
        sources = [
            hits,
            *self._paths.near(positives, sizes.per_prefix, random),
            self._files.inside(self._file[positives], sizes.per_prefix, random),
            self._topics.inside(self._topic[positives], sizes.per_prefix, random),
            self._domains.outside(self._domain[positives], sizes.distant, random),
            self._all.inside(np.zeros(len(texts), np.int32), sizes.distant, random),
        ]
        keys = np.concatenate([anchor * number + chunk for anchor, chunk in sources])
        rank = np.zeros(len(keys), np.int64)
        rank[: len(hits[0])] = rank_in_group(hits[0]) + 1
        keys, first = np.unique(keys, return_index=True)  # hits come first, so they keep their rank if sampled as well
        anchor, chunk = np.divmod(keys, number)
        considered = np.bincount(anchor, minlength=len(texts))
        rows = self._rows[chunk]
        unrelated = ~self._relations.related(self._rows[positives[anchor]], rows)
        unrelated &= ~all_positives.false_negatives(self._relations, anchor_codes, positive_rows, anchor, rows)
        anchor, chunk, rank = anchor[unrelated], chunk[unrelated], rank[first[unrelated]]
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
        ), considered

    def _select(self, candidates: Candidates, profile_rules: Iterable[Rule], anchors: int) -> Pool:
        """Apply the rules one after another; no candidate is taken twice, and no tier gets more than its size."""
        free = np.ones(len(candidates.anchor), bool)
        missing = {tier: np.full(anchors, self._params.negatives_per_anchor) for tier in TIERS}
        tier, strategy = (np.full(len(candidates.anchor), -1, np.int8) for _ in range(2))
        for rule in profile_rules:
            quota = np.minimum(rule.quota, missing[rule.tier])
            eligible = np.flatnonzero(rule.mask & free & (quota > 0)[candidates.anchor])
            eligible = eligible[np.lexsort((-rule.order[eligible], candidates.anchor[eligible]))]
            owners = candidates.anchor[eligible]
            taken = eligible[rank_in_group(owners) < quota[owners]]
            free[taken] = False
            tier[taken], strategy[taken] = TIERS.index(rule.tier), STRATEGIES.index(rule.strategy)
            missing[rule.tier] = missing[rule.tier] - np.bincount(candidates.anchor[taken], minlength=anchors)
        kept = np.flatnonzero(~free)
        kept = kept[np.lexsort((-candidates.blend[kept], tier[kept], candidates.anchor[kept]))]
        return Pool(
            np.cumsum([0, *np.bincount(candidates.anchor[kept], minlength=anchors)], dtype=np.int64),
            ChunkRows(self._rows[candidates.chunk[kept]].astype(np.int32)),
            tier[kept],
            strategy[kept],
            candidates.blend[kept],
            candidates.path[kept],
            candidates.lexical[kept],
        )
