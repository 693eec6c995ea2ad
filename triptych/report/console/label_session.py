"""The conversation of ``triptych label``: a chunk, the question it answers, what search finds for that, the rest."""

from collections.abc import Callable

import typer
from rich.console import Console
from rich.text import Text

from triptych.corpus.cleaning import one_line
from triptych.corpus.records import Chunk
from triptych.evaluation.label_journal import Journal, Label, next_chunk

_STOP = "q"
_CONTENT = 1500  # characters of a chunk that are shown, and of one that was found
_FOUND = 160


def hold(
    console: Console,
    chunks: list[Chunk],
    journal: Journal,
    answered: frozenset[str],
    search: Callable[[str], list[str]],
    seed: int,
) -> None:
    """Ask for a question to one chunk after the other, until the person stops or none is left.

    ``search`` gives the ids of the chunks that today's search finds for a question, best first.
    """
    by_id = {chunk.chunk_id: chunk for chunk in chunks}
    journal.write()  # a kill may have come between the last label and this
    while (chunk := next_chunk(chunks, journal.labels, answered, seed)) is not None:
        console.rule(Text(f"{chunk.category} · {chunk.filename} · {_name(chunk)}"))
        console.print(Text(_short(chunk.content, _CONTENT)))
        console.rule()
        try:
            question = one_line(_typed(f"A question it answers (Enter: another chunk, {_STOP}: stop)")) or ""
            if question == _STOP:
                return
            also = _ask_for_more(console, chunk, search(question), by_id) if question else ()
        except typer.Abort:  # the input ended, or Ctrl-C; what was answered is kept
            return
        journal.add(Label(chunk.chunk_id, question, (chunk.chunk_id, *also) if question else (), chunk.split))


def _ask_for_more(console: Console, chunk: Chunk, found: list[str], by_id: dict[str, Chunk]) -> tuple[str, ...]:
    """Show what search finds and return the other chunks that the person marks as answers."""
    for rank, one in enumerate(found, start=1):
        mark, said = "→" if one == chunk.chunk_id else " ", " ".join(by_id[one].content.split())
        console.print(Text(f"{mark}{rank:3} {_name(by_id[one])}: {_short(said, _FOUND)}"))
    here = f"at rank {found.index(chunk.chunk_id) + 1}" if chunk.chunk_id in found else "not among them"
    console.print(f"Today's search finds these; your chunk is {here}.")
    while True:
        typed = _typed("Others that answer it too, by number (Enter: none)")
        numbers = typed.replace(",", " ").split()
        if all(number.isdecimal() and 1 <= int(number) <= len(found) for number in numbers):
            marked = dict.fromkeys(found[int(number) - 1] for number in numbers)
            return tuple(one for one in marked if one != chunk.chunk_id)
        console.print(f"Numbers from 1 to {len(found)}, please, separated by spaces; {typed!r} is none.")


def _typed(prompt: str) -> str:
    return str(typer.prompt(prompt, default="", show_default=False))


def _name(chunk: Chunk) -> str:
    return " > ".join(chunk.header_path) or chunk.title or chunk.chunk_id


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length].rstrip()} …"
