"""What readers yield, and the counts of a source: every record that is read is accepted, merged or rejected."""

from collections import Counter
from dataclasses import dataclass, field

from triptych.corpus.files import BadFileError
from triptych.corpus.records import Chunk, Link
from triptych.errors import UserError

# Reasons that are not errors: the record contains no text.
NOTHING_TO_READ = frozenset({"no docstring", "empty section", "only links", "cut into nodes"})
_SHOWN = 3  # reasons in a message
EXAMPLES = 10  # of links by reason


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that was left out."""

    file: str
    record: int | str  # its number, its line, or its name in a package
    reason: str  # one of a few, so that they can be counted
    field: str  # "" if the reason is not a single field
    detail: str  # usually the value

    def __str__(self) -> str:
        problem = ": ".join(part for part in (self.field, self.detail) if part)
        return f"{self.file}:{self.record}" + (f", {problem}" if problem else "")


@dataclass(frozen=True, slots=True)
class Merged:
    """A record with the same text as an earlier one."""

    chunk_id: str  # of the earlier record


Outcome = Chunk | Merged | Rejected | Link  # a link is not a record; its chunks may come before or after it


@dataclass(slots=True)
class SourceCounts:
    """Counts of the records of one source. Readers count ``read`` and changes, `SourceReader` everything else."""

    path: str
    skip_bad_files: bool = False
    read: int = 0
    accepted: int = 0
    merged: int = 0
    links: int = 0  # with a known target
    rejected: Counter[str] = field(default_factory=Counter)  # by reason
    renamed: int = 0  # accepted under a new id, because another text has theirs
    normalized: Counter[str] = field(
        default_factory=Counter
    )  # texts (or files, in a folder of pages) by kind of change
    fields: Counter[tuple[str, str]] = field(
        default_factory=Counter
    )  # records by (our name of a field, name in the record)
    bad_files: list[str] = field(default_factory=list)
    references: Counter[str] = field(default_factory=Counter)  # links of pages by what became of them, apart from below
    unknown_targets: Counter[str] = field(default_factory=Counter)  # links of pages by the reason
    unknown_examples: dict[str, list[str]] = field(default_factory=dict)  # distinct ones by the reason
    pages: int = 0  # files that are read, of a folder
    left_out: Counter[str] = field(default_factory=Counter)  # files of other kinds by suffix, and linked folders
    editions: list[str] = field(default_factory=list)  # which versions and languages were taken, as sentences
    examples: dict[str, Rejected] = field(default_factory=dict)  # the first rejected record by reason

    def reject(self, rejected: Rejected) -> None:
        """Count a rejected record."""
        self.rejected[rejected.reason] += 1
        self.examples.setdefault(rejected.reason, rejected)

    def unknown_target(self, reason: str, link: str) -> None:
        """Count a link whose target is not known."""
        self.unknown_targets[reason] += 1
        examples = self.unknown_examples.setdefault(reason, [])
        if len(examples) < EXAMPLES and link not in examples:
            examples.append(link)

    def bad_file(self, error: BadFileError) -> None:
        """Record a file that is skipped from its first error on; raise the error unless bad files are skipped."""
        if not self.skip_bad_files:
            raise UserError(f"{error}; or set ingest.on_bad_file: skip") from error
        self.bad_files.append(str(error))

    def close(self, max_rejected_share: float) -> None:
        """Check the counts; raise `UserError` if no record is usable or the share of rejected records is too high.

        Records without text count neither as rejected nor in the total of this share.
        """
        if self.read != self.accepted + self.merged + self.rejected.total():
            raise RuntimeError(f"{self.path}: records were lost: {self}")
        if not self.accepted and not self.merged and not self.bad_files:
            raise UserError(
                f"ingest.sources: {self.path} has no usable record ({self.read} read"
                f"{': ' if self.read else ''}{self._reasons(self.rejected)}); check its path, format and ingest.fields"
            )
        faulty = Counter({reason: n for reason, n in self.rejected.items() if reason not in NOTHING_TO_READ})
        readable = self.read - (self.rejected.total() - faulty.total())
        if faulty.total() > max_rejected_share * readable:
            raise UserError(
                f"ingest: {faulty.total()} of {readable} records of {self.path} are rejected, more than"
                f" ingest.max_rejected_share ({max_rejected_share:g}): {self._reasons(faulty)};"
                " fix them or raise the share"
            )

    def _reasons(self, reasons: Counter[str]) -> str:
        """Format the most common reasons with an example of each."""
        common = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
        return ", ".join(f"{number} {reason} ({self.examples[reason]})" for reason, number in common)

    def summary(self) -> dict[str, object]:
        """Return the counts as the metrics of the stage contain them."""
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
            "left_out": dict(sorted(self.left_out.items())),
        } | ({"editions": self.editions} if self.editions else {})
