"""The API's word on what is published: read from the store, signed, written every half minute for kernels to look at.

What always holds: a stamp names what is in force by all that the store keeps, so that whoever removes a bundle, or
writes what does not count over it, is noticed by a kernel that never saw it; files that do not count keep nobody from
stamping. Two replicas of the API may both stamp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from holdgate.bundles.format import parse_bundle
from holdgate.bundles.history import published_of
from holdgate.bundles.root import Root
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

    def __init__(
        self,
        store: BundleStore,
        stamps: StampStore,
        signer: Signer,
        clock: Clock,
        root: Callable[[], Awaitable[Root]],
    ) -> None:
        self._store = store
        self._stamps = stamps
        self._signer = signer
        self._clock = clock
        self._root = root
        self._state: tuple[int, str] | None = None
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
        """One stamp of now; StoreUnavailable, RootUnavailable."""
        # The time is taken first: what is published while this reads is then no older than the stamp says.
        time_ms = self._clock.now_ms()
        root = await self._root()
        names = await self._store.revisions()
        state = (names.pop(""), root.digest)
        if state != self._state:
            published = await published_of(self._store, root, [*names])
            self._published = await asyncio.to_thread(_stamped, published.in_force)
            self._state = state
        await self._stamps.put(make_stamp(Stamp(time_ms=time_ms, bundles=self._published), self._signer))


def _stamped(in_force: Mapping[str, bytes]) -> dict[str, StampedBundle]:
    files = [parse_bundle(data) for _, data in sorted(in_force.items())[:BUNDLES_MAX]]
    return {file.manifest.name: StampedBundle(version=file.manifest.version, digest=file.digest) for file in files}


def _ended(name: str, error: BaseException) -> None:
    """`Periodic` goes on whatever a run ends in: this is a fault of ours."""
    log.critical("a duty ended", action="duty_ended", duty=name, error=repr(error))
