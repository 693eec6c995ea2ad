"""The text of a chunk that is embedded and indexed: its content under its header path, by a template."""

from triptych.corpus.records import Chunk


def passage(chunk: Chunk, template: str) -> str:
    """Return the text of a chunk that is embedded and searched."""
    header_path = " > ".join(chunk.header_path)
    text = template.format(category=chunk.category, header_path=header_path, title=chunk.title, content=chunk.content)
    return text.strip()
