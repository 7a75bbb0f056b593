"""Large results between being read and being judged.

What always holds: the stream knows that they are worked on, so that none comes a second time while it waits; no more is
read while they hold more than their bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import nats.errors
import structlog
from nats.aio.msg import Msg

from holdgate.scheduler.state.pull import PullReader

log = structlog.get_logger(__name__)

KEEP_S = 5.0
"""Well under the time after which the stream brings a message again."""


class HeldResults:
    """The large ones of a gate. `bytes_max`: of message bodies, above which `room` waits."""

    def __init__(self, reader: PullReader, *, bytes_max: int, keep_s: float = KEEP_S) -> None:
        self._reader = reader
        self._bytes_max = bytes_max
        self._keep_s = keep_s
        self._raws: dict[int, Msg] = {}
        self._bytes = 0
        self._changed = asyncio.Event()

    def add(self, raw: Msg) -> None:
        """Hold `raw` until `release`."""
        self._raws[id(raw)] = raw
        self._bytes += len(raw.data)

    def release(self, raw: Msg) -> None:
        """It was judged or put off; idempotent."""
        if self._raws.pop(id(raw), None) is not None:
            self._bytes -= len(raw.data)
            self._changed.set()

    async def room(self) -> None:
        """Until more may be read."""
        while self._bytes >= self._bytes_max:
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
            for raw in (*self._raws.values(), *self._reader.arrived()):
                try:
                    await raw.in_progress()
                except nats.errors.Error as error:
                    log.warning("a result is not kept", action="result_not_kept", error=type(error).__name__)
                    break
