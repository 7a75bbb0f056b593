"""Connections of clients, bounded: how many there may be, and how long one may take over what it has to do.

What always holds: a connection whose request's head does not come in time, or is larger than any of ours, is closed; so
is one that does not read what it asked for; beyond the bounds a new connection is told so and closed at once. Whoever
does none of this notices nothing of it. The times of bodies are those of `api.body`.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from holdgate.scheduler.api import metrics
from holdgate.scheduler.api.calls import reply_problem
from holdgate.scheduler.api.problems import Problem

FILES_KEPT = 256
"""Of the files that a process may have open: for everything but clients."""
KEEP_ALIVE_IDLE_S, KEEP_ALIVE_EVERY_S, KEEP_ALIVE_PROBES = 30, 10, 3
USER_TIMEOUT_MS = 60_000
"""After which what was sent and never acknowledged ends a connection: the other machine is gone."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`connections_max` in all, half of them from one address that is no proxy. `head_s`: for the head of a request,
    and for what still comes of one that is answered. `write_s`: without room for more of a reply."""

    connections_max: int = 8_192
    head_s: float = 10.0
    head_bytes_max: int = 64 * 1024
    write_s: float = 20.0


@dataclass(slots=True)
class Room:
    """Connections there are."""

    bounds: Bounds
    proxies: frozenset[str] = frozenset()
    total: int = 0
    by_address: Counter[str] = field(default_factory=Counter)

    def enter(self, address: str) -> bool:
        """Whether there is room for one more from `address`; it is counted then."""
        most = self.bounds.connections_max
        if self.total >= most or (self.by_address[address] >= most // 2 and address not in self.proxies):
            return False
        self.total += 1
        self.by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One less."""
        self.total -= 1
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]


def protocol_of(room: Room) -> type[HttpToolsProtocol]:
    """The protocol of uvicorn, with all its connections in `room`."""

    class Bounded(_Bounded):
        pass

    Bounded.room = room
    return Bounded


class _Bounded(HttpToolsProtocol):
    room: Room
    _address: str | None = None
    _is_in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self.room.enter(address):
            self._cut("refused", _overloaded())
            return
        self._address = address
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear()
        if self._address is not None:
            self.room.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.room.bounds.head_bytes_max + _READ_BYTES:
                self._cut(
                    "head_too_large", b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"
                )
                return
        super().data_received(data)
        # What comes beside a request, or still comes of one that is answered, has its time, too.
        cycle: RequestResponseCycle | None = self.cycle
        if self._head_timer is None and (cycle is None or cycle.response_complete):
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self._await_head()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.room.bounds.write_s, self._cut, "not_read")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _await_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(self.room.bounds.head_s, self._cut, "too_slow")

    def _cut(self, reason: str, last: bytes = b"") -> None:
        """End it; `last` is said if there is room for it."""
        metrics.CUT_OFF.labels(reason).inc()
        self._clear()
        if last:
            self.transport.write(last)
            self.transport.close()
        else:
            self.transport.abort()

    def _clear(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None


_READ_BYTES = 256 * 1024
"""What the loop reads at once: the end of a head and a body may come together."""


def _overloaded() -> bytes:
    reply = reply_problem(Problem("overloaded"), None)
    head = [b"HTTP/1.1 503 Service Unavailable", *(b"%b: %b" % pair for pair in reply.headers)]
    head += [b"content-length: %d" % len(reply.body), b"connection: close", b"", b""]
    return b"\r\n".join(head) + reply.body


def files_for(bounds: Bounds) -> Bounds:
    """`bounds` that the operating system allows: as many open files as it may be, and some kept for other things."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = bounds.connections_max + FILES_KEPT
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return Bounds(max(1, most - FILES_KEPT), bounds.head_s, bounds.head_bytes_max, bounds.write_s)


def end_half_open(listener: socket.socket) -> None:
    """Connections that `listener` takes end by themselves when the other machine is gone."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEP_ALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEP_ALIVE_EVERY_S),
        ("TCP_KEEPCNT", KEEP_ALIVE_PROBES),
        ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
    ):
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
