"""How api, dispatcher and output gate ask the kernel: a time limit, a circuit breaker, a decision cache.

What always holds: no answer in time is `KernelUnavailable`, never a denial; only decisions for submit are cached, and a
cached one is used only for a job that the rules could not tell from the one it was made for, under the snapshot in force.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client as Nats

from holdgate.kernel import limits
from holdgate.kernel.breaker import Breaker, BreakerState
from holdgate.kernel.clock import Clock
from holdgate.kernel.custody import PermitReply, PermitRequest
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Digest
from holdgate.kernel.output import OutputDecision, OutputFacts
from holdgate.kernel.records import Decision, Job, Phase


class KernelRefused(InvalidInput):
    """the kernel answered that the request is not valid"""

    code = "kernel_refused"


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """What a kernel announced: its snapshot and the job fields that its rules read. `policy` False: it has no valid one."""

    snapshot: Digest
    reads: tuple[str, ...]
    replica: str
    policy: bool
    heard_ms: int


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One kernel's answer to `status`."""

    replica: str
    snapshot: Digest
    uptime_s: float
    bundles: tuple[dict[str, Any], ...]
    source: dict[str, Any]


class KernelClient:
    """One per process. `start` subscribes to snapshots; all calls raise KernelUnavailable when no kernel answers in time."""

    def __init__(
        self,
        nc: Nats,
        *,
        clock: Clock,
        timeout_s: float = limits.KERNEL_TIMEOUT_S,
        breaker: Breaker | None = None,
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Subscribe to snapshots."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Unsubscribe and end what is under way; idempotent."""
        raise NotImplementedError

    @property
    def snapshot(self) -> SnapshotInfo | None:
        """The latest announcement heard, or None before the first."""
        raise NotImplementedError

    @property
    def breaker_state(self) -> BreakerState:
        """Whether calls go out now."""
        raise NotImplementedError

    def on_snapshot(self, callback: Callable[[SnapshotInfo], None]) -> None:
        """Call `callback` (quick, on the event loop) when the announced snapshot changes."""
        raise NotImplementedError

    async def decide(self, job: Job, phase: Phase = Phase.SUBMIT) -> Decision:
        """The decision about `job`; for submit from the cache where it holds one. Callers are batched together."""
        raise NotImplementedError

    async def decide_fresh(
        self, jobs: Sequence[Job], phase: Phase, *, trace: bool = False, now_ms: int | None = None
    ) -> list[Decision]:
        """Decisions never from a cache, in order. `now_ms` (simulate and explain only) decides as of that time."""
        raise NotImplementedError

    async def permits(self, requests: Sequence[PermitRequest]) -> list[PermitReply]:
        """A reply for each request, in order."""
        raise NotImplementedError

    async def decide_outputs(self, facts: Sequence[OutputFacts]) -> list[OutputDecision]:
        """A verdict on each output, in order."""
        raise NotImplementedError

    async def status(self, wait_s: float = 0.3) -> list[ReplicaStatus]:
        """What every kernel that answers within `wait_s` says about itself; empty when none does."""
        raise NotImplementedError
