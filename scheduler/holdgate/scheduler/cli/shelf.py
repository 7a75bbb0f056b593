"""Published bundles, for the API: what is there, and publishing with the kernels' own verification.

What always holds: one review at a time, in a thread of its own, since it may take a processor for a minute and what
else is done in threads must not wait for it. Who goes away leaves the review to that thread, and nobody begins another
beside it; who would wait too long is told to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from holdgate.bundles import publish as publishing
from holdgate.bundles.diff import compare, samples_of
from holdgate.bundles.errors import BundleMalformed, BundleRefused, RootUnavailable
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.gone import Seen
from holdgate.bundles.history import file_of, in_thread, log_of, newest_of_each
from holdgate.bundles.publish import Accept
from holdgate.bundles.root import Pins, Root
from holdgate.bundles.rootfile import load_root
from holdgate.bundles.store import BundleStore
from holdgate.bundles.trusted import parse_bundle_rules
from holdgate.kernel.clock import Clock
from holdgate.scheduler.api.bundles import Candidate
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.cli.detectors import ScanKnowledge
from holdgate.scheduler.settings import ApiSettings

REVIEW_WAIT_S = 20.0
CHANGES_MAX = 200
"""Changes of a diff that are told; how many more there are is told too."""
READERS_MAX = 4
"""Histories read at once: each may be of 64 large files."""


class PublishedBundles:
    """The store that kernels watch."""

    def __init__(self, store: BundleStore, settings: ApiSettings, clock: Clock) -> None:
        self._store = store
        self._root_file = settings.root_file
        self._pins = Pins.parse(settings.root_pins)
        self._clock = clock
        self._reviewing = asyncio.Lock()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="review")
        self._reading = asyncio.Semaphore(READERS_MAX)

    async def listed(self) -> list[dict[str, Any]]:
        """The newest of each name, by name."""
        async with self._reading:
            return [entry.described() for entry in await newest_of_each(self._store, await self.root())]

    async def described(self, name: str) -> dict[str, Any]:
        """The newest of `name`. BundleNotFound."""
        async with self._reading:
            entries = await log_of(self._store, await self.root(), name)
        return entries[0].described()

    async def log(self, name: str) -> list[dict[str, Any]]:
        """What was published as `name`, newest first. BundleNotFound."""
        async with self._reading:
            return [entry.as_dict() for entry in await log_of(self._store, await self.root(), name)]

    async def file(self, name: str, version: int) -> bytes:
        """The file of that version. BundleNotFound."""
        async with self._reading:
            _, data = await file_of(self._store, await self.root(), name, version)
        return data

    async def check(self, candidate: Candidate) -> dict[str, Any]:
        """The review of a candidate. BundleRefused, PolicyInvalid."""
        async with self._review(candidate):
            reviewed = await publishing.check(
                self._store,
                candidate.data,
                await self.root(),
                self._clock.now_ms(),
                kernels=[Seen(*item) for item in candidate.kernels],
                threads=self._threads,
                scanner=ScanKnowledge(),
            )
            return reviewed.as_dict()

    async def publish(self, candidate: Candidate, *, publisher: str, accept_widening: bool) -> dict[str, Any]:
        """Publish a candidate. BundleRefused, PolicyInvalid."""
        async with self._review(candidate):
            done = await publishing.publish(
                self._store,
                candidate.data,
                await self.root(),
                self._clock.now_ms(),
                accept=Accept.WIDENING if accept_widening else Accept.NOTHING,
                publisher=publisher,
                kernels=[Seen(*item) for item in candidate.kernels],
                threads=self._threads,
                scanner=ScanKnowledge(),
            )
        return done.as_dict()

    async def diff(self, name: str, before: int, after: int) -> dict[str, Any]:
        """What `after` does otherwise than `before`, each alone. BundleNotFound, BundleRefused, PolicyInvalid."""
        old, new = await self.file(name, before), await self.file(name, after)
        async with self._turn():
            return await in_thread(self._threads, diff_of, old, new)

    @asynccontextmanager
    async def _review(self, candidate: Candidate) -> AsyncIterator[None]:
        """The turn of `candidate`, once it is what it is brought as."""
        async with self._turn():
            await in_thread(self._threads, require_own, candidate)
            yield

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A turn in the thread of reviews. Problem `overloaded` when it does not come."""
        try:
            async with asyncio.timeout(REVIEW_WAIT_S):
                await self._take_turn()
        except TimeoutError as error:
            raise Problem("overloaded", "other bundles are being reviewed") from error
        try:
            yield
        finally:
            self._reviewing.release()

    async def _take_turn(self) -> None:
        """Hold the lock once the thread has nothing to do: it may go on with a review that nobody waits for."""
        await self._reviewing.acquire()
        try:
            await in_thread(self._threads, _nothing)
        except BaseException:
            self._reviewing.release()
            raise

    async def root(self) -> Root:
        """The root in force; that it does not load is no fault of who calls."""
        try:
            return await asyncio.to_thread(load_root, self._root_file, self._pins, self._clock.now_ms())
        except BundleRefused as error:
            raise RootUnavailable(f"the trust root of the API does not hold: {error}") from error


def _nothing() -> None:
    """What a thread does when it is free."""


def diff_of(old: bytes, new: bytes) -> dict[str, Any]:
    """How the bundle file `new` differs from `old`, the widening changes first, at most CHANGES_MAX of them."""
    before, after = parse_bundle(old), parse_bundle(new)
    told = compare([parse_bundle_rules(before)], [parse_bundle_rules(after)], samples=samples_of([before, after]))
    shown = told.as_dict()
    return {
        "widens": shown["widens"],
        "changes": shown["changes"][:CHANGES_MAX],
        "changes_left_out": max(0, len(shown["changes"]) - CHANGES_MAX),
    }


def require_own(candidate: Candidate) -> None:
    """The bundle has the name that it is brought under, and rules on the tenant of who brings it, among others."""
    manifest = parse_bundle(candidate.data).manifest
    if manifest.name != candidate.name:
        raise BundleMalformed("the bundle's own name is not the one in the path", code="bundle_name")
    if "*" not in manifest.scope.tenants and candidate.tenant not in manifest.scope.tenants:
        raise Problem(
            "bundle_tenant", f"`{manifest.name}` does not rule on the tenant of the key, `{candidate.tenant}`"
        )
