"""The passage of a chunk, which is embedded and indexed: its content below its header path, by a template."""

from dataclasses import dataclass

from triptych.corpus.records import Chunk


@dataclass(frozen=True, slots=True)
class FramedText:
    """A text with its content, which may be cut into windows, and what stands around it, which each window repeats."""

    before: str
    content: str
    after: str = ""

    @property
    def text(self) -> str:
        """The whole text."""
        return self.before + self.content + self.after


def passage(chunk: Chunk, template: str) -> str:
    r"""Return the text of a chunk that is embedded and searched.

    >>> chunk = Chunk("a", "api", "list.md", ("List", "sort"), "sort", "Sorts in place.", "list.md:1")
    >>> passage(chunk, "{header_path}\n{content}")
    'List > sort\nSorts in place.'
    """
    return _filled(chunk, template, chunk.content).strip()


def framed_passage(chunk: Chunk, template: str) -> FramedText:
    r"""Return the passage of a chunk in parts; all of it is content where the template does not have it in one piece.

    >>> chunk = Chunk("a", "api", "list.md", ("List", "sort"), "sort", "Sorts in place.", "list.md:1")
    >>> framed_passage(chunk, "{header_path}\n{content}")
    FramedText(before='List > sort\n', content='Sorts in place.', after='')
    """
    text, content = passage(chunk, template), chunk.content.strip()
    start = text.find(content, len(_filled(chunk, template.partition("{content}")[0], "").lstrip()))
    if start < 0 or not content:
        return FramedText("", text)
    return FramedText(text[:start], content, text[start + len(content) :])


def _filled(chunk: Chunk, template: str, content: str) -> str:
    header_path = " > ".join(chunk.header_path)
    return template.format(category=chunk.category, header_path=header_path, title=chunk.title, content=content)
