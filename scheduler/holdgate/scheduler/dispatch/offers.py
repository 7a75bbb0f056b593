"""What workers ask for, and what the workers of a pool offer.

What always holds: an ask speaks for the worker and the pool of its subject; what is remembered of a pool is bounded,
whoever asks under whatever names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdgate.kernel import limits, topics, wire
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import JobId, Tenant, WorkerId
from holdgate.kernel.records import Job
from holdgate.scheduler.dispatch.fairness import FairShare
from holdgate.scheduler.state.backlog import NO_CAPABLE_WORKER

OFFERS_CHARS_MAX = 8 * 1024 * 1024
"""What is remembered of the offers of one pool: those that were heard last."""
ASK_BYTES_MAX = 64 * 1024
NAMES_CHARS = 256
"""An ask that names nothing, as it is counted."""
OFFERS_MAX = 256
"""Topic patterns, and capabilities, that one ask may name."""
INCAPABLE_DELAY_MS = 1_000
"""A job that no worker seen lately can do: how long it stays out of the way of those that can run."""
INCAPABLE_DELAY_MS_MAX = 30_000
"""Each time the delay doubles up to here, or there are so many that they are all that is ever looked at. A worker that
offers something new brings them back at once."""
OTHER_WORKER_DELAY_MS = 50
OTHER_WORKER_DELAY_MS_MAX = 1_000
PUT_OFFS_REMEMBERED_MAX = 100_000
PICK_MAX = 256
"""What one look takes at most, after looks of this worker that found only jobs for others; each takes fourfold."""
OFFER_S = 60.0
"""Longer than an ask stays open: a worker that is busy is not forgotten at once."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a worker asked: up to `n` jobs of `topics` (patterns) whose `requires` are among `capabilities`."""

    worker: WorkerId
    pool: str
    topics: tuple[str, ...]
    capabilities: frozenset[str]
    n: int
    wait_s: float

    @classmethod
    def from_message(cls, subject: str, data: bytes) -> Ask:
        """The ask in a message; InvalidInput when it is none, or speaks for another worker than its subject."""
        body = wire.unpack(data, bytes_max=ASK_BYTES_MAX)
        pool, worker = subject.split(".")[-2:]
        if body.get("worker") != worker or body.get("pool") != pool:
            raise InvalidInput("an ask names another worker or pool than its subject")
        n, wait_ms = body.get("n"), body.get("wait_ms", 0)
        if not (type(n) is int and 1 <= n <= limits.ASK_JOBS_MAX):
            raise InvalidInput(f"`n` must be from 1 to {limits.ASK_JOBS_MAX}")
        if not (type(wait_ms) is int and 0 <= wait_ms <= limits.ASK_WAIT_S_MAX * 1000):
            raise InvalidInput(f"`wait_ms` must be from 0 to {limits.ASK_WAIT_S_MAX * 1000}")
        patterns = names_of(body.get("topics"), "topics")
        for pattern in patterns:
            topics.verify_pattern(pattern)
        return cls(
            WorkerId(worker),
            pool,
            patterns,
            frozenset(names_of(body.get("capabilities"), "capabilities")),
            n,
            wait_ms / 1000,
        )

    @property
    def chars(self) -> int:
        """What it takes to remember."""
        return NAMES_CHARS + sum(map(len, self.topics)) + sum(map(len, self.capabilities))

    def offers_as(self, other: Ask) -> bool:
        """Whether both offer the same."""
        return self.topics == other.topics and self.capabilities == other.capabilities

    def can_do(self, job: Job) -> bool:
        """Whether the worker offers the job's topic and everything it requires."""
        return self.capabilities.issuperset(job.requires) and any(
            topics.matches(pattern, job.topic) for pattern in self.topics
        )


@dataclass(slots=True)
class Pool:
    """Turns of tenants, and what the workers that asked lately offer, with when they asked (loop time)."""

    fair: FairShare
    offers: dict[WorkerId, tuple[Ask, float]] = field(default_factory=dict)
    pruned_s: float = 0.0
    put_offs: dict[JobId, int] = field(default_factory=dict)
    """How often a job was put off because the worker that asked could not do it."""
    unwanted: set[Tenant] = field(default_factory=set)
    """Whose jobs were put off because nobody could do them."""
    has_new_offer: bool = False
    widths: dict[WorkerId, int] = field(default_factory=dict)
    chars: int = 0
    """Of all offers."""

    def note(self, ask: Ask, now_s: float) -> None:
        """Remember what `ask` offers; forget who asked last longer than `OFFER_S` ago."""
        before = self.offers.pop(ask.worker, None)
        self.chars -= 0 if before is None else before[0].chars
        if before is None or not before[0].offers_as(ask):
            self.has_new_offer |= not any(other.offers_as(ask) for other, _ in self.offers.values())
        self.offers[ask.worker] = (ask, now_s)
        self.chars += ask.chars
        while self.chars > OFFERS_CHARS_MAX:
            self._forget(next(iter(self.offers)))
        if now_s - self.pruned_s > OFFER_S:
            self.pruned_s = now_s
            for name in [name for name, offer in self.offers.items() if now_s - offer[1] > OFFER_S]:
                self._forget(name)
            self.widths = {name: width for name, width in self.widths.items() if name in self.offers}

    def _forget(self, worker: WorkerId) -> None:
        self.chars -= self.offers.pop(worker)[0].chars
        self.widths.pop(worker, None)

    def put_off(self, job: Job) -> tuple[str, int]:
        """Why `job` waits now, and how long in milliseconds: twice as long each time."""
        if len(self.put_offs) >= PUT_OFFS_REMEMBERED_MAX:
            self.put_offs.clear()
        times = self.put_offs.get(job.job_id, 0)
        self.put_offs[job.job_id] = times + 1
        if self.can_do(job):
            return "other_worker", min(OTHER_WORKER_DELAY_MS << min(times, 16), OTHER_WORKER_DELAY_MS_MAX)
        self.unwanted.add(job.tenant)
        return NO_CAPABLE_WORKER, min(INCAPABLE_DELAY_MS << min(times, 16), INCAPABLE_DELAY_MS_MAX)

    def widen(self, ask: Ask, *, has_suited: bool) -> None:
        """Let the next look of this worker take more, unless it found something."""
        self.widths[ask.worker] = 0 if has_suited else min(4 * self.width(ask), PICK_MAX)

    def width(self, ask: Ask) -> int:
        """How many jobs a look for `ask` takes."""
        return max(ask.n, self.widths.get(ask.worker, 0))

    def can_do(self, job: Job) -> bool:
        """Whether some worker that asked lately could do `job`."""
        return any(ask.can_do(job) for ask, _ in self.offers.values())


def names_of(values: Any, key: str) -> tuple[str, ...]:
    """Topics or capabilities as a worker names them under `key`; InvalidInput where they are none."""
    if not isinstance(values, list) or len(values) > OFFERS_MAX or not all(isinstance(item, str) for item in values):
        raise InvalidInput(f"`{key}` must be a list of at most {OFFERS_MAX} texts")
    return tuple(values)
