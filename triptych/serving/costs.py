"""What a search costs on this machine: milliseconds of each of its steps for a question, and bytes for a chunk."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Self

import numpy as np

from triptych.artifacts import read_json, write_json
from triptych.errors import UserError
from triptych.retrieval.late_interaction import TokenVectors, coded
from triptych.retrieval.quantization import truncated
from triptych.serving.numpy_encoder import NumpyEncoder, TorchEncoder
from triptych.serving.search_index import IndexSettings, open_index
from triptych.threads import one_thread

_QUESTIONS = 20  # timed one at a time, as they arrive
_RERANKED = 50  # hits that late interaction and a reranker order, as `evaluate.rerank_depths` has it by default
_OF_RERANKING = 3  # questions whose hits are reranked
_SAMPLED = 64  # chunks whose tokens are counted


@dataclass(frozen=True, slots=True)
class Costs:
    """Medians over questions that are searched one at a time, and sizes; ``metrics/costs.json``."""

    machine: str
    chunks: int
    milliseconds: dict[
        str, float
    ]  # of a question, by step: encode, vectors, words, tokens, and reranker if there is one
    bytes_per_chunk: dict[str, float]  # vectors, words, and tokens, which late interaction needs

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**read_json(path))


def measure_costs(index: Path, embedder: Path, reranker: Path, questions: Sequence[str], sizes: Any) -> Costs:
    """Time each step of a search for some questions; ``sizes`` are those of ``metrics/index.json``.

    The steps are timed whether the verdict uses them or not. Token vectors that the index does not have are computed
    for the hits, which is not timed.
    """
    questions = list(questions)[:_QUESTIONS]
    if not questions:
        raise UserError("costs: no question to time; the queries of dev and test are taken")
    settings = IndexSettings.read(index)
    vectors, lexical, texts, windows, _ = open_index(index, settings)
    numpy_encoder = settings.numpy_encoder
    encoder = TorchEncoder(embedder) if numpy_encoder is None else NumpyEncoder(embedder, numpy_encoder)
    depth, times = settings.depth, dict[str, list[float]]()
    encoder.encode(questions[:1])  # what is loaded at the first question is not its cost
    hits = []
    for question in questions:
        encoded = truncated(_timed(times, "encode", encoder.encode, [question]), settings.dimensions)
        rows, _ = _timed(times, "vectors", vectors.search, encoded, depth)
        _timed(times, "words", lexical.search, [question], depth)
        hits.append(rows[0][rows[0] >= 0][:_RERANKED].tolist())

    def late_interaction(question: str, tokens: TokenVectors) -> np.ndarray:
        return tokens.max_sim(encoder.tokens([question])[0], range(len(tokens)))

    cross_encoder = _cross_encoder(reranker) if (reranker / "config.json").exists() else None
    for question, top in zip(questions[:_OF_RERANKING], hits, strict=False):
        passages = [texts.rows([row])[row][1] for row in top]
        of_hits = TokenVectors.of([coded(one) for one in encoder.tokens(passages)])
        _timed(times, "tokens", late_interaction, question, of_hits)
        if cross_encoder is not None:
            pairs = [(question, passage) for passage in passages]
            _timed(times, "reranker", partial(cross_encoder.predict, show_progress_bar=False), pairs)
    sampled = np.unique(np.linspace(0, len(texts) - 1, _SAMPLED).astype(int)).tolist()
    of_chunks = [passage for _, passage in texts.rows(sampled).values()]
    if windows is not None:
        chunk_of_window = np.load(index / "windows.npy")
        further = np.flatnonzero(np.isin(chunk_of_window, sampled)).tolist()
        of_chunks += [text.text for row in further if (text := windows[row]) is not None]
    counted = encoder.tokens(of_chunks)
    per_chunk = sum(one.size for one in counted) / len(sampled) + 8  # codes of one byte, and where they begin
    return Costs(
        machine=f"{os.cpu_count()} CPU cores, {platform.machine()}",
        chunks=len(texts),
        milliseconds={step: 1000 * median(of_step) for step, of_step in times.items()},
        bytes_per_chunk={
            "vectors": sizes["vectors"],
            "words": sizes["words"],
            "tokens": sizes.get("tokens", per_chunk),
        },
    )


def _timed(times: dict[str, list[float]], step: str, call: Callable[..., Any], *arguments: Any) -> Any:
    with one_thread():  # as a search computes it
        started = perf_counter()
        result = call(*arguments)
        times.setdefault(step, []).append(perf_counter() - started)
    return result


def _cross_encoder(folder: Path) -> Any:
    from sentence_transformers import CrossEncoder  # imports PyTorch, which takes seconds

    return CrossEncoder(str(folder))
