"""The ends of runs on their way to the log.

What always holds: a lease is kept until the log has the result, or somebody else has the lease, or the worker ends;
whatever a handler left, there is a result to publish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.client import Client as Nats

from holdgate.kernel import subjects
from holdgate.kernel.batching import BatchPublisher, Publication
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Unavailable
from holdgate.workers import metrics
from holdgate.workers.beats import Introduction
from holdgate.workers.leases import Lease, Leases
from holdgate.workers.results import HEADER_MESSAGE_ID, RunError, RunOutcome, RunResult, message_of

_log = structlog.get_logger("holdgate.worker")

HEADER_BYTES_MAX = 2_048
"""Room for the headers of a result in what NATS carries."""
RETRY_S_MIN = 0.1
RETRY_S_MAX = 2.0
"""Between tries while the log is away."""


class Reports:
    """Publishes results. `on_change` is called when there is one less to wait for."""

    def __init__(
        self, nc: Nats, introduction: Introduction, leases: Leases, clock: Clock, on_change: Callable[[], None]
    ) -> None:
        self._nc = nc
        self._me = introduction
        self._leases = leases
        self._clock = clock
        self._on_change = on_change
        self._publisher = BatchPublisher(nc)
        self._waiting = 0
        self._gives_up = False

    @property
    def waiting(self) -> int:
        """Results that the log has not acknowledged yet."""
        return self._waiting

    def give_up(self) -> None:
        """Publish nothing more than is being published: the worker ends."""
        self._gives_up = True

    async def close(self) -> None:
        """Publish nothing more; idempotent."""
        await self._publisher.close()

    async def report(self, lease: Lease, result: RunResult) -> None:
        """Publish until the log has it; give up only when the lease is lost or the worker ends."""
        self._waiting += 1
        metrics.UNPUBLISHED.inc()
        delay_s = RETRY_S_MIN
        try:
            publication = self._publication(lease, result)
            while not (lease.is_lost or self._gives_up):
                try:
                    await self._publisher.publish(publication)
                except Unavailable as error:
                    _log.warning("a result is not in the log yet", action="result_retry", error=error.code)
                    await asyncio.sleep(delay_s)
                    delay_s = min(delay_s * 2, RETRY_S_MAX)
                else:
                    return
        finally:
            self._waiting -= 1
            metrics.UNPUBLISHED.dec()
            self._leases.remove(lease)
            self._on_change()

    def fault(self, lease: Lease, error: Exception) -> RunResult:
        """The end of a run that this worker could not bring to a proper one; its texts may be a handler's."""
        kind, job_id = type(error).__name__, lease.identity.job_id
        _log.error("a run could not be ended properly", action="run_fault", error=kind, job_id=job_id)
        now_ms = self._clock.now_ms()
        problem = RunError(kind, "the worker could not end the run properly")
        return RunResult(RunOutcome.FAILED, now_ms, now_ms, error=problem, code="worker_fault", retryable=True)

    def _publication(self, lease: Lease, result: RunResult) -> Publication:
        bytes_max = self._nc.max_payload - HEADER_BYTES_MAX
        me = self._me
        try:
            headers, body = message_of(lease.identity, result, worker=me.worker, pool=me.pool, bytes_max=bytes_max)
        except Exception as error:  # noqa: BLE001  what a handler left cannot be packed: the attempt fails, and says so
            result = self.fault(lease, error)
            headers, body = message_of(lease.identity, result, worker=me.worker, pool=me.pool, bytes_max=bytes_max)
        message_id = headers.pop(HEADER_MESSAGE_ID)
        return Publication(subjects.result(me.pool, me.worker), body, message_id, headers)
