"""Calls under way together are done in any order; what needs one has it."""

from __future__ import annotations

import asyncio

import pytest

from holdgate.scheduler.state.connection import connect_redis, key
from holdgate.scheduler.state.fleet import LANES
from holdgate.scheduler.state.transitions import State
from support.state import TENANT, World


@pytest.mark.parametrize("ahead", range(LANES))
async def test_a_result_is_never_shown_with_a_state_from_before_its_verdict(
    world: World, redis_url: str, ahead: int
) -> None:
    """One connection of the reader, whichever, is slow while the verdict comes."""
    picked, token = await world.running()
    reader = await connect_redis(redis_url)
    gate = key(TENANT, "gate")
    slow = asyncio.ensure_future(reader.command("BLPOP", gate, 5))
    await asyncio.sleep(0)  # it has taken its lane
    await reader.commands([("GET", "nothing")] * ahead)
    reading = asyncio.ensure_future(World(reader).jobs.result(TENANT, picked.job.job_id))
    await asyncio.wait({reading}, timeout=0.02)  # what can be read is; nothing to wait for where a lane is slow
    request = world.finish_request(picked, token, State.SUCCEEDED, value=b'"done"')
    await world.results.finish(TENANT, [request], world.now_ms)
    await world.scripts.command("RPUSH", gate, "open")
    await slow
    result = await reading
    assert result is None or result.state is State.SUCCEEDED
    await reader.close()
