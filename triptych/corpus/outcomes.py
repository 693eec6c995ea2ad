"""What readers yield, and the account of a source: every record met is accepted, merged or rejected."""

from collections import Counter
from dataclasses import dataclass, field

from triptych.corpus.files import BadFileError
from triptych.corpus.records import Chunk, Link
from triptych.errors import UserError

# Reasons that are no fault of the record: it has nothing to read.
NOTHING_TO_READ = frozenset({"no docstring", "empty section", "only links"})
_SHOWN = 3  # reasons


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was left out."""

    file: str
    record: int | str  # its number, its line, or its name in a package
    reason: str  # one of few, to be counted
    field: str  # "" where it is not one field
    detail: str  # the value

    def __str__(self) -> str:
        told = ": ".join(part for part in (self.field, self.detail) if part)
        return f"{self.file}:{self.record}" + (f", {told}" if told else "")


@dataclass(frozen=True, slots=True)
class Merged:
    """A record that says what an earlier one says."""

    chunk_id: str  # of the earlier one


Outcome = Chunk | Merged | Rejected | Link  # a link is no record; its ends may come before or after it


@dataclass(slots=True)
class SourceCounts:
    """What became of the records of one source. Readers count what they meet, whoever takes a record the rest."""

    path: str
    skip_bad_files: bool = False
    read: int = 0
    accepted: int = 0
    merged: int = 0
    links: int = 0
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    renamed: int = 0  # accepted under another id, since theirs was taken by another text
    normalized: Counter[str] = field(default_factory=Counter)  # texts (in a folder of pages: files) by kind of change
    fields: Counter[tuple[str, str]] = field(default_factory=Counter)  # records by our name of a field and theirs
    bad_files: list[str] = field(default_factory=list)
    examples: dict[str, Rejected] = field(default_factory=dict)  # the first by reason

    def reject(self, one: Rejected) -> None:
        """Count a record that was left out."""
        self.rejected[one.reason] += 1
        self.examples.setdefault(one.reason, one)

    def bad_file(self, error: BadFileError) -> None:
        """Note a file that is left out, or from its fault on; raise the error where that is not wanted."""
        if not self.skip_bad_files:
            raise UserError(f"{error}; or set ingest.on_bad_file: skip") from error
        self.bad_files.append(str(error))

    def close(self, max_rejected_share: float) -> None:
        """Check that nothing was lost; raise `UserError` if nothing is left, or too little.

        The share is that of faulty records among those with something to read.
        """
        if self.read != self.accepted + self.merged + self.rejected.total():
            raise RuntimeError(f"{self.path}: records were lost: {self}")
        if not self.accepted and not self.merged and not self.bad_files:
            raise UserError(
                f"ingest.sources: {self.path} has no usable record ({self.read} read"
                f"{': ' if self.read else ''}{self._reasons(self.rejected)}); check its path, format and ingest.fields"
            )
        faults = Counter({why: number for why, number in self.rejected.items() if why not in NOTHING_TO_READ})
        readable = self.read - (self.rejected.total() - faults.total())
        if faults.total() > max_rejected_share * readable:
            raise UserError(
                f"ingest: {faults.total()} of {readable} records of {self.path} are rejected, more than"
                f" ingest.max_rejected_share ({max_rejected_share:g}): {self._reasons(faults)};"
                " mend them or raise the share"
            )

    def _reasons(self, counted: Counter[str]) -> str:
        common = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
        return ", ".join(f"{number} {reason} ({self.examples[reason]})" for reason, number in common)

    def summary(self) -> dict[str, object]:
        """Return the account as it stands in the stage's metrics."""
        fields: dict[str, dict[str, int]] = {}
        for (ours, theirs), number in self.fields.items():
            fields.setdefault(ours, {})[theirs] = number
        return {
            "read": self.read,
            "accepted": self.accepted,
            "merged": self.merged,
            "rejected": dict(self.rejected),
            "renamed": self.renamed,
            "normalized": dict(self.normalized),
            "fields": fields,
            "bad_files": self.bad_files,
        }
