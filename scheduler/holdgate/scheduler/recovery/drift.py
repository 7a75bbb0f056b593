"""What a look over both records found: how far Redis and JetStream are apart, by kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from holdgate.kernel.ids import Tenant

NAMED_MAX = 50
"""Jobs and messages that a report names of each kind; all are counted."""


class Kind(StrEnum):
    """Of what is not as it should be."""

    MISSING = "missing"
    """In the log, not ended, and not in the state store: comes back as it entered."""
    MISSING_ENDED = "missing_ended"
    """In the log and ended, not in the state store: comes back as ended, with its result."""
    UNKNOWN_OUTCOME = "unknown_outcome"
    """In the log and not in the state store, from before endings were kept: comes back as failed."""
    BEHIND = "behind"
    """In the state store at an earlier state than the log of endings says: ends as it did."""
    UNLOGGED = "unlogged"
    """In the state store and not in the log: published again."""
    UNLOGGED_ENDING = "unlogged_ending"
    """Ended in the state store and not in the log of endings: published again."""
    MISPLACED = "misplaced"
    """A job that is in no place, or in another one than its state says: put where it belongs."""
    STRAY = "stray"
    """An index of the state store names a job that is not there: taken out."""
    BROKEN = "broken"
    """A message of the log that cannot be read: left where it is."""


MEANINGS = {
    Kind.MISSING: "jobs that the state store had lost and that had not ended",
    Kind.MISSING_ENDED: "ended jobs that the state store had lost",
    Kind.UNKNOWN_OUTCOME: "jobs of which nobody knows whether they ended: in the dead-letter list",
    Kind.BEHIND: "jobs that had ended, and in the state store had not",
    Kind.UNLOGGED: "jobs that the log had lost",
    Kind.UNLOGGED_ENDING: "endings that the log had lost",
    Kind.MISPLACED: "jobs that lay in no list of what is to be done, or in another one",
    Kind.STRAY: "entries of lists that named no job of theirs",
    Kind.BROKEN: "messages of the log that cannot be read, or jobs that cannot be stored",
}
"""For people."""


@dataclass(slots=True)
class Drift:
    """What one look found. `mended` says whether it was put right, or only looked at."""

    mended: bool
    was_lost: bool = False
    """The state store was older than the log, so hand-over was closed until the end of the look."""
    read_all: bool = True
    """Of the log, and not only what came since the last look."""
    counts: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    named: dict[Kind, list[str]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    jobs: int = 0
    endings: int = 0
    took_s: float = 0.0

    @property
    def total(self) -> int:
        """All kinds together."""
        return sum(self.counts.values())

    @property
    def mendable(self) -> int:
        """All that a look puts right."""
        return self.total - self.counts[Kind.BROKEN]

    def add(self, other: Drift) -> None:
        """What a look at a part of the log found."""
        self.jobs += other.jobs
        self.endings += other.endings
        for kind, names in other.named.items():
            self.counts[kind] += other.counts[kind]
            self.named[kind] = [*self.named[kind], *names][:NAMED_MAX]

    def note(self, kind: Kind, tenant: Tenant | str, name: str) -> None:
        """One more of `kind`, and where it is among the first, which."""
        self.counts[kind] += 1
        if len(self.named[kind]) < NAMED_MAX:
            self.named[kind].append(f"{tenant}/{name}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "mended": self.mended,
            "was_lost": self.was_lost,
            "jobs": self.jobs,
            "endings": self.endings,
            "took_s": round(self.took_s, 3),
            "drift": {str(kind): count for kind, count in self.counts.items()},
            "named": {str(kind): names for kind, names in self.named.items() if names},
        }
