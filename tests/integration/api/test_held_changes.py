"""Who looks at the list of held jobs hears of every change within a second, and of no other tenant's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from holdgate.kernel import subjects, wire
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.identity.keys import read_keys, revoke_key
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld
from support.holding import hold
from support.waiting import eventually

TENANT = Tenant("default")
PATH = "/api/v1/approvals/events"


class Heard:
    """Events of one stream, as they come."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last_id = ""

    async def next(self, timeout_s: float = 5.0) -> dict[str, Any]:
        """The data of the next event `changed`."""
        async with asyncio.timeout(timeout_s):
            async for line in self._lines:
                if line.startswith("id: "):
                    self.last_id = line[4:]
                if line.startswith("data: "):
                    return dict(json.loads(line[6:]))
        raise AssertionError("the stream ended")

    async def begun(self) -> None:
        """Once the stream is there."""
        async with asyncio.timeout(5):
            async for line in self._lines:
                if line.startswith(": here"):
                    return


@asynccontextmanager
async def listening(api: ApiWorld, who: str = "approver", **headers: str) -> AsyncIterator[Heard]:
    """A stream for the block."""
    async with api.client(who, **headers).stream("GET", PATH) as reply:
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        heard = Heard(reply.aiter_lines())
        await heard.begun()
        yield heard


async def vote(api: ApiWorld, job_id: str, verb: str) -> None:
    """One vote on what is shown."""
    client = api.client("approver")
    shown = (await client.get(f"/api/v1/approvals/{job_id}")).json()
    body = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "looked"}
    assert (await client.post(f"/api/v1/approvals/{job_id}/{verb}", json=body)).status_code == 200


async def test_a_job_that_becomes_held_and_what_people_do_with_it_is_heard(api: ApiWorld) -> None:
    async with listening(api) as heard:
        await api.submit()  # not held: nobody's business here
        job_id = await hold(api)
        assert await heard.next() == {"job_id": job_id, "state": "held"}
        await vote(api, job_id, "reject")
        assert await heard.next() == {"job_id": job_id, "state": "denied"}


async def test_a_stream_ends_with_the_key_that_it_was_asked_for_with(api: ApiWorld) -> None:
    """Whoever holds a key that was revoked hears of nothing that comes after."""
    async with asyncio.timeout(30), api.client("approver").stream("GET", PATH) as reply:
        path = api.settings.api_keys_file
        revoke_key(path, next(one.key_id for one in read_keys(path) if one.actor == "approver"))

        async def is_revoked() -> bool:
            return (await api.client("approver").get("/api/v1/status")).status_code == 401

        await eventually(is_revoked, why="the key is revoked")
        job_id = await hold(api)
        heard = [line async for line in reply.aiter_lines()]  # ends by itself
    assert job_id not in "".join(heard)


async def test_a_job_that_becomes_held_is_hinted_at(api: ApiWorld) -> None:
    hints = await api.nc.subscribe(subjects.event(TENANT))
    await api.nc.flush()
    job_id = await hold(api)
    message = await hints.next_msg(timeout=5)
    assert wire.unpack(message.data) == {"job_id": job_id, "state": "held"}


async def test_without_any_hint_a_change_is_heard_within_a_second_and_a_half(api: ApiWorld) -> None:
    async with listening(api) as heard:
        change = ("XADD", key(TENANT, "held_changes"), "999999-0", "j", "job_x", "s", "held")
        await api.scripts.command(*change)
        assert await heard.next(1.5) == {"job_id": "job_x", "state": "held"}


async def test_who_comes_back_hears_what_was_missed_or_is_told_to_look_at_everything(api: ApiWorld) -> None:
    async with listening(api) as heard:
        first = await hold(api)
        assert (await heard.next())["job_id"] == first
        last_id = heard.last_id
    second = await hold(api)
    async with listening(api, **{"Last-Event-ID": last_id}) as heard:
        assert await heard.next() == {"job_id": second, "state": "held"}
    await api.scripts.command("XTRIM", key(TENANT, "held_changes"), "MAXLEN", 1)
    for told in (last_id, "99999999"):
        async with listening(api, **{"Last-Event-ID": told}) as heard:
            assert await heard.next() == {"job_id": "", "state": None}


async def test_a_flood_is_told_as_one_reason_to_look_again(api: ApiWorld) -> None:
    async with listening(api) as heard:
        place = key(TENANT, "held_changes")
        await api.scripts.commands(
            [("XADD", place, f"{900_000 + n}-0", "j", f"job_{n}", "s", "held") for n in range(1)]
        )
        assert (await heard.next())["job_id"] == "job_0"
        pipeline = [
            arg for n in range(400) for arg in (f"redis.call('XADD',KEYS[1],'{900_001 + n}-0','j','j{n}','s','held')",)
        ]
        await api.scripts.command("EVAL", "\n".join(pipeline), 1, place)
        assert await heard.next() == {"job_id": "", "state": None}


async def test_another_tenants_changes_are_not_heard(api: ApiWorld) -> None:
    async with listening(api, "stranger") as heard:
        await hold(api)
        with pytest.raises(TimeoutError):
            await heard.next(1.5)


async def test_an_agent_does_not_listen(api: ApiWorld) -> None:
    assert (await api.client("agent").get(PATH)).status_code == 403
