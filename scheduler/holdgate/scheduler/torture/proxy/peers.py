"""Which process holds the other end of connections over loopback, as Linux tells it in `/proc`."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

Address = tuple[str, int]
Pair = tuple[Address, Address]
"""Both ends of a connection: the one that opened it, and the one that took it."""
CLIENT = "client"
"""Whoever is no member: the load."""


def pids_of(pairs: Iterable[Pair], pids: Iterable[int]) -> dict[Pair, int]:
    """Which of `pids` holds the socket that is bound to the first address of a pair and connected to the second.

    One look for all of them: each costs a walk through what every process has open.
    """
    shown = {(_shown(peer), _shown(own)): (peer, own) for peer, own in pairs}
    by_link = {f"socket:[{inode}]": shown[ends] for ends, inode in _inodes(shown)}
    found: dict[Pair, int] = {}
    for pid in pids:
        for link in _links(pid):
            if link in by_link:
                found[by_link[link]] = pid
    return found


def _inodes(wanted: Container[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str]]:
    with Path("/proc/net/tcp").open() as table:
        for line in table:
            fields = line.split()
            ends = (fields[1], fields[2])
            if ends in wanted:
                yield ends, fields[9]


def _shown(address: Address) -> str:
    """As in `/proc/net/tcp`: the address in the byte order of the machine, the port as a number, both in hex."""
    host, port = address
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"


def _links(pid: int) -> Iterator[str]:
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  quick: there are many
            with suppress(OSError):
                yield os.readlink(f"{folder}/{name}")  # noqa: PTH115
