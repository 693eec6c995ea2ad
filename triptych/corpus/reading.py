"""What a reader gives back: every record it met is a chunk, merged, or rejected with a reason."""

from collections import Counter
from dataclasses import dataclass, field

from triptych.corpus.records import Chunk, Link


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was left out."""

    source: str  # file and record
    reason: str  # one of few, to be counted
    detail: str  # the key and the value


@dataclass(slots=True)
class Reading:
    """The outcome of one source; ``read == len(chunks) + merged + len(rejected)``."""

    chunks: list[Chunk] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    merged: int = 0  # records equal to one already kept

    @property
    def read(self) -> int:
        """Number of records met."""
        return len(self.chunks) + self.merged + len(self.rejected)

    def rejected_by_reason(self) -> dict[str, int]:
        """Count the rejected records by reason."""
        return dict(sorted(Counter(one.reason for one in self.rejected).items()))
