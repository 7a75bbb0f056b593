"""The process between members: passes on every connection to a server, and breaks those that it is told to.

    python -m holdgate.scheduler.torture.proxy.process     (its standard input is a socket to the harness)

Who connects is told by the operating system: the process that holds the other end. So one address serves everybody, and
servers may tell it to each other, as Sentinel and NATS do. While the weather is clear everywhere, nobody asks.
What always holds: bytes arrive in order and unaltered or the connection ends; the process ends when the harness does.

    ← {"fronts": [[member, listen_port, port], …]}   {"pids": {member: pid}}   {"ends": [a, b], "weather": {…}}
    → {"met": 3}    to each of them: of weather that is over, how many connections met it
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random  # noqa: TID251  seeded by the harness
from typing import cast

import uvloop

from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.torture.proxy.peers import CLIENT, Pair, pids_of
from holdgate.scheduler.up.children import PACKET_BYTES_MAX

HOST = "127.0.0.1"
WAITING_BYTES_MAX = 4 * 1024 * 1024
"""Of one direction; then the sender is made to wait, as by a full window."""
RESEND_S = 0.2
"""What a lost segment costs at first; twice as much each time that it is lost again."""
RESENDS_MAX = 4
LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Weather:
    """How it is between two members now."""

    cut: str = ""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0


CLEAR = Weather()


class Sky:
    """The weather between any two, who is which process, and every connection that is open."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.connections: set[Connection] = set()
        self._names: dict[int, str] = {}
        self._weather: dict[frozenset[str], Weather] = {}
        self._met: Counter[frozenset[str]] = Counter()
        self._look: asyncio.TimerHandle | None = None

    @property
    def is_clear(self) -> bool:
        """Everywhere: then nobody needs to know who is who."""
        return not self._weather

    def meet(self, names: dict[int, str]) -> None:
        """Processes by what they are called."""
        self._names = names
        for connection in self.connections:
            if connection.who == CLIENT:
                connection.who = ""
        if not self.is_clear:
            self.identify()

    def identify_soon(self) -> None:
        """Those that came while there is weather, together: one look costs as much as many."""
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self.identify)

    def identify(self) -> None:
        """Whoever is not known yet; those that waited for it go on."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        strangers = [connection for connection in self.connections if not connection.who]
        found = pids_of([connection.pair for connection in strangers], self._names)
        for connection in strangers:
            connection.who = self._names.get(found.get(connection.pair, 0), CLIENT)
            connection.go()

    def between(self, ends: frozenset[str]) -> Weather:
        """The weather there."""
        return self._weather.get(ends, CLEAR)

    def set(self, ends: frozenset[str], weather: Weather) -> int:
        """It changes: now, for open connections too. How many connections met what was before."""
        met = self._met.pop(ends, 0)
        if weather == CLEAR:
            self._weather.pop(ends, None)
        else:
            self._weather[ends] = weather
        self.identify()
        for connection in [each for each in self.connections if each.ends == ends]:
            self.meets(connection)
            connection.on_weather(weather)
        return met

    def meets(self, connection: Connection) -> None:
        """Count it where there is weather."""
        if connection.ends in self._weather:
            self._met[connection.ends] += 1


class Connection:
    """One connection of a client, and the one to the server that it is passed on to."""

    def __init__(self, sky: Sky, pair: Pair, server: str, go: Callable[[Connection], None]) -> None:
        self.pair = pair
        self.who = ""
        """The member, or CLIENT; '' while nobody has looked."""
        self._sky = sky
        self._server = server
        self._go: Callable[[Connection], None] | None = go
        self.here = End(self)
        self.there = End(self)
        self.here.other, self.there.other = self.there, self.here
        sky.connections.add(self)

    @property
    def ends(self) -> frozenset[str]:
        """Who it connects; a process that is no member is CLIENT."""
        return frozenset((self.who or CLIENT, self._server))

    def go(self) -> None:
        """Connect to the server, once; not where it is cut off."""
        if self._go is None:
            return
        go, self._go = self._go, None
        self._sky.meets(self)
        if self.weather.cut == "reset":
            self.abort()
        else:
            go(self)

    @property
    def weather(self) -> Weather:
        """Between its ends, now."""
        return self._sky.between(self.ends)

    @property
    def rng(self) -> Random:
        """Chance."""
        return self._sky.rng

    def on_weather(self, weather: Weather) -> None:
        """It changed."""
        if weather.cut == "reset":
            self.abort()
        elif not weather.cut:
            self.here.flush()
            self.there.flush()

    def forget(self) -> None:
        """It is over."""
        self._sky.connections.discard(self)

    def abort(self) -> None:
        """Both ends are told that it broke off."""
        self.forget()
        for end in (self.here, self.there):
            end.abort()


class End(asyncio.Protocol):
    """One of the two; what it gets, it sends from the other when that is due."""

    other: End

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        """What is to be sent from here, and when; None: the connection breaks off."""
        self._waiting_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_ending = False
        self._is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.other.send(data)

    def eof_received(self) -> bool:
        self.other.end()
        return True

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._is_lost = True
        if self.other._is_lost:
            self._connection.forget()
        else:
            self.other.end()

    def pause_writing(self) -> None:
        self.other.hold(is_held=True)

    def resume_writing(self) -> None:
        self.other.hold(is_held=False)

    def hold(self, *, is_held: bool) -> None:
        """Whether to read on."""
        if self._transport is not None and not self._transport.is_closing():
            if is_held:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def send(self, data: bytes) -> None:
        """As the weather has it."""
        weather = self._connection.weather
        if weather == CLEAR and not self._waiting and self._transport is not None:
            self._transport.write(data)
            return
        self._waiting.append((self._due(weather), data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self.other.hold(is_held=True)
        self.flush()

    def end(self) -> None:
        """Nothing more comes; what waits is sent first."""
        self._is_ending = True
        self.flush()

    def flush(self) -> None:
        """Send what is due; come back for the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is None or self._connection.weather.cut:
            return
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0][0] <= now:
            _, data = self._waiting.popleft()
            if data is None:
                self._connection.abort()
                return
            self._waiting_bytes -= len(data)
            self._transport.write(data)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_at(self._waiting[0][0], self.flush)
            return
        self.other.hold(is_held=False)
        if self._is_ending:
            self._transport.close()

    def abort(self) -> None:
        """Break off: what waits is lost."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        if self._transport is not None:
            self._transport.abort()

    def _due(self, weather: Weather) -> float:
        """When a segment that is sent now arrives, never before one that was sent earlier."""
        rng = self._connection.rng
        later_s = (weather.delay_ms + rng.random() * weather.jitter_ms) / 1000
        resends = 0
        while weather.loss and rng.random() < weather.loss:
            later_s += RESEND_S * 2**resends
            resends += 1
            if resends > RESENDS_MAX:
                self._waiting.append((asyncio.get_running_loop().time() + later_s, None))
                break
        due = asyncio.get_running_loop().time() + later_s
        return max(due, self._waiting[-1][0]) if self._waiting else due


async def _serve(channel: socket.socket) -> None:
    sky = Sky(Random(0))  # noqa: S311  the weather is no secret
    tasks = TaskSet(lambda name, error: print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr))
    reader = asyncio.get_running_loop()
    channel.setblocking(False)
    while packet := await reader.sock_recv(channel, PACKET_BYTES_MAX):
        message, met = json.loads(packet), 0
        match message:
            case {"fronts": list(fronts)}:
                for member, listen, port in fronts:
                    await _listen(sky, tasks, member, listen, port)
            case {"pids": dict(pids)}:
                sky.meet({pid: member for member, pid in pids.items()})
            case {"ends": [str(one), str(other)], "weather": dict(weather)}:
                met = sky.set(frozenset((one, other)), Weather(**weather))
            case _:
                raise ValueError("a message that this process does not know")
        await reader.sock_sendall(channel, json.dumps({"met": met}).encode())  # noqa: TID251  our own
    await tasks.close()


async def _listen(sky: Sky, tasks: TaskSet, member: str, listen: int, port: int) -> None:
    loop = asyncio.get_running_loop()

    async def pass_on(connection: Connection) -> None:
        try:
            await loop.create_connection(lambda: connection.there, HOST, port)
        except OSError:
            connection.abort()

    def start(connection: Connection) -> None:
        tasks.start(pass_on(connection), member)

    def accept() -> asyncio.Protocol:
        return Accepting(sky, member, start)

    await loop.create_server(accept, HOST, listen, backlog=512)


class Accepting(asyncio.Protocol):
    """A fresh connection: handed over at once, or, while there is weather, once it is known whose it is."""

    def __init__(self, sky: Sky, member: str, start: Callable[[Connection], None]) -> None:
        self._sky = sky
        self._member = member
        self._start = start

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        pair = (transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        connection = Connection(self._sky, pair, self._member, self._start)
        cast(asyncio.Transport, transport).set_protocol(connection.here)
        connection.here.connection_made(transport)
        if self._sky.is_clear:
            connection.go()
        else:
            self._sky.identify_soon()


if __name__ == "__main__":
    with socket.socket(fileno=0) as _channel:
        uvloop.run(_serve(_channel))
