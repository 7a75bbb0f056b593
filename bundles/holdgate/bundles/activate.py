"""Keeps the policy of a kernel: root from a file, last known good from disk, new bundles from the store.

What always holds: a bundle is verified off the event loop, written to disk, and only then decided under, the whole set
at once; anything wrong with a bundle, the store or the disk leaves the set in force as it was, and status, a metric and
an event say why. A newer root counts at once, also while the disk is full: it may take a stolen key out. A bundle whose
grace ends is dropped then. No time is believed that lies before one that was seen: what expired stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import structlog
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from holdgate.bundles import metrics
from holdgate.bundles.errors import RootUnreadable, ShelfUnusable
from holdgate.bundles.freshness import count_by_freshness, freshness_of, root_freshness
from holdgate.bundles.kept import Kept, expired
from holdgate.bundles.lookout import Found, Lookout
from holdgate.bundles.report import Report
from holdgate.bundles.root import Pins, Root
from holdgate.bundles.rootfile import FileStamp, file_stamp
from holdgate.bundles.stamp import StoreState
from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.store import BundleStore, end_hints
from holdgate.bundles.trusted import TrustedBundle, TrustedSet
from holdgate.kernel.clock import Clock, rfc3339
from holdgate.kernel.errors import HoldgateError, Unavailable
from holdgate.kernel.tasks import TaskSet
from holdgate.kernel.trust import ActivePolicy, DroppedBundle, PolicyEvent, Trust

log = structlog.get_logger("holdgate.bundles")

LOOK_S = 5.0
"""How often the store is asked when no hint came: hints may be lost, and a root file may change."""
LOOK_AGAIN_S = (0.02, 0.1, 0.5)
"""How soon the store is asked again after a hint with nothing new behind it: a hint may come before the write lies in
the store."""
AHEAD_MS = 30_000
"""How long before the end of a bundle the set without it is made, so that nobody waits for it then."""
END_S = 1.0
"""How often a clock that may be set is asked for the end of a bundle."""


class BundleActivator:
    """The kernel's source of policy (`kernel.trust.PolicySource`). Without a store it lives on what is on disk."""

    def __init__(
        self,
        *,
        root: Path,
        pins: Pins,
        directory: Path,
        clock: Clock,
        store: BundleStore | None = None,
        stamps: StampStore | None = None,
    ) -> None:
        self._root_path = root
        self._clock = clock
        self._lookout = lookout = None if store is None else Lookout(store, stamps)
        stamp = None if lookout is None else lookout.stamp
        self._kept = Kept(root=root, pins=pins, directory=directory, clock=clock, stamp=stamp)
        self._set: TrustedSet | None = None
        self._active: ActivePolicy | None = None
        self._tasks = TaskSet(self._failed)
        self._hint = asyncio.Event()
        self._looking = asyncio.Lock()
        self._root_stamp: FileStamp | None = None
        self._subscription: Subscription | None = None
        self._read_ms: int | None = None
        self._last_success_ms: int | None = None
        self._report = Report(clock)
        self._next: tuple[TrustedSet, TrustedSet] | None = None

    def load(self) -> None:
        """Root and last known good, from disk. RootRefused and kin, ShelfUnusable when there is nothing to stand on."""
        stamp = file_stamp(self._root_path)
        trusted, problems = self._kept.restored(self._set)
        self._keep(trusted, {})
        self._remember(stamp, problems.values())
        self._report.dropped(problems, self._dropped)
        self._swap(trusted)
        self._measure()

    async def start(self) -> None:
        """Load, look at the store once, and go on looking; idempotent."""
        if self._set is None:
            await asyncio.to_thread(self.load)
        if len(self._tasks):
            return
        await self.refresh()
        self._tasks.start(self._look_always(), "bundles")
        self._tasks.start(self._end_always(), "ends")

    async def stop(self) -> None:
        """Look no more; what is in force stays; idempotent."""
        subscription, self._subscription = self._subscription, None
        await self._tasks.close()
        if subscription is not None:
            await end_hints(subscription)

    @property
    def trusted(self) -> TrustedSet | None:
        """The set in force, verified."""
        return self._set

    @property
    def trust(self) -> Trust | None:
        """The root in force."""
        return None if self._set is None else self._set.trust

    @property
    def epoch_ms(self) -> int:
        """Since when events are counted."""
        return self._report.events.epoch_ms

    def current(self) -> ActivePolicy | None:
        """The policy in force."""
        return self._active

    def events(self, after: int) -> Sequence[PolicyEvent]:
        """What happened since the event `after`, as far as it is kept."""
        return self._report.events.after(after)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every swap and every event."""
        self._report.on_change(callback)

    def status(self) -> dict[str, object]:
        """What an operator wants to know."""
        trusted, lookout, report, now_ms = self._set, self._lookout, self._report, self._clock.now_ms()
        infos = [] if self._active is None else self._active.bundles
        ended = [] if trusted is None else [bundle.info() for bundle in trusted.ended.values()]
        return {
            "last_success": None if self._last_success_ms is None else rfc3339(self._last_success_ms),
            "last_error": None if report.problem is None else report.problem.as_dict(),
            "age_s": None if self._last_success_ms is None else max(0, now_ms - self._last_success_ms) // 1000,
            "store": "none" if lookout is None else "unavailable" if report.store_problem else "ok",
            "store_error": None if report.store_problem is None else report.store_problem.as_dict(),
            "store_read": None if self._read_ms is None else rfc3339(self._read_ms),
            "stamp": None if lookout is None else lookout.stamp.as_dict(),
            "clock": "back" if self._kept.is_clock_back() else "ok",
            "revision": self._store_revision,
            "missing": [] if trusted is None else list(trusted.missing),
            "dropped": [] if trusted is None else [bundle.as_dict() for bundle in trusted.dropped],
            "signers": sorted({name for info in infos for name in info.signers}),
            "freshness": {info.name: str(freshness_of(info, now_ms)) for info in (*infos, *ended)},
            "root_freshness": None if trusted is None else str(root_freshness(trusted.root.expires_ms, now_ms)),
            "root_expires": None if trusted is None else trusted.root.expires,
            "default_decision": "deny" if trusted is None else trusted.root.default_decision,
            "events": report.events.as_dict(),
        }

    async def refresh(self) -> None:
        """Look at root file and store now and take what is new and holds. Never raises for what it finds there."""
        if self._set is None:
            return
        async with self._looking:
            await self._drop_ended()
            await self._refresh_root()
            if self._lookout is not None:
                await self._refresh_store(self._lookout)
            await self._keep_known()
            self._measure()

    async def _refresh_root(self) -> None:
        """A new root: every bundle is verified under it. One that does not hold any more is dropped from then on."""
        stamp = file_stamp(self._root_path)
        if stamp == self._root_stamp:
            return
        try:
            trusted, problems = await asyncio.to_thread(self._kept.restored, self._set)
        except HoldgateError as error:
            self._remember(stamp, [error])
            self._report.standing("root", error, about=stamp)
            return
        self._report.over("root")
        self._remember(stamp, problems.values())
        if self._lookout is not None:
            self._lookout.forget()
        self._report.dropped(problems, self._dropped)
        self._report.accepted("", trusted.root.version)
        self._kept.is_kept = False
        self._swap(trusted)
        await self._keep_known()

    def _remember(self, stamp: FileStamp, problems: Iterable[HoldgateError]) -> None:
        """Do not look at this root file again, unless what went wrong may be over the next time."""
        if not any(isinstance(problem, RootUnreadable | Unavailable) for problem in problems):
            self._root_stamp = stamp

    async def _refresh_store(self, lookout: Lookout) -> None:
        trusted = self._set
        if trusted is None:
            return
        await lookout.stamp.read(trusted.trust.api, self._clock.now_ms())
        try:
            found = await lookout.look(trusted, self._kept.now_ms())
        except HoldgateError as error:
            self._report.store_away(error)
            return
        self._report.store_problem, self._read_ms = None, self._clock.now_ms()
        if found is not None:
            await self._take(lookout, found)
        if self._set is not None:
            lookout.judge(self._set, self._clock.now_ms())

    async def _take(self, lookout: Lookout, found: Found) -> None:
        """Place, keep and activate at once all bundles that fit beside each other; tell of the others."""
        trusted = self._set
        if trusted is None:
            return
        try:
            after, unfit = await asyncio.to_thread(self._placed, trusted, found.bundles)
        except HoldgateError as error:
            self._report.standing("shelf", error)
            return  # a full disk gets better: the same is found again
        taken = {name: bundle for name, bundle in found.bundles.items() if name not in unfit}
        if taken:
            self._report.problem = None
        for name, bundle in taken.items():
            lookout.take(name, found.revisions[name], bundle)
            self._tell_taken(name, bundle, has_ended=name in after.ended)
        for name, problem in {**found.refused, **unfit}.items():
            if lookout.refuse(name, found.revisions[name], problem):
                metrics.RELOADS.labels("rejected").inc()
                self._report.refused(name, problem)
        if taken:
            self._swap(after)
        lookout.seq = found.seq

    def _tell_taken(self, name: str, bundle: TrustedBundle, *, has_ended: bool) -> None:
        metrics.RELOADS.labels("accepted").inc()
        if has_ended:
            self._report.dropped({name: expired(name)}, ())
        else:
            self._report.accepted(name, bundle.floor.version)

    def _placed(
        self, trusted: TrustedSet, bundles: Mapping[str, TrustedBundle]
    ) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        """On a thread, with the lock held: what is in force is not touched here."""
        after, unfit = trusted.placed(bundles, self._kept.now_ms())
        files = {name: bundle.data for name, bundle in bundles.items() if name not in unfit}
        if files:
            self._keep(after, files)
        return after, unfit

    def _keep(self, trusted: TrustedSet, files: Mapping[str, bytes]) -> None:
        """Write what must never be fallen below from now on; ShelfUnusable."""
        self._kept.keep(trusted, files)
        self._report.over("shelf", ShelfUnusable.code)

    @property
    def _dropped(self) -> Sequence[DroppedBundle]:
        return () if self._set is None else self._set.dropped

    @property
    def _store_revision(self) -> int | None:
        return None if self._lookout is None else self._lookout.seq

    async def _keep_known(self) -> None:
        """Write what is not on disk: a root that came while it was full, and now and then the time."""
        self._kept.seen_ms = self._kept.now_ms()
        trusted = self._set
        if trusted is None or not self._kept.is_due():
            return
        try:
            await asyncio.to_thread(self._keep, trusted, {})
        except HoldgateError as error:
            self._report.standing("shelf", error)

    async def _drop_ended(self, ahead_ms: int = 0) -> None:
        """Drop what has ended; what ends within `ahead_ms` is made ready to be dropped."""
        while (trusted := self._set) is not None and (ends_ms := trusted.ends_ms) is not None:
            if self._kept.now_ms() + ahead_ms < ends_ms:
                return
            if self._next is None or self._next[0] is not trusted:
                at_ms = max(ends_ms, self._kept.now_ms())
                self._next = trusted, await asyncio.to_thread(trusted.without_ended, at_ms)
            if self._kept.now_ms() < ends_ms:
                return
            before, after = self._next
            if before is self._set:
                self._kept.seen_ms = self._kept.now_ms()
                ended = before.bundles.keys() - after.bundles.keys()
                self._report.dropped({name: expired(name) for name in ended}, before.dropped)
                self._swap(after)

    async def _end_always(self) -> None:
        """At its end a bundle is dropped, and not only at the next look, which a store may hold up."""
        while True:
            try:
                await self._drop_ended(AHEAD_MS)
            except HoldgateError as error:
                self._report.standing("ends", error)
            ends_ms = None if self._set is None else self._set.ends_ms
            left_s = END_S if ends_ms is None else (ends_ms - self._kept.now_ms()) / 1000
            await asyncio.sleep(min(END_S, left_s) if left_s > 0 else END_S)

    def _swap(self, trusted: TrustedSet) -> None:
        if self._set is None or self._set.root is not trusted.root:
            _tell_default(trusted.root)
        self._set, self._next = trusted, None
        self._active = active = trusted.active(self._kept.seen_ms)
        if active is not None:
            self._last_success_ms = self._clock.now_ms()
            metrics.LAST_SUCCESS.set(self._last_success_ms / 1000)
        metrics.EXPIRES.set(0 if active is None else active.expires_ms / 1000)
        metrics.RULES.set(0 if active is None else sum(bundle.rules for bundle in active.bundles))
        metrics.DROPPED.set(len(trusted.missing))
        self._report.changed()

    def _measure(self) -> None:
        """What changes with time alone."""
        trusted, now_ms = self._set, self._clock.now_ms()
        state = StoreState.UNSTAMPED if self._lookout is None else self._lookout.stamp.state
        metrics.REVISION.set(self._store_revision or 0)
        metrics.AGE.set(0 if self._read_ms is None else max(0, now_ms - self._read_ms) / 1000)
        metrics.STORE_FROZEN.set(state is StoreState.FROZEN)
        metrics.STORE_WITHHELD.set(state is StoreState.WITHHELD)
        metrics.CLOCK_BACK.set(self._kept.is_clock_back())
        if trusted is not None:
            infos = [bundle.info() for bundle in (*trusted.bundles.values(), *trusted.ended.values())]
            for age, count in count_by_freshness(infos, trusted.root.expires_ms, now_ms).items():
                metrics.FRESHNESS.labels(str(age)).set(count)

    async def _look_always(self) -> None:
        while True:
            if self._subscription is None and self._lookout is not None:
                try:
                    self._subscription = await self._lookout.store.on_write(self._hint.set)
                except NatsError as error:
                    log.warning("no hints from the bundle store", action="policy.store", error=type(error).__name__)
            is_hinted = await self._hinted(LOOK_S)
            before = self._store_revision
            await self._look()
            for again_s in LOOK_AGAIN_S if is_hinted else ():
                if self._store_revision != before:
                    break
                await self._hinted(again_s)
                await self._look()

    async def _hinted(self, within_s: float) -> bool:
        """Wait for a hint; whether one came."""
        try:
            async with asyncio.timeout(within_s):
                await self._hint.wait()
        except TimeoutError:
            return False
        self._hint.clear()
        return True

    async def _look(self) -> None:
        try:
            await self.refresh()
        except Exception as error:  # noqa: BLE001  whatever happened, a kernel goes on looking for policy
            self._report.failed(error)

    def _failed(self, name: str, error: BaseException) -> None:
        log.error("a task of the bundles ended", action="policy.task", task=name, error=type(error).__name__)


def _tell_default(root: Root) -> None:
    metrics.DEFAULT_ALLOW.set(root.default_decision == "allow")
    if root.default_decision == "allow":
        log.warning(
            "the root allows by default: what no rule speaks of runs", action="policy.default_allow", root=root.version
        )
