"""What a documentation folder gives, as tables for the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from triptych.corpus.records import SPLITS
from triptych.inspection.inspection import Inspection, SourceInspection

_ROWS = 20  # categories that are shown
_EXAMPLES = 2  # links shown for each reason
_FACTOR = 2  # by which the time of a run may be off


def show_inspection(console: Console, found: Inspection) -> None:
    """Print what was read and left out, links, judgments, categories, and what to write into ``params.yaml``."""
    for source in found.sources:
        _show_source(console, source)
    console.print(_summary(found))
    if found.links["unknown_by_reason"]:
        console.print(_links(found))
    console.print(_judgments(found))
    console.print(_categories(found))
    for warning in found.warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    console.print("\nIn params.yaml (a folder under data/raw, so that changes are noticed):\n", markup=False)
    console.print(found.params, markup=False, soft_wrap=True)


def _show_source(console: Console, source: SourceInspection) -> None:
    table = _rows(source.path)
    if source.generator:
        table.add_row("generator", escape(f"{source.generator.name} ({source.generator.evidence})"))
    table.add_row("read as", source.format)
    table.add_row("files with text", f"{source.pages:,} of {sum(source.files.values()):,} files")
    table.add_row("sections or records", f"{source.read:,}: {source.accepted:,} with text, {source.merged:,} repeated")
    for name, counts in (
        ("left out", source.rejected),
        ("not read", source.left_out),
        ("normalized", source.normalized),
    ):
        if counts:
            items = (
                f"{number:,} {kind}" + (f" ({source.examples[kind]})" if kind in source.examples else "")
                for kind, number in counts.items()
            )
            table.add_row(name, escape(", ".join(items)))
    for note in source.notes:
        table.add_row("note", escape(note))
    console.print(table)


def _summary(found: Inspection) -> Table:
    table, lengths, links, time = _rows("together"), found.lengths, found.links, found.run_time
    table.add_row("chunks", f"{found.chunks:,} in {found.documents:,} documents; language {found.language}")
    table.add_row(
        "passages",
        f"median {lengths.median_characters:,} characters, {lengths.median_tokens:,} tokens;"
        f" {lengths.truncated:.0%} are longer than max_length {lengths.max_length}",
    )
    table.add_row(
        "",
        f"{lengths.max_windows} windows see {lengths.seen:.0%} of their text, BM25 all; to see all takes"
        f" {1 / max(lengths.seen, 0.01):.1f} times the encoding (tokenize.max_windows: auto)"
        if lengths.seen < 1.0
        else "vectors and BM25 see all of their text",
    )
    table.add_row("", f"tokens of {lengths.passages:,} passages, by {lengths.counted_by}")
    resolved = f" ({links['kept'] / links['found']:.0%})" if links["found"] else ""
    table.add_row(
        "links",
        f"{links['found']:,} here, {links['kept']:,} resolved{resolved}; {links['external']:,} lead elsewhere",
    )
    table.add_row("shares", ", ".join(f"{split} {found.shares[split]:.0%}" for split in SPLITS) + " of the chunks")
    minutes = time.seconds / 60
    table.add_row(
        "a run",
        f"about {minutes:.0f} minutes, {minutes / _FACTOR:.0f} to {minutes * _FACTOR:.0f}, with the default model"
        " on this machine's CPU, as busy as it is now",
    )
    table.add_row(
        "",
        f"from {time.trained:,} texts to train and {time.encoded:,} to encode, and {time.operations / 1e9:.0f}"
        " billion float32 operations a second, measured now",
    )
    table.add_row("this took", f"{found.seconds:.1f} s")
    return table


def _links(found: Inspection) -> Table:
    table = Table(title="Links that do not resolve", title_justify="left")
    table.add_column("reason")
    table.add_column("links", justify="right")
    table.add_column("examples")
    reasons = sorted(found.links["unknown_by_reason"].items(), key=lambda one: (-one[1], one[0]))
    for reason, number in reasons:
        examples = found.links["unknown_examples"].get(reason, [])[:_EXAMPLES]
        table.add_row(reason, f"{number:,}", escape("\n".join(examples)))
    return table


def _judgments(found: Inspection) -> Table:
    learned = "too few to learn from: all judge" if found.judge_only else "those in train are learned"
    table = Table(title=f"Judgments ({learned})", title_justify="left")
    for name in ("kind", "found", "used", *SPLITS):
        table.add_column(name, justify="left" if name == "kind" else "right")
    table.add_column("left out")
    kinds = dict.fromkeys([*found.judgments, *(kind for of_split in found.queries.values() for kind in of_split)])
    for kind in kinds:
        judged = found.judgments.get(kind, {"found": 0, "used": 0, "dropped": {}})
        dropped = sorted(judged["dropped"].items(), key=lambda one: (-one[1], one[0]))
        reasons = ", ".join(f"{number:,} {reason.replace('_', ' ')}" for reason, number in dropped)
        by_split = (f"{found.queries[split].get(kind, 0):,}" for split in SPLITS)
        note = "made of headings and sentences: no proof" if kind == "pseudo" else reasons
        table.add_row(kind, f"{judged['found']:,}", f"{judged['used']:,}", *by_split, note)
    return table


def _categories(found: Inspection) -> Table:
    table = Table(title="Categories, and their queries", title_justify="left")
    for name in ("category", "chunks", *SPLITS):
        table.add_column(name, justify="left" if name == "category" else "right")
    table.add_column("judged")
    ordered = sorted(found.categories, key=lambda one: (-one.chunks, one.name))
    for one in ordered[:_ROWS]:
        queries = (str(one.queries[split]) for split in SPLITS)
        table.add_row(escape(one.name), f"{one.chunks:,}", *queries, "alone" if one.alone else "with other small ones")
    if rest := ordered[_ROWS:]:
        queries = (str(sum(one.queries[split] for one in rest)) for split in SPLITS)
        alone = sum(one.alone for one in rest)
        chunks = sum(one.chunks for one in rest)
        table.add_row(f"{len(rest)} more", f"{chunks:,}", *queries, f"{alone} of them alone")
    return table


def _rows(title: str) -> Table:
    table = Table(title=escape(title), title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
