"""What the monitoring of NATS says of its streams.

A stream of nats-server whose write failed, as on a full disk, takes nothing and answers nothing until that server is
started again, also when there is room again; only its monitoring tells.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from urllib.parse import SplitResult, urlsplit

WRITE_ERROR = "write error"
WELL = ""
ANSWER_S = 0.8
ANSWER_BYTES_MAX = 64 * 1024
SAID_CHARS_MAX = 120


class Monitoring:
    """Of the servers at `urls`, comma separated; None: not known, and never anything wrong.

    Asked with nothing but the standard library: whoever starts all the others asks, too, and is to stay small.
    """

    def __init__(self, urls: str | None, tls: ssl.SSLContext | None = None) -> None:
        self._urls = [urlsplit(url.strip()) for url in urls.split(",")] if urls else []
        self._tls = tls

    async def failure(self) -> str | None:
        """What is wrong with their streams, where no majority of them can write: one full disk of three stops nothing.

        One that does not answer says nothing by itself, and is not among those that can.
        """
        said = await asyncio.gather(*(_failure(url, self._context(url)) for url in self._urls))
        failure = next((failure for failure in said if failure), None)
        return failure if 2 * said.count(WELL) <= len(said) else None

    def _context(self, url: SplitResult) -> ssl.SSLContext | None:
        if url.scheme != "https":
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


async def _failure(url: SplitResult, tls: ssl.SSLContext | None) -> str | None:
    """What it says; WELL where it says nothing of writing, None where it does not answer."""
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await _get(url, tls)
        error = str(json.loads(answer.partition(b"\r\n\r\n")[2]).get("error", ""))
    except (OSError, TimeoutError, ValueError, AttributeError):
        return None
    return error[:SAID_CHARS_MAX] if WRITE_ERROR in error else WELL


async def _get(url: SplitResult, tls: ssl.SSLContext | None) -> bytes:
    reader, writer = await asyncio.open_connection(url.hostname, url.port or (443 if tls else 80), ssl=tls)
    try:
        path = f"{url.path.rstrip('/')}/healthz"
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\n\r\n".encode())
        return await reader.read(ANSWER_BYTES_MAX)
    finally:
        writer.close()
