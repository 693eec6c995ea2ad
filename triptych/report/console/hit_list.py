"""Search hits for the terminal: title, header path, a snippet with the question's words marked, scores."""

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from triptych.serving.searcher import Hit


def show_hits(console: Console, question: str, hits: list[Hit], *, explain: bool) -> None:
    """Print hits, best first; with ``explain`` the score of each search step. Texts of documents are never markup."""
    console.print(f"[bold]{escape(question)}[/bold]", highlight=False, soft_wrap=True)
    for rank, hit in enumerate(hits, start=1):
        chunk = hit.chunk
        console.print(Text.assemble(f"{rank:>3}. ", (chunk.title or chunk.chunk_id, "bold")), soft_wrap=True)
        where = " > ".join(chunk.header_path)
        console.print(Text(f"     {where}  ({chunk.category}, {chunk.filename})", "dim"), soft_wrap=True)
        shown = Text(hit.snippet.text)
        for start, end in hit.snippet.matches:
            shown.stylize("bold underline", start, end)
        console.print(Text("     ") + shown, soft_wrap=True)
        if explain:
            scores = ", ".join(f"{step} {score:.4f}" for step, score in hit.scores.items())
            console.print(Text(f"     {scores}", "dim"), soft_wrap=True)
    console.print()
