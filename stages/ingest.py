"""Read every source into chunks and links.

``python -m stages.ingest --chunks data/chunks --metrics metrics/ingest.json``
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from stages.command import paths, print_line, run
from triptych.artifacts import write_json, writing, writing_jsonl
from triptych.corpus.outcomes import SourceCounts
from triptych.corpus.readers.sources import SourceReader
from triptych.corpus.records import write_chunks, write_links
from triptych.params.load import load_params
from triptych.progress import followed


def main(argv: list[str] | None = None) -> None:
    """Read, cut what is too long, write chunks, links and what was rejected."""
    args = paths(__doc__, "chunks", "metrics", argv=argv)
    params = load_params().ingest
    for source in params.sources:
        if source.format != "package" and not Path(source.path).resolve().is_relative_to(Path("data/raw").resolve()):
            print_line(f"ingest: `dvc repro` does not see changes in {source.path}; it does under data/raw")
    intake = SourceReader(params)
    with writing(args.chunks) as out, writing_jsonl(out / "rejected.jsonl") as write_rejected:
        chunks = intake.chunks(lambda path, one: write_rejected({"source": path} | asdict(one)))
        write_chunks(out / "chunks.parquet", followed(chunks, "ingest", "chunks"))
        write_links(out / "links.parquet", list(intake.links()))
    written, found = intake.written, sum(account.links for account in intake.accounts)
    links = written.pop("links", 0)
    metrics = {
        "sources": {account.path: account.summary() for account in intake.accounts},
        "links": {"found": found, "kept": links, "target_unknown": found - links},
        **written,
    }
    write_json(args.metrics, metrics)
    for account in intake.accounts:
        _say_what_was_done(account)
    if written["longer_than_max"]:
        what = "fenced code, the row of a table or a word that is not cut"
        print_line(f"ingest: {written['longer_than_max']} chunks are longer than max_content_chars: {what}")
    total, rejected = Counter[str](), Counter[str]()
    for account in intake.accounts:
        total.update(read=account.read, accepted=account.accepted, merged=account.merged)
        rejected.update(account.rejected)
    reasons = ", ".join(f"{number} {reason}" for reason, number in rejected.most_common())
    print_line(
        f"ingest: {total['read']} records read = {total['accepted']} accepted + {total['merged']} merged"
        f" + {rejected.total()} rejected{f' ({reasons})' if reasons else ''}; {written['chunks']} chunks,"
        f" {links} links in {args.chunks}"
    )


def _say_what_was_done(account: SourceCounts) -> None:
    other = [f"{theirs} as {ours}" for ours, theirs in sorted(account.fields) if ours != theirs]
    told = {
        "fields taken": other,
        "normalized": [f"{number} {kind}" for kind, number in sorted(account.normalized.items()) if number],
        "skipped": account.bad_files,
    }
    if account.renamed:
        told["renamed"] = [f"{account.renamed} whose id another text has"]
    for what, lines in told.items():
        if lines:
            print_line(f"ingest: {account.path}: {what}: {', '.join(lines)}")


if __name__ == "__main__":
    run(main)
