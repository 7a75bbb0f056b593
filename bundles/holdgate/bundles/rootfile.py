"""The root as every process other than the kernel holds it: read from a file, verified, read again when it changed.

What always holds: a file that does not verify changes nothing; one that could not be read is read again; a new root
follows from the one before, version for version; an expired root is None.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import structlog

from holdgate.bundles.chain import CHAIN_BYTES_MAX, RootChain, verify_chain
from holdgate.bundles.errors import BundleRefused, RootUnreadable
from holdgate.bundles.root import Pins, Root
from holdgate.kernel.clock import Clock
from holdgate.kernel.trust import Trust

log = structlog.get_logger("holdgate.bundles")

LOOK_AGAIN_MS = 2000
FileStamp: TypeAlias = tuple[int, int, int]
"""Tells whether a file may have changed: time, size, inode; zeros where there is none."""


def load_root(path: Path, pins: Pins, now_ms: int) -> Root:
    """The newest root in `path`, verified; RootUnreadable, else as `verify_chain`."""
    return load_chain(path, pins, now_ms).root


def load_chain(path: Path, pins: Pins, now_ms: int) -> RootChain:
    """The verified roots in `path`; RootUnreadable, else as `verify_chain`."""
    return verify_chain(read_root_file(path), pins, now_ms)


def read_root_file(path: Path) -> bytes:
    """The bytes in `path`, one more than allowed at most; RootUnreadable."""
    try:
        with path.open("rb") as file:
            return file.read(CHAIN_BYTES_MAX + 1)
    except OSError as error:
        raise RootUnreadable(f"cannot read the root `{path}`: {error.strerror}") from error


def file_stamp(path: Path) -> FileStamp:
    """The stamp of `path` now."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)


class RootFile:
    """Gives the trust in force when called; looks at the file at most every two seconds, and only when it changed."""

    def __init__(self, path: Path, pins: Pins, clock: Clock) -> None:
        """RootRefused and kin when the file does not hold a root to begin with."""
        self._path = path
        self._pins = pins
        self._clock = clock
        self._stamp = file_stamp(path)
        self._looked_ms = clock.now_ms()
        root = load_root(path, pins, self._looked_ms)
        self._trust = root.trust()

    def __call__(self) -> Trust | None:
        """The root in force; None once it has expired."""
        now_ms = self._clock.now_ms()
        if now_ms - self._looked_ms >= LOOK_AGAIN_MS:
            self._looked_ms = now_ms
            self._look(now_ms)
        return self._trust if now_ms < self._trust.expires_ms else None

    def _look(self, now_ms: int) -> None:
        stamp = file_stamp(self._path)
        if stamp == self._stamp:
            return
        try:
            chain = load_chain(self._path, self._pins, now_ms)
            chain.verify_holds(self._trust.root_version, self._trust.root_digest)
        except BundleRefused as error:
            if not isinstance(error, RootUnreadable):
                self._stamp = stamp
            log.error("the root file is not accepted; the one before stays", action="root.reload", error=str(error))  # noqa: TRY400  no trace needed
            return
        self._stamp = stamp
        self._trust = chain.root.trust()
        log.info("the root changed", action="root.reload", version=chain.root.version)
