"""Every kind of value, in every form that Redis keeps it in, goes through a backup to the byte."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis

from holdgate.scheduler.backup import state
from holdgate.scheduler.backup.rdb import lzf_unpacked
from holdgate.scheduler.errors import BackupBroken, TargetNotEmpty
from holdgate.scheduler.state.address import RedisAddress
from support.record_fixtures import dumped
from support.servers import Servers

MANY = 3_000
"""More than the compact forms of Redis hold."""


def fill(url: str) -> None:
    connection = redis.Redis.from_url(url)
    client = connection.pipeline(transaction=False)
    for count in (1, 20, MANY):
        names = [f"field-{number:06d}" for number in range(count)]
        client.hset(f"hg:{{t}}:hash:{count}", mapping={name: name * 3 for name in names})
        client.sadd(f"hg:{{t}}:set:{count}", *names)
        client.sadd(f"hg:{{t}}:numbers:{count}", *range(count))
        client.zadd(f"hg:{{t}}:zset:{count}", {name: at * 1.5 for at, name in enumerate(names)})
        client.rpush(f"hg:{{t}}:list:{count}", *names)
        for name in names[:300]:
            client.xadd(f"hg:{{t}}:stream:{count}", {"n": name})
    client.zadd("hg:{t}:ends", {"first": "-inf", "last": "inf"})
    client.rpush("hg:{t}:large", b"\x00" * 200_000, b"x" * 100)
    client.set("hg:{t}:packed:" + "a" * 100, b"y" * 100_000)
    for name, value in {"small": 7, "middle": -300, "long": 2**31 - 1, "text": "007", "empty": ""}.items():
        client.set(f"hg:{{t}}:{name}", value)
    client.set("hg:{t}:soon", "x", px=3_600_000)
    client.set("hg:{index}:records", 1)
    client.set("of somebody else", 1)
    client.execute()
    connection.close()


@pytest.fixture
async def target(servers: Servers) -> str:
    """An empty database."""
    return servers.take_redis_url()


async def feed(parts: list[bytes]) -> AsyncIterator[bytes]:
    """In pieces that end anywhere."""
    data = b"".join(parts)
    for start in range(0, len(data), 100_001):
        yield data[start : start + 100_001]


async def test_the_state_comes_back_to_the_byte(redis_url: str, target: str) -> None:
    """All that is Holdgate's and in its database, with the time that it has left; nothing of others'."""
    fill(redis_url)
    parts: list[bytes] = []
    count, version = await state.dump(RedisAddress.parse(redis_url), parts.append)
    before = dumped(redis_url)
    assert before.pop("of somebody else")
    assert (count, version >= 9) == (len(before), True)
    await state.require_empty(RedisAddress.parse(target))
    assert await state.restore(RedisAddress.parse(target), feed(parts)) == count
    after = dumped(target)
    soon_ms = [found.pop("hg:{t}:soon")["ttl_ms"] for found in (before, after)]
    assert 0 < soon_ms[1] <= soon_ms[0] <= 3_600_000
    assert after == before


async def test_a_database_that_holds_anything_is_not_restored_into(redis_url: str) -> None:
    fill(redis_url)
    with pytest.raises(TargetNotEmpty, match="holds"):
        await state.require_empty(RedisAddress.parse(redis_url))


async def test_a_key_that_is_there_already_is_not_written_over(redis_url: str, target: str) -> None:
    """Should somebody write while a backup comes back."""
    fill(redis_url)
    parts: list[bytes] = []
    await state.dump(RedisAddress.parse(redis_url), parts.append)
    client = redis.Redis.from_url(target)
    client.set("hg:{t}:text", "newer")
    with pytest.raises(BackupBroken, match="BUSYKEY"):
        await state.restore(RedisAddress.parse(target), feed(parts))
    assert client.get("hg:{t}:text") == b"newer"
    client.close()


def test_a_checksum_is_that_of_redis() -> None:
    """The test vector of `crc64.c`."""
    assert state.crc64(b"123456789") == 0xE9C6D914C4B8D9CA


@pytest.mark.parametrize("data", [b"\x20\x05", b"\xe0", b"\x05ab"])
def test_what_cannot_be_unpacked_is_an_error(data: bytes) -> None:
    with pytest.raises((BackupBroken, IndexError)):
        lzf_unpacked(data, 10)
