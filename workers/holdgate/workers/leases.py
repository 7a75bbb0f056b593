"""The leases a worker holds, shared between the loop that runs jobs and the thread that keeps them alive."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.clock import Clock
from holdgate.workers.cancellation import Cancellation, StopReason
from holdgate.workers.results import RunIdentity


@dataclass(slots=True)
class Lease:
    """One run's claim on its job. Ends when its result is acknowledged, or when the dispatcher says it is lost.

    `renew_until_ms`: a handler that blocks the loop far beyond its time limit cannot be stopped from here; its lease is
    no longer renewed then, so that somebody else gets the job. A run that ended is renewed until its result is out.
    """

    identity: RunIdentity
    stop: Cancellation
    renew_until_ms: int
    progress: float | None = None
    is_lost: bool = False
    has_ended: bool = False


class Leases:
    """All leases of this worker by job and attempt. Safe to use from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._leases: dict[tuple[str, int], Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def add(self, lease: Lease) -> None:
        """Hold `lease` from now on."""
        with self._lock:
            self._leases[lease.identity.job_id, lease.identity.attempt] = lease

    def remove(self, lease: Lease) -> None:
        """Let go of `lease`."""
        with self._lock:
            self._leases.pop((lease.identity.job_id, lease.identity.attempt), None)

    def to_renew(self) -> list[dict[str, Any]]:
        """What the next heartbeat says."""
        now_ms = self._clock.now_ms()
        with self._lock:
            held = list(self._leases.values())
        return [
            {
                "tenant": lease.identity.tenant,
                "job_id": lease.identity.job_id,
                "attempt": lease.identity.attempt,
                "token": lease.identity.token,
                "progress": lease.progress,
            }
            for lease in held
            if lease.has_ended or now_ms < lease.renew_until_ms
        ]

    def cancel(self, job_id: str) -> None:
        """Somebody cancelled the job."""
        for lease in self._of(job_id):
            lease.stop.set(StopReason.CANCELLED)

    def lose(self, job_id: str, attempts: Collection[int]) -> None:
        """The dispatcher no longer knows the leases of these attempts: stop them, let nothing of them count."""
        for lease in self._of(job_id):
            if lease.identity.attempt in attempts:
                lease.is_lost = True
                lease.stop.set(StopReason.LEASE_LOST)

    def stop_all(self, reason: StopReason) -> None:
        """Every handler is to stop."""
        with self._lock:
            held = list(self._leases.values())
        for lease in held:
            lease.stop.set(reason)

    def _of(self, job_id: str) -> list[Lease]:
        with self._lock:
            return [lease for (held, _), lease in self._leases.items() if held == job_id]
