"""Starts a cluster, and ends it whatever happens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nats.aio.client import Client as Nats

from holdgate.scheduler.torture.cluster.links import Links
from holdgate.scheduler.torture.cluster.member import Member
from holdgate.scheduler.torture.cluster.topology import Topology
from holdgate.scheduler.up.home import Home


@dataclass(frozen=True)
class Cluster:
    """A running one. `folder` holds everything: keys, data, logs, journals."""

    topology: Topology
    folder: Path
    home: Home
    members: Mapping[str, Member]
    links: Links
    """Empty unless the topology is proxied."""
    api_urls: tuple[str, ...]
    keys: Mapping[str, str]
    """API keys: `agent`, `agent2`, `approver`, `approver2`, `author`, `operator`, `auditor`, `admin`; with `other-` in
    front those of a second tenant."""
    tenants: tuple[str, str]
    journals: Path
    """Folder: what each worker ran, one JSON-lines file a process, written to disk line by line."""
    redis_urls: tuple[str, ...]
    """Each data node, past every proxy, with the password."""

    async def operator(self) -> Nats:
        """A connection of its own to NATS, past every proxy, that may do everything. Close it."""
        raise NotImplementedError

    async def redis_primary(self) -> str:
        """Name of the member that takes writes now; the first of several masters. StateUnavailable when none does."""
        raise NotImplementedError


@contextlib.asynccontextmanager
async def running_cluster(
    topology: Topology, folder: Path, *, on_event: Callable[[str, Mapping[str, Any]], None] | None = None
) -> AsyncIterator[Cluster]:
    """A cluster that answers, until the end of the block. `on_event` hears of each start and end of a member."""
    raise NotImplementedError
    yield
