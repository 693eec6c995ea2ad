"""Encode texts with an exported embedder: its tokenizer, and ONNX Runtime or OpenVINO; no PyTorch."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from triptych.exporting.graph import INPUTS, Format

_BATCH = 16  # texts of similar length that are encoded at once

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]  # token ids and mask, int64 (texts, width) → unit vectors


class ExportedEncoder:
    """One exported file with the tokenizer beside it, ``tokenizer.json``, which truncates and pads."""

    def __init__(self, kind: Format, path: Path, prompt: str = "", threads: int = 0) -> None:
        """``prompt`` is put before each text; ``threads`` 0 is as many as the runtime takes."""
        self._prompt = prompt
        self._tokenizer = Tokenizer.from_file(str(path.parent / "tokenizer.json"))
        self._run = (_onnx if kind == "onnx" else _openvino)(path, threads)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode texts: float32 of shape (texts, dimensions), rows of length 1."""
        parts: list[np.ndarray] = []
        order = np.argsort([-len(text) for text in texts], kind="stable")
        for start in range(0, len(order), _BATCH):
            rows = [self._prompt + texts[row] for row in order[start : start + _BATCH]]
            encodings = self._tokenizer.encode_batch(rows)
            ids = np.array([one.ids for one in encodings], np.int64)
            parts.append(self._run(ids, np.array([one.attention_mask for one in encodings], np.int64)))
        vectors = np.concatenate(parts)
        result = np.empty_like(vectors)
        result[order] = vectors
        return result


def _onnx(path: Path, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: np.asarray(session.run(None, dict(zip(INPUTS, (ids, mask), strict=True)))[0])


def _openvino(path: Path, threads: int) -> Run:
    import openvino

    config = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
    compiled = openvino.compile_model(path, "CPU", config)
    return lambda ids, mask: np.array(compiled(dict(zip(INPUTS, (ids, mask), strict=True)))[0])
