"""What is asked of the OpenID provider over HTTP.

What always holds: each question is bounded in time and in what its answer may weigh, and few are under way at once,
however many strangers set out to sign in; nothing follows a redirect or a proxy of the environment.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx

from holdgate.kernel.errors import Unavailable

TIMEOUT_S = 5.0
REPLY_BYTES_MAX = 256 * 1024
AT_ONCE_MAX = 8
"""Questions under way at once; the others wait their turn, so that nobody's sign-in is refused for another's."""


class ProviderUnavailable(Unavailable):
    """the sign-in provider does not answer as it should; try again, or sign in by API key"""

    code = "provider_unavailable"


class ProviderHttp:
    """Questions to the provider."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_ONCE_MAX)

    async def fetch(self, url: str) -> Mapping[str, Any]:
        """The JSON object at `url`; ProviderUnavailable."""
        status, found = await self.exchange("GET", url)
        if status != 200:
            raise ProviderUnavailable
        return found

    async def exchange(self, method: str, url: str, **more: Any) -> tuple[int, Mapping[str, Any]]:
        """Status and JSON object of a reply; ProviderUnavailable when there is none, or it is too long or too slow."""
        async with self._room:
            # Nothing of our environment's proxies: what is asked here is asked of the provider that was configured.
            client = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, verify=self._tls)
            async with client:
                return await _exchange(client, method, url, more)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made once: reading the authorities takes longer than all else here, and holds up every other request."""
        return httpx.create_ssl_context(trust_env=False)


async def _exchange(
    client: httpx.AsyncClient, method: str, url: str, more: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any]]:
    try:
        async with asyncio.timeout(TIMEOUT_S), client.stream(method, url, **more) as reply:
            body = b""
            async for piece in reply.aiter_bytes():
                body += piece
                if len(body) > REPLY_BYTES_MAX:
                    raise ProviderUnavailable("the provider sends more than it should")
        found = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
        raise ProviderUnavailable from error
    if not isinstance(found, dict):
        raise ProviderUnavailable
    return reply.status_code, found
