"""Redis for everything in this folder: the scripts, and commands.

What always holds: every call has a time limit; what the driver raises leaves as StateUnavailable; a script of a tenant
touches only keys of that tenant's hash slot. Scripts are loaded on every connect, and again when Redis forgot them.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

import redis.exceptions

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.errors import StateBroken, StateUnavailable
from holdgate.scheduler.state.address import RedisAddress
from holdgate.scheduler.state.counters import lua_buckets
from holdgate.scheduler.state.fleet import Fleet
from holdgate.scheduler.state.lanes import Arg, Call
from holdgate.scheduler.state.transitions import lua_table

__all__ = ["INDEX", "WHOLE", "Arg", "Call", "Scripts", "connect_redis", "key"]

INDEX = "hg:{index}"
"""What is not of one tenant: the lists of tenants and workers. Its own slot; scripts do not touch it."""
WHOLE = f"{INDEX}:whole"
"""Of the last look over everything; not there in a store that is empty, or was found set back."""
RESTORED = f"{INDEX}:restored"
"""It came from a backup, and nobody looked over it yet."""
KEYLESS = frozenset(("CONFIG", "DBSIZE", "FLUSHALL", "FLUSHDB", "INFO", "PING", "ROLE", "SCRIPT"))
"""Commands of a server and not of a key. `command` asks one primary, `everywhere` each."""
SCRIPTS = "scripts"
PRELUDE = "prelude.lua"


class Scripts:
    """Runs commands and the scripts of this folder. Calls under way together have no order."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._sources = _sources()
        self._digests = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._sources.items()
        }

    @property
    def address(self) -> RedisAddress:
        """Where Redis is."""
        return self._fleet.address

    @property
    def servings(self) -> int:
        """Grows when a server may be another one than before, or began anew: what it has may be older."""
        return self._fleet.servings

    def tags(self, prefix: str) -> tuple[str, ...]:
        """Hash tags that begin with `prefix-`, of which each primary serves one."""
        return self._fleet.tags(prefix)

    async def load(self) -> None:
        """Give every primary each script that it does not have."""
        known = await self.everywhere("SCRIPT", "EXISTS", *self._digests.values())
        missing = [
            name for name, are_there in zip(self._digests, zip(*known, strict=True), strict=True) if not all(are_there)
        ]
        await asyncio.gather(*(self.everywhere("SCRIPT", "LOAD", self._sources[name]) for name in missing))

    async def run(self, name: str, tenant: Tenant, args: Sequence[Arg]) -> Any:
        """Reply of `scripts/<name>.lua` for `tenant`."""
        slot = key(tenant)
        call: Call = ("EVALSHA", self._digests[name], 1, slot, *args)
        try:
            return await self._fleet.call(slot.encode(), call)
        except redis.exceptions.NoScriptError:
            return await self._run_forgotten(name, call)
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, name) from error

    async def command(self, *args: Arg) -> Any:
        """Reply of one Redis command; its key stands behind the word. Where replicas must confirm, they have all that
        it wrote or saw."""
        return await self._commanded(args)

    async def glimpse(self, *args: Arg) -> Any:
        """The same of a command that changes nothing, without waiting for replicas: a failover may take back what it
        saw. For people who look why nothing goes on, and never for what is told of one job."""
        return await self._commanded(args, is_glimpse=True)

    async def _commanded(self, args: Sequence[Arg], *, is_glimpse: bool = False) -> Any:
        word = str(args[0])
        where = b"" if word in KEYLESS else _bytes(args[1])
        try:
            return await self._fleet.call(where, tuple(args), is_glimpse=is_glimpse)
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, word) from error

    async def commands(self, calls: Sequence[Sequence[Arg]]) -> list[Any]:
        """Replies of several commands, all under way at once: no transaction, and done in any order."""
        return list(await asyncio.gather(*(self.command(*call) for call in calls)))

    async def read_in_order(self, calls: Sequence[Call]) -> list[Any]:
        """The same of commands that change nothing, of keys of one slot: each is done after the one before it."""
        try:
            return await self._fleet.read_in_order(_bytes(calls[0][1]), calls)
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, str(calls[0][0])) from error

    async def everywhere(self, *args: Arg) -> list[Any]:
        """Replies of every primary to a command that is not of a key."""
        try:
            return await self._fleet.everywhere(args)
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, str(args[0])) from error

    async def close(self) -> None:
        """Let go of the connections; idempotent."""
        await self._fleet.close()

    async def _run_forgotten(self, name: str, call: Call) -> Any:
        """Redis was restarted or its scripts were flushed: the call did nothing; send the source with it."""
        try:
            return await self._fleet.call(_bytes(call[3]), ("EVAL", self._sources[name], *call[2:]))
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, name) from error


async def connect_redis(address: RedisAddress | str, *, timeout_s: float = 5.0) -> Scripts:
    """A connected runner with all scripts loaded; StateUnavailable when Redis does not answer.

    An address as text is parsed; Misconfigured when it is none.
    """
    fleet = Fleet(RedisAddress.parse(address) if isinstance(address, str) else address, timeout_s=timeout_s)
    scripts = Scripts(fleet)
    try:
        await fleet.start()
        await scripts.load()
    except BaseException:
        await scripts.close()
        raise
    return scripts


def key(tenant: Tenant, *parts: str) -> str:
    """`hg:{tenant}:part:part`: every key of a tenant lies in one slot."""
    return ":".join((f"hg:{{{tenant}}}", *parts))


def _bytes(name: Arg) -> bytes:
    return name if isinstance(name, bytes) else str(name).encode("utf-8", "surrogatepass")


AWAY = re.compile(r"\b(OOM|MISCONF|NOREPLICAS|READONLY|LOADING|BUSY|MASTERDOWN)\b|maxmemory")
"""What a Redis says that is full, cannot write to its disk, or does not serve now. Inside a script such words stand in
the middle of the message, and come up at its first write: nothing is ever half done."""


def _mapped(error: redis.exceptions.ResponseError, what: str) -> StateUnavailable | StateBroken:
    """A Redis that is full, loading or read-only is away; any other error is a fault of ours or of what is stored."""
    text = str(error)
    away = (
        redis.exceptions.BusyLoadingError,
        redis.exceptions.OutOfMemoryError,
        redis.exceptions.ReadOnlyError,
    )
    if isinstance(error, away) or AWAY.search(text):
        return StateUnavailable(f"the state store refuses writes: {text[:120]}")
    return StateBroken(f"`{what}` failed: {text[:300]}")


def _sources() -> dict[str, str]:
    folder = resources.files("holdgate.scheduler.state") / SCRIPTS
    prelude = lua_table() + lua_buckets() + (folder / PRELUDE).read_text("utf-8")
    return {
        item.name.removesuffix(".lua"): prelude + item.read_text("utf-8")
        for item in folder.iterdir()
        if item.name.endswith(".lua") and item.name != PRELUDE
    }
