"""One POST to a webhook, bounded in everything: time, connections, and what is read of the answer.

What always holds: no redirect is followed, no proxy of the environment is used, no cookie is kept; of an answer only
its status counts, and its body is not read.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import httpx

TIMEOUT_S = 10.0
"""For the whole exchange, however slowly a receiver dribbles."""
CONNECTIONS_MAX = 64
USER_AGENT = "holdgate-webhooks/1"


class Sender(Protocol):
    """Posts a body to an address."""

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> str | None:
        """None when it arrived (2xx); else what was wrong, in one word."""
        ...

    async def close(self) -> None:
        """Let go of connections; idempotent."""
        ...


class HttpSender:
    """The one for the network."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=0),
            headers={"User-Agent": USER_AGENT, "Content-Type": "application/json"},
        )

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> str | None:
        """None when it arrived (2xx); `status_503`, `timeout`, or the kind of error."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange(url, body, headers)
        except (TimeoutError, httpx.TimeoutException):
            return "timeout"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return type(error).__name__

    async def close(self) -> None:
        """Let go of connections; idempotent."""
        await self._client.aclose()

    async def _exchange(self, url: str, body: bytes, headers: dict[str, str]) -> str | None:
        self._client.cookies.clear()
        async with self._client.stream("POST", url, content=body, headers=headers) as reply:
            return None if reply.is_success else f"status_{reply.status_code}"
