"""What the load knows of the jobs that it made: as much as it needs to act on them, and bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random  # noqa: TID251  a seeded one comes in as an argument

KNOWN_MAX = 20_000
RECENT = 200
"""Acts are mostly about jobs that are young: those are on their way."""


@dataclass(frozen=True, slots=True)
class KnownJob:
    """A job that was answered 202, who sent it, and as what kind."""

    job_id: str
    tenant: str
    owner: str
    kind: str


class Known:
    """The newest jobs by id."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, KnownJob] = OrderedDict()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: KnownJob) -> None:
        """Remember; the oldest is forgotten where there are too many."""
        self._jobs[job.job_id] = job
        if len(self._jobs) > KNOWN_MAX:
            self._jobs.popitem(last=False)

    def kind_of(self, job_id: str) -> str | None:
        """None for a job that is not known: its reply was lost."""
        found = self._jobs.get(job_id)
        return None if found is None else found.kind

    def owner_of(self, job_id: str) -> str | None:
        """Name of the voice that sent it."""
        found = self._jobs.get(job_id)
        return None if found is None else found.owner

    def some(self, chance: Random, tenant: str, kinds: Iterable[str] = ()) -> KnownJob | None:
        """One of the young ones of `tenant`; of `kinds` where some are named."""
        wanted = frozenset(kinds)
        young: list[KnownJob] = []
        for job in reversed(self._jobs.values()):
            if job.tenant == tenant and (not wanted or job.kind in wanted):
                young.append(job)
            if len(young) == RECENT:
                break
        return chance.choice(young) if young else None
