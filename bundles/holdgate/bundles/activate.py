"""Keeps the policy of a kernel: root from a file, last known good from disk, new bundles from the store.

What always holds: a bundle is verified off the event loop, written to disk, and only then decided under, the whole set
at once; anything wrong with a bundle, the store or the disk leaves the set in force as it was, and status says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from holdgate.bundles import metrics
from holdgate.bundles.chain import RootChain
from holdgate.bundles.errors import BundleOutdated, RootUnreadable
from holdgate.bundles.root import Pins, Root
from holdgate.bundles.rootfile import FileStamp, file_stamp, load_chain
from holdgate.bundles.shelf import Shelf, Versions
from holdgate.bundles.store import BundleStore, StoredBundle
from holdgate.bundles.trusted import Floor, TrustedSet
from holdgate.kernel.clock import Clock, rfc3339
from holdgate.kernel.errors import HoldgateError, Unavailable
from holdgate.kernel.tasks import TaskSet
from holdgate.kernel.trust import ActivePolicy, Trust

log = structlog.get_logger("holdgate.bundles")

LOOK_S = 5.0
"""How often the store is asked when no hint came: hints may be lost, and a root file may change."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The last thing that went wrong."""

    at_ms: int
    bundle: str
    code: str
    message: str

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {"at": rfc3339(self.at_ms), "bundle": self.bundle, "code": self.code, "message": self.message}


class BundleActivator:
    """The kernel's source of policy (`kernel.trust.PolicySource`). Without a store it lives on what is on disk."""

    def __init__(
        self, *, root: Path, pins: Pins, directory: Path, clock: Clock, store: BundleStore | None = None
    ) -> None:
        self._root_path = root
        self._pins = pins
        self._shelf = Shelf(directory)
        self._clock = clock
        self._store = store
        self._set: TrustedSet | None = None
        self._active: ActivePolicy | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._tasks = TaskSet(self._failed)
        self._hint = asyncio.Event()
        self._looking = asyncio.Lock()
        self._root_stamp: FileStamp | None = None
        self._subscription: Subscription | None = None
        self._store_seq: int | None = None
        self._revisions: dict[str, int] = {}
        self._last_success_ms: int | None = None
        self._problem: Problem | None = None
        self._store_problem: Problem | None = None

    def load(self) -> None:
        """Root and last known good, from disk. RootRefused and kin, ShelfUnusable when there is nothing to stand on."""
        stamp = file_stamp(self._root_path)
        trusted, problems = self._restored()
        self._remember(stamp, problems.values())
        for name, error in problems.items():
            self._note(name, error)
        self._swap(trusted)

    async def start(self) -> None:
        """Load, look at the store once, and go on looking; idempotent."""
        if self._set is None:
            await asyncio.to_thread(self.load)
        if self._store is None or len(self._tasks):
            return
        await self.refresh()
        self._tasks.start(self._look_always(self._store), "bundles")

    async def stop(self) -> None:
        """Look no more; what is in force stays; idempotent."""
        subscription, self._subscription = self._subscription, None
        await self._tasks.close()
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except NatsError as error:
                log.debug("the connection ended first", action="policy.stop", error=type(error).__name__)

    @property
    def trusted(self) -> TrustedSet | None:
        """The set in force, verified."""
        return self._set

    @property
    def trust(self) -> Trust | None:
        """The root in force."""
        return None if self._set is None else self._set.trust

    def current(self) -> ActivePolicy | None:
        """The policy in force."""
        return self._active

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every swap."""
        self._callbacks.append(callback)

    def status(self) -> dict[str, object]:
        """What an operator wants to know."""
        trusted = self._set
        return {
            "last_success": None if self._last_success_ms is None else rfc3339(self._last_success_ms),
            "last_error": None if self._problem is None else self._problem.as_dict(),
            "store": "none" if self._store is None else "unavailable" if self._store_problem else "ok",
            "store_error": None if self._store_problem is None else self._store_problem.as_dict(),
            "revision": self._store_seq,
            "missing": [] if trusted is None else list(trusted.missing),
            "root_expires": None if trusted is None else trusted.root.expires,
            "default_decision": "deny" if trusted is None else trusted.root.default_decision,
        }

    async def refresh(self) -> None:
        """Look at root file and store now and take what is new and holds. Never raises for what it finds there."""
        if self._set is None:
            return
        async with self._looking:
            await self._refresh_root()
            if self._store is not None:
                await self._refresh_store(self._store)

    async def _refresh_root(self) -> None:
        """A new root: every bundle is verified under it. One that does not hold any more is missing from then on."""
        stamp = file_stamp(self._root_path)
        if stamp == self._root_stamp:
            return
        try:
            trusted, problems = await asyncio.to_thread(self._restored)
        except HoldgateError as error:
            self._remember(stamp, [error])
            self._note("", error)
            return
        self._remember(stamp, problems.values())
        self._store_seq, self._revisions = None, {}
        for name, problem in problems.items():
            self._note(name, problem)
        self._swap(trusted)
        log.info("a root is in force", action="policy.root", version=trusted.root.version)

    def _remember(self, stamp: FileStamp, problems: Iterable[HoldgateError]) -> None:
        """Do not look at this root file again, unless what went wrong may be over the next time."""
        if not any(isinstance(problem, RootUnreadable | Unavailable) for problem in problems):
            self._root_stamp = stamp

    async def _refresh_store(self, store: BundleStore) -> None:
        try:
            names = await store.revisions()
            seq = names.pop("")
            if seq == self._store_seq:
                self._store_problem = None
                return
            stored = [bundle for name in names if (bundle := await store.get(name)) is not None]
        except HoldgateError as error:
            metrics.RELOADS.labels("unavailable").inc()
            self._store_problem = Problem(self._clock.now_ms(), "", error.code, str(error))
            log.warning("the bundle store is away; the policy in force stays", action="policy.store", error=str(error))
            return
        self._store_problem = None
        fresh = [bundle for bundle in stored if self._revisions.get(bundle.name) != bundle.revision]
        for bundle in fresh:
            if await self._take(bundle):
                self._revisions[bundle.name] = bundle.revision
        if all(self._revisions.get(bundle.name) == bundle.revision for bundle in stored):
            self._store_seq = seq

    def _restored(self) -> tuple[TrustedSet, dict[str, HoldgateError]]:
        """Root from its file, and under it the bundles on disk; by name, those that are not there or do not hold."""
        versions = self._shelf.versions()
        chain = load_chain(self._root_path, self._pins, self._clock.now_ms())
        _verify_follows(chain, versions, self._pins)
        trusted = TrustedSet.under(chain.root, versions.bundles)
        problems: dict[str, HoldgateError] = {}
        for name in sorted(versions.bundles):
            data = self._shelf.bundle(name)
            try:
                if data is None:
                    raise BundleOutdated(f"`{name}` is not on disk any more", code="bundle_missing")
                trusted = trusted.restore(data)
            except HoldgateError as error:
                problems[name] = error
        self._shelf.keep(self._versions(trusted), {})
        return trusted, problems

    async def _take(self, stored: StoredBundle) -> bool:
        """Verify, keep and activate one bundle; whether it was dealt with, so that it need not be looked at again."""
        before = self._set
        if before is None:
            return False
        try:
            trusted = await asyncio.to_thread(self._accept, before, stored)
        except HoldgateError as error:
            metrics.RELOADS.labels("rejected").inc()
            self._note(stored.name, error)
            # A full disk gets better; a bundle that does not hold never will.
            return error.code != "shelf_unusable"
        if trusted is before:
            metrics.RELOADS.labels("unchanged").inc()
            return True
        metrics.RELOADS.labels("accepted").inc()
        self._problem = None
        self._swap(trusted)
        log.info(
            "a bundle is in force",
            action="policy.reload",
            bundle=stored.name,
            snapshot=None if self._active is None else self._active.snapshot,
        )
        return True

    def _accept(self, before: TrustedSet, stored: StoredBundle) -> TrustedSet:
        """On a thread: nothing here touches what the event loop reads."""
        held = before.bundles.get(stored.name)
        if held is not None and held.data == stored.data:
            return before
        trusted = before.accept(stored.data, self._clock.now_ms())
        changed = {name for name, bundle in trusted.bundles.items() if before.bundles.get(name) is not bundle}
        if changed != {stored.name}:
            raise BundleOutdated(f"stored as `{stored.name}`, named otherwise", code="bundle_name")
        self._shelf.keep(self._versions(trusted), {stored.name: trusted.bundles[stored.name].data})
        return trusted

    def _versions(self, trusted: TrustedSet) -> Versions:
        """What must never be fallen below from now on."""
        return Versions(Floor(trusted.root.version, trusted.root.digest), trusted.floors, str(self._pins))

    def _swap(self, trusted: TrustedSet) -> None:
        if self._set is None or self._set.root is not trusted.root:
            _tell_default(trusted.root)
        self._set = trusted
        self._active = active = trusted.active()
        if active is not None:
            self._last_success_ms = self._clock.now_ms()
            metrics.LAST_SUCCESS.set(self._last_success_ms / 1000)
        metrics.EXPIRES.set(0 if active is None else active.expires_ms / 1000)
        metrics.RULES.set(0 if active is None else sum(bundle.rules for bundle in active.bundles))
        for callback in self._callbacks:
            callback()

    async def _look_always(self, store: BundleStore) -> None:
        while True:
            if self._subscription is None:
                try:
                    self._subscription = await store.on_write(self._hint.set)
                except NatsError as error:
                    log.warning("no hints from the bundle store", action="policy.store", error=type(error).__name__)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._hint.wait()
            except TimeoutError:
                log.debug("looking without a hint", action="policy.store")
            self._hint.clear()
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001  whatever happened, a kernel goes on looking for policy
                self._problem = Problem(self._clock.now_ms(), "", "internal_error", type(error).__name__)
                metrics.RELOADS.labels("rejected").inc()

    def _note(self, name: str, error: HoldgateError) -> None:
        self._problem = Problem(self._clock.now_ms(), name, error.code, str(error)[:2000])
        log.error(
            "a bundle was refused; the policy in force stays", action="policy.reload", bundle=name, code=error.code
        )

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("a task of the bundles ended", action="policy.task", task=name, error=type(error).__name__)


def _tell_default(root: Root) -> None:
    metrics.DEFAULT_ALLOW.set(root.default_decision == "allow")
    if root.default_decision == "allow":
        log.warning(
            "the root allows by default: what no rule speaks of runs", action="policy.default_allow", root=root.version
        )


def _verify_follows(chain: RootChain, versions: Versions, pins: Pins) -> None:
    """RootRefused unless the root follows from the one seen before.

    Where an operator has changed the pins since, that may be a root that starts after it: pins are what everything
    stands on, and after the loss of too many root keys nothing follows from the old root any more.
    """
    seen = versions.root
    if seen is None:
        return
    repinned = versions.pins is not None and versions.pins != str(pins)
    if not (repinned and chain.links[0].root.version > seen.version):
        chain.verify_holds(seen.version, seen.digest)
