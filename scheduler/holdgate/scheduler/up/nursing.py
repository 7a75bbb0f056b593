"""Starts NATS again where it cannot help itself: after a failed write a stream takes nothing until then.

What always holds: only once its disk takes a block again, or nothing would be won; not more often than every few
seconds.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import structlog

from holdgate.scheduler.state.monitoring import Monitoring
from holdgate.scheduler.up.supervise import Supervisor

log = structlog.get_logger("holdgate.up")

LOOK_S = 0.5
PAUSE_S = 5.0
"""In which a server that was started again has read its streams."""
ROOM_BYTES = 1 << 20


async def nurse_nats(supervisor: Supervisor, monitor_url: str, directory: Path) -> None:
    """For ever: look, and start it again where that helps."""
    monitoring = Monitoring(monitor_url)
    while True:
        await asyncio.sleep(LOOK_S)
        said = await monitoring.failure()
        if said is not None and await asyncio.to_thread(_has_room, directory):
            log.error("nats is started again: a stream takes nothing since a write failed", action="nats_restarted")
            supervisor.end("nats")
            await asyncio.sleep(PAUSE_S)


def _has_room(directory: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"\0" * ROOM_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    return True
