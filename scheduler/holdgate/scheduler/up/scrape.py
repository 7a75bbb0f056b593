"""One page of metrics for all processes of a `holdgate up`, out of the files that they share."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from holdgate.scheduler.up.plan import HOST


@contextlib.asynccontextmanager
async def metrics_server(folder: Path, port: int) -> AsyncIterator[None]:
    """Serve `/metrics` for the block."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    server, thread = start_http_server(port, HOST, registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def forget(folder: Path, pid: int) -> None:
    """A process ended: what it said about the present no longer holds; its counts do."""
    mark_process_dead(pid, path=str(folder))  # type: ignore[no-untyped-call]
