"""An embedder as one graph, from token ids to unit vectors, in ONNX or OpenVINO, float32 or int8.

PyTorch's exporter captures the whole model with its pooling, normalization and, if asked for, truncation to the first
dimensions; ONNX Runtime and NNCF quantize the weights of what it wrote.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from torch.nn.functional import normalize

Format = Literal["onnx", "openvino"]
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "sentence_embedding"
FILES = {"onnx": "model.onnx", "openvino": "model.xml"}
_OPSET = 18


class EmbeddingGraph(nn.Module):
    """An embedder as a function of two tensors, which is what exporters capture."""

    def __init__(self, model: SentenceTransformer, dimensions: int | None) -> None:
        super().__init__()
        self.model, self.dimensions = model, dimensions

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return unit vectors (texts, dimensions) of token ids and mask, both int64 (texts, width)."""
        features = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        vectors = features["sentence_embedding"]
        return normalize(vectors[:, : self.dimensions] if self.dimensions else vectors, dim=-1)


def write_graph(model: SentenceTransformer, kind: Format, folder: Path, dimensions: int | None) -> Path:
    """Write a model in float32 into an existing folder; return the path of the file to load."""
    path = folder / FILES[kind]
    with _silently():
        program = _exported(model, dimensions)
        if kind == "onnx":
            torch.onnx.export(
                program,
                f=str(path),
                dynamo=True,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                opset_version=_OPSET,
                external_data=_bytes(model) > 2**30,  # a file of protobuf ends at 2 GiB
                verbose=False,
            )
        else:
            import openvino

            converted = openvino.convert_model(program)
            for port, name in zip((*converted.inputs, *converted.outputs), (*INPUTS, OUTPUT), strict=True):
                port.get_tensor().set_names({name})
            openvino.save_model(converted, path, compress_to_fp16=False)
    return path


def write_int8(kind: Format, full: Path) -> Path:
    """Quantize the weights of a written graph to int8; return the path of the file beside it."""
    path = full.with_stem(f"{full.stem}_int8")
    with _silently():
        if kind == "onnx":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(full, path, weight_type=QuantType.QInt8, per_channel=True)
        else:
            import nncf
            import openvino

            openvino.save_model(nncf.compress_weights(openvino.Core().read_model(full)), path)
    return path


def _exported(model: SentenceTransformer, dimensions: int | None) -> torch.export.ExportedProgram:
    example = torch.ones((2, 16), dtype=torch.int64)
    sizes = {0: torch.export.Dim("texts", min=1, max=4096), 1: torch.export.Dim("width", min=2, max=_width(model))}
    graph = EmbeddingGraph(model.to("cpu").float().eval(), dimensions).eval()
    with torch.no_grad():
        return torch.export.export(graph, (example, example.clone()), dynamic_shapes=(sizes, sizes))


def _width(model: SentenceTransformer) -> int:
    return max(17, int(model.max_seq_length or 512))


def _bytes(model: SentenceTransformer) -> int:
    return sum(one.numel() * 4 for one in model.parameters())


@contextmanager
def _silently() -> Iterator[None]:
    """Keep the notes of exporters, which are about their own insides, off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
