"""What processes look at for `/readyz`."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from holdgate.kernel.readiness import Readiness, Standing
from holdgate.scheduler.cli import checks
from holdgate.scheduler.cli.checks import disk_check


async def test_a_folder_that_takes_a_block_is_well_and_nothing_stays_in_it(tmp_path: Path) -> None:
    assert await disk_check(tmp_path, is_needed=True).look() is None
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []


async def test_a_folder_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    """With the words of the operating system."""
    said = await disk_check(tmp_path / "gone", is_needed=True).look()
    assert said == "cannot be written: No such file or directory"


async def test_a_disk_that_hangs_is_tried_once_and_said_to_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try takes a thread that cannot be ended: a second one would be one more."""
    go_on, tries = threading.Event(), [0]

    def hangs(_directory: Path) -> None:
        tries[0] += 1
        go_on.wait(10)

    monkeypatch.setattr(checks, "_write", hangs)
    monkeypatch.setattr("holdgate.kernel.readiness.LOOK_S_MAX", 0.02)
    readiness = Readiness("auditor")
    readiness.add(disk_check(tmp_path, is_needed=True))
    await readiness.look()
    await readiness.look()
    await readiness.start()
    assert readiness.report().standing is Standing.NOT_READY
    assert readiness.report().checks == {"disk": "a write does not come to its end"}
    assert tries == [1]
    go_on.set()
    await readiness.stop()
