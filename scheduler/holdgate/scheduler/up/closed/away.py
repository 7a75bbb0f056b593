"""Ways in which a part can be away, each a block: gone inside, back after it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdgate.scheduler.up import scenes
from holdgate.scheduler.up.caller import until
from holdgate.scheduler.up.closed.running import NotHere, Running
from holdgate.scheduler.up.control import holding

FILLED_BYTES_MAX = 256 * 1024 * 1024
"""A larger folder is nobody's small disk made for this."""


class Away(Protocol):
    """One part, one way."""

    def gone(self, system: Running) -> contextlib.AbstractContextManager[object]:
        """Away for the block. NotHere: it cannot be taken away on this system."""
        ...


@dataclass(frozen=True, slots=True)
class Killed:
    """Every process of `kind` dies, and none is started."""

    kind: str

    @contextlib.contextmanager
    def gone(self, system: Running) -> Iterator[None]:
        """Held by the supervisor."""
        with holding(system.state["control"], self.kind) as pids:
            scenes.end(pids, signal.SIGKILL)
            until(lambda: system.pids(self.kind) == [])
            yield


@dataclass(frozen=True, slots=True)
class Hung:
    """Every process of `kind` stands still: connections stay, nothing answers."""

    kind: str

    @contextlib.contextmanager
    def gone(self, system: Running) -> Iterator[None]:
        """By SIGSTOP, which no process can ignore."""
        pids = system.pids(self.kind)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True)
class Full:
    """The disk under `folder` of the system's directory is full."""

    folder: str

    @contextlib.contextmanager
    def gone(self, system: Running) -> Iterator[None]:
        """Filled by a file. NotHere unless the folder is a small disk of its own."""
        directory = system.home.path / self.folder
        if not directory.is_mount() or shutil.disk_usage(directory).total > FILLED_BYTES_MAX:
            raise NotHere(f"`{self.folder}` is no small disk of its own")
        filler = directory / "filler"
        _fill(filler)
        try:
            yield
        finally:
            filler.unlink(missing_ok=True)


def _fill(file: Path) -> None:
    """Until not a byte more goes in."""
    block = b"\0" * (1 << 20)
    with file.open("wb", buffering=0) as opened:
        while block:
            try:
                opened.write(block)
            except OSError:
                block = block[: len(block) // 2]
