"""What a worker and its child processes say to each other on a socket pair: length-prefixed msgpack, never pickles."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any

from holdgate.kernel import limits, wire
from holdgate.kernel.errors import InvalidInput

_HEAD = struct.Struct(">I")


class FrameSocket:
    """Sends and receives messages, blocking. Many threads may send, one receives."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Send one message; OSError when the other end is gone."""
        body = wire.pack(message)
        with self._lock:
            self._end.sendall(_HEAD.pack(len(body)) + body)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other end is gone."""
        head = self._exactly(_HEAD.size)
        if head is None:
            return None
        (length,) = _HEAD.unpack(head)
        if length > limits.ENVELOPE_BYTES_MAX:
            raise InvalidInput(f"a frame of {length} bytes is over the limit")
        body = self._exactly(length)
        return None if body is None else wire.unpack(body)

    def close(self) -> None:
        """Let go of the socket."""
        self._end.close()

    def _exactly(self, length: int) -> bytes | None:
        received = bytearray()
        while len(received) < length:
            try:
                piece = self._end.recv(min(length - len(received), 1 << 20))
            except (ConnectionError, OSError):
                return None
            if not piece:
                return None
            received += piece
        return bytes(received)
