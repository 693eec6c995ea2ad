"""Options of training: a base in half precision or quantized, attention, gradient checkpointing, compilation.

Each is tried on two short texts, forward and backward, before it is used. If it fails, a warning is logged and training
goes on without it.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from triptych.models.loading import base_weights, load_frozen
from triptych.models.precision import autocast, resolve_precision
from triptych.params.sections import Model, Train

log = logging.getLogger(__name__)
_PROBES = ["sort", "Return the maximum of the values over the requested axis."]
_PAIRS = [(_PROBES[0], _PROBES[1]), (_PROBES[1], _PROBES[0])]  # for a reranker
_MIN_COSINE = 0.99  # between the vectors of a probe with an option and without it
_MAX_CHANGE = 0.1  # of a reranker's score


def load_to_train(params: Model, train: Train) -> SentenceTransformer:
    """Load the base model as ``train.load_in`` asks: in float32, or frozen in half precision, or in 8 or 4 bits."""
    return load_frozen(params, base_weights(train), lambda model: _check(model, train))


def _check(model: SentenceTransformer, train: Train) -> None:
    """Raise unless gradients flow through a frozen base to the adapters that it will get."""
    hidden: list[torch.Tensor] = []
    embeddings = model[0].model.get_input_embeddings()
    hook = embeddings.register_forward_hook(lambda _module, _inputs, out: hidden.append(out.requires_grad_()))
    try:
        model.requires_grad_(False)
        _probe(model, train, hidden)
    finally:
        hook.remove()


def apply_options(model: SentenceTransformer | CrossEncoder, train: Train) -> bool:
    """Set attention, gradient checkpointing and compilation of a trainable model, each only if it works.

    Return whether it is compiled; then the hand-written layers of ``train.fused`` must be off, since the compiler
    cannot trace them, and `restore_forward` is to be called at the end.

    ``attention: auto`` is eager on a CPU, where fused attention is slower to differentiate (1.3 to 1.5 times the step
    at 32 to 256 tokens, in bf16), and elsewhere what transformers chooses.
    """
    transformer = model[0].model
    if train.attention == "auto":
        if model.device.type == "cpu":
            transformer.set_attn_implementation("eager")
    else:
        before = transformer.config._attn_implementation
        _enable(
            f"attention: {train.attention}",
            model,
            train,
            lambda: _set_attention(transformer, train.attention),
            lambda: _set_attention(transformer, before),
        )
    if train.gradient_checkpointing:
        _enable(
            "gradient_checkpointing",
            model,
            train,
            lambda: transformer.activation_checkpointing_enable({"use_reentrant": False}),
            transformer.activation_checkpointing_disable,
        )
    if not train.torch_compile:
        return False
    return _enable("torch_compile", model, train, lambda: _compile(transformer), lambda: restore_forward(model))


def restore_forward(model: SentenceTransformer | CrossEncoder) -> None:
    """Undo the compilation of a model."""
    vars(model[0].model).pop("forward")


def _set_attention(transformer: Any, name: str) -> None:
    transformer.set_attn_implementation(name)
    if transformer.config._attn_implementation != name:  # some families only log a line and keep the one before
        raise ValueError(f"{transformer.config.model_type} has no such attention")


def _compile(transformer: Any) -> None:
    # sentence-transformers calls `forward` directly, which bypasses what `Module.compile` compiles.
    transformer.forward = torch.compile(transformer.forward, dynamic=True)


def _enable(
    name: str,
    model: SentenceTransformer | CrossEncoder,
    train: Train,
    on: Callable[[], object],
    off: Callable[[], object],
) -> bool:
    """Turn an option on; if it raises or changes vectors or scores, turn it off again and log a warning.

    Return whether it is on.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    plain = _probe(model, train, trainable)
    try:
        on()
        found = _probe(model, train, trainable)
        if not (train.dropout or train.lora.dropout):  # kernels draw dropout differently
            _require_equal(plain, found)
    except Exception as error:
        off()
        log.warning("train.%s does not work here (%s); training without it", name, _first_lines(error))
        return False
    return True


def _require_equal(plain: torch.Tensor, found: torch.Tensor) -> None:
    """Raise ArithmeticError if an option changed vectors, shape (texts, dimensions), or scores, shape (pairs,)."""
    if plain.ndim == 1:
        change = (found - plain).abs().max()
        if change > _MAX_CHANGE:
            raise ArithmeticError(f"it changes the scores by {change:.3f}")
        return
    cosine = torch.nn.functional.cosine_similarity(plain, found).min()
    if cosine < _MIN_COSINE:
        raise ArithmeticError(f"it changes the vectors, cosine {cosine:.3f}")


def _probe(model: SentenceTransformer | CrossEncoder, train: Train, targets: list[torch.Tensor]) -> torch.Tensor:
    """Run two texts, or pairs, forward, and backward to ``targets``, as in training.

    Return their vectors, shape (texts, dimensions), or scores, shape (pairs,); float32.

    The random state is left as it was. Raise ArithmeticError if a vector or gradient is not finite, or if no target
    gets a gradient.
    """
    training = model.training
    reranks = isinstance(model, CrossEncoder)
    inputs = model.preprocess(_PAIRS if reranks else _PROBES)
    # What training does not pass would be compiled once for nothing: types of tokens differ only in a reranker's pairs.
    names = {"input_ids", "attention_mask", *(["token_type_ids"] if reranks else [])}
    features = {name: value.to(model.device) for name, value in inputs.items() if name in names}
    with torch.random.fork_rng(), autocast(resolve_precision(train.precision, model.device), model.device):
        torch.manual_seed(train.seed)
        outputs = model.train()(features)
        found = outputs["scores"].flatten().float() if reranks else outputs["sentence_embedding"].float()
        gradients = torch.autograd.grad((found if reranks else found[:, 0]).sum(), targets, allow_unused=True)
    model.train(training)
    known = [gradient for gradient in gradients if gradient is not None]
    if not all(bool(torch.isfinite(one).all()) for one in (found, *known)):
        raise ArithmeticError("a vector, score or gradient is not finite")
    if not any(bool(gradient.any()) for gradient in known):
        raise ArithmeticError("no gradient arrives")
    return found.detach()


def _first_lines(error: Exception) -> str:
    """Return the first two non-empty lines of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
