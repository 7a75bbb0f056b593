"""Redis for everything in this folder: one connection that pipelines what is waiting, and the scripts.

What always holds: every call has a time limit; what the driver raises leaves as StateUnavailable; a script of a tenant
touches only keys of that tenant's hash slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdgate.kernel.ids import Tenant

Arg = str | int | float | bytes


class Scripts:
    """Runs commands and scripts; calls made while a flush is under way leave together in the next one."""

    async def run(self, name: str, tenant: Tenant, args: Sequence[Arg]) -> Any:
        """Reply of `scripts/<name>.lua` for `tenant`."""
        raise NotImplementedError

    async def command(self, *args: Arg) -> Any:
        """Reply of one Redis command."""
        raise NotImplementedError

    async def commands(self, calls: Sequence[Sequence[Arg]]) -> list[Any]:
        """Replies of several commands, one flush, no transaction."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the connection; idempotent."""
        raise NotImplementedError


async def connect_redis(url: str, *, timeout_s: float = 5.0) -> Scripts:
    """A connected runner with all scripts loaded; StateUnavailable when Redis does not answer."""
    raise NotImplementedError


def key(tenant: Tenant, *parts: str) -> str:
    """`hg:{tenant}:part:part`: every key of a tenant lies in one slot."""
    return ":".join((f"hg:{{{tenant}}}", *parts))
