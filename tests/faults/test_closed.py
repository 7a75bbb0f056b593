"""Fail closed, visibly: parts of a whole system are taken away in turn, and everything is as the table says.

The quick rows here; `holdgate drill-closed` tries all of them on a system of one's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.up.closed import ROWS, Observation, Row, Running, Tried, try_row
from support.whole import running_whole

pytestmark = pytest.mark.xdist_group("up")
SMALL_DISKS = {"redis": "24m", "nats": "48m", "kernel": "4m", "audit": "4m"}
BACK_S_MAX = 30.0
"""Figures are on the page; a machine that does other things too may take longer than they say."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A system on small disks where they can be mounted, with a worker that keeps a journal."""
    folder = tmp_path_factory.mktemp("closed")
    journal = folder / "journal"
    journal.touch()
    patch = pytest.MonkeyPatch()
    patch.setenv("HANDLED", str(journal))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), *sys.path[1:]]))
    mounted = [directory for name, size in SMALL_DISKS.items() if _mounted(directory := folder / "data" / name, size)]
    try:
        with running_whole(folder, "--worker", "support.journal_worker:worker") as whole:
            running = Running.of(whole.folder, runs=lambda: len(journal.read_text().splitlines()))
            yield running
            running.close()
    finally:
        for directory in mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=10)
        patch.undo()


def _mounted(directory: Path, size: str) -> bool:
    """Whether there is a disk of `size` at `directory` now; needs root."""
    directory.mkdir(parents=True)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(directory)]
    return subprocess.run(command, check=False, capture_output=True, timeout=10).returncode == 0


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS if row.is_quick])
def test_what_is_away_closes_what_needs_it_and_nothing_else(system: Running, row: Row) -> None:
    """What everybody is told, that nothing runs unseen, and that all goes on afterwards by itself."""
    seen = try_row(system, row, ROWS.index(row), SystemClock())
    if isinstance(seen, str) and seen.startswith("skipped"):
        pytest.skip(seen)
    assert isinstance(seen, Observation), seen
    assert Tried(row, seen, BACK_S_MAX).differences == []
