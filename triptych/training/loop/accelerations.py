"""Optional ways to train: a quantized base, another attention, gradient checkpointing, compilation.

Each is tried on two short texts, forward and backward, before it is used. Where it fails, one line says so and training
goes the plain way.
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import BitsAndBytesConfig

from triptych.models.loading import device, load_base
from triptych.models.precision import autocast, resolve_precision
from triptych.params.sections import Model, Train

log = logging.getLogger(__name__)
_PROBES = ["sort", "Return the maximum of the values over the requested axis."]
_SAME = 0.99  # cosine between the vectors of a probe with an option and without it


def load_to_train(params: Model, train: Train) -> SentenceTransformer:
    """Load the base model as ``train.load_in`` asks: in float32, or with its linear layers in 8 or 4 bits, frozen.

    4 bits are NormalFloat with doubly quantized constants (QLoRA, Dettmers et al. 2023). What is judged and published
    is the full base with the adapter that was trained beside the quantized one.
    """
    if train.load_in == "full":
        return load_base(params)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    precision = resolve_precision(train.precision, device())
    config = BitsAndBytesConfig(
        load_in_8bit=train.load_in == "8bit",
        load_in_4bit=train.load_in == "4bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype[precision],
    )
    try:
        model = load_base(params, quantization_config=config)
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                # It would pack the weights for inference in the first evaluation, and give no gradient ever after.
                module.support_avx512bf16_for_cpu = False
        reached: list[torch.Tensor] = []
        embeddings = model[0].model.get_input_embeddings()
        hook = embeddings.register_forward_hook(lambda _module, _inputs, out: reached.append(out.requires_grad_()))
        _probe(model, train, reached)
        hook.remove()
    except Exception as error:
        log.warning("train.load_in: %s does not work here (%s); training on the full base", train.load_in, _said(error))
        return load_base(params)
    return model


def apply_options(model: SentenceTransformer, train: Train) -> None:
    """Set attention, gradient checkpointing and compilation of a model made trainable, each only if it works.

    ``attention: auto`` is eager on a CPU, where fused attention is slower to differentiate (1.3 to 1.5 times the step
    at 32 to 256 tokens, in bf16), and elsewhere what transformers chooses.
    """
    transformer = model[0].model
    if train.attention == "auto":
        if model.device.type == "cpu":
            transformer.set_attn_implementation("eager")
    else:
        before = transformer.config._attn_implementation
        _try(
            f"attention: {train.attention}",
            model,
            train,
            lambda: _set_attention(transformer, train.attention),
            lambda: _set_attention(transformer, before),
        )
    if train.gradient_checkpointing:
        _try(
            "gradient_checkpointing",
            model,
            train,
            lambda: transformer.activation_checkpointing_enable({"use_reentrant": False}),
            transformer.activation_checkpointing_disable,
        )
    if train.torch_compile:
        _try("torch_compile", model, train, lambda: _compile(transformer), lambda: vars(transformer).pop("forward"))


def _set_attention(transformer: Any, name: str) -> None:
    transformer.set_attn_implementation(name)
    if transformer.config._attn_implementation != name:  # some families log a line and go on as before
        raise ValueError(f"{transformer.config.model_type} has no such attention")


def _compile(transformer: Any) -> None:
    # sentence-transformers calls `forward` itself, past what `Module.compile` compiles.
    transformer.forward = torch.compile(transformer.forward, dynamic=True)


def _try(
    name: str, model: SentenceTransformer, train: Train, on: Callable[[], object], off: Callable[[], object]
) -> None:
    """Turn an option on; turn it off again and say so where it raises or changes the vectors."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    plain = _probe(model, train, trainable)
    try:
        on()
        likeness = torch.nn.functional.cosine_similarity(plain, _probe(model, train, trainable)).min()
        if likeness < _SAME and not (train.dropout or train.lora.dropout):  # kernels draw dropout in ways of their own
            raise ArithmeticError(f"it changes the vectors, cosine {likeness:.3f}")
    except Exception as error:
        off()
        log.warning("train.%s does not work here (%s); training without it", name, _said(error))


def _probe(model: SentenceTransformer, train: Train, reached: list[torch.Tensor]) -> torch.Tensor:
    """Run two texts forward and backward to ``reached``, as in training; return their vectors, float32.

    Random numbers are left as they were. Raise ArithmeticError where a vector or gradient is not finite or nothing is
    reached.
    """
    training = model.training
    features = {key: value.to(model.device) for key, value in model.preprocess(_PROBES).items() if hasattr(value, "to")}
    with torch.random.fork_rng(), autocast(resolve_precision(train.precision, model.device), model.device):
        torch.manual_seed(train.seed)
        vectors = model.train()(features)["sentence_embedding"].float()
        gradients = torch.autograd.grad(vectors[:, 0].sum(), reached, allow_unused=True)
    model.train(training)
    found = [gradient for gradient in gradients if gradient is not None]
    if not all(bool(torch.isfinite(one).all()) for one in (vectors, *found)):
        raise ArithmeticError("a vector or gradient is not finite")
    if not any(bool(gradient.any()) for gradient in found):
        raise ArithmeticError("no gradient arrives")
    return vectors.detach()


def _said(error: Exception) -> str:
    """Return the first two lines of an error that say something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__
