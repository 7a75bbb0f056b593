"""One connection to one Redis, and calls that share its round trips.

What always holds: every exchange has a time limit; a connection that failed is never read from again, so that no reply
is taken for another's; what the driver raises leaves as StateUnavailable; a call is sent once. Whether a call that got
no answer was carried out is not known, and nobody here asks again in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import hiredis
import redis.asyncio
import redis.exceptions

from holdgate.kernel.batching import GroupCommit
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.tls import open_hosts
from holdgate.scheduler.errors import StateBroken, StateUnavailable
from holdgate.scheduler.state.address import Endpoint, RedisAddress

Arg: TypeAlias = str | int | float | bytes
Call: TypeAlias = Sequence[Arg]

FLUSH_CALLS_MAX = 256
"""Keeps one flush well under a heartbeat, and replies to early callers from waiting on late ones."""
UNKNOWN = "what was asked may or may not have happened; ask again, with the same `Idempotency-Key` where there is one"
REPLICAS_WAIT_MS = 1_000
"""How long replicas may take to confirm: a network's hiccup, and well under the time limit of a flush."""

SERVING = re.compile(rb"(?:run_id|master_replid):[0-9a-f]+")


def _said(error: Exception) -> str:
    """What became of a call, for whoever asked: no name of a class tells them."""
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.AuthorizationError):
        return "the state store did not answer: it refused the login; look at its user and password"
    if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
        return f"the state store did not answer in time; {UNKNOWN}"
    return f"the state store did not answer: it cannot be reached, or ended the connection; {UNKNOWN}"


class Wire:
    """One connection, made when it is needed. `exchange` is called by one task at a time."""

    def __init__(
        self,
        endpoint: Endpoint,
        address: RedisAddress,
        *,
        timeout_s: float,
        must_be_primary: bool = False,
        on_serving: Callable[[bytes], None] | None = None,
    ) -> None:
        """`on_serving` hears with each connection, before anything is asked over it, who serves there; the same life of
        the same server with the same history of writes says the same, nobody else does. Empty: it does not say."""
        self.endpoint = endpoint
        self._on_serving = on_serving
        self._timeout_s = timeout_s
        self._must_be_primary = must_be_primary
        self._loopback_only = address.loopback_only and address.tls is None
        self._connection = _Connection(endpoint, address, timeout_s)

    async def exchange(self, packed: bytes, count: int) -> list[Any]:
        """`count` replies to `packed`, errors of Redis among them; StateUnavailable, and the connection is closed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(packed, count)
        except BaseException as error:
            # Replies that are still on their way must not be taken for those of later calls.
            await self.drop()
            if isinstance(error, redis.exceptions.RedisError | OSError):
                raise StateUnavailable(_said(error)) from error
            raise

    async def raw(self, packed: bytes) -> asyncio.StreamReader:
        """Send `packed` and read what comes as it comes: a dump has no end that a reply has. Then only `drop`."""
        self._require_private()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._connection.connect()  # type: ignore[no-untyped-call]  # the driver's own gap
                await self._connection.send_packed_command(packed, check_health=False)
        except redis.exceptions.RedisError as error:
            raise StateUnavailable(_said(error)) from error
        stream = self._connection._reader
        if stream is None:
            raise StateUnavailable("the state store closed the connection")
        return stream

    async def drop(self) -> None:
        """Close the connection; the next exchange makes another. Idempotent."""
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            await self._connection.disconnect(nowait=True)

    def _require_private(self) -> None:
        """Whoever names a server may name one that is elsewhere; nothing is said to it, the login least of all."""
        host, port = self.endpoint
        if self._loopback_only and open_hosts([f"redis://{f'[{host}]' if ':' in host else host}:{port}"]):
            raise StateUnavailable(
                f"the state store is at `{host}`, and a connection there would be readable: use `rediss`, or set "
                "`HOLDGATE_PLAINTEXT=allow`"
            )

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        self._require_private()
        connection = self._connection
        if connection.has_ended():
            await connection.disconnect(nowait=True)
        if not connection.is_connected:
            await connection.connect()  # type: ignore[no-untyped-call]  # the driver's own gap
            if self._must_be_primary:
                await self._verify_primary()
            if self._on_serving is not None:
                self._on_serving(await self._serving())
        await connection.send_packed_command(packed, check_health=False)
        return [await self._read() for _ in range(count)]

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except redis.exceptions.ConnectionError:
            raise
        except redis.exceptions.ResponseError as error:
            return error

    async def _verify_primary(self) -> None:
        """A primary that was away while another took its place would take writes until it learns of that."""
        reply = await self._ask("ROLE")
        if isinstance(reply, redis.exceptions.ResponseError) or bytes(reply[0]) != b"master":
            raise StateUnavailable("the state store has another primary; it is looked for")

    async def _serving(self) -> bytes:
        found = [SERVING.search(await self._text("INFO", section)) for section in ("server", "replication")]
        return b" ".join(match[0] for match in found if match) if all(found) else b""

    async def _text(self, *call: str) -> bytes:
        reply = await self._ask(*call)
        return reply if isinstance(reply, bytes) else b""

    async def _ask(self, *call: str) -> Any:
        await self._connection.send_packed_command(packed(call), check_health=False)
        return await self._read()


class Lane:
    """A wire for many callers; calls made while a flush is under way leave together in the next one.

    With `replicas`, as many have all that a flush wrote, and all that it read, before anybody hears of it.
    `on_trouble` hears when the server is not what it was.
    """

    def __init__(self, wire: Wire, *, replicas: int = 0, on_trouble: Callable[[], None] = lambda: None) -> None:
        self._wire = wire
        self._replicas = replicas
        self._wait = packed(("WAIT", replicas, REPLICAS_WAIT_MS)) if replicas else b""
        self._on_trouble = on_trouble
        # With each call whether it is a glimpse.
        self._commit: GroupCommit[tuple[bytes, bool], Any] = GroupCommit(self._flush, batch_max=FLUSH_CALLS_MAX)

    async def call(self, call: Call, *, is_glimpse: bool = False) -> Any:
        """The reply; a redis ResponseError is raised as it is, everything else as StateUnavailable.

        `is_glimpse`: it changes nothing, and its reply may be one that a failover takes back.
        """
        try:
            return await self._commit.submit((packed(call), is_glimpse))
        except Unavailable as error:
            raise error if isinstance(error, StateUnavailable) else StateUnavailable(str(error)) from error

    async def close(self) -> None:
        """Refuse what waits and disconnect; idempotent."""
        await self._commit.close()
        await self._wire.drop()

    async def _flush(self, calls: list[tuple[bytes, bool]]) -> list[Any]:
        parts = [data for data, _ in calls]
        waits = self._replicas > 0 and not all(is_glimpse for _, is_glimpse in calls)
        if waits:
            parts.append(self._wait)
        try:
            replies = await self._wire.exchange(b"".join(parts), len(parts))
        except StateUnavailable:
            self._on_trouble()
            raise
        if any(isinstance(reply, Exception) and _is_demoted(reply) for reply in replies):
            self._on_trouble()
            await self._wire.drop()
        failure = self._unconfirmed(replies.pop()) if waits else None
        if failure is None:
            return replies
        return [reply if is_glimpse else failure for reply, (_, is_glimpse) in zip(replies, calls, strict=True)]

    def _unconfirmed(self, reply: Any) -> StateUnavailable | None:
        """What the answer to `WAIT` means for the calls before it. It covers what they read, too: what it waits for is
        all that the server had written when the last of them was done, whoever wrote it."""
        if not isinstance(reply, Exception) and int(reply) >= self._replicas:
            return None
        found = "none could be asked" if isinstance(reply, Exception) else f"{int(reply)} did"
        return StateUnavailable(f"{self._replicas} replicas of the state store must confirm what is told; {found}")


class _Connection(redis.asyncio.Connection):
    """The driver's, with a context for TLS that is made once."""

    def __init__(self, endpoint: Endpoint, address: RedisAddress, timeout_s: float) -> None:
        self._tls = address.tls
        super().__init__(
            host=endpoint.host,
            port=endpoint.port,
            db=address.db,
            username=address.user,
            password=None if address.password is None else address.password.get_secret_value(),
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            driver_info=None,
        )

    def has_ended(self) -> bool:
        """Whether the server closed an idle connection, as at its restart: nothing sent now would arrive."""
        reader = self._reader
        return reader is not None and (reader.at_eof() or reader.exception() is not None)

    def _connection_arguments(self) -> dict[str, Any]:
        arguments = dict(super()._connection_arguments())
        return arguments if self._tls is None else {**arguments, "ssl": self._tls}


def packed(call: Call) -> bytes:
    """Bytes of the call, made for each caller alone: what cannot be packed fails nobody else. The driver's own packing
    is in Python and took more time than everything else that a call does here."""
    try:
        data: bytes = hiredis.pack_command(cast(Any, tuple(call)))
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        raise StateBroken(f"a call of `{call[0]!s}` has an argument that cannot be stored") from error
    return data


def _is_demoted(error: Exception) -> bool:
    """Whether it says that this server is no primary any more; inside a script that stands in the middle."""
    return isinstance(error, redis.exceptions.ReadOnlyError) or "READONLY" in str(error)
