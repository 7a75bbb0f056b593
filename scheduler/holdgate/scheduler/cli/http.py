"""Serves the API: uvicorn inside our own event loop and under our own signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.lifecycle import Runtime, split_address
from holdgate.scheduler.settings import ApiSettings

BACKLOG = 2048
KEEP_ALIVE_S = 75
"""Longer than the idle time of the usual proxies in front, so that it is they who close."""


class _Server(uvicorn.Server):
    """Leaves the signals to `lifecycle`, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(app: Any, settings: ApiSettings, runtime: Runtime) -> AsyncIterator[None]:
    """Serve `app` for the block; requests under way may end. Misconfigured when the address is taken."""
    listener = _listener(settings.api_listen)
    proxies = [part.strip() for part in settings.trusted_proxies.split(",") if part.strip()]
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, int(settings.stop_timeout_s / 2)),
    )
    server = _Server(config)
    tasks = TaskSet(runtime.fail)
    task = tasks.start(server.serve(sockets=[listener]), "http")
    try:
        await server.listening.wait()
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)
        await tasks.close()


def _listener(address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Misconfigured(f"cannot listen on `{address}`: {error.strerror}") from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
