"""Short runs of training for real, on tiny models."""

import shutil
from typing import NamedTuple

import numpy as np
import pytest
import tiny_families
import torch

from triptych.training.loop.trainer import TrainingResult
from triptych.training.recovery.step_guard import StepGuard


class Ran(NamedTuple):
    """The result of a run, and the weights that trained in it."""

    weights: dict
    trained: TrainingResult
    model: object


@pytest.fixture
def short_run(prepared, tmp_path, write_params, monkeypatch):
    """Train a few steps with changed params: ``short_run(steps, checkpoints, **changes)``; may be called again."""
    from triptych.models.adapter import make_trainable
    from triptych.models.loading import load_base, tokenizer_fingerprint
    from triptych.params.load import load_params
    from triptych.params.sections import TrainRound
    from triptych.tokens.token_store import open_store
    from triptych.training.data.training_data import prepare_training_data
    from triptych.training.loop.trainer import train
    from triptych.triplets.examples import read_examples

    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(steps=5, checkpoints=None, touch=None, learning_rate=0.001, negatives="stored", **changes):
        fixed = {"model.base": "./tiny", "train.batch_size": 8, "train.precision": "fp32", "train.loss": "softmax"}
        changed = {f"train.{key}": value for key, value in changes.items()}
        params = load_params(write_params(tmp_path, **(fixed | changed)))
        model = load_base(params.model)
        store = open_store(tmp_path / "data/tokens", tokenizer_fingerprint(model))
        examples = read_examples(tmp_path / "data/triplets/round0/examples.parquet")
        make_trainable(model, params.train, None)
        round_params = TrainRound(previous="base", steps=steps, learning_rate=learning_rate, negatives=negatives)
        training_data = prepare_training_data(
            tmp_path / "data/corpus",
            tmp_path / "data/triplets/texts",
            store,
            examples,
            tmp_path / "models/base",
            params,
            round_params,
            1,
        )
        if touch is not None:
            touch(model)
        trained = train(model, training_data, params.train, learning_rate, checkpoints)
        weights = {name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad}
        return Ran(weights, trained, model)

    return run


@pytest.fixture(scope="module")
def words(tiny_corpus):
    return [chunk.content for chunk in tiny_corpus.chunks]


@pytest.fixture
def params_of(prepared, tmp_path, write_params, monkeypatch, words):
    """Params whose reranker is a tiny one of a family, or a fresh head on the tiny embedder."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    from triptych.params.load import load_params

    def call(family, **changes):
        if family != "fresh" and not (tmp_path / family).exists():
            tiny_families.make_reranker(tmp_path / family, family, words)
        fixed = {"base": None if family == "fresh" else f"./{family}", "steps": 4, "batch_size": 4, "negatives": 3}
        fixed |= {
            "max_length": 200 if family == "qwen3" else 48,
            "start": "base",
            "method": "lora",
            "learning_rate": 0.01,
        }
        own = {f"train_reranker.{name}": value for name, value in fixed.items()}
        common = {"model.base": "./tiny", "train.precision": "fp32"}
        return load_params(write_params(tmp_path, **(common | own | changes)))

    return call


@pytest.fixture
def short_lists(params_of, tmp_path):
    """Train a reranker for a few steps: ``short_lists(family, checkpoints, touch, **changes)``."""

    def call(family="fresh", checkpoints=None, touch=None, **changes):
        from triptych.corpus.records import read_chunks, read_links
        from triptych.models.adapter import make_trainable
        from triptych.reranker.cross_encoder import load_reranker
        from triptych.reranker.list_batches import list_loss, list_training_data
        from triptych.reranker.pair_format import pair_store
        from triptych.reranker.saved_reranker import model_of, settings_of
        from triptych.training.loop.trainer import train
        from triptych.triplets.examples import read_examples, read_passage_ids
        from triptych.triplets.false_negatives import Relations
        from triptych.triplets.sampling.reranker_lists import draw_lists

        params = params_of(family, **changes)
        wanted, settings = params.train_reranker, settings_of(params)
        corpus, texts = tmp_path / "data/corpus", tmp_path / "data/triplets/texts"
        model = load_reranker(model_of(params))
        store = pair_store(model, texts, tmp_path / "data/tokens", params, wanted.max_length)
        examples = read_examples(tmp_path / "data/triplets/reranker0/examples.parquet")
        chunks = read_chunks(corpus / "chunks.parquet")
        relations = Relations(chunks, read_links(corpus / "links.parquet"))
        rows = np.array([row for row, chunk in enumerate(chunks) if chunk.split == "train"])
        shape = (wanted.steps * settings.batch_size, wanted.negatives, wanted.random)
        lists = draw_lists(examples, relations, rows, params.triplets, shape, 1)
        passages = read_passage_ids(texts)
        training_data = list_training_data(examples, lists, passages, store, wanted, fixed=False)
        make_trainable(model, settings, None)
        if touch is not None:
            touch(model)
        trained = train(model, training_data, settings, wanted.learning_rate, checkpoints, loss=list_loss(wanted))
        weights = {name: one.detach().clone() for name, one in model.named_parameters() if one.requires_grad}
        return model, store, trained, weights, examples

    return call


def limited(tokens, times=10**9):
    """Return a ``touch`` that lets a model run out of memory above ``tokens`` tokens, at most ``times`` times."""
    seen = []

    def touch(model):
        def hook(module, given):
            fits = given[0]["input_ids"].numel() <= tokens
            # Without a graph, texts need little memory.
            if torch.is_grad_enabled() and not fits and len(seen) < times:
                seen.append(given[0]["input_ids"].numel())
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        model[0].register_forward_pre_hook(hook)

    touch.seen = seen
    return touch


class KilledError(Exception):
    """Ends a run from within, in place of a kill."""


@pytest.fixture
def killed_after(monkeypatch):
    """Let runs end after a step, once its checkpoint is written, until ``lift()``."""
    stepped = StepGuard.on_step_begin

    def kill(step):
        def begin(self, args, state, control, **kwargs):
            if state.global_step == step:
                raise KilledError
            stepped(self, args, state, control, **kwargs)

        monkeypatch.setattr(StepGuard, "on_step_begin", begin)

    kill.lift = lambda: monkeypatch.setattr(StepGuard, "on_step_begin", stepped)
    return kill
