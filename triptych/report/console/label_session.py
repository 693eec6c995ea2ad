"""The dialog of ``triptych label``: show a chunk, ask for a question, show the search's hits, mark other answers."""

from collections.abc import Callable

import typer
from rich.console import Console
from rich.text import Text

from triptych.corpus.cleaning import one_line
from triptych.corpus.records import Chunk
from triptych.evaluation.label_journal import Journal, Label, next_chunk
from triptych.report.passage_text import shortened

_STOP = "q"
_CONTENT = 1500  # characters shown of the chunk ...
_HIT = 160  # ... and of a hit


def label_chunks(
    console: Console,
    chunks: list[Chunk],
    journal: Journal,
    answered: frozenset[str],
    search: Callable[[str], list[str]],
    seed: int,
) -> None:
    """Ask for a question to one chunk after another, until the person stops or no chunk is left.

    ``search`` returns the ids of the best chunks for a question, best first.
    """
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    journal.write()  # the last session may have been killed before it wrote them
    while (chunk := next_chunk(chunks, journal.labels, answered, seed)) is not None:
        console.rule(Text(f"{chunk.category} · {chunk.filename} · {_name(chunk)}"))
        console.print(Text(shortened(chunk.content, _CONTENT)))
        console.rule()
        try:
            question = one_line(_typed(f"A question it answers (Enter: skip this chunk, {_STOP}: stop)")) or ""
            if question == _STOP:
                return
            others = _ask_for_more(console, chunk, search(question), by_id) if question else ()
        except typer.Abort:  # end of input or Ctrl-C; earlier labels are kept
            return
        journal.add(Label(chunk.chunk_id, question, (chunk.chunk_id, *others) if question else (), chunk.split))


def _ask_for_more(console: Console, chunk: Chunk, hits: list[str], by_id: dict[str, Chunk]) -> tuple[str, ...]:
    """Show the hits and return the other chunks that the person marks as answers."""
    for rank, one in enumerate(hits, start=1):
        mark, text = "→" if one == chunk.chunk_id else " ", " ".join(by_id[one].content.split())
        console.print(Text(f"{mark}{rank:3} {_name(by_id[one])}: {shortened(text, _HIT)}"))
    rank_of_chunk = f"at rank {hits.index(chunk.chunk_id) + 1}" if chunk.chunk_id in hits else "not among them"
    console.print(f"These are the current search's hits; your chunk is {rank_of_chunk}.")
    while True:
        typed = _typed("Others that answer it too, by number (Enter: none)")
        numbers = typed.replace(",", " ").split()
        if all(number.isdecimal() and 1 <= int(number) <= len(hits) for number in numbers):
            marked = dict.fromkeys(hits[int(number) - 1] for number in numbers)
            return tuple(one for one in marked if one != chunk.chunk_id)
        console.print(f"Numbers from 1 to {len(hits)}, please, separated by spaces; got {typed!r}.")


def _typed(prompt: str) -> str:
    return str(typer.prompt(prompt, default="", show_default=False))


def _name(chunk: Chunk) -> str:
    return " > ".join(chunk.header_path) or chunk.title or chunk.chunk_id
