"""Read all sources into chunks and links.

``python -m stages.ingest --chunks data/chunks --metrics metrics/ingest.json``
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from triptych.artifacts import write_json, writing, writing_jsonl
from triptych.corpus.link_counts import link_counts
from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.other_formats import unread_pages
from triptych.corpus.readers.sources import SourceReader
from triptych.corpus.records import write_chunks, write_links
from triptych.params.load import load_params
from triptych.progress import track

from .command import paths, print_line, run


def main(argv: list[str] | None = None) -> None:
    """Read the sources, cut long chunks, and write chunks, links and rejected records."""
    args = paths(__doc__, "chunks", "metrics", argv=argv)
    params = load_params().ingest
    reader = SourceReader(params)
    for source in params.sources:
        if source.format != "package" and not Path(source.path).resolve().is_relative_to(Path("data/raw").resolve()):
            print_line(f"ingest: `dvc repro` does not notice changes in {source.path}, only under data/raw")
    with writing(args.chunks) as out, writing_jsonl(out / "rejected.jsonl") as write_rejected:
        chunks = reader.chunks(lambda path, rejected: write_rejected({"source": path} | asdict(rejected)))
        write_chunks(out / "chunks.parquet", track(chunks, "ingest", "chunks"))
        write_links(out / "links.parquet", list(reader.links()))
    written = reader.written
    links = link_counts(reader.counts, written.pop("links", 0))
    sources = {counts.path: counts.summary() for counts in reader.counts}
    write_json(args.metrics, {"sources": sources, "links": links, **written})
    for counts in reader.counts:
        _print_changes(counts)
    _print_links(links)
    if written["longer_than_max"]:
        cause = "fenced code, a table row or a word, which are never cut"
        print_line(f"ingest: {written['longer_than_max']} chunks are longer than max_content_chars: {cause}")
    total, rejected = Counter[str](), Counter[str]()
    for counts in reader.counts:
        total.update(read=counts.read, accepted=counts.accepted, merged=counts.merged)
        rejected.update(counts.rejected)
    reasons = ", ".join(f"{number} {reason}" for reason, number in rejected.most_common())
    print_line(
        f"ingest: {total['read']} records read = {total['accepted']} accepted + {total['merged']} merged"
        f" + {rejected.total()} rejected{f' ({reasons})' if reasons else ''}; {written['chunks']} chunks,"
        f" {links['kept']} links in {args.chunks}"
    )


def _print_links(links: dict[str, Any]) -> None:
    """Print how many links have a target among the chunks, and why the others have none, with an example each."""
    if not links["found"]:
        return
    reasons = sorted(links["unknown_by_reason"].items(), key=lambda one: (-one[1], one[0]))
    examples = {reason: f" (such as {found[0]})" for reason, found in links["unknown_examples"].items()}
    unknown = ", ".join(f"{number} {reason}{examples.get(reason, '')}" for reason, number in reasons)
    print_line(
        f"ingest: {links['found']} links into the sources, {links['kept']} with a known target"
        f" ({links['kept'] / links['found']:.0%}){f'; unknown: {unknown}' if unknown else ''};"
        f" {links['external']} links lead elsewhere"
    )


def _print_changes(counts: SourceCounts) -> None:
    """Print which fields were used and what was normalized, skipped or renamed in a source."""
    changes = {
        "fields taken": [f"{theirs} as {ours}" for ours, theirs in sorted(counts.fields) if ours != theirs],
        "normalized": [f"{number} {kind}" for kind, number in sorted(counts.normalized.items()) if number],
        "not read": [f"{number} {kind}" for kind, number in sorted(counts.left_out.items()) if number],
        "warning": [warning] if (warning := unread_pages(counts.left_out, counts.pages)) else [],
        "skipped": counts.bad_files,
        "one of several editions": counts.editions,
    }
    if counts.renamed:
        changes["renamed"] = [f"{counts.renamed} whose id another text has"]
    for change, items in changes.items():
        if items:
            print_line(f"ingest: {counts.path}: {change}: {', '.join(items)}")


if __name__ == "__main__":
    run(main)
