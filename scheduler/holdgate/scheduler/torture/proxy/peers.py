"""Which process holds the other end of a connection over loopback, as Linux tells it in `/proc`."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

Address = tuple[str, int]
CLIENT = "client"
"""Whoever is no member: the load."""


def pid_of_peer(peer: Address, own: Address, likely: Iterable[int]) -> int | None:
    """The process whose socket is bound to `peer` and connected to `own`; those of `likely` are looked at first.

    None when it ended meanwhile.
    """
    inode = _inode_of(peer, own)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for pid in likely:
        if _holds(pid, wanted):
            return pid
    return next((pid for pid in _all_pids() if _holds(pid, wanted)), None)


def _inode_of(peer: Address, own: Address) -> str | None:
    """The inode of the socket that is bound to `peer` and connected to `own`."""
    local, remote = _shown(peer), _shown(own)
    with Path("/proc/net/tcp").open() as table:
        for line in table:
            fields = line.split()
            if fields[1] == local and fields[2] == remote:
                return fields[9]
    return None


def _shown(address: Address) -> str:
    """As in `/proc/net/tcp`: the address in the byte order of the machine, the port as a number, both in hex."""
    host, port = address
    (number,) = struct.unpack("=I", socket.inet_aton(host))
    return f"{number:08X}:{port:04X}"


def _holds(pid: int, wanted: str) -> bool:
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208  quick: done at each connection
            with suppress(OSError):
                if os.readlink(f"{folder}/{name}") == wanted:  # noqa: PTH115
                    return True
    return False


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
