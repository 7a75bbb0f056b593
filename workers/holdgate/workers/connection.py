"""A worker's connections to NATS: they come back for as long as the worker lives."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import nats
import structlog
from nats.aio.client import Client as Nats

_log = structlog.get_logger("holdgate.worker")
PENDING_BYTES_MAX = 64 * 1024 * 1024
"""What may wait in memory while the server is away; results are at most 8 MiB each."""


async def connect(url: str, *, name: str) -> Nats:
    """A connection that reconnects forever. Replies arrive below `_INBOX_<user>`, which no other user may read."""
    servers = [part.strip() for part in url.split(",") if part.strip()]
    user = urlsplit(servers[0]).username

    async def on_error(error: Exception) -> None:
        _log.warning("nats reported an error", action="nats_error", error=type(error).__name__, connection=name)

    async def on_disconnected() -> None:
        _log.warning("the connection to nats is gone", action="nats_disconnected", connection=name)

    async def on_reconnected() -> None:
        _log.info("connected to nats again", action="nats_reconnected", connection=name)

    return await nats.connect(
        servers=servers,
        name=name,
        inbox_prefix=b"_INBOX" if user is None else f"_INBOX_{unquote(user)}".encode(),
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        connect_timeout=5,
        ping_interval=10,
        max_outstanding_pings=3,
        pending_size=PENDING_BYTES_MAX,
        error_cb=on_error,
        disconnected_cb=on_disconnected,
        reconnected_cb=on_reconnected,
    )
