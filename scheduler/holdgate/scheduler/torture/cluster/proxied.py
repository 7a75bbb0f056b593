"""The harness's end of the proxy process."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdgate.scheduler.errors import ServerUnusable
from holdgate.scheduler.up.children import PACKET_BYTES_MAX, spawn, stop

PROXY = "holdgate.scheduler.torture.proxy.process"
ANSWER_TIMEOUT_S = 10.0


class ProxyProcess:
    """Starts with `start`, ends with `stop`; what `tell` said is in force when it returns."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = asyncio.Lock()

    def start(self, log: Path) -> None:
        """Start it; what is told before it is up waits for it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs, log.open("ab") as output:
            self._process = spawn((sys.executable, "-m", PROXY), output=output, stdin=theirs.fileno())
        self._channel = ours

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return None if self._process is None else self._process.pid

    async def tell(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """What it answers; ServerUnusable when it does not."""
        if self._channel is None:
            return {}
        loop = asyncio.get_running_loop()
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await loop.sock_sendall(self._channel, json.dumps(message).encode())  # noqa: TID251  our own
                    reply = await loop.sock_recv(self._channel, PACKET_BYTES_MAX)
            except (OSError, TimeoutError) as error:
                raise ServerUnusable("the proxy between the members does not answer") from error
        if not reply:
            raise ServerUnusable("the proxy between the members ended; see `proxy.log`")
        answer: Mapping[str, Any] = json.loads(reply)
        return answer

    def stop(self) -> None:
        """End it; idempotent."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            stop(self._process, timeout_s=2.0)
            self._process = None
