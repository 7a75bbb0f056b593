"""What a kernel knows of the bundle store: what lies there, what of it was dealt with, and whether it stands still.

What always holds: a file that was dealt with is not verified again, one that may hold later is; a refusal is news once;
what is remembered is of names that are in the store now; whatever is wrong with one file, the next is looked at.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from holdgate.bundles import metrics
from holdgate.bundles.errors import BundleNotYet, BundleRefused, BundleSetRefused
from holdgate.bundles.format import parse_bundle
from holdgate.bundles.stamp import Delivered
from holdgate.bundles.stampstore import StampStore
from holdgate.bundles.stampwatch import StampWatch
from holdgate.bundles.store import BundleStore, StoredBundle
from holdgate.bundles.trusted import TrustedBundle, TrustedSet
from holdgate.kernel import limits
from holdgate.kernel.errors import HoldgateError, Unavailable

log = structlog.get_logger("holdgate.bundles")

INTERNAL = HoldgateError.code
AGAIN_MS = 60_000
"""How long until a file on which the kernel itself failed is tried again."""


@dataclass(slots=True)
class Found:
    """What is new in a store at its revision `seq`: bundles that hold, each verified alone, and what does not hold."""

    seq: int
    bundles: dict[str, TrustedBundle] = field(default_factory=dict)
    refused: dict[str, HoldgateError] = field(default_factory=dict)
    revisions: dict[str, int] = field(default_factory=dict)


class Lookout:
    """One store and its stamp. `seq`: its revision, once everything in it was dealt with."""

    def __init__(self, store: BundleStore, stamps: StampStore | None) -> None:
        self.store = store
        self.stamp = StampWatch(stamps)
        self.seq: int | None = None
        self._made: str | None = None
        self._names: frozenset[str] = frozenset()
        self._dealt: dict[str, int] = {}
        self._told: dict[str, tuple[int, str]] = {}
        self._delivered: dict[str, Delivered] = {}
        self._again_ms: int | None = None

    def forget(self) -> None:
        """Under another root everything is to be verified again."""
        self.seq, self._again_ms, self._names = None, None, frozenset()
        for known in (self._dealt, self._told, self._delivered):
            known.clear()

    async def look(self, trusted: TrustedSet, now_ms: int) -> Found | None:
        """Read what was not dealt with yet; None where there is nothing new. StoreUnavailable."""
        there_is = await self.store.inventory(first=trusted.floors)
        if there_is.made != self._made:
            # Its revisions count from anew: one that is equal to a known one says nothing.
            self.forget()
            self._made = there_is.made
        found = Found(there_is.seq)
        if found.seq == self.seq and (self._again_ms is None or now_ms < self._again_ms):
            return None
        self._again_ms = None
        there: set[str] = set()
        for name in there_is.names:
            try:
                is_there = await self._look_under(name, trusted, now_ms, found)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001  one file that nobody thought of hides no other
                is_there = True
                self._fail(name, error, now_ms, found)
            if is_there:
                there.add(name)
        self._keep_only(frozenset(there))
        return found

    def take(self, name: str, revision: int, bundle: TrustedBundle) -> None:
        """`bundle` is in force now."""
        self._dealt[name] = revision
        self._told.pop(name, None)
        self._delivered[name] = Delivered(frozenset({bundle.digest}), bundle.floor.version)

    def refuse(self, name: str, revision: int, error: HoldgateError) -> bool:
        """Whether this is news. What lies there is not looked at again, unless it may hold later or beside others."""
        if isinstance(error, BundleNotYet):
            self._look_again(error.from_ms - limits.CLOCK_SKEW_S * 1000)
        elif not isinstance(error, BundleSetRefused | Unavailable) and error.code != INTERNAL:
            self._dealt[name] = revision
        is_news = self._told.get(name) != (revision, error.code)
        self._told[name] = (revision, error.code)
        return is_news

    def judge(self, trusted: TrustedSet, now_ms: int) -> None:
        """Say what to make of this store, given what is in force."""
        delivered = dict(self._delivered)
        for name, bundle in trusted.bundles.items():
            got = delivered.get(name, Delivered(frozenset(), 0))
            delivered[name] = Delivered(got.digests | {bundle.digest}, max(got.version, bundle.floor.version))
        self.stamp.judge(delivered, now_ms, is_whole=trusted.bundles.keys() <= self._names)

    async def _look_under(self, name: str, trusted: TrustedSet, now_ms: int, found: Found) -> bool:
        """Whether anything lies under `name`."""
        stored = await self.store.get(name)
        if stored is None:
            return False
        if self._dealt.get(name) != stored.revision:
            await self._look_at(trusted, stored, now_ms, found)
        return True

    def _fail(self, name: str, error: Exception, now_ms: int, found: Found) -> None:
        """The kernel itself failed on what lies under `name`: refused, told, and tried again later."""
        log.error("a file of the store cannot be looked at", action="policy.store", bundle=name, error=_kind(error))
        found.revisions.setdefault(name, 0)
        found.refused[name] = BundleRefused(f"the kernel failed on `{name}`: {_kind(error)}", code=INTERNAL)
        self._delivered[name] = Delivered(frozenset(), 0)
        self._look_again(now_ms + AGAIN_MS)

    def _look_again(self, at_ms: int) -> None:
        self._again_ms = at_ms if self._again_ms is None else min(at_ms, self._again_ms)

    async def _look_at(self, trusted: TrustedSet, stored: StoredBundle, now_ms: int, found: Found) -> None:
        name = stored.name
        held = trusted.held(name)
        if held is not None and held.data == stored.data:
            metrics.RELOADS.labels("unchanged").inc()
            self.take(name, stored.revision, held)
            return
        found.revisions[name] = stored.revision
        try:
            bundle = await asyncio.to_thread(trusted.verified, name, stored.data, now_ms)
        except HoldgateError as error:
            self._delivered[name] = await asyncio.to_thread(_delivered, stored.data)
            found.refused[name] = error
            return
        self._delivered[name] = Delivered(frozenset({bundle.digest}), bundle.floor.version)
        found.bundles[name] = bundle

    def _keep_only(self, names: frozenset[str]) -> None:
        """Whoever may write there could make up names without end."""
        self._names = names
        for known in (self._dealt, self._told, self._delivered):
            for name in known.keys() - names:
                del known[name]


def _kind(error: Exception) -> str:
    """Not its message: that could quote what lies there."""
    return type(error).__name__


def _delivered(data: bytes) -> Delivered:
    """Of a file that was refused; nothing where it is not even a bundle file."""
    try:
        file = parse_bundle(data)
    except BundleRefused:
        return Delivered(frozenset(), 0)
    # Its version proves nothing before it is verified: only a digest can be what the stamp names.
    return Delivered(frozenset({file.digest}), 0)
