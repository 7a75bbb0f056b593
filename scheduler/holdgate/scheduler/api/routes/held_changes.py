"""What changes among a tenant's held jobs, as Server-Sent Events (HTML standard, section 9.2).

What always holds: what is told is read from the state, so a lost hint costs a moment and no change; who cannot be told
everything, because too much happened or too long ago, is told to look at the whole list.
"""

from __future__ import annotations

import asyncio
import re

from pydantic_core import to_json

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.api.calls import Call, Reply, Write
from holdgate.scheduler.api.events import EVERY_JOB, LOOK_AGAIN_S, RECONNECT
from holdgate.scheduler.api.routes.stream import EVENT_HEADERS, KEEPALIVE_S
from holdgate.scheduler.api.still import may_still
from holdgate.scheduler.state.approvals import Approvals, HeldChange

LOOK_APART_S = 0.1
"""Between two looks: hints tell of every job of the tenant, most of them never held."""
TOLD_AT_ONCE_MAX = 256
_SEQ = re.compile(r"[0-9]{1,16}\Z", re.ASCII)


async def stream_changes(call: Call) -> Reply:
    """`GET /approvals/events`: one event `changed` for each; one without a job means: look at the list again"""
    tenant = call.principal.tenant
    call.deps.events.check_room(tenant)
    told = call.header(b"last-event-id")
    heard = int(told) if told is not None and _SEQ.match(told) else None
    changes = _Changes(call.deps.approvals, tenant)
    await changes.begin(heard)

    async def stream(write: Write) -> None:
        await _follow(call, changes, write)

    return Reply(200, headers=EVENT_HEADERS, stream=stream)


async def _follow(call: Call, changes: _Changes, write: Write) -> None:
    clock = call.deps.clock
    started_ms = spoke_ms = clock.now_ms()
    longest_ms = call.deps.limits.stream_s_max * 1000
    await write(b": here\n\n")
    async with call.deps.events.watch(changes.tenant, EVERY_JOB, call.receive) as watch:
        while not watch.gone and may_still(call) and clock.now_ms() - started_ms < longest_ms:
            if told := await changes.next():
                spoke_ms = clock.now_ms()
                await write(b"".join(told))
            elif clock.now_ms() - spoke_ms >= KEEPALIVE_S * 1000:
                spoke_ms = clock.now_ms()
                await write(b": still here\n\n")
            await asyncio.sleep(LOOK_APART_S)
            await watch.changed(LOOK_AGAIN_S - LOOK_APART_S)
    await write(RECONNECT)


class _Changes:
    """What was not told yet. `_after` is the last seq that was."""

    def __init__(self, approvals: Approvals, tenant: Tenant) -> None:
        self.tenant = tenant
        self._approvals = approvals
        self._after = 0
        self._missed = False

    async def begin(self, heard: int | None) -> None:
        """From now on; or from what somebody who comes back heard last, where that is still known."""
        oldest, newest = await self._approvals.changes_kept(self.tenant)
        self._missed = heard is not None and not oldest <= heard <= newest
        self._after = newest if heard is None or self._missed else heard

    async def next(self) -> list[bytes]:
        """Events for what is new."""
        found = await self._approvals.changes(self.tenant, self._after, TOLD_AT_ONCE_MAX)
        if self._missed or len(found) == TOLD_AT_ONCE_MAX:
            _, newest = await self._approvals.changes_kept(self.tenant)
            self._after, self._missed = max(newest, self._after), False
            return [_event(self._after, "", None)]
        if found:
            self._after = found[-1].seq
        return [_event(change.seq, change.job_id, str(change.state)) for change in _last_of_each(found)]


def _last_of_each(found: list[HeldChange]) -> list[HeldChange]:
    return sorted({change.job_id: change for change in found}.values(), key=lambda change: change.seq)


def _event(seq: int, job_id: str, state: str | None) -> bytes:
    return b"event: changed\nid: %d\ndata: %b\n\n" % (seq, to_json({"job_id": job_id, "state": state}))
