"""The form of the state: marked, and kept from those who do not know it."""

from __future__ import annotations

import pytest

from holdgate.kernel.wire import VERSION as WIRE
from holdgate.scheduler.errors import RecordsNewer, StateBroken, StateNewer
from holdgate.scheduler.state.connection import connect_redis
from holdgate.scheduler.state.encoding import unpack_stored
from holdgate.scheduler.state.records import KEY, VERSION, mark_records, verify_records


async def test_a_store_is_marked_once_and_known_again(redis_url: str) -> None:
    scripts = await connect_redis(redis_url)
    await verify_records(scripts)
    assert await scripts.command("GET", KEY) is None
    await mark_records(scripts)
    await mark_records(scripts)
    await verify_records(scripts)
    assert int(await scripts.command("GET", KEY)) == VERSION
    await scripts.close()


async def test_a_store_of_a_newer_release_is_neither_read_nor_marked_back(redis_url: str) -> None:
    """Or an old process, started by mistake, would write what the new ones cannot read."""
    scripts = await connect_redis(redis_url)
    await scripts.command("SET", KEY, VERSION + 1)
    for refused in (verify_records, mark_records):
        with pytest.raises(RecordsNewer, match="start a newer one"):
            await refused(scripts)
    assert int(await scripts.command("GET", KEY)) == VERSION + 1
    await scripts.command("SET", KEY, "soon")
    with pytest.raises(StateBroken):
        await verify_records(scripts)
    await scripts.close()


def test_a_stored_record_of_a_newer_release_has_its_own_code() -> None:
    with pytest.raises(StateNewer) as caught:
        unpack_stored(b"\x81\xa1v" + bytes([WIRE + 1]))
    assert caught.value.code == "record_newer"
