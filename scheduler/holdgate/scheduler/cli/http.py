"""Serves the API: uvicorn inside our own event loop and under our own signals.

What always holds: from the moment that the process leaves every reply closes its connection, so that none is idle, and
none carries a request, when the listener closes. The end waits for requests under way, and for nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias

import uvicorn

from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.cli.connections import Bounds, Room, end_half_open, files_for, protocol_of
from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.lifecycle import Runtime, split_address
from holdgate.scheduler.settings import ApiSettings

BACKLOG = 2048
KEEP_ALIVE_S = 75
"""Longer than the idle time of the usual proxies in front, so that it is they who close."""
TICK_S = 1.0
"""How often the date in replies is set."""
LAST_TURNS = 3
"""Of the loop, after which connections that were closed are gone."""

Message: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
CLOSE = (b"connection", b"close")


class _Server(uvicorn.Server):
    """Leaves the signals to `lifecycle`, says when it listens, and ends when it is told to.

    uvicorn looks ten times a second whether it is to end, and waits at the end whether or not there is anybody.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Take no more connections, let requests under way end; `serve` returns then."""
        self.should_exit = True
        self._ending.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(LAST_TURNS):
            await asyncio.sleep(0)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(
    app: Any,
    settings: ApiSettings,
    runtime: Runtime,
    *,
    on_leave: Callable[[], None],
    bounds: Bounds = Bounds(),  # noqa: B008  frozen
) -> AsyncIterator[None]:
    """Serve `app` for the block; requests under way may end. Misconfigured when the address is taken.

    `on_leave` is called when the process begins to leave: what lasts has to end then.
    """
    listener = _listener(settings.api_listen)
    proxies = [part.strip() for part in settings.trusted_proxies.split(",") if part.strip()]
    config = uvicorn.Config(
        _Closing(app, runtime.leaving.is_set),
        http=protocol_of(Room(files_for(bounds), frozenset(proxies))),
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
    tasks.start(_on_leave(runtime, on_leave), "leave")
    try:
        await server.listening.wait()
        yield
    finally:
        on_leave()
        server.end()
        await asyncio.gather(task, return_exceptions=True)
        await tasks.close()


async def _on_leave(runtime: Runtime, on_leave: Callable[[], None]) -> None:
    await runtime.leaving.wait()
    on_leave()


class _Closing:
    """The application, whose replies end their connections once `is_leaving`."""

    def __init__(self, app: Any, is_leaving: Callable[[], bool]) -> None:
        self._app = app
        self._is_leaving = is_leaving

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Send) -> None:
        """Answer one request."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._is_leaving():
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        await self._app(scope, receive, closing)


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
    end_half_open(listener)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
