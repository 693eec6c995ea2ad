"""Load a cross-encoder, score pairs of stored token ids with it, and save it."""

import gc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import extract_model_from_parallel
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder.modules import LogitScore

from triptych.artifacts import intact, write_text
from triptych.encoding.encode_texts import forward_in_batches
from triptych.errors import OutOfMemoryError, UserError, first_line, is_out_of_memory
from triptych.models.loading import device, locate
from triptych.models.padding import ensure_padding_token, padding_notice
from triptych.models.precision import Precision
from triptych.models.publishing import without_environment
from triptych.models.weight_form import SAFE
from triptych.params.sections import Model
from triptych.tokens.pair_store import PairStore
from triptych.triplets.examples import Examples

_PROBES = 32  # pairs whose scores are compared
_TOLERANCE = 1e-3  # of the probabilities of a saved reranker: other padding, other order of sums


def load_reranker(
    params: Model,
    start: SentenceTransformer | None = None,
    key: str = "train_reranker.base",
    report: Callable[[str], object] | None = None,
) -> CrossEncoder:
    """Load a cross-encoder in float32 on the device at hand, in evaluation mode.

    A model that is not a cross-encoder gets a fresh head with one score, always with the same weights. ``start``, an
    embedder of the same architecture, initializes the transformer. A decoder answers with a word: its score is the log
    odds of yes against no. A tokenizer without a padding token gets one; ``report`` is called with a line about it.
    Raise `UserError` if the model cannot be loaded; ``key`` is the param that names it.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            model = CrossEncoder(
                locate(params, key),
                revision=params.revision,
                device=str(device()),
                num_labels=1,
                model_kwargs=SAFE | {"dtype": torch.float32},
            )
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            reason = first_line(error)
            if is_out_of_memory(error):
                raise OutOfMemoryError(
                    f"{key}: {params.base} does not fit into memory ({reason}); take a smaller reranker"
                ) from error
            raise UserError(
                f"{key}: {params.base} could not be loaded as a cross-encoder with one score ({reason});"
                " give a hub name with its revision, or a local folder; train_reranker.base may be null"
            ) from error
    if start is not None:
        transformer = model[0].model
        getattr(transformer, transformer.base_model_prefix).load_state_dict(start[0].model.state_dict(), strict=False)
    if ensure_padding_token(model.tokenizer, key, params.base) and report is not None:
        report(padding_notice(model.tokenizer, params.base))
    config = model[0].model.config
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = model.tokenizer.pad_token_id  # where a decoder with a head looks for the last token
    return _prepared(model)


def load_saved_reranker(folder: Path) -> CrossEncoder:
    """Load a reranker that a stage saved, as a plain cross-encoder; raise `ArtifactError` where it is damaged."""
    with intact(folder):
        return _prepared(CrossEncoder(str(folder), device=str(device()), model_kwargs=SAFE))


def has_fresh_head(model: CrossEncoder) -> bool:
    """Return whether a cross-encoder that was just loaded scores with a head that is not trained."""
    architectures = getattr(model[0].model.config, "architectures", None) or []
    return not _is_decoder(model) and not any("SequenceClassification" in one for one in architectures)


def pair_scores(
    model: CrossEncoder, store: PairStore, pairs: np.ndarray, precision: Precision, label: str
) -> np.ndarray:
    """Score pairs of text ids, int of shape (pairs, 2); return float32 of shape (pairs,), before any sigmoid.

    ``label`` names the progress bar. Raise `UserError` if a score is not finite.
    """
    scores = np.empty(len(pairs), np.float32)

    def features(rows: np.ndarray) -> dict[str, np.ndarray]:
        return store.pad(pairs[rows])

    def read(output: dict[str, torch.Tensor]) -> np.ndarray:
        return output["scores"][:, 0].float().cpu().numpy()

    outputs = forward_in_batches(model, store.lengths(pairs), features, read, precision, label, "pairs")
    with closing(outputs):
        for rows, of_batch in outputs:
            scores[rows] = of_batch[: len(rows)]
    if not np.isfinite(scores).all():
        raise UserError(
            f"{label}: the reranker gives {(~np.isfinite(scores)).sum()} of {len(scores)} pairs a score that is not"
            " finite; set train.precision: fp32, or lower train_reranker.learning_rate"
        )
    return scores


def save_reranker(
    model: CrossEncoder, store: PairStore, probes: dict[tuple[int, int], tuple[str, str]], folder: Path, card: str
) -> float:
    """Save a reranker into an existing folder, load it again, and return the largest difference of its scores.

    ``probes`` are pairs of texts by their text ids. The loaded model scores the texts, the one in memory the stored
    ids; scores are compared as probabilities, in float32. An adapter is merged first. Raise AssertionError if the
    scores differ.
    """
    extract_model_from_parallel(model, keep_fp32_wrapper=False)  # training in bf16 leaves the model wrapped in autocast
    if hasattr(model[0].model, "merge_and_unload"):
        model[0].model = model[0].model.merge_and_unload()
    model.requires_grad_(True)
    model.max_seq_length = store.max_length
    model.save_pretrained(str(folder), create_model_card=False)
    without_environment(folder)
    write_text(folder / "README.md", card)
    in_memory = 1 / (1 + np.exp(-pair_scores(model, store, np.array(list(probes)), "fp32", "saved").astype(np.float64)))
    loaded = CrossEncoder(str(folder), device=str(model.device))
    from_disk = loaded.predict(list(probes.values()), activation_fn=torch.nn.Sigmoid(), show_progress_bar=False)
    del loaded
    gc.collect()  # its weights map the file into memory: Windows would not let the folder be renamed
    largest = float(np.abs(in_memory - from_disk).max())
    if largest > _TOLERANCE:
        raise AssertionError(f"{folder}: the saved reranker's scores differ by {largest:.2g} from those in memory")
    return largest


def probes(examples: Examples, texts: list[str]) -> dict[tuple[int, int], tuple[str, str]]:
    """Return some anchors with their positives, as text ids and as texts, evenly spaced over the examples."""
    rows = np.unique(np.linspace(0, len(examples) - 1, _PROBES).astype(int))
    pairs = zip(examples.anchor[rows].tolist(), examples.positive[rows].tolist(), strict=True)
    return {(anchor, positive): (texts[anchor], texts[positive]) for anchor, positive in pairs}


def _is_decoder(model: CrossEncoder) -> bool:
    return any(isinstance(one, LogitScore) for one in model)


def _prepared(model: CrossEncoder) -> CrossEncoder:
    if _is_decoder(model):
        model[0].register_forward_pre_hook(_last_token_only)
    return model.eval()


def _last_token_only(module: torch.nn.Module, inputs: tuple[dict[str, Any], ...]) -> None:
    """Let a decoder compute only the logits of the last token, as sentence-transformers' own preprocessing does."""
    inputs[0].setdefault("logits_to_keep", 1)
