"""Read every source into chunks and links.

``python -m stages.ingest --chunks data/chunks --metrics metrics/ingest.json``
"""

from dataclasses import asdict
from pathlib import Path

from stages.command import paths, run, say
from triptych.artifacts import write_json, write_jsonl, writing
from triptych.corpus.records import write_chunks, write_links
from triptych.corpus.sectioning import cut
from triptych.corpus.sources import join, read_source
from triptych.params_file import load_params


def main(argv: list[str] | None = None) -> None:
    """Read, cut what is too long, write chunks, links and what was rejected."""
    args = paths(__doc__, "chunks", "metrics", argv=argv)
    params = load_params().ingest
    readings = [(source, read_source(source, params.fields)) for source in params.sources]
    corpus = join(readings)
    chunks = [part for chunk in corpus.chunks for part in cut(chunk, params.max_content_chars)]
    sources = {
        source.path: {
            "read": reading.read,
            "kept": len(reading.chunks),
            "merged": reading.merged,
            "rejected": reading.rejected_by_reason(),
        }
        for source, reading in readings
    }
    found = sum(len(reading.links) for _, reading in readings)
    metrics = {
        "sources": sources,
        "chunks": len(chunks),
        "parts_added": len(chunks) - len(corpus.chunks),
        "links": {"found": found, "kept": len(corpus.links), "target_unknown": found - len(corpus.links)},
    }
    for source in params.sources:
        if source.format != "package" and not Path(source.path).resolve().is_relative_to(Path("data/raw").resolve()):
            say(f"ingest: `dvc repro` does not see changes in {source.path}; it does under data/raw")
    with writing(args.chunks) as out:
        write_chunks(out / "chunks.parquet", chunks)
        write_links(out / "links.parquet", corpus.links)
        write_jsonl(out / "rejected.jsonl", (asdict(one) for one in corpus.rejected))
    write_json(args.metrics, metrics)
    say(
        f"ingest: {corpus.read} records read = {len(corpus.chunks)} kept + {corpus.merged} merged"
        f" + {len(corpus.rejected)} rejected; {len(chunks)} chunks, {len(corpus.links)} links in {args.chunks}"
    )


if __name__ == "__main__":
    run(main)
