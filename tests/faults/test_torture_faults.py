"""Each fault does what it says: tried on the servers of a cluster, without the processes that would have to bear it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from holdgate.bundles.format import parse_bundle
from holdgate.bundles.store import BundleStore
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.torture import policy
from holdgate.scheduler.torture.bends import Bend
from holdgate.scheduler.torture.cluster import Cluster, Topology, redisup, running_cluster
from holdgate.scheduler.torture.faults import CannotBreak
from holdgate.scheduler.torture.faults.clocks import faked, find_library, set_seen
from holdgate.scheduler.torture.faults.disks import FullDisk
from holdgate.scheduler.torture.faults.fault import chosen
from holdgate.scheduler.torture.faults.jetstream import MetaLeader, StreamLeader, WipedNode
from holdgate.scheduler.torture.faults.policies import LIFE_S, ExpiredBundle
from holdgate.scheduler.torture.faults.processes import Kill, Pause, Restart
from holdgate.scheduler.torture.faults.redisnodes import replica_follows
from holdgate.scheduler.torture.faults.stores import LosingFailover
from support.breaking import store
from support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("torture")]
SERVERS = Topology(apis=0, kernels=0, dispatchers=0, gates=0, auditors=0, workers=0, redis_replicas=0, proxied=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Three NATS servers, Redis with a replica, three sentinels."""
    async with running_cluster(SERVERS, tmp_path_factory.mktemp("cluster")) as started:
        yield started


async def answers(cluster: Cluster, sentinel: str) -> bool:
    return await asyncio.to_thread(redisup.answers, cluster.layout.places[sentinel].port)


async def test_a_killed_member_stays_away_until_it_is_healed(cluster: Cluster, rng: Random) -> None:
    fault = Kill("kill-server", ("sentinel",))
    name = await fault.inject(cluster, rng)
    assert not cluster.members[name].is_alive
    assert not await answers(cluster, name)
    await fault.heal()
    assert fault.did
    assert cluster.members[name].is_alive
    assert await answers(cluster, name)


async def test_a_paused_member_lives_and_does_not_answer(cluster: Cluster, rng: Random) -> None:
    fault = Pause("pause-server", ("sentinel",))
    name = await fault.inject(cluster, rng)
    assert cluster.members[name].is_alive
    assert not await answers(cluster, name)
    await fault.heal()
    assert "stopped" in fault.did
    assert await answers(cluster, name)


async def test_what_was_not_seen_to_do_anything_says_so(cluster: Cluster, rng: Random) -> None:
    fault = Pause("pause-server", ("sentinel",))
    name = await fault.inject(cluster, rng)
    cluster.members[name].resume()
    await eventually(lambda: answers(cluster, name), 5, why="it goes on")
    await fault.heal()
    assert not fault.did


async def test_a_restarted_member_is_another_process(cluster: Cluster, rng: Random) -> None:
    before = {name: member.pid for name, member in cluster.members.items()}
    fault = Restart("restart-server", ("sentinel",))
    name = await fault.inject(cluster, rng)
    assert fault.did
    assert cluster.members[name].pid not in (None, before[name])


async def test_what_a_fault_holds_no_other_fault_chooses(cluster: Cluster, rng: Random) -> None:
    faults = [Kill("kill-server", ("sentinel",)) for _ in range(3)]
    assert len({await fault.inject(cluster, rng) for fault in faults}) == 3
    with pytest.raises(CannotBreak):
        chosen(cluster, rng, ("sentinel",))
    for fault in faults:
        await fault.heal()


async def test_another_server_leads_a_stream(cluster: Cluster, rng: Random) -> None:
    nc = await cluster.operator()

    async def leaders() -> dict[str | None, str | None]:
        infos = await nc.jetstream().streams_info()
        return {info.config.name: info.cluster.leader if info.cluster else None for info in infos}

    before = await leaders()
    fault = StreamLeader()
    stream = await fault.inject(cluster, rng)
    assert f"in place of {before[stream]}" in fault.did

    async def is_another() -> bool:
        return (await leaders()).get(stream) not in (None, before[stream])

    await eventually(is_another, 15, why="another server leads")
    of_all = MetaLeader()
    await of_all.inject(cluster, rng)
    assert "in place of nats-" in of_all.did
    await nc.close()


async def test_a_wiped_node_comes_back_empty_and_is_filled_by_the_others(cluster: Cluster, rng: Random) -> None:
    fault = WipedNode()
    name = await fault.inject(cluster, rng)
    folder = cluster.home.path / "nats" / name
    assert not list(folder.iterdir())
    await fault.heal()
    assert "bytes are gone" in fault.did
    assert list(folder.rglob("*.blk"))


async def test_a_full_disk_is_full_until_it_is_healed(cluster: Cluster, rng: Random) -> None:
    fault = FullDisk("nats-disk-full", ("nats",))
    try:
        target = await fault.inject(cluster, rng)
    except CannotBreak as why:
        pytest.skip(str(why))
    folder = cluster.home.path / "nats" / target.partition(",")[0]
    try:
        with pytest.raises(OSError, match="No space left"):
            (folder / "more").write_bytes(b"\0" * 4096)
    finally:
        await fault.heal()
    assert "bytes were free" in fault.did
    assert not os.path.ismount(folder)  # noqa: ASYNC240  a test
    (folder / "more").write_bytes(b"\0" * 4096)
    (folder / "more").unlink()


async def test_an_expired_bundle_has_expired_and_is_followed_by_one_that_has_not(cluster: Cluster, rng: Random) -> None:
    nc = await cluster.operator()

    async def life_s(name: str) -> float:
        present = await BundleStore(nc).get(name)
        assert present is not None
        return (parse_bundle(present.data).manifest.expires_ms - SystemClock().now_ms()) / 1000

    fault = ExpiredBundle()
    name = await fault.inject(cluster, rng)
    assert -10 * LIFE_S < await life_s(name) <= 0
    assert fault.did
    assert name == policy.name_of(name.rpartition("-")[2])
    await fault.heal()
    assert await life_s(name) > 3600
    await nc.close()


async def test_a_clock_jumps_while_the_process_runs_and_its_monotonic_clock_does_not(tmp_path: Path) -> None:
    try:
        library = find_library()
    except CannotBreak as why:
        pytest.skip(str(why))
    file = tmp_path / "clock"
    file.write_text("+0\n")
    look = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
    child = subprocess.Popen(  # noqa: ASYNC220  a test
        [sys.executable, "-c", look],
        env={**os.environ, **faked(library, file)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None

    def clocks() -> tuple[float, float]:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        wall, monotonic = child.stdout.readline().split()
        return float(wall), float(monotonic)

    try:
        before = clocks()
        file.write_text("-3600\n")
        after = clocks()
    finally:
        child.stdin.close()
        child.wait(10)
        child.stdout.close()
    assert -3600 <= after[0] - before[0] < -3500
    assert 0 <= after[1] - before[1] < 60


async def test_a_kernel_that_saw_a_later_time_forgets_that_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "versions.json"
    set_seen(file, 5)
    assert not file.exists()
    file.write_text('{"v": 1, "bundles": {"a": 7}, "time_ms": 9}')
    set_seen(file, 5)
    assert json.loads(file.read_text()) == {"v": 1, "bundles": {"a": 7}, "time_ms": 5}
    set_seen(file, 6)
    assert json.loads(file.read_text())["time_ms"] == 5


# The last one: its cluster is not healed.
async def test_a_losing_failover_loses_what_was_written_last_and_says_so(cluster: Cluster, rng: Random) -> None:
    primary = await cluster.redis_primary()
    await replica_follows(cluster)
    async with store(cluster, primary) as writer:
        await writer.set("early", 1)
        assert await writer.execute_command("WAIT", 1, 2000) == 1
        fault, now_ms = LosingFailover(), SystemClock().now_ms()
        injected = asyncio.ensure_future(fault.inject(cluster, rng))
        await asyncio.sleep(0.7)
        await writer.set("late", 1)
        await injected
    after = await cluster.redis_primary()
    assert after != primary
    async with store(cluster, after) as reader:
        assert (await reader.get("early"), await reader.get("late")) == ("1", None)
    assert "has not what was written last" in fault.did
    (bends,) = fault.bends
    assert bends.bend is Bend.LOST_WRITES
    assert bends.since_ms <= now_ms <= SystemClock().now_ms() <= bends.until_ms + 5000
