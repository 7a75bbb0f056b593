"""What Redis sends to a replica that begins: every key with its value, as they were at one moment (RDB, `rdb.h`).

A value is not taken apart, only measured: its bytes are what `DUMP` gives and `RESTORE` takes, but for the footer. What
always holds: of a form that is not known here nothing is passed over; the reading ends with an error.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from holdgate.scheduler.errors import BackupBroken

Read = Callable[[int], Awaitable[bytes]]
"""Exactly so many bytes."""

_MAGIC = re.compile(rb"REDIS([0-9]{4})\Z")
_AUX, _RESIZE, _EXPIRE_MS, _EXPIRE_S, _SELECT, _END = 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF
_FREQ, _IDLE, _SLOT = 0xF9, 0xF8, 0xF4
_WHOLE = frozenset({9, 10, 11, 12, 13, 16, 17, 20})
"""Values that are one string: ziplists, listpacks, sets of integers."""
_STREAMS = frozenset({15, 19, 21})
_STRING, _LIST, _SET, _ZSET_TEXT, _HASH, _ZSET, _QUICKLIST, _QUICKLIST_2 = 0, 1, 2, 3, 4, 5, 14, 18
STRING_BYTES_MAX = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One key. `value` begins with the byte of its type; `expires_ms` 0: never."""

    db: int
    key: bytes
    expires_ms: int
    value: bytes


class RdbReader:
    """Entries of one dump. `version` is known once the first was read."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._taken = bytearray()
        self.version = 0

    async def begin(self) -> None:
        """Read the head."""
        found = _MAGIC.match(await self._read(9))
        if found is None:
            raise BackupBroken("Redis sent something that is no dump")
        self.version = int(found[1])

    async def entries(self) -> AsyncIterator[Entry]:
        """Every key of every database."""
        db = expires_ms = 0
        while True:
            code = (await self._take(1))[0]
            if code == _END:
                return
            if code == _SELECT:
                db = await self._length()
            elif code == _EXPIRE_MS:
                expires_ms = int.from_bytes(await self._take(8), "little")
            elif code == _EXPIRE_S:
                expires_ms = 1000 * int.from_bytes(await self._take(4), "little")
            elif code in (_AUX, _RESIZE, _FREQ, _IDLE, _SLOT):
                await self._pass(code)
            elif code > 0x80:
                raise BackupBroken(f"the dump holds an entry of an unknown kind, {code}")
            else:
                key = await self._text()
                self._taken = bytearray([code])
                await self._value(code)
                yield Entry(db, key, expires_ms, bytes(self._taken))
                expires_ms = 0
            self._taken.clear()

    async def _pass(self, code: int) -> None:
        """What is told of the whole, or for the sake of memory."""
        if code == _AUX:
            await self._string()
            await self._string()
        elif code == _FREQ:
            await self._take(1)
        else:
            for _ in range({_RESIZE: 2, _IDLE: 1, _SLOT: 3}[code]):
                await self._length()

    async def _value(self, kind: int) -> None:
        if kind == _STRING or kind in _WHOLE:
            await self._string()
        elif kind in (_LIST, _SET, _QUICKLIST):
            await self._strings(1)
        elif kind == _HASH:
            await self._strings(2)
        elif kind == _ZSET:
            for _ in range(await self._length()):
                await self._string()
                await self._take(8)
        elif kind == _ZSET_TEXT:
            for _ in range(await self._length()):
                await self._string()
                digits = (await self._take(1))[0]
                await self._take(0 if digits >= 253 else digits)
        elif kind == _QUICKLIST_2:
            for _ in range(await self._length()):
                await self._length()
                await self._string()
        elif kind in _STREAMS:
            await self._stream(kind)
        else:
            raise BackupBroken(f"the dump holds a value of an unknown type, {kind}")

    async def _strings(self, each: int) -> None:
        for _ in range(each * await self._length()):
            await self._string()

    async def _stream(self, kind: int) -> None:
        await self._strings(2)
        for _ in range(3 if kind == 15 else 8):
            await self._length()
        for _ in range(await self._length()):
            await self._group(kind)

    async def _group(self, kind: int) -> None:
        await self._string()
        for _ in range(2 if kind == 15 else 3):
            await self._length()
        for _ in range(await self._length()):
            await self._take(16 + 8)
            await self._length()
        for _ in range(await self._length()):
            await self._string()
            await self._take(16 if kind == 21 else 8)
            await self._take(16 * await self._length())

    # Lengths and strings ----------------------------------------------------------------------------------------------

    async def _take(self, count: int) -> bytes:
        data = await self._read(count) if count else b""
        self._taken += data
        return data

    async def _length(self) -> int:
        length, is_encoded = await self._head()
        if is_encoded:
            raise BackupBroken("the dump holds a length that is none")
        return length

    async def _head(self) -> tuple[int, bool]:
        """A length; or how a string is encoded, and True."""
        first = (await self._take(1))[0]
        if first >> 6 == 0:
            return first & 0x3F, False
        if first >> 6 == 1:
            return (first & 0x3F) << 8 | (await self._take(1))[0], False
        if first >> 6 == 3:
            return first & 0x3F, True
        if first not in (0x80, 0x81):
            raise BackupBroken("the dump holds a length of an unknown form")
        return int.from_bytes(await self._take(4 if first == 0x80 else 8), "big"), False

    async def _string(self) -> None:
        await self._text()

    async def _text(self) -> bytes:
        """A string, read; what is packed is unpacked only where it is short, as keys are."""
        length, is_encoded = await self._head()
        if not is_encoded:
            if length > STRING_BYTES_MAX:
                raise BackupBroken("the dump holds a string over the limit")
            return await self._take(length)
        if length <= 2:
            return str(int.from_bytes(await self._take(1 << length), "little", signed=True)).encode()
        if length != 3:
            raise BackupBroken("the dump holds a string of an unknown form")
        packed, plain = await self._length(), await self._length()
        data = await self._take(packed)
        return lzf_unpacked(data, plain) if plain <= KEY_BYTES_MAX else b""


KEY_BYTES_MAX = 4096


def lzf_unpacked(data: bytes, length: int) -> bytes:
    """What LZF packed into `data` (M. Lehmann, liblzf)."""
    out = bytearray()
    at = 0
    while at < len(data):
        control = data[at]
        at += 1
        if control < 32:
            out += data[at : at + control + 1]
            at += control + 1
            continue
        count, back = control >> 5, (control & 0x1F) << 8
        if count == 7:
            count += data[at]
            at += 1
        start = len(out) - (back | data[at]) - 1
        at += 1
        if start < 0:
            raise BackupBroken("the dump holds a string that cannot be unpacked")
        for offset in range(count + 2):
            out.append(out[start + offset])
    if len(out) != length:
        raise BackupBroken("the dump holds a string that cannot be unpacked")
    return bytes(out)
