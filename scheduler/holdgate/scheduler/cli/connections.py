"""Connections of clients, bounded: how many there may be, and how long one may take over what it has to do.

What always holds: a connection whose request's head does not come in time, or is larger than any of ours, is closed; so
is one that does not read what it asked for, or asks on without waiting for answers; heads take so much memory in all
and no more, and those of a usual size always have room; beyond the bounds a new connection is told so and closed at
once. Whoever does none of this notices nothing of it. The times of bodies are those of `api.body`.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from holdgate.scheduler.api import metrics
from holdgate.scheduler.api.calls import reply_problem
from holdgate.scheduler.api.problems import Problem

FILES_KEPT = 256
"""Of the files that a process may have open: for everything but clients."""
KEEP_ALIVE_IDLE_S, KEEP_ALIVE_EVERY_S, KEEP_ALIVE_PROBES = 30, 10, 3
USER_TIMEOUT_MS = 60_000
"""After which what was sent and never acknowledged ends a connection: the other machine is gone."""


STEP_BYTES = 16 * 1024
"""What the parser sees at once of the 256 KiB that the loop reads: thousands of requests may be in those."""
HEAD_COST, LINE_COST = 2_048, 128
"""Memory of a request, and of each line of its head, besides the bytes that were sent."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`connections_max` in all, half of them from one address that is no proxy. `head_s`: for the head of a request,
    and for what still comes of one that is answered. `write_s`: without room for more of a reply. `heads_bytes_max`:
    memory of the heads of all requests that are not answered. `waiting_max`: requests behind one that is not."""

    connections_max: int = 8_192
    head_s: float = 10.0
    head_bytes_max: int = 64 * 1024
    write_s: float = 20.0
    heads_bytes_max: int = 64 * 1024 * 1024
    waiting_max: int = 8


class Holder(Protocol):
    """A connection that heads are held for."""

    def give_way(self) -> None:
        """End it: there is no room."""


@dataclass(slots=True)
class Room:
    """Connections there are, and the memory of heads on them."""

    bounds: Bounds
    proxies: frozenset[str] = frozenset()
    total: int = 0
    by_address: Counter[str] = field(default_factory=Counter)
    heads_bytes: int = 0
    large: dict[Holder, None] = field(default_factory=dict)
    """Those with more than each could have if all had as much, the oldest first."""

    def hold(self, holder: Holder, before: int, now: int) -> None:
        """`holder` has `now` bytes of heads, no more `before`. Beyond the bound large ones give way, the oldest first:
        so many small ones that there would be no room without them cannot be."""
        self.heads_bytes += now - before
        if now > self.bounds.heads_bytes_max // self.bounds.connections_max:
            self.large[holder] = None
        else:
            self.large.pop(holder, None)
        while self.heads_bytes > self.bounds.heads_bytes_max and self.large:
            next(iter(self.large)).give_way()

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
    _is_cut = False
    _head_bytes = 0
    """Sent since the parser last said something of a request: a head, or what follows a body."""
    _answering = 0
    """Memory of the heads of requests that are whole and not answered."""
    _cost = 0
    """Of heads that became whole in what is being parsed, besides their bytes."""
    _held = 0
    _has_said = False
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
        self._is_cut = True
        self._clear()
        if self._address is not None:
            self.room.leave(self._address)
            self._address = None
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        start = 0
        while start < len(data) and not self._is_cut and not self.transport.is_closing():
            # No step goes over the largest head, so that one of just that size is told from a larger one.
            end = start + max(1, min(STEP_BYTES, self.room.bounds.head_bytes_max - self._head_bytes))
            self._parse(data if end >= len(data) and not start else data[start:end])
            start = end
        # What comes beside a request, or still comes of one that is answered, has its time, too.
        cycle: RequestResponseCycle | None = self.cycle
        if self._head_timer is None and (cycle is None or cycle.response_complete):
            self._await_head()

    def _parse(self, data: bytes) -> None:
        before = self._head_bytes
        if before >= self.room.bounds.head_bytes_max:
            self._cut("head_too_large", b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n")
            return
        self._cost, self._has_said = 0, False
        super().data_received(data)
        if self._cost:
            self._answering += self._cost + before + len(data)
        if self._is_in_head or not self._has_said:
            self._head_bytes += len(data)
        self._hold()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self._await_head()

    def on_headers_complete(self) -> None:
        self._is_in_head, self._head_bytes, self._has_said = False, 0, True
        self._cost += HEAD_COST + LINE_COST * len(self.headers)
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if len(self.pipeline) >= self.room.bounds.waiting_max and not self._is_cut:
            self._cut("not_waiting")
        if not self._is_cut:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes, self._has_said = 0, True
        super().on_body(body)

    def on_response_complete(self) -> None:
        if not self.pipeline:
            # A connection that is idle keeps nothing of what was asked last.
            self.cycle.scope = {}  # type: ignore[typeddict-item]
            if not self._is_in_head:
                self._forget_head()
            self._answering = 0
            self._hold()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.room.bounds.write_s, self._cut, "not_read")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def give_way(self) -> None:
        """End it: there is no room for its head."""
        self._cut("no_room")

    def _forget_head(self) -> None:
        self.headers = []
        self.scope = {}  # type: ignore[typeddict-item]

    def _hold(self) -> None:
        now = self._answering
        if self._head_bytes:
            now += self._head_bytes + LINE_COST * len(self.headers or ())
        if self._is_cut:
            now = 0
        if now != self._held:
            before, self._held = self._held, now
            self.room.hold(self, before, now)

    def _await_head(self) -> None:
        if self._is_cut:
            return
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(self.room.bounds.head_s, self._cut, "too_slow")

    def _cut(self, reason: str, last: bytes = b"") -> None:
        """End it; `last` is said if there is room for it."""
        metrics.CUT_OFF.labels(reason).inc()
        self._is_cut = True
        self._clear()
        # A thousand may be cut before the loop comes to tell one that it is lost.
        self._forget_head()
        self.pipeline.clear()
        if last:
            self.transport.write(last)
            self.transport.close()
            if self.transport.get_write_buffer_size():
                self._write_timer = self.loop.call_later(self.room.bounds.write_s, self.transport.abort)
        else:
            self.transport.abort()

    def _clear(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None
        self._hold()


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
    return replace(bounds, connections_max=max(1, most - FILES_KEPT))


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
