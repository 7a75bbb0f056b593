"""Live decisions compared with what candidates would have decided: counted, sampled, and nothing else.

What always holds: taking note of a decision costs the same however much waits, and what does not fit is dropped and
counted; comparing takes at most a small share of the time of its process and so many decisions a second; whatever goes
wrong in a comparison is a count. A decision is compared only with candidates that stand on the same set of bundles as
the policy that made it. Samples hold no payload and no prompt.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from holdgate.bundles import metrics
from holdgate.bundles.comparison import Outcome, compare_decisions, is_certain
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import Digest, Tenant
from holdgate.kernel.policy import Policy
from holdgate.kernel.records import Decision, Job

SAMPLES_MAX = 20
SMALL_BYTES = 4096
"""A larger payload is let go of at once where no candidate looks at it."""


@dataclass(frozen=True, slots=True)
class ShadowLimits:
    """What comparing may cost. `share` is of the time of the process, `queue_bytes_max` is of payloads."""

    queue_max: int = 1024
    queue_bytes_max: int = 8 * 1024 * 1024
    share: float = 0.05
    rate_max: int = 2000
    """Decisions a second."""
    slice_s: float = 0.001
    """After so long comparing pauses. A single decision may take longer, and the pause is longer then."""
    decision_s_max: float = 0.025
    """Of a processor. A candidate that takes longer for one decision is asked no more: nobody is answered meanwhile."""
    again_s: float = 60.0
    """After so long another candidate of that name is asked."""
    tenants_max: int = 200
    """Tenants that are counted by themselves; decisions of others are in the totals only."""


class Seen(StrEnum):
    """What became of a live decision that was not compared."""

    FAILED = "failed"
    DROPPED = "dropped"
    SKIPPED = "skipped"
    """The candidate looks at a payload that the kernel was not given."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A verified bundle on top of the set in force."""

    name: str
    version: int
    digest: Digest
    signers: tuple[str, ...]
    policy: Policy
    expires_ms: int


@dataclass(slots=True)
class Tally:
    """A candidate, and what was found about it since it is looked at."""

    candidate: Candidate
    tenants_max: int
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By phase and outcome."""
    by_tenant: dict[Tenant, Counter[tuple[str, str]]] = field(default_factory=dict)
    samples: deque[dict[str, object]] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))

    def count(self, tenant: Tenant, phase: str, outcome: str) -> None:
        """Here, and in the metrics of the process."""
        self.counts[phase, outcome] += 1
        if tenant in self.by_tenant or len(self.by_tenant) < self.tenants_max:
            self.by_tenant.setdefault(tenant, Counter())[phase, outcome] += 1
        metrics.SHADOW.labels(phase, outcome).inc()

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        candidate = self.candidate
        return {
            "name": candidate.name,
            "version": candidate.version,
            "digest": candidate.digest,
            "signers": list(candidate.signers),
            "counts": _by_phase(self.counts),
            "tenants": {tenant: _by_phase(counts) for tenant, counts in sorted(self.by_tenant.items())},
            "samples": list(self.samples),
        }


def _by_phase(counted: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for (phase, outcome), count in sorted(counted.items()):
        counts.setdefault(str(phase), {})[str(outcome)] = count
    return counts


@dataclass(frozen=True, slots=True)
class _Slow:
    """What took too long for a decision, and when another one of its name is asked, by the monotonic clock."""

    digest: Digest
    until_s: float


class LiveComparison:
    """A queue of live decisions and the candidates that they are compared with. On one event loop."""

    def __init__(self, limits: ShadowLimits | None = None) -> None:
        self._limits = limits or ShadowLimits()
        self._queue: deque[tuple[Job, Decision]] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._base: Digest | None = None
        self._tallies: dict[str, Tally] = {}
        self._slow: dict[str, _Slow] = {}
        self._reads_payload = False

    def use(self, base: Digest | None, candidates: Mapping[str, Candidate]) -> None:
        """Compare decisions made under the snapshot `base` with these from now on.

        What is known of a candidate stays as long as its content does; what waits is dropped where `base` is another.
        """
        if base != self._base:
            self._drop_all()
        self._base = base
        self._tallies = {name: self._tally(candidate) for name, candidate in candidates.items()}
        now_s = time.monotonic()
        self._slow = {name: slow for name, slow in self._slow.items() if name in candidates or now_s < slow.until_s}
        self._reads_payload = any("payload" in candidate.policy.reads for candidate in candidates.values())

    @property
    def waiting(self) -> int:
        """How many decisions wait to be compared."""
        return len(self._queue)

    def offer(self, job: Job, decision: Decision) -> None:
        """Take note of a decision, or drop and count it."""
        if not self._tallies:
            return
        if decision.snapshot != self._base:
            self._count_dropped(job.tenant, decision)
            return
        size = 0 if job.payload is None else len(job.payload)
        if size > SMALL_BYTES and not self._reads_payload:
            job, size = job.with_payload(None), 0
        if len(self._queue) >= self._limits.queue_max or self._bytes + size > self._limits.queue_bytes_max:
            self._count_dropped(job.tenant, decision)
            return
        self._queue.append((job, decision))
        self._bytes += size
        self._filled.set()

    async def run(self) -> None:
        """Compare what comes, for ever, a slice at a time and never more than the limits let."""
        limits = self._limits
        while True:
            await self._filled.wait()
            started = time.perf_counter()
            done = self.compare_some()
            taken_s = time.perf_counter() - started
            await asyncio.sleep(max(taken_s * (1 / limits.share - 1), done / limits.rate_max))

    def compare_some(self) -> int:
        """Compare waiting decisions until the time of a slice is over; how many, at least one where any waits."""
        until = time.perf_counter() + self._limits.slice_s
        done = 0
        while self._queue:
            job, decision = self._queue.popleft()
            self._bytes -= 0 if job.payload is None else len(job.payload)
            for tally in self._tallies.values():
                self._compare(tally, job, decision)
            done += 1
            if time.perf_counter() >= until:
                break
        if not self._queue:
            self._filled.clear()
        return done

    def status(self, name: str) -> dict[str, object]:
        """What was found about the candidate `name`."""
        return self._tallies[name].as_dict()

    def is_too_slow(self, name: str) -> bool:
        """Whether the candidate `name`, or one of that name a short while ago, takes too long to be asked."""
        slow = self._slow.get(name)
        if slow is None:
            return False
        return slow.digest == self._tallies[name].candidate.digest or time.monotonic() < slow.until_s

    def _compare(self, tally: Tally, job: Job, decision: Decision) -> None:
        name = tally.candidate.name
        if name in self._slow and self.is_too_slow(name):
            tally.count(job.tenant, decision.phase, Seen.DROPPED)
            return
        started = time.thread_time()
        _compare(tally, job, decision)
        if time.thread_time() - started > self._limits.decision_s_max:
            self._slow[name] = _Slow(tally.candidate.digest, time.monotonic() + self._limits.again_s)

    def _tally(self, candidate: Candidate) -> Tally:
        known = self._tallies.get(candidate.name)
        if known is None or known.candidate.digest != candidate.digest:
            return Tally(candidate, self._limits.tenants_max)
        known.candidate = candidate
        return known

    def _drop_all(self) -> None:
        for job, decision in self._queue:
            self._count_dropped(job.tenant, decision)
        self._queue.clear()
        self._bytes = 0
        self._filled.clear()

    def _count_dropped(self, tenant: Tenant, decision: Decision) -> None:
        for tally in self._tallies.values():
            tally.count(tenant, decision.phase, Seen.DROPPED)


def _compare(tally: Tally, job: Job, decision: Decision) -> None:
    try:
        outcome = _outcome(tally, job, decision)
    except Exception:  # noqa: BLE001  whatever a candidate makes fail is a count and touches nothing
        outcome = Seen.FAILED
    tally.count(job.tenant, decision.phase, outcome)


def _outcome(tally: Tally, job: Job, before: Decision) -> str:
    policy = tally.candidate.policy
    after = evaluate(policy, job, now_ms=before.decided_ms, phase=before.phase, job_hash=before.job_hash)
    if job.payload is None and not is_certain(policy, job, after, _PAYLOAD):
        return Seen.SKIPPED
    outcome, differs = compare_decisions(before, after, job, now=policy)
    if outcome is not Outcome.SAME:
        tally.samples.append(_sample(job, before, after, outcome, differs))
    return outcome


def _sample(
    job: Job, before: Decision, after: Decision, outcome: Outcome, differs: tuple[str, ...]
) -> dict[str, object]:
    return {
        "tenant": job.tenant,
        "job_id": job.job_id,
        "topic": job.topic,
        "phase": str(before.phase),
        "outcome": str(outcome),
        "before": str(before.verdict),
        "after": str(after.verdict),
        "rules_before": list(before.deciding[:RULES_SHOWN_MAX]),
        "rules_after": list(after.deciding[:RULES_SHOWN_MAX]),
        "differs": list(differs),
        "decided_at": rfc3339(before.decided_ms),
    }


RULES_SHOWN_MAX = 5
_PAYLOAD = frozenset({"payload"})
