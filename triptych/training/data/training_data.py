"""The training data of a round: schedule, collator and the name of the loss."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from triptych.corpus.records import Chunk, read_chunks, read_links
from triptych.encoding.encode_texts import encode
from triptych.encoding.encode_windows import closest_windows, have_windows
from triptych.encoding.frozen_passages import FrozenPassages, encode_frozen
from triptych.encoding.vector_cache import VectorCache
from triptych.errors import NothingToTrainOnError, UserError
from triptych.ids import ChunkRows, TextIds, Vectors
from triptych.models.loading import base_weights, device
from triptych.models.precision import Precision, resolve_precision
from triptych.models.round_loading import load_round
from triptych.params.sections import Params, TrainRound
from triptych.params.training import Phase
from triptych.params.triplets import Triplets
from triptych.tokens.token_counts import token_counts
from triptych.tokens.token_store import TokenStore
from triptych.training.data.answering_windows import answering_windows
from triptych.training.data.batch import Batch, Columns
from triptych.training.data.batch_schedule import DrawnSchedule, FixedSchedule
from triptych.training.data.collator import Collator
from triptych.training.data.distillation import (
    DistillationAnchors,
    DistillationCollator,
    draw_distillation_batches,
    make_teacher,
    visible_before_cut,
)
from triptych.training.data.pool_miner import PoolMiner
from triptych.triplets.examples import Examples, read_passage_ids
from triptych.triplets.false_negatives import PositivesByAnchor, Relations
from triptych.triplets.sampling.epoch_sampler import (
    AnchorSampler,
    EpochSampler,
    anchors_for_run,
    epoch_of_run,
    view_rows,
)
from triptych.triplets.views import VIEWS

_JUDGED_VIEWS = ("query", "crossref", "imported")  # a person chose the positives of these
_TOLD_VIEWS = (*_JUDGED_VIEWS, "generated")  # somebody chose or wrote these for their chunks
_MIN_JUDGED_SHARE = 0.25  # of the rows, for loss softmax


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Rows in the order of training, the collator that makes batches of them, and the loss they are meant for."""

    schedule: FixedSchedule | DrawnSchedule
    collator: Callable[[Columns], Batch]
    loss: str
    steps: int
    miner: PoolMiner | None = None  # where ``train.mine_every`` is set, and negatives are stored
    frozen: FrozenPassages | None = None  # the base model's vectors of all passages, with ``train.sides: query``

    def mix(self) -> dict[str, dict[str, float]]:
        """Return category → tier → share of the triplets drawn so far; empty for a fixed schedule."""
        return self.schedule.mix() if isinstance(self.schedule, DrawnSchedule) else {}


def prepare_training_data(
    corpus: Path,
    texts: Path,
    store: TokenStore,
    examples: Examples,
    previous: Path,
    params: Params,
    round_params: TrainRound,
    seed: int,
    vectors: Path | None = None,
) -> TrainingData:
    """Schedule the rows of a round's steps.

    Loss distill takes at most ``train.distill.max_steps`` of them where there are no written questions.
    ``corpus`` and ``texts`` are the folders of stages split and triplets, ``store`` has the tokens of the texts;
    ``previous`` is the round before, the teacher of loss distill, whose model also chooses the windows that answer.
    ``vectors`` is a cache of its vectors. Raise `UserError` if the loss does not fit the
    negatives, and `NothingToTrainOnError` if the corpus is too small to train on.
    """
    if not len(examples):
        raise NothingToTrainOnError("stage triplets found no anchor")
    builder = _Builder(corpus, texts, store, examples, previous, params, seed, vectors)
    wanted = "softmax" if round_params.phases and params.train.loss == "auto" else params.train.loss
    loss = resolve_loss(wanted, examples, params.triplets, first=round_params.previous == "base")
    if loss == "distill" and round_params.phases:
        raise UserError(
            "rounds.train: phases choose stored negatives, and loss distill has none; set train.loss: softmax"
        )
    if loss == "distill":
        told = view_rows(examples, params.triplets, len(examples)).get("generated", 0)
        most = round_params.steps if told else params.train.distill.max_steps
        return builder.distillation(min(round_params.steps, most))
    if loss == "triplet" and round_params.negatives == "batch":
        raise UserError(
            "rounds.train: loss triplet needs stored negatives; set negatives: stored, or train.loss: softmax"
        )
    return builder.contrastive(round_params.steps, loss, round_params.negatives == "stored", round_params.phases)


def resolve_loss(loss: str, examples: Examples, params: Triplets, *, first: bool) -> str:
    """Return the loss to use; ``auto`` is softmax if people chose enough of the positives, else distill.

    Without judgments the only positives are a chunk's own words; docs/recipes.md compares the two losses on them. The
    ``first`` round distills where there are written questions too: that gained most (docs/experiments.md).
    """
    if loss != "auto":
        return loss
    rows = view_rows(examples, params, len(examples))
    if first and rows.get("generated", 0):
        return "distill"
    judged = sum(rows.get(view, 0) for view in _JUDGED_VIEWS)
    return "softmax" if judged >= _MIN_JUDGED_SHARE * sum(rows.values()) else "distill"


@dataclass(frozen=True)
class _Builder:
    """Builds the training data of a round, for contrastive losses or for distillation."""

    corpus: Path
    texts: Path
    store: TokenStore
    examples: Examples
    previous: Path
    params: Params
    seed: int
    vectors: Path | None

    @cached_property
    def _loaded(self) -> tuple[SentenceTransformer, FrozenPassages | None]:
        """The model of the round before, and the base model's vectors of passages where queries alone are trained."""
        train = self.params.train
        blend, _ = load_round(self.previous, self.params.model, base_weights(train))
        frozen = None
        if train.sides == "query":
            texts = np.concatenate([self.passage_ids, self.examples.positive])
            with blend.base() as base:
                frozen = encode_frozen(base, self.store, texts, self.precision, self.vectors)
        return blend.model, frozen

    @property
    def model(self) -> SentenceTransformer:
        """The model of the round before; with ``train.sides: query`` that of queries."""
        return self._loaded[0]

    @property
    def frozen(self) -> FrozenPassages | None:
        return self._loaded[1] if self.params.train.sides == "query" else None

    @cached_property
    def precision(self) -> Precision:
        return resolve_precision(self.params.train.precision, device())

    @cached_property
    def cache(self) -> VectorCache | None:
        return None if self.vectors is None else VectorCache(self.vectors, self.model, self.precision)

    def closest(self, anchors: TextIds | np.ndarray, passages: TextIds | np.ndarray) -> TextIds:
        """Return the window of each passage that the round before finds closest to its anchor."""
        label = "windows that answer"
        return closest_windows(
            self.model, self.store, anchors, passages, self.precision, label, self.cache, self.frozen
        )

    @cached_property
    def chunks(self) -> list[Chunk]:
        return read_chunks(self.corpus / "chunks.parquet")

    @cached_property
    def passage_ids(self) -> TextIds:
        """Text id of each chunk."""
        return read_passage_ids(self.texts)

    @property
    def fixed(self) -> bool:
        return self.params.tokenize.padding == "fixed"

    def batches(self, steps: int) -> int:
        return steps * self.params.train.gradient_accumulation_steps

    def contrastive(self, steps: int, loss: str, stored: bool, phases: list[Phase]) -> TrainingData:
        """Anchors with their positives, drawn segment by segment; with ``stored`` negatives, by tiers and phases."""
        examples, params, batches = self.examples, self.params, self.batches(steps)
        if not len(examples.pool.chunk):
            raise NothingToTrainOnError(f"none of {len(examples)} anchors has a negative")
        epoch = epoch_of_run(batches * params.train.batch_size, examples)
        sampler: EpochSampler | AnchorSampler = AnchorSampler(examples, params.triplets, self.seed, epoch)
        if stored:
            sampler = EpochSampler(examples, params.triplets, "embedder", self.seed, epoch)
        cut = have_windows(self.store, self.passage_ids)
        negatives = None
        if cut:
            pool = examples.pool
            if stored:
                negatives = self.closest(examples.anchor[pool.anchors], self.passage_ids[pool.chunk])
            examples = replace(examples, positive=answering_windows(self.store, examples, self.closest))
        train, seed = params.train, self.seed
        schedule = DrawnSchedule(examples, sampler, self.passage_ids, train, batches, seed, negatives, phases)
        if batches:
            schedule.rows(0)  # raises here, before training, if no row can be drawn
        links = read_links(self.corpus / "links.parquet")
        relations = Relations(self.chunks, links, params.triplets.exclude_linked)
        answers = PositivesByAnchor(examples.anchor, examples.positive_chunk)
        same_words = params.mine.same_words if cut else None
        collator = Collator(self.store, relations, answers, self.fixed, same_words, self.frozen)
        return TrainingData(schedule, collator, loss, steps, self._miner(relations) if stored else None, self.frozen)

    def _miner(self, relations: Relations) -> PoolMiner | None:
        params = self.params
        if not params.train.mine_every:
            return None
        if params.mine.guide != "none":
            raise UserError(
                f"train.mine_every: mining within a round takes no guide, and mine.guide is {params.mine.guide}; set"
                " train.mine_every: 0 or mine.guide: none"
            )
        size = params.triplets.negatives_per_anchor
        return PoolMiner(
            self.store, self.chunks, relations, self.passage_ids, params.mine, size, self.precision, self.frozen
        )

    def distillation(self, steps: int) -> TrainingData:
        """Let the model of the round before, fused with BM25, rank the train chunks for the drawn anchors."""
        train, store, model = self.params.train, self.store, self.model
        rows = ChunkRows(np.array([row for row, chunk in enumerate(self.chunks) if chunk.split == "train"]))
        if len(rows) < 2:
            raise NothingToTrainOnError("a single chunk is in train, and to rank takes two")
        window_ids, chunk_of_window = store.windows_of(self.passage_ids[rows])
        window_tokens = token_counts(store, window_ids, len(model.tokenizer))
        own = self._own_windows(window_ids, chunk_of_window, np.searchsorted(rows, self.examples.positive_chunk))
        anchor_tokens = token_counts(store, TextIds(self.examples.anchor), len(model.tokenizer))
        told = np.isin(self.examples.view, [VIEWS.index(view) for view in _TOLD_VIEWS])
        visible = np.flatnonzero(visible_before_cut(anchor_tokens, window_tokens, own) | told)
        if not len(visible):
            raise NothingToTrainOnError(
                f"train.loss: none of {len(self.examples)} anchors is found in its chunk before the cut at"
                f" {store.metadata['max_length']} tokens, so nothing can be distilled; raise tokenize.max_length or"
                " give heading a share of triplets.views"
            )
        examples, own = self.examples.select(visible), own[visible]
        neighborhoods = self.batches(steps) * train.distill.neighborhoods
        seeds = anchors_for_run(examples, self.params.triplets, neighborhoods, self.seed)
        anchors = DistillationAnchors(TextIds(examples.anchor), own, anchor_tokens[visible], told[visible])
        frozen = self.frozen
        window_vectors = frozen.of(window_ids) if frozen else self._encoded(window_ids, "chunks")
        teacher = make_teacher(chunk_of_window, window_vectors, window_tokens)

        def encode_anchors(rows: np.ndarray) -> Vectors:
            return self._encoded(TextIds(anchors.anchor[rows]), "anchors")

        schedule = draw_distillation_batches(teacher, anchors, encode_anchors, seeds, train.distill, train.seed)
        collator = DistillationCollator(store, window_ids, self.fixed, frozen)
        return TrainingData(schedule, collator, "distill", steps, frozen=frozen)

    def _encoded(self, text_ids: TextIds, label: str) -> Vectors:
        return encode(self.model, self.store, text_ids, self.precision, label, self.cache)

    def _own_windows(self, window_ids: TextIds, chunk_of_window: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Return for each example the index in ``window_ids`` of the window of its chunk that answers it.

        ``own`` is the index of the example's chunk among those whose windows these are.
        """
        first = np.searchsorted(chunk_of_window, own)
        # The positive may be its chunk without a sentence, which has no windows; the teacher ranks whole chunks.
        examples = replace(self.examples, positive=TextIds(window_ids[first]))
        answers = answering_windows(self.store, examples, self.closest)
        second = window_ids[np.minimum(first + 1, len(window_ids) - 1)]  # those after it have the next ids
        return first + np.where(answers == window_ids[first], 0, answers - second + 1)
