"""The passage of a chunk, which is embedded and indexed: its content below its header path, by a template."""

from triptych.corpus.records import Chunk


def passage(chunk: Chunk, template: str) -> str:
    r"""Return the text of a chunk that is embedded and searched.

    >>> chunk = Chunk("a", "api", "list.md", ("List", "sort"), "sort", "Sorts in place.", "list.md:1")
    >>> passage(chunk, "{header_path}\n{content}")
    'List > sort\nSorts in place.'
    """
    header_path = " > ".join(chunk.header_path)
    text = template.format(category=chunk.category, header_path=header_path, title=chunk.title, content=chunk.content)
    return text.strip()
