"""A line on the terminal while a scan goes on for more than a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

QUIET_S = 2.0
EVERY_S = 0.25


class Progress:
    """Says how far a scan is, once it has taken `QUIET_S`; says nothing where nobody watches."""

    def __init__(self, file: TextIO | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._file = sys.stderr if file is None else file
        self._now = now
        self._due = now() + QUIET_S
        self._is_watched = self._file.isatty()
        self._is_shown = False

    def note(self, files: int, bytes_read: int) -> None:
        """So much is done."""
        if self._is_watched and self._now() >= self._due:
            self._due = self._now() + EVERY_S
            self._is_shown = True
            print(f"\r{files} files, {bytes_read / 1e6:.1f} MB scanned", end="", file=self._file, flush=True)

    def end(self) -> None:
        """Take the line away."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=self._file, flush=True)
