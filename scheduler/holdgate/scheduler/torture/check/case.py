"""Everything that rules look at, read once: the case against a torture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from holdgate.scheduler.torture.bends import Bend, Bends
from holdgate.scheduler.torture.check.evidence import Evidence, Run
from holdgate.scheduler.torture.check.reading import Call, Seen, calls_of, seen_in, seen_in_streams, worker_pauses_of
from holdgate.scheduler.torture.check.trail import Fact, Trail, join
from holdgate.scheduler.torture.check.violation import Violation

FOUND_WITHIN_MS = 60_000
"""How long after a loss a recovery may still be at work on it, on a machine that does other things, too."""


@dataclass(frozen=True, slots=True)
class Excuses:
    """What declared faults excuse, and nothing else."""

    bends: Sequence[Bends] = ()

    def lost(self, since_ms: int, until_ms: int | None = None) -> bool:
        """Whether what was told between the two (or at the one) may be gone."""
        return self._any(Bend.LOST_WRITES, since_ms, since_ms if until_ms is None else until_ms)

    def lost_end(self, at_ms: int) -> bool:
        """Whether an end that was told then may be gone."""
        return any(
            item.bend is Bend.LOST_WRITES and max(item.since_ms, item.ends_since_ms) <= at_ms <= item.until_ms
            for item in self.bends
        )

    def lost_result(self, at_ms: int) -> bool:
        """Whether a result that came then may be gone before its verdict."""
        return self._any(Bend.LOST_RESULTS, at_ms, at_ms)

    def found_lost(self, at_ms: int) -> bool:
        """Whether a recovery may have found then that something was lost."""
        return self._any(Bend.LOST_WRITES, at_ms - FOUND_WITHIN_MS, at_ms)

    def wrong_clock(self, since_ms: int, until_ms: int, *who: str) -> bool:
        """Whether one of `who` (the begins of names of processes) had a wrong clock between the two."""
        return any(
            bends.bend is Bend.WRONG_CLOCK
            and bends.since_ms <= until_ms
            and since_ms <= bends.until_ms
            and (not bends.who or any(bends.who.startswith(name) or name.startswith(bends.who) for name in who))
            for bends in self.bends
        )

    def _any(self, bend: Bend, since_ms: int, until_ms: int) -> bool:
        return any(item.bend is bend and item.since_ms <= until_ms and since_ms <= item.until_ms for item in self.bends)


@dataclass
class Case:
    """The evidence with everything that is derived from it."""

    evidence: Evidence
    excuses: Excuses
    calls: list[Call]
    trails: dict[str, Trail] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    """By job, in order of their start."""
    contradictions: list[Violation] = field(default_factory=list)
    """Of the archive and what is still in Redis."""
    _pauses: list[tuple[int, int]] = field(default_factory=list)
    _calls_by_job: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, evidence: Evidence) -> Case:
        """The case made of `evidence`."""
        case = cls(evidence, Excuses(evidence.bends), calls_of(evidence.history))
        case._pauses += worker_pauses_of(evidence.history)
        for call in case.calls:
            case._calls_by_job[call.job_id].append(call)
        for tenant in sorted({*evidence.dumps, *evidence.archives}):
            archive, found = evidence.archives.get(tenant), evidence.dumps.get(tenant)
            live: list[Fact] = [] if found is None else [event.as_dict() for event in found.events]
            trail, contradictions = join(tenant, () if archive is None else archive.events, live)
            case.trails[tenant] = trail
            case.contradictions += contradictions
        for run in sorted(evidence.runs, key=lambda run: run.started_ms):
            case.runs[run.job_id].append(run)
        return case

    def paused_ms(self, since_ms: int, until_ms: int) -> int:
        """For how long between the two some worker was stopped: what it was about to start comes later by that."""
        return sum(max(0, min(until_ms, end) - max(since_ms, start)) for start, end in self._pauses)

    def events_of(self, tenant: str, job_id: str) -> Sequence[Fact]:
        """Audit events of a job, in order."""
        trail = self.trails.get(tenant)
        return () if trail is None else trail.of(job_id)

    def calls_about(self, job_id: str) -> tuple[str, ...]:
        """For the reader of a violation."""
        return tuple(map(str, self._calls_by_job.get(job_id, ())))

    def accepted(self) -> list[Call]:
        """Every submit that was answered 202."""
        return [call for call in self.calls if call.op == "submit" and call.http == 202]

    def seen(self) -> list[Seen]:
        """States in replies."""
        return list(seen_in(self.calls))

    def streams(self) -> list[list[Seen]]:
        """States in event streams, each stream by itself."""
        return list(seen_in_streams(self.evidence.history).values())
