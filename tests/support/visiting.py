"""A browser without a screen: keeps cookies, sends the headers that browsers send, finds the token in a page."""

from __future__ import annotations

import re

import httpx

from support.api import PLAIN, ApiWorld

COOKIE = "holdgate"


def visitor(world: ApiWorld, **headers: str) -> httpx.AsyncClient:
    """Somebody who is not signed in yet. Redirects are not followed."""
    client = httpx.AsyncClient(base_url=world.url, headers={"Origin": world.url, **headers}, timeout=20, verify=PLAIN)
    world.clients.append(client)
    return client


async def signed_in(world: ApiWorld, who: str, **headers: str) -> httpx.AsyncClient:
    """Somebody who signed in by their key."""
    client = visitor(world, **headers)
    reply = await client.post("/sign-in", data={"key": world.keys[who], "next": "/"})
    assert reply.status_code == 303, reply.text
    assert COOKIE in client.cookies
    return client


async def token_of(client: httpx.AsyncClient, path: str = "/sessions") -> str:
    """The token that the forms of a page carry."""
    found = re.search(r'name="csrf" value="([0-9a-f]{32})"', (await client.get(path)).text)
    assert found is not None
    return found[1]


async def act(client: httpx.AsyncClient, path: str, **fields: str) -> httpx.Response:
    """Send the form at `path` as a page would."""
    return await client.post(path, data={"csrf": await token_of(client), **fields})
