"""What a checker is given. Plain data; collecting it is `torture.collect`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.check.dump import Dump
from holdgate.scheduler.torture.history import Event


@dataclass(frozen=True, slots=True)
class Closed:
    """A time in which nothing new may run, by the harness's clock: nobody was there to permit it. `why`: the fault."""

    since_ms: int
    until_ms: int
    why: str


@dataclass(frozen=True, slots=True)
class Probed:
    """Whether a job went through every API that was left while a fault held. `must`: others were there to do the work.

    `seconds` None: none did in `for_s`. `said`: what became of the last one.
    """

    why: str
    must: bool
    seconds: float | None
    for_s: float
    said: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a handler, as the worker's own journal tells; `permit_id` is of the permit that the worker verified.

    Times are the worker's clock. `ended_ms` None: no end was written, so the worker died in it, or still runs. `how`:
    `returned`, `raised`, `cancelled`.
    """

    tenant: str
    job_id: str
    attempt: int
    topic: str
    permit_id: str
    pid: int
    started_ms: int
    ended_ms: int | None = None
    how: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedJob:
    """An envelope in the stream JOBS."""

    seq: int
    tenant: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Ending:
    """A record in the stream ENDED: an end, or one that was undone. `seq`: of the audit event that says it."""

    seq: int
    tenant: str
    job_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Archive:
    """What the auditor archived of a tenant, with what the offline verification found in it."""

    events: Sequence[Mapping[str, Any]] = ()
    findings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Leak:
    """Something planted was found in `where`: a log, a page of metrics, an audit event, a store."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything of one torture, at rest. `dumps` and `archives` by tenant.

    `logged` and `endings` are None where the streams were not read. `settled`: the load had ended and everything was
    healed for long enough, so that nothing may be under way any more.
    """

    history: Sequence[Event]
    dumps: Mapping[str, Dump] = field(default_factory=dict)
    logged: Sequence[LoggedJob] | None = None
    endings: Sequence[Ending] | None = None
    archives: Mapping[str, Archive] = field(default_factory=dict)
    runs: Sequence[Run] = ()
    closed: Sequence[Closed] = ()
    probed: Sequence[Probed] = ()
    bends: Sequence[Bends] = ()
    leaks: Sequence[Leak] = ()
    secrets: Sequence[str] = ()
    """What was planted: none of it may be in any reply."""
    settled: bool = True
