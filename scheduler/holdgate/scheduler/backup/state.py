"""The state store in a backup: every key of Holdgate as it was at one moment, and how they come back.

Each primary is asked for what it gives a replica that begins: a copy of the moment, which it makes beside its work.
What is kept does not depend on where a key lay: the state of one server comes back into a cluster, or the other way.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import msgpack
import redis.exceptions

from holdgate.scheduler.backup.rdb import Entry, RdbReader
from holdgate.scheduler.errors import BackupBroken, StateUnavailable, TargetNotEmpty
from holdgate.scheduler.state.address import Endpoint, RedisAddress
from holdgate.scheduler.state.connection import RESTORED, WHOLE
from holdgate.scheduler.state.lanes import Wire, packed
from holdgate.scheduler.state.topology import Layout, topology_of

PREFIX = b"hg:"
LOOK_TIMEOUT_S = 5.0
SILENT_S = 60.0
"""While it makes the copy a primary says every second that it is there."""
CALL_TIMEOUT_S = 60.0
READ_BYTES = 1024 * 1024
FRAME_BYTES_MAX = 600 * 1024 * 1024
PORTION = 256
"""Keys that are restored in one exchange."""
_POLY = 0x95AC9329AC4BC9B5


async def layout_of(address: RedisAddress) -> Layout:
    """Who serves what now."""
    topology = topology_of(address, timeout_s=LOOK_TIMEOUT_S)
    try:
        return await topology.look()
    finally:
        await topology.close()


async def dump(address: RedisAddress, add: Callable[[bytes], None]) -> tuple[int, int]:
    """Give `add` every key of Holdgate, framed; the number of keys, and the version of Redis's format.

    StateUnavailable; BackupBroken where Redis sends what is not known here.
    """
    count = version = 0
    for endpoint in (await layout_of(address)).primaries:
        wire = Wire(endpoint, address, timeout_s=LOOK_TIMEOUT_S)
        try:
            reader = RdbReader(await _copied(wire))
            await reader.begin()
            version = max(version, reader.version)
            async for entry in reader.entries():
                if entry.db == address.db and entry.key.startswith(PREFIX):
                    add(_frame(entry, reader.version))
                    count += 1
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise StateUnavailable(f"the state store did not give its copy: {type(error).__name__}") from error
        finally:
            await wire.drop()
    return count, version


async def _copied(wire: Wire) -> Callable[[int], Any]:
    """How to read the copy that a primary makes for us."""
    stream = await wire.raw(packed(("SYNC",)))
    while True:
        async with asyncio.timeout(SILENT_S):
            line = (await stream.readline()).strip()
        if line.startswith(b"$") and line[1:].isdigit():
            break
        if line or stream.at_eof():
            raise StateUnavailable(f"the state store gives no copy: {line[:100].decode('utf-8', 'replace')}")

    return _Buffered(stream).read


class _Buffered:
    """Exactly so many bytes at a time: most are a few, so a look at the connection is not for each of them."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._data = b""
        self._at = 0

    async def read(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            await self._more(count)
            end = count
        data = self._data[self._at : end]
        self._at = end
        return data

    async def _more(self, count: int) -> None:
        """Have at least `count` from here on."""
        pieces, size = [self._data[self._at :]], len(self._data) - self._at
        self._at = 0
        while size < count:
            async with asyncio.timeout(SILENT_S):
                piece = await self._stream.read(READ_BYTES)
            if not piece:
                raise asyncio.IncompleteReadError(b"", count)
            pieces.append(piece)
            size += len(piece)
        self._data = b"".join(pieces)


def _frame(entry: Entry, version: int) -> bytes:
    framed: bytes = msgpack.packb([entry.key, entry.expires_ms, version, entry.value], use_bin_type=True)
    return framed


async def require_empty(address: RedisAddress) -> None:
    """TargetNotEmpty where a primary holds anything in the database that is meant."""
    for endpoint in (await layout_of(address)).primaries:
        (size,) = await _exchanged(endpoint, address, [("DBSIZE",)])
        if int(size):
            raise TargetNotEmpty(f"the Redis at {endpoint.host}:{endpoint.port} holds {int(size)} keys")


async def restore(address: RedisAddress, parts: AsyncIterator[bytes]) -> int:
    """Put back what `dump` gave, in pieces of any size; how many keys. What has expired since does not come back."""
    layout = await layout_of(address)
    waiting: dict[Endpoint, list[tuple[Any, ...]]] = {}
    unpacker = msgpack.Unpacker(raw=True, max_buffer_size=FRAME_BYTES_MAX)
    count = 0
    async for data in parts:
        unpacker.feed(data)
        for key, call in _calls(unpacker):
            endpoint = layout.primary_of(key)
            waiting.setdefault(endpoint, []).append(call)
            count += 1
            if len(waiting[endpoint]) >= PORTION or len(call[3]) > FRAME_BYTES_MAX // 100:
                await _exchanged(endpoint, address, waiting.pop(endpoint))
    for endpoint, calls in waiting.items():
        await _exchanged(endpoint, address, calls)
    return count


async def mark_restored(address: RedisAddress) -> None:
    """What is in it was somewhere else since: attempts that it does not know of ran, approvals were used up."""
    endpoint = (await layout_of(address)).primary_of(WHOLE.encode())  # the other one is in the same slot
    await _exchanged(endpoint, address, [("DEL", WHOLE), ("SET", RESTORED, 1)])


def _calls(unpacker: msgpack.Unpacker) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    try:
        for key, expires_ms, version, value in unpacker:
            yield key, ("RESTORE", key, expires_ms, _dumped(value, version), "ABSTTL")
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BackupBroken("its keys of Redis cannot be read") from error


def _dumped(value: bytes, version: int) -> bytes:
    """What `DUMP` would have given: the value, the version of the format, a checksum."""
    data = value + version.to_bytes(2, "little")
    return data + crc64(data).to_bytes(8, "little")


async def _exchanged(endpoint: Endpoint, address: RedisAddress, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    wire = Wire(endpoint, address, timeout_s=CALL_TIMEOUT_S)
    try:
        replies = await wire.exchange(b"".join(packed(call) for call in calls), len(calls))
    except TimeoutError as error:
        raise StateUnavailable("the state store did not answer in time") from error
    finally:
        await wire.drop()
    for reply in replies:
        if isinstance(reply, redis.exceptions.ResponseError):
            raise BackupBroken(f"Redis takes a key not: {str(reply)[:200]}")
    return replies


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLY if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _table()


def crc64(data: bytes) -> int:
    """CRC-64 of W. Jones, as Redis has it (`crc64.c`)."""
    crc, table = 0, _TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc
