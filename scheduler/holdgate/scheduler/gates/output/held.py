"""Large results between being read and being judged.

What always holds: the stream knows that they are worked on, so that none comes a second time while it waits; no more is
read while they hold more than their bytes; one tenant whose results take long fills no more than a half of these.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import nats.errors
import structlog
from nats.aio.msg import Msg

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state.pull import PullReader

log = structlog.get_logger(__name__)

KEEP_S = 5.0
"""Well under the time after which the stream brings a message again."""
SLOW_S = 2.0
"""A half of the bytes is judged in less, unless its texts are made to take long."""


@dataclass(frozen=True, slots=True)
class _Held:
    raw: Msg
    tenant: Tenant
    since_s: float


class HeldResults:
    """The large ones of a gate. `bytes_max`: of message bodies, above which `room` waits."""

    def __init__(self, reader: PullReader, *, bytes_max: int, keep_s: float = KEEP_S, slow_s: float = SLOW_S) -> None:
        self._reader = reader
        self._bytes_max = bytes_max
        self._keep_s = keep_s
        self._slow_s = slow_s
        self._held: dict[int, _Held] = {}
        self._bytes: Counter[Tenant] = Counter()
        self._changed = asyncio.Event()

    def add(self, raw: Msg, tenant: Tenant) -> bool:
        """Hold `raw` until `release`. False, and it is not held, where its tenant would take the room of others."""
        now_s = asyncio.get_running_loop().time()
        if self._bytes[tenant] + len(raw.data) > self._bytes_max // 2 and self._is_slow(tenant, now_s):
            return False
        self._held[id(raw)] = _Held(raw, tenant, now_s)
        self._bytes[tenant] += len(raw.data)
        return True

    def release(self, raw: Msg) -> None:
        """It was judged or put off; idempotent."""
        held = self._held.pop(id(raw), None)
        if held is not None:
            self._bytes[held.tenant] -= len(raw.data)
            if not self._bytes[held.tenant]:
                del self._bytes[held.tenant]
            self._changed.set()

    def raws(self) -> tuple[Msg, ...]:
        """Those that are not judged yet."""
        return tuple(held.raw for held in self._held.values())

    async def room(self) -> None:
        """Until more may be read."""
        while self._bytes.total() >= self._bytes_max:
            self._changed.clear()
            await self._changed.wait()

    @contextlib.contextmanager
    def released(self, raw: Msg) -> Iterator[None]:
        """Release `raw` at the end of the block."""
        try:
            yield
        finally:
            self.release(raw)

    async def keep(self) -> None:
        """Tell the stream, again and again, that what is here is worked on."""
        while True:
            await asyncio.sleep(self._keep_s)
            for raw in (*(held.raw for held in self._held.values()), *self._reader.arrived()):
                try:
                    await raw.in_progress()
                except nats.errors.Error as error:
                    log.warning("a result is not kept", action="result_not_kept", error=type(error).__name__)
                    break

    def _is_slow(self, tenant: Tenant, now_s: float) -> bool:
        oldest = next((held for held in self._held.values() if held.tenant == tenant), None)
        return oldest is not None and now_s - oldest.since_s >= self._slow_s
