"""How a drill asks a running system to leave a process down for a while.

A request is one line, `hold <kind>`, over a socket in the abstract namespace that only the same user may use. The hold
lasts as long as the connection, so that a drill that dies leaves nothing switched off.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator

from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.up.supervise import Supervisor

LINE_BYTES_MAX = 256
TIMEOUT_S = 10.0
KINDS = ("kernel", "api", "dispatcher", "output-gate", "auditor", "worker", "redis", "nats")


@contextlib.asynccontextmanager
async def control_server(supervisor: Supervisor) -> AsyncIterator[str]:
    """Serve holds for the block; gives the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _serve(supervisor, reader, writer)
        except (OSError, TimeoutError, ValueError):
            return  # the caller went away, which ends its hold
        finally:
            writer.close()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"\0holdgate-control-{os.urandom(8).hex()}")
    address = "@" + listener.getsockname()[1:].decode()
    server = await asyncio.start_unix_server(serve, sock=listener, limit=LINE_BYTES_MAX)
    async with server:
        yield address


async def _serve(supervisor: Supervisor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if _user_of(writer.get_extra_info("socket")) != os.getuid():
        return
    async with asyncio.timeout(TIMEOUT_S):
        verb, _, kind = (await reader.readline()).decode().strip().partition(" ")
    if verb != "hold" or kind not in KINDS:
        writer.write(b"unknown\n")
        await writer.drain()
        return
    with supervisor.hold(kind):
        pids = " ".join(map(str, supervisor.pids().get(kind, [])))
        writer.write(f"held {pids}\n".encode())
        await writer.drain()
        await reader.read()  # until the caller closes


@contextlib.contextmanager
def holding(address: str, kind: str) -> Iterator[list[int]]:
    """Ask the system at `address` not to restart `kind` for the block; gives its process ids. Misconfigured."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT_S)
        try:
            connection.connect("\0" + address[1:])
            connection.sendall(f"hold {kind}\n".encode())
            answer = connection.makefile().readline().split()
        except OSError as error:
            raise Misconfigured("no `holdgate up` answers there") from error
        if not answer or answer[0] != "held":
            raise Misconfigured(f"the system does not hold `{kind}`")
        yield [int(pid) for pid in answer[1:]]


def _user_of(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return int(user)
