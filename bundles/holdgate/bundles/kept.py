"""What a kernel keeps of policy over a restart: the bundles that it took, the highest versions of all, the latest time.

What always holds: nothing that was kept is fallen below, neither a version nor the time: what expired stays so; a root
counts only where it follows from the one before, or an operator changed the pins.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog

from holdgate.bundles.chain import RootChain
from holdgate.bundles.errors import BundleExpired, BundleRefused, ShelfUnusable
from holdgate.bundles.root import Pins
from holdgate.bundles.rootfile import load_chain
from holdgate.bundles.shelf import Shelf, Versions
from holdgate.bundles.stampwatch import StampWatch
from holdgate.bundles.trusted import MISSING, Floor, TrustedSet
from holdgate.kernel import limits
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError

log = structlog.get_logger("holdgate.bundles")

KEEP_TIME_MS = 180_000
"""How often the time is written to disk, so also how far a clock may go back over a restart without being noticed."""


class Kept:
    """One kernel's root file and shelf. `seen_ms`: the latest time seen; `is_kept`: what is in force is on disk."""

    def __init__(
        self, *, root: Path, pins: Pins, directory: Path, clock: Clock, stamp: StampWatch | None = None
    ) -> None:
        self.seen_ms = 0
        self.is_kept = False
        self._root = root
        self._pins = pins
        self._shelf = Shelf(directory)
        self._clock = clock
        self._stamp = stamp
        self._stamp_ms = 0
        self._kept_ms = 0

    def now_ms(self) -> int:
        """The time, or the latest seen where the clock went back."""
        return max(self._clock.now_ms(), self.seen_ms)

    def is_clock_back(self) -> bool:
        """Whether the clock stands clearly before a time that was seen."""
        return self._clock.now_ms() + limits.CLOCK_SKEW_S * 1000 < self.seen_ms

    def is_due(self) -> bool:
        """Whether something is to be written: a root that came while the disk was full, or the time."""
        return not self.is_kept or self.seen_ms - self._kept_ms >= KEEP_TIME_MS

    def restored(self, held: TrustedSet | None) -> tuple[TrustedSet, Mapping[str, HoldgateError]]:
        """Root from its file, and under it the bundles known; by name, those that are not there or do not hold.

        `held`: the set in force, None at the start.
        """
        known = self._known(held)
        chain = load_chain(self._root, self._pins, self.now_ms())
        _verify_follows(chain, known, self._pins)
        trusted = TrustedSet.under(chain.root, known.bundles)
        trusted, problems = trusted.restore_all(self._files(known, held), self.now_ms())
        gone = {
            name: expired(name) if name in trusted.ended else _missing(name)
            for name in trusted.missing
            if name not in problems
        }
        return trusted, {**problems, **gone}

    def keep(self, trusted: TrustedSet, files: Mapping[str, bytes]) -> None:
        """Write what must never be fallen below from now on; ShelfUnusable."""
        if self._stamp is not None:
            self._stamp_ms = self._stamp.seen_ms
        versions = Versions(
            root=Floor(trusted.root.version, trusted.root.digest),
            bundles=trusted.floors,
            pins=str(self._pins),
            time_ms=self.now_ms(),
            stamp_ms=self._stamp_ms,
        )
        self._shelf.keep(versions, files)
        self._kept_ms = self.seen_ms = versions.time_ms
        self.is_kept = True

    def _known(self, held: TrustedSet | None) -> Versions:
        """The highest versions: from disk at the start, and from then on what this process itself knows."""
        if held is not None:
            return Versions(Floor(held.root.version, held.root.digest), held.floors, str(self._pins))
        versions = self._shelf.versions()
        self.seen_ms = max(self.seen_ms, versions.time_ms)
        self._stamp_ms = max(self._stamp_ms, versions.stamp_ms)
        if self._stamp is not None:
            self._stamp.seen_ms = max(self._stamp.seen_ms, self._stamp_ms)
        return versions

    def _files(self, known: Versions, held: TrustedSet | None) -> dict[str, bytes]:
        bundles = {} if held is None else {**held.ended, **held.bundles}
        files = {name: bundle.data for name, bundle in bundles.items()}
        for name, floor in known.bundles.items():
            data = files.get(name) or self._file_on_disk(name, floor, is_start=held is None)
            if data is not None:
                files[name] = data
        return files

    def _file_on_disk(self, name: str, floor: Floor, *, is_start: bool) -> bytes | None:
        try:
            return self._shelf.bundle(name, floor.digest)
        except ShelfUnusable as error:
            if is_start:
                raise
            # It was dropped before: a disk that fails keeps no new root from counting.
            log.warning("a dropped bundle cannot be read", action="policy.shelf", bundle=name, code=error.code)
            return None


def expired(name: str) -> BundleExpired:
    """What is told of a bundle whose grace is over."""
    return BundleExpired(f"the grace of `{name}` is over; its scope is closed until a higher version is published")


def _missing(name: str) -> BundleRefused:
    return BundleRefused(f"`{name}` is not on disk any more", code=MISSING)


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
