"""Export the published embedder: graph, int8 weights, tokenizer and a record, after each file was compared with it."""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from triptych.artifacts import dvc_hash, write_json, write_text, writing
from triptych.corpus.embedded_text import framed_passage
from triptych.corpus.records import read_chunks, read_qrels, read_queries
from triptych.encoding.text_encoder import Role, TextEncoder, load_sides, prompt_of
from triptych.errors import UserError
from triptych.exporting.graph import FILES, INPUTS, OUTPUT, Format, write_graph, write_int8
from triptych.exporting.parity import Parity, Sample, compare
from triptych.exporting.runtimes import ExportedEncoder

RECORD, CARD = "export.json", "README.md"
_NEEDS = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "openvino": ("openvino", "nncf")}
_MOST = 4000  # chunks that are compared, of a larger corpus the answers of dev and the first ones
_SIDES: tuple[Role, Role] = ("query", "document")


def export_embedder(
    embedder: Path,
    kind: Format,
    folder: Path,
    sample: Sample,
    vectors: Path,
    dimensions: int | None,
    report: Callable[[str], object],
) -> dict[str, Any]:
    """Write an embedder in float32 and int8 into ``folder``, which is replaced whole; return its record.

    Where queries alone were tuned, the folder has one for each side, ``query`` and ``document``. ``vectors`` is a cache
    of the published embedder's vectors. ``report`` is called with a line for each file. An int8 file that does not keep
    the vectors or the search of the published embedder is left out; raise `UserError` where the float32 one does not,
    or where a package is missing.
    """
    _require(kind)
    queries, passages = load_sides(embedder)
    size = int(queries.get_embedding_dimension() or 0)
    if dimensions is not None and not 1 <= dimensions <= size:
        raise UserError(f"--dimensions: {dimensions}, but the vectors of {embedder} have {size}")
    published = _published(queries, passages, sample, vectors)
    models: dict[str, SentenceTransformer] = {"": queries}
    if queries is not passages:
        models = {"query": queries, "document": passages}
    with writing(folder) as out:
        files: dict[str, Path] = {}
        for side, model in models.items():
            (out / side).mkdir(exist_ok=True)
            _save_tokenizer(model, out / side)
            files[side] = write_graph(model, kind, out / side, dimensions)
        record: dict[str, Any] = {}
        for precision in ("float32", "int8"):
            if precision == "int8":
                files = {side: write_int8(kind, path) for side, path in files.items()}
            parity = compare(sample, published, _encoded(kind, files, queries, sample))
            problem = parity.problem(precision)
            if problem and precision == "float32":
                raise UserError(
                    f"{kind}: the exported model is not the published one: {problem}; {folder} is not written"
                )
            if problem:
                _remove(files)
            megabytes = sum(_bytes(path) for path in files.values()) / 1e6
            record[precision] = asdict(parity) | ({"left_out": problem} if problem else {"megabytes": megabytes})
            report(_line(precision, next(iter(files.values())).name, parity, megabytes, problem))
        settings = {
            "format": kind,
            "dimensions": dimensions or size,
            "max_length": queries.max_seq_length,
            "prompts": {side: prompt_of(queries, side) for side in ("query", "document")},
            "sides": list(models) if len(models) > 1 else [],
            "embedder": dvc_hash(embedder, CARD),
        }
        write_json(out / RECORD, settings | {"files": record})
        write_text(out / CARD, _card(kind, settings, int8="left_out" not in record["int8"]))
    return settings | {"files": record}


def read_sample(corpus: Path, text_template: str) -> Sample:
    """Read the chunks and dev queries of stage ``split``; raise `UserError` where dev has no query."""
    qrels = read_qrels(corpus / "qrels" / "dev.tsv")
    if not qrels:
        raise UserError(f"{corpus}: dev has no query, so search cannot be compared; see split.fractions")
    queries, chunks = read_queries(corpus), read_chunks(corpus / "chunks.parquet")
    answers = {one for judged in qrels.values() for one in judged}
    kept = sorted(range(len(chunks)), key=lambda row: (chunks[row].chunk_id not in answers, row))[:_MOST]
    chunks = [chunks[row] for row in sorted(kept)]
    return Sample(
        [chunk.chunk_id for chunk in chunks],
        [framed_passage(chunk, text_template).text for chunk in chunks],
        [queries[one] for one in qrels],
        qrels,
    )


def _published(
    queries: SentenceTransformer, passages: SentenceTransformer, sample: Sample, vectors: Path
) -> tuple[np.ndarray, np.ndarray]:
    encoder = TextEncoder(queries, "fp32", "export: the published embedder", passages)
    return encoder.passages(sample.passages, vectors), encoder.queries([one.text for one in sample.queries])


def _encoded(
    kind: Format, files: dict[str, Path], model: SentenceTransformer, sample: Sample
) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of passages and queries by exported files; ``model`` has the prompts."""
    paths = {side: files.get(side, files.get("")) for side in _SIDES}
    encoders = {
        side: ExportedEncoder(kind, path, prompt_of(model, side)) for side, path in paths.items() if path is not None
    }
    return encoders["document"].encode(sample.passages), encoders["query"].encode([one.text for one in sample.queries])


def _require(kind: Format) -> None:
    missing = [name for name in _NEEDS[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"export {kind} needs {', '.join(missing)}: pip install 'triptych[{kind}]'")


def _save_tokenizer(model: SentenceTransformer, folder: Path) -> None:
    """Write ``tokenizer.json``, which truncates and pads as the model's tokenizer does."""
    tokenizer = model.tokenizer
    if not tokenizer.is_fast:
        raise UserError(
            f"export: {type(tokenizer).__name__} has no tokenizer.json, without which no other program reads"
        )
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if model.max_seq_length:
        backend.enable_truncation(model.max_seq_length, direction=tokenizer.truncation_side)
    backend.enable_padding(
        direction=tokenizer.padding_side, pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token
    )
    backend.save(str(folder / "tokenizer.json"))


def _remove(files: dict[str, Path]) -> None:
    for path in files.values():
        for one in path.parent.glob(f"{path.stem}.*"):
            one.unlink()


def _bytes(path: Path) -> int:
    return sum(one.stat().st_size for one in path.parent.glob(f"{path.stem}.*"))


def _line(precision: str, name: str, parity: Parity, megabytes: float, problem: str | None) -> str:
    metrics = ", ".join(
        f"{metric} {parity.published[metric]:.3f} to {value:.3f}" for metric, value in parity.exported.items()
    )
    cut = ""
    if parity.whole != parity.published:
        cut = "; all dimensions have " + ", ".join(f"{metric} {value:.3f}" for metric, value in parity.whole.items())
    kept = f"left out: {problem}" if problem else f"{name}, {megabytes:.1f} MB"
    return (
        f"{precision}: cosine of {parity.texts} texts at least {parity.least_cosine:.4f}, on average"
        f" {parity.mean_cosine:.4f}; {parity.queries} dev queries: {metrics}{cut}; {kept}"
    )


_LOAD = {
    "onnx": """session = onnxruntime.InferenceSession("{file}")
(vectors,) = session.run(None, {{"{ids}": ids, "{mask}": mask}})""",
    "openvino": """model = openvino.compile_model("{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
vectors = model({{"{ids}": ids, "{mask}": mask}})["{output}"]""",
}


def _card(kind: Format, settings: dict[str, Any], *, int8: bool) -> str:
    """Return a README with the code that loads the export without Triptych."""
    library = "onnxruntime" if kind == "onnx" else "openvino"
    side = "query/" if settings["sides"] else ""
    names = dict(zip(("ids", "mask"), INPUTS, strict=True)) | {"output": OUTPUT, "file": f"{side}{FILES[kind]}"}
    prompts = settings["prompts"]
    lines = [
        f"# An embedder in {'ONNX' if kind == 'onnx' else 'OpenVINO'}, exported by Triptych",
        "",
        f"From token ids to unit vectors of {settings['dimensions']} dimensions; pooling and normalization are inside."
        f" {FILES[kind]} is float32{f', {Path(FILES[kind]).stem}_int8 has int8 weights' if int8 else ''}; {RECORD} says"
        " how they compare with the published embedder.",
        *(["", "Queries and passages have a model each, in `query` and `document`."] if side else []),
        "",
        "```python",
        f"import numpy as np\nimport {library}\nfrom tokenizers import Tokenizer",
        "",
        f'tokenizer = Tokenizer.from_file("{side}tokenizer.json")  # it truncates at {settings["max_length"]} tokens',
        f'encoded = tokenizer.encode_batch([{prompts["query"]!r} + "how do I join two tables on a key"])',
        "ids = np.array([one.ids for one in encoded])",
        "mask = np.array([one.attention_mask for one in encoded])",
        _LOAD[kind].format(**names),
        "```",
        "",
        f"Before queries: {prompts['query']!r}; before passages: {prompts['document']!r}.",
        "",
    ]
    return "\n".join(lines)
