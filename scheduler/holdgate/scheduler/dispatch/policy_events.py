"""What kernels accept and refuse comes into the audit trail of the system.

A kernel publishes each event, which may be lost, and keeps the newest in its status, where this looks now and then.
What always holds: an event is written once, and those of one kernel in their order; whatever is not an event of a
kernel is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeGuard

import structlog
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from holdgate.kernel import subjects, wire
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock, rfc3339
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import NAME, SYSTEM
from holdgate.scheduler.dispatch.duty import Periodic, run_safely
from holdgate.scheduler.state.audit import AuditTrail

log = structlog.get_logger(__name__)

INTERVAL_S = 60.0
STATUS_WAIT_S = 1.0
KINDS = ("accepted", "refused", "dropped")
TEXT_CHARS_MAX = 500
NUMBER_MAX = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Told:
    """One event of one kernel process. `source` names that process."""

    replica: str
    source: str
    number: int
    kind: str
    at_ms: int
    details: Mapping[str, Any]

    @classmethod
    def read(cls, replica: Any, epoch_ms: Any, event: Any) -> Self:
        """The event; InvalidInput when it is none."""
        if not isinstance(event, dict) or not isinstance(replica, str) or NAME.match(replica) is None:
            raise InvalidInput("not an event of a kernel")
        number, at_ms, version = (event.get(name) for name in ("seq", "at_ms", "version"))
        if not (_is_number(number) and _is_number(at_ms) and _is_number(epoch_ms)):
            raise InvalidInput("not an event of a kernel")
        if not (version is None or _is_number(version)):
            raise InvalidInput("not an event of a kernel")
        bundle, code, message = (event.get(name) for name in ("bundle", "code", "message"))
        if event.get("kind") not in KINDS or not all(map(_is_text, (bundle, code, message))):
            raise InvalidInput("not an event of a kernel")
        details = {"bundle": bundle or None, "version": version, "code": code or None, "message": message or None}
        return cls(replica, f"{replica}/{epoch_ms}", number, event["kind"], at_ms, details)


class PolicyEvents:
    """`run_once` catches up on what kernels keep; in between they are heard. Started and stopped with its process."""

    def __init__(self, nc: Nats, kernel: KernelClient, trail: AuditTrail, clock: Clock) -> None:
        self._nc = nc
        self._kernel = kernel
        self._trail = trail
        self._clock = clock
        self._heard: Subscription | None = None
        self.duty = Periodic("policy_events", self.run_once, INTERVAL_S)

    async def start(self) -> None:
        """Listen; idempotent. `duty` is run by the caller."""
        if self._heard is None:
            self._heard = await self._nc.subscribe(
                subjects.POLICY_EVENT, queue=subjects.DISPATCHER_QUEUE, cb=self._hear
            )

    async def stop(self) -> None:
        """Listen no more; idempotent."""
        heard, self._heard = self._heard, None
        if heard is not None and not self._nc.is_closed:
            await heard.unsubscribe()

    async def run_once(self) -> int:
        """Write what kernels keep and was not heard; how many events."""
        written = 0
        for status in await self._kernel.status(STATUS_WAIT_S):
            kept = status.source.get("events")
            if not isinstance(kept, dict) or not isinstance(kept.get("ring"), list):
                continue
            for event in kept["ring"]:
                # What a kernel does not keep any more cannot be had: the trail goes on after it.
                written += await self._write(status.replica, kept.get("epoch_ms"), event, may_skip=True) == 1
        return written

    async def _hear(self, message: Msg) -> None:
        if message.subject != subjects.POLICY_EVENT:
            log.warning("not an event of policy", action="policy_event", error="sent here from a stream")
            return

        async def write() -> None:
            told = wire.unpack(message.data)
            if await self._write(told.get("replica"), told.get("epoch_ms"), told.get("event"), may_skip=False) < 0:
                self.duty.nudge()

        await run_safely(self.duty.name, write)

    async def _write(self, replica: Any, epoch_ms: Any, event: Any, *, may_skip: bool) -> int:
        try:
            told = Told.read(replica, epoch_ms, event)
        except InvalidInput as error:
            log.warning("not an event of policy", action="policy_event", error=str(error))
            return 0
        details = {**told.details, "replica": told.replica, "event": told.number, "at": rfc3339(told.at_ms)}
        return await self._trail.append_once(
            SYSTEM,
            f"policy.{told.kind}",
            details,
            self._clock.now_ms(),
            source=told.source,
            number=told.number,
            may_skip=may_skip,
        )


def _is_number(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= NUMBER_MAX


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_CHARS_MAX
