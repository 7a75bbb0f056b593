"""The API's word on what is published: read from the store, signed, written every half minute for kernels to look at.

What always holds: a stamp names what the store gave this process just now, and nothing that it could not read as a
bundle file; two replicas of the API may both stamp.
"""

from __future__ import annotations

import asyncio

import structlog

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.stamp import EVERY_S, Stamp, StampedBundle, make_stamp
from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import BUNDLES_MAX
from holdgate.kernel.clock import Clock
from holdgate.kernel.permits import Signer
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.dispatch.duty import Periodic

log = structlog.get_logger(__name__)


class Stamping:
    """`run_once` stamps; `start` does so again and again; both `start` and `stop` idempotent."""

    def __init__(self, store: BundleStore, stamps: StampStore, signer: Signer, clock: Clock) -> None:
        self._store = store
        self._stamps = stamps
        self._signer = signer
        self._clock = clock
        self._seq: int | None = None
        self._published: dict[str, StampedBundle] = {}
        self._tasks = TaskSet(_ended)

    async def start(self) -> None:
        """Begin to stamp."""
        if not len(self._tasks):
            self._tasks.start(Periodic("stamp", self.run_once, EVERY_S).run(), "stamp")

    async def stop(self) -> None:
        """Stamp no more."""
        await self._tasks.close()

    async def run_once(self) -> None:
        """One stamp of now; StoreUnavailable."""
        # The time is taken first: what is published while this reads is then no older than the stamp says.
        time_ms = self._clock.now_ms()
        names = await self._store.revisions()
        seq = names.pop("")
        if seq != self._seq:
            self._published = await self._read(list(names))
            self._seq = seq
        await self._stamps.put(make_stamp(Stamp(time_ms=time_ms, bundles=self._published), self._signer))

    async def _read(self, names: list[str]) -> dict[str, StampedBundle]:
        published: dict[str, StampedBundle] = {}
        for name in names:
            stored = await self._store.get(name)
            if stored is None:
                continue
            try:
                file = await asyncio.to_thread(parse_bundle, stored.data)
            except BundleRefused:
                continue  # somebody wrote what is no bundle; kernels say so
            if file.manifest.name == name and len(published) < BUNDLES_MAX:
                published[name] = StampedBundle(version=file.manifest.version, digest=file.digest)
        return published


def _ended(name: str, error: BaseException) -> None:
    """`Periodic` goes on whatever a run ends in: this is a fault of ours."""
    log.critical("a duty ended", action="duty_ended", duty=name, error=repr(error))
