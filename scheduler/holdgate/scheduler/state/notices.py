"""Notices: what people are told of, written by the scripts that made it so, and its deliveries to webhooks.

What always holds: a notice is there if and only if its change happened, as long as it is among the newest of its
tenant; a webhook gets each at most once into its deliveries; a claimed delivery comes back when nobody settles it in
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgpack

from holdgate.kernel.ids import JobId, Tenant
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.connection import INDEX, Arg, Scripts

READ_MAX = 64
"""Notices that one call turns into deliveries, for each webhook."""
WAITING_MAX = 10_000
"""Deliveries of one tenant that may wait for one webhook; beyond, notices are dropped and counted."""


class NoticeKind(StrEnum):
    """What happened. A value is what a receiver sees as `type`."""

    HELD = "held"
    ESCALATED = "escalated"
    EXPIRED = "expired"
    DECIDED = "decided"
    QUARANTINED = "quarantined"
    QUARANTINE_DECIDED = "quarantine_decided"
    BREAK_GLASS = "break_glass"
    GRANT = "grant"


@dataclass(frozen=True, slots=True)
class Notice:
    """One change. `event` is the type of its audit event; `who` and `details` are those of the event."""

    tenant: Tenant
    seq: int
    kind: NoticeKind
    event: str
    time_ms: int
    job_id: JobId | None
    who: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice claimed for one webhook; `tries` counts this one and tells the claim from others."""

    webhook: str
    notice: Notice
    tries: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to claim for one webhook: notices of `kinds` since `since_ms`, at most `room`."""

    webhook: str
    kinds: frozenset[NoticeKind]
    since_ms: int
    room: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Answer for one webhook: what to deliver, how many wait, how many were dropped because too many do."""

    deliveries: tuple[Delivery, ...]
    waiting: int
    dropped: int


class Notices:
    """Deliveries of a tenant's notices. Any number of processes may claim."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def known_since(self, webhook: str, now_ms: int) -> int:
        """When this webhook was first configured: what happened before is not sent to it."""
        await self._scripts.command("HSETNX", f"{INDEX}:webhooks", webhook, now_ms)
        return int(await self._scripts.command("HGET", f"{INDEX}:webhooks", webhook))

    async def claim(self, tenant: Tenant, wanted: Sequence[Wanted], now_ms: int, lease_ms: int) -> list[Claimed]:
        """In order of `wanted`. What is claimed comes back after `lease_ms` unless it is settled."""
        args: list[Arg] = [now_ms, lease_ms, WAITING_MAX, READ_MAX]
        for one in wanted:
            args += [one.webhook, one.since_ms, f",{','.join(sorted(one.kinds))},", one.room]
        answers = await self._scripts.run("claim_notices", tenant, args)
        return [_claimed(tenant, one.webhook, answer) for one, answer in zip(wanted, answers, strict=True)]

    async def done(self, delivery: Delivery, now_ms: int) -> bool:
        """It arrived. False when another process holds it by now."""
        return await self._settle(delivery, "done", now_ms)

    async def retry(self, delivery: Delivery, now_ms: int, at_ms: int) -> bool:
        """It did not; try again at `at_ms`. False when another process holds it by now."""
        return await self._settle(delivery, "retry", now_ms, at_ms)

    async def give_up(self, delivery: Delivery, now_ms: int, details: dict[str, Any]) -> bool:
        """It never will; the audit trail says so. False when another process holds it by now."""
        return await self._settle(delivery, "given_up", now_ms, details=details)

    async def _settle(
        self, delivery: Delivery, outcome: str, now_ms: int, at_ms: int = 0, details: dict[str, Any] | None = None
    ) -> bool:
        seq, packed = delivery.notice.seq, encoding.pack_details(details or {})
        args = (delivery.webhook, seq, delivery.tries, now_ms, outcome, at_ms, packed)
        return bool(await self._scripts.run("settle_notice", delivery.notice.tenant, args))


def _claimed(tenant: Tenant, webhook: str, answer: list[Any]) -> Claimed:
    dropped, waiting, found = answer
    deliveries = [
        Delivery(webhook, _notice(tenant, int(seq), data), int(tries))
        for seq, tries, data in zip(found[::3], found[1::3], found[2::3], strict=True)
    ]
    return Claimed(tuple(deliveries), int(waiting), int(dropped))


def _notice(tenant: Tenant, seq: int, data: bytes) -> Notice:
    kind, event, at, job_id, who, details = msgpack.unpackb(data, raw=True)
    return Notice(
        tenant=tenant,
        seq=seq,
        kind=NoticeKind(kind.decode()),
        event=event.decode(),
        time_ms=int(at),
        job_id=JobId(job_id.decode()) if job_id else None,
        who=encoding.unpack_details(who),
        details=encoding.unpack_details(details),
    )
