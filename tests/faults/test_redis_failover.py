"""The primary of Redis dies or hangs and another takes its place: what was told as done is there, and work goes on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import Tenant, new_job_id
from holdgate.scheduler.errors import StateUnavailable
from holdgate.scheduler.state.address import Endpoint, RedisAddress
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts, connect_redis
from holdgate.scheduler.state.jobs import JobFilter, Jobs
from holdgate.scheduler.state.lanes import Lane, Wire, packed
from holdgate.scheduler.state.presence import Presences
from holdgate.scheduler.state.records import verify_records
from holdgate.scheduler.state.transitions import State
from support.redis_sets import HOST, RedisSet, cluster_set, sentinel_set
from support.waiting import eventually

TENANT = Tenant("default")
WRITERS = 32
TIMEOUT_S = 60.0
"""Of a call: longer than any test waits, so that what ends earlier was ended by the failover."""


@pytest.fixture
def three(tmp_path: Path) -> Iterator[RedisSet]:
    """A primary with two replicas, under three sentinels."""
    with sentinel_set(tmp_path, replicas=2) as running:
        yield running


@pytest.fixture
async def scripts(three: RedisSet) -> AsyncIterator[Scripts]:
    """Connected through the sentinels; one replica must confirm."""
    connected = await connect_redis(replace(RedisAddress.parse(three.url), replicas=1), timeout_s=TIMEOUT_S)
    yield connected
    await connected.close()


class Writers:
    """Write numbers for as long as they are let, and keep what they were told."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self.told: list[int] = []
        self.failed: list[tuple[float, str]] = []
        self._next = 0
        self._is_over = False

    async def run(self) -> None:
        """Until `end`."""
        await asyncio.gather(*(self._write() for _ in range(WRITERS)))

    def end(self) -> None:
        """Let what is under way come to its end."""
        self._is_over = True

    async def _write(self) -> None:
        while not self._is_over:
            self._next += 1
            number = self._next
            try:
                await self._scripts.command("SADD", "hg:{acme}:numbers", number)
            except StateUnavailable as error:
                self.failed.append((time.monotonic(), str(error)))
                await asyncio.sleep(0)
            else:
                self.told.append(number)


async def _written(scripts: Scripts) -> set[int]:
    return {int(number) for number in await scripts.command("SMEMBERS", "hg:{acme}:numbers")}


async def _goes_on(writers: Writers, after: int) -> None:
    await eventually(lambda: len(writers.told) > after + WRITERS, 15, why="writes are told as done again")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_nothing_that_was_told_is_lost_when_the_primary_goes(
    three: RedisSet, scripts: Scripts, how: signal.Signals
) -> None:
    """One of the sentinels is away, too. A primary that hangs and comes back takes no writes any more."""
    first = next(iter(three.servers))
    writers = Writers(scripts)
    three.kill(next(iter(three.sentinels)))
    running = asyncio.ensure_future(writers.run())
    await eventually(lambda: len(writers.told) > WRITERS)
    process = three.servers[first]
    process.send_signal(how)
    await eventually(lambda: bool(writers.failed), why="calls under way are told as unanswered")
    await _goes_on(writers, len(writers.told))
    if how is signal.SIGSTOP:
        process.send_signal(signal.SIGCONT)
        await _goes_on(writers, len(writers.told))
    writers.end()
    await running
    assert set(writers.told) <= await _written(scripts)


async def test_a_server_that_is_no_primary_is_not_written_to(three: RedisSet) -> None:
    """As one that took another's place meanwhile, and does not know of it at the sentinel that was asked."""
    _, second, _ = three.servers
    wire = Wire(Endpoint(HOST, second), RedisAddress.parse(three.url), timeout_s=2.0, must_be_primary=True)
    with pytest.raises(StateUnavailable, match="another primary"):
        await wire.exchange(packed(("PING",)), 1)
    await wire.drop()


async def test_what_too_few_replicas_have_is_not_told(three: RedisSet) -> None:
    """Every call of the flush, and what a call by itself reads that another one wrote; a glimpse is served."""
    first, second, _ = three.servers
    address = RedisAddress.parse(three.url)
    lane, other = (Lane(Wire(Endpoint(HOST, first), address, timeout_s=5.0), replicas=2) for _ in range(2))
    assert await lane.call(("SET", "a", "1")) == b"OK"
    assert await other.call(("GET", "a")) == b"1"
    three.servers[second].send_signal(signal.SIGSTOP)
    set_a, get_a = ("SET", "a", "2"), ("GET", "a")
    answers = await asyncio.gather(
        lane.call(set_a), lane.call(get_a), lane.call(get_a, is_glimpse=True), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StateUnavailable, StateUnavailable, bytes]
    assert "2 replicas of the state store must confirm what is told; 1 did" in str(answers[0])
    with pytest.raises(StateUnavailable, match="must confirm"):
        await other.call(get_a)
    assert await other.call(get_a, is_glimpse=True) == b"2"
    three.servers[second].send_signal(signal.SIGCONT)
    assert await other.call(get_a) == b"2"
    assert await lane.call(("SET", "a", "3")) == b"OK"
    for each in (lane, other):
        await each.close()


async def test_what_too_few_replicas_have_clients_and_the_archive_do_not_hear(three: RedisSet) -> None:
    """A failover would forget it: in the archive it would stand for good, beside what happened instead. Who looks after
    the system still sees which processes are there, and a process can start."""
    _, second, _ = three.servers
    scripts = await connect_redis(replace(RedisAddress.parse(three.url), replicas=2), timeout_s=5.0)
    trail, jobs, presences = AuditTrail(scripts), Jobs(scripts), Presences(scripts, SystemClock())
    await trail.append(TENANT, "test.first", {}, 1)
    await presences.say("api", "one", "ready", ())
    three.servers[second].send_signal(signal.SIGSTOP)
    with pytest.raises(StateUnavailable):
        await trail.append(TENANT, "test.second", {}, 2)
    told = (trail.read(TENANT, 0), jobs.get(TENANT, new_job_id(1)), jobs.list_jobs(TENANT, JobFilter(), 10))
    for answer in await asyncio.gather(*told, return_exceptions=True):
        assert isinstance(answer, StateUnavailable)
    assert len(await presences.every()) == 1
    assert sum((await jobs.counts(TENANT)).values()) == await jobs.longest_ms(TENANT, State.FINISHING, 1) == 0
    await verify_records(scripts)
    three.servers[second].send_signal(signal.SIGCONT)
    assert len(await trail.read(TENANT, 0)) == 2
    await scripts.close()


async def test_a_cluster_whose_primary_dies_goes_on_with_its_replica(tmp_path: Path) -> None:
    """Tenants of other nodes notice nothing."""
    with cluster_set(tmp_path, replicas=1) as running:
        scripts = await connect_redis(RedisAddress.parse(running.url))
        first, second, *_ = running.servers
        theirs, others = running.tenant_of(first), running.tenant_of(second)
        for tenant in (theirs, others):
            assert await scripts.run("sample", tenant, (1_800_000_000_000, "queued")) == [0]
        running.kill(first)
        assert await scripts.run("sample", others, (1_800_000_000_000, "queued")) == [0]

        async def is_served() -> bool:
            try:
                return bool(await scripts.run("sample", theirs, (1_800_000_000_000, "queued")) == [0])
            except StateUnavailable:
                return False

        await eventually(is_served, 15, why="the replica serves")
        await scripts.close()
