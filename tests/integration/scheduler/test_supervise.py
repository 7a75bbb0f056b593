"""What a supervisor does when a child cannot be started again."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

from holdgate.scheduler.up.supervise import Spec, Supervisor
from support.waiting import Eventually


async def test_a_child_that_cannot_be_started_again_is_tried_until_it_can(
    tmp_path: Path, eventually: Eventually
) -> None:
    """Its log's folder is away for a while, as on a disk that is full: the others must not end for that."""
    failures: list[str] = []
    supervisor = Supervisor(restart=True, on_change=lambda: None, on_end=lambda _: None, on_failure=failures.append)
    folder = tmp_path / "log"
    folder.mkdir()
    try:
        child = await supervisor.start(Spec("sleeper", "sleeper", ("sleep", "600"), folder / "log", program=True))
        first = child.pid
        assert first is not None
        shutil.rmtree(folder)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: child.failures >= 2)
        assert child.pid is None
        folder.mkdir()
        await eventually(lambda: child.pid is not None)
        assert child.pid != first
        assert failures == []
    finally:
        await supervisor.stop([(["sleeper"], 2.0)])
    assert child.pid is None
