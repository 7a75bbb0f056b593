"""A worker's connections to NATS: they come back for as long as the worker lives."""

from __future__ import annotations

import asyncio

import nats.errors
import structlog
from nats.aio.client import Client as Nats

from holdgate.kernel import login as login_
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.tls import verify_private
from holdgate.workers.settings import WorkerSettings

_log = structlog.get_logger("holdgate.worker")
PENDING_BYTES_MAX = 64 * 1024 * 1024
"""What may wait in memory while the server is away; results are at most 8 MiB each."""
CONNECT_TIMEOUT_S = 2.0
START_TIMEOUT_S = 30.0


async def connect(settings: WorkerSettings, *, name: str) -> Nats:
    """A connection that reconnects forever. Replies arrive below the user's own inbox, which no other user may read."""

    async def on_error(error: Exception) -> None:
        _log.warning("nats reported an error", action="nats_error", error=type(error).__name__, connection=name)

    async def on_disconnected() -> None:
        _log.warning("the connection to nats is lost; trying again", action="nats_disconnected", connection=name)

    async def on_reconnected() -> None:
        _log.info("connected to nats again", action="nats_reconnected", connection=name)

    for host in verify_private(settings.nats_url.split(","), settings.plaintext):
        _log.warning(
            "a connection without TLS leaves this machine: whoever is on its way reads and changes it",
            action="plaintext", host=host, connection=name,
        )  # fmt: skip
    login = settings.nats_login()
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            return await login_.connect(
                settings.nats_url,
                login,
                name=f"holdgate-worker {name}",
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,
                connect_timeout=CONNECT_TIMEOUT_S,
                ping_interval=10,
                max_outstanding_pings=2,
                pending_size=PENDING_BYTES_MAX,
                error_cb=on_error,
                disconnected_cb=on_disconnected,
                reconnected_cb=on_reconnected,
            )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise Unavailable(f"cannot connect to NATS: {type(error).__name__}") from error
