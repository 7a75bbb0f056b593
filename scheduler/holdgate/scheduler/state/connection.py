"""Redis for everything in this folder: a few connections that pipeline what is waiting, and the scripts.

What always holds: every call has a time limit; what the driver raises leaves as StateUnavailable; a script of a tenant
touches only keys of that tenant's hash slot. Scripts are loaded on every connect, and again when Redis forgot them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any, TypeAlias, cast

import hiredis
import redis.asyncio
import redis.exceptions
from redis.asyncio.connection import AbstractConnection, parse_url

from holdgate.kernel.batching import GroupCommit
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.errors import StateBroken, StateUnavailable
from holdgate.scheduler.state.counters import lua_buckets
from holdgate.scheduler.state.transitions import lua_table

Arg: TypeAlias = str | int | float | bytes
Call: TypeAlias = tuple[Arg, ...]

INDEX = "hg:{index}"
"""What is not of one tenant: the lists of tenants and workers. Its own slot; scripts do not touch it."""
FLUSH_CALLS_MAX = 256
"""Keeps one flush well under a heartbeat, and replies to early callers from waiting on late ones."""
LANES = 8
"""Redis reads 16 KiB of each connection, then writes its log to disk once for all of them: with several connections
more calls share a write."""
SCRIPTS = "scripts"
PRELUDE = "prelude.lua"


class Lane:
    """One connection; calls made while a flush is under way leave together in the next one."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        settings: dict[str, Any] = dict(parse_url(url))
        kind: type[AbstractConnection] = settings.pop("connection_class", redis.asyncio.Connection)
        settings |= {"protocol": 2, "socket_connect_timeout": timeout_s}
        self._connection = kind(**settings)
        self._timeout_s = timeout_s
        self._commit: GroupCommit[bytes, Any] = GroupCommit(self._flush, batch_max=FLUSH_CALLS_MAX)

    async def call(self, call: Call) -> Any:
        """The reply; a redis ResponseError is raised as it is, everything else as StateUnavailable."""
        try:
            return await self._commit.submit(_packed(call))
        except Unavailable as error:
            raise error if isinstance(error, StateUnavailable) else StateUnavailable(str(error)) from error

    async def close(self) -> None:
        """Refuse what waits and disconnect; idempotent."""
        await self._commit.close()
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await self._connection.disconnect()

    async def _flush(self, calls: list[bytes]) -> list[Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(calls)
        except BaseException as error:
            # Replies that are still on their way must not be taken for those of later calls.
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                await self._connection.disconnect(nowait=True)
            if isinstance(error, redis.exceptions.RedisError | OSError):
                raise StateUnavailable(f"the state store did not answer: {type(error).__name__}") from error
            raise

    async def _exchange(self, calls: list[bytes]) -> list[Any]:
        connection = self._connection
        if _has_ended(connection):
            await connection.disconnect(nowait=True)
        await connection.connect()  # type: ignore[no-untyped-call]  # the driver's own gap
        await connection.send_packed_command(b"".join(calls), check_health=False)
        replies: list[Any] = []
        for _ in calls:
            try:
                replies.append(await connection.read_response(disconnect_on_error=False))
            except redis.exceptions.ConnectionError:
                raise
            except redis.exceptions.ResponseError as error:
                replies.append(error)
        return replies


def _has_ended(connection: AbstractConnection) -> bool:
    """Whether the server closed an idle connection, as at its restart: nothing sent now would arrive."""
    reader = connection._reader
    return reader is not None and (reader.at_eof() or reader.exception() is not None)


class Scripts:
    """Runs commands and the scripts of this folder, over its lanes in turn. Calls under way together have no order."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = tuple(lanes)
        self._turn = itertools.cycle(self._lanes)
        self._sources = _sources()
        self._digests = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in self._sources.items()
        }

    async def load(self) -> None:
        """Give Redis every script that it does not have."""
        known = await self.command("SCRIPT", "EXISTS", *self._digests.values())
        missing = [name for name, is_there in zip(self._digests, known, strict=True) if not is_there]
        await self.commands([("SCRIPT", "LOAD", self._sources[name]) for name in missing])

    async def run(self, name: str, tenant: Tenant, args: Sequence[Arg]) -> Any:
        """Reply of `scripts/<name>.lua` for `tenant`."""
        call: Call = ("EVALSHA", self._digests[name], 1, key(tenant), *args)
        try:
            return await next(self._turn).call(call)
        except redis.exceptions.NoScriptError:
            return await self._run_forgotten(name, call)
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, name) from error

    async def command(self, *args: Arg) -> Any:
        """Reply of one Redis command."""
        try:
            return await next(self._turn).call(args)
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, str(args[0])) from error

    async def commands(self, calls: Sequence[Sequence[Arg]]) -> list[Any]:
        """Replies of several commands, in order, all under way at once; no transaction."""
        return list(await asyncio.gather(*(self.command(*call) for call in calls)))

    async def close(self) -> None:
        """Let go of the connections; idempotent."""
        for lane in self._lanes:
            await lane.close()

    async def _run_forgotten(self, name: str, call: Call) -> Any:
        """Redis was restarted or its scripts were flushed: the call did nothing; send the source with it."""
        try:
            return await next(self._turn).call(("EVAL", self._sources[name], *call[2:]))
        except redis.exceptions.ResponseError as error:
            raise _mapped(error, name) from error


async def connect_redis(url: str, *, timeout_s: float = 5.0) -> Scripts:
    """A connected runner with all scripts loaded; StateUnavailable when Redis does not answer."""
    scripts = Scripts([Lane(url, timeout_s=timeout_s) for _ in range(LANES)])
    try:
        await scripts.load()
    except BaseException:
        await scripts.close()
        raise
    return scripts


def key(tenant: Tenant, *parts: str) -> str:
    """`hg:{tenant}:part:part`: every key of a tenant lies in one slot."""
    return ":".join((f"hg:{{{tenant}}}", *parts))


def _packed(call: Call) -> bytes:
    """Bytes of the call, made for each caller alone: what cannot be packed fails nobody else. The driver's own packing
    is in Python and took more time than everything else that a call does here."""
    try:
        packed: bytes = hiredis.pack_command(cast(Any, call))
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise StateBroken(f"a call of `{call[0]!s}` has an argument that cannot be stored") from error
    return packed


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
