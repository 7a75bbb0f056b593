"""The root as every process other than the kernel holds it: read from a file, verified, read again when it changed.

What always holds: a file that does not verify changes nothing; one that could not be read is read again; a version
never goes down; an expired root is None.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import structlog

from holdgate.bundles.errors import BundleRefused, RootRefused, RootUnreadable
from holdgate.bundles.root import ROOT_BYTES_MAX, Pins, Root, verify_root
from holdgate.kernel.clock import Clock
from holdgate.kernel.trust import Trust

log = structlog.get_logger("holdgate.bundles")

LOOK_AGAIN_MS = 2000
FileStamp: TypeAlias = tuple[int, int, int]
"""Tells whether a file may have changed: time, size, inode; zeros where there is none."""


def load_root(path: Path, pins: Pins, now_ms: int) -> Root:
    """The verified root in `path`; RootUnreadable, else as `verify_root`."""
    try:
        with path.open("rb") as file:
            data = file.read(ROOT_BYTES_MAX + 1)
    except OSError as error:
        raise RootUnreadable(f"cannot read the root `{path}`: {error.strerror}") from error
    return verify_root(data, pins, now_ms)


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
            root = load_root(self._path, self._pins, now_ms)
            if root.version < self._trust.root_version:
                raise RootRefused(f"version {root.version} is older than {self._trust.root_version}")
        except BundleRefused as error:
            if not isinstance(error, RootUnreadable):
                self._stamp = stamp
            log.error("the root file is not accepted; the one before stays", action="root.reload", error=str(error))  # noqa: TRY400  no trace needed
            return
        self._stamp = stamp
        self._trust = root.trust()
        log.info("the root changed", action="root.reload", version=root.version)
