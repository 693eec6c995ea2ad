"""The embedder and the triplets in formats that other programs read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from triptych.cli.options import CORPUS, VECTORS, check_folder
from triptych.cli.output import user_errors_as_messages
from triptych.errors import UserError


def export(
    what: Annotated[
        str, typer.Argument(help="onnx, openvino; or a .csv, a .parquet, a folder: the triplets", metavar="FORMAT")
    ],
    folder: Annotated[Path | None, typer.Argument(help="where onnx and openvino are written")] = None,
    source: Annotated[Path, typer.Option(help="of triplets: the round or profile")] = Path("data/triplets/embedder"),
    embedder: Annotated[Path, typer.Option(help="the published embedder")] = Path("models/embedder"),
    corpus: Annotated[Path, typer.Option(help="whose dev queries compare the export")] = CORPUS,
    dimensions: Annotated[
        int | None, typer.Option(help="dimensions to keep, from the first on; default: index.dimensions")
    ] = None,
) -> None:
    """Write the embedder in ONNX or OpenVINO, compared with the published one; or triplets for any other trainer."""
    if what in ("onnx", "openvino"):
        _export_embedder("onnx" if what == "onnx" else "openvino", folder, embedder, corpus, dimensions)
        return

    from triptych.triplets.exchange.import_export import export as write_flat

    with user_errors_as_messages():
        if folder is not None:
            raise UserError(f"{what!r} is not a format; expected onnx or openvino, or one path for the triplets")
        number = write_flat(source, Path(what))
    typer.echo(f"export: {number} triplets of {source.as_posix()}; {Path(what).as_posix()}")


def _export_embedder(
    kind: Literal["onnx", "openvino"], folder: Path | None, embedder: Path, corpus: Path, dimensions: int | None
) -> None:
    from triptych.exporting.export import export_embedder, read_sample
    from triptych.params.load import load_params

    with user_errors_as_messages():
        if folder is None:
            raise UserError(f"export {kind}: name the folder to write, such as models/{kind}")
        check_folder("--embedder", embedder, "modules.json")
        check_folder("--corpus", corpus, "chunks.parquet")
        params = load_params()
        sample = read_sample(corpus, params.triplets.text_template)
        size = dimensions if dimensions is not None else params.index.dimensions
        export_embedder(
            embedder, kind, folder, sample, VECTORS, size, lambda line: typer.echo(f"export {kind}: {line}")
        )
    typer.echo(f"export {kind}: {folder.as_posix()}")
