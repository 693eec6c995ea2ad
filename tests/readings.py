"""The outcomes of a reader, sorted by kind."""

from dataclasses import dataclass, field

from triptych.corpus.outcomes import Merged, Rejected, SourceCounts
from triptych.corpus.records import Chunk, Link
from triptych.params.sections import Source


@dataclass
class Reading:
    counts: SourceCounts
    chunks: list[Chunk] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    merged: int = 0

    def reasons(self):
        """Return position, reason, field and detail of each rejected record."""
        return [(f"{one.file}:{one.record}", one.reason, one.field, one.detail) for one in self.rejected]


def collected(outcomes, counts):
    """Sort the outcomes of a reader, and check that it counted each record."""
    reading = Reading(counts)
    for one in outcomes:
        if isinstance(one, Chunk):
            reading.chunks.append(one)
        elif isinstance(one, Link):
            reading.links.append(one)
        elif isinstance(one, Rejected):
            reading.rejected.append(one)
        else:
            assert isinstance(one, Merged)
            reading.merged += 1
    assert counts.read == len(reading.chunks) + len(reading.rejected) + reading.merged
    return reading


def read_from(reader, path, category=None, skip_bad_files=False, **settings):
    """Run a reader of a folder or of a package."""
    counts = SourceCounts(str(path), skip_bad_files)
    return collected(reader(Source(path=str(path), category=category, **settings), counts), counts)
