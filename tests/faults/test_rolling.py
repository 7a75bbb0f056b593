"""Every process is restarted in turn while jobs come in: nobody is refused, nothing is lost, nothing runs twice."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from holdgate.bundles.keys import load_signer
from holdgate.bundles.publish import Accept, publish
from holdgate.bundles.root import Pins
from holdgate.bundles.rootfile import load_root
from holdgate.bundles.store import BundleStore
from holdgate.client import AsyncClient, Denied
from holdgate.client.models import JobInfo
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.torture.cluster.running import Cluster, running_cluster
from holdgate.scheduler.torture.cluster.topology import RedisShape, Topology
from holdgate.scheduler.torture.collect import read_journals
from holdgate.scheduler.torture.policy import signed_bundle

SHAPE = Topology(redis=RedisShape.SINGLE, nats=1, workers=2)
EVERY_S = 0.03
RUN_S = 0.5
TOPIC = "job.torture.read.ok"
RETRY_S = 15.0
RESTARTED = ("kernel-1", "dispatcher-1", "output-gate-1", "auditor-1", "worker-1", "api-1", "api-2")
"""One of each kind, of two; of what clients speak to both, so that each of them is once the only one."""
SUBMIT_S_MAX, END_S_MAX = 5.0, 15.0
"""Of a submit, and from there to the end: a restart is no outage. Most take milliseconds and a run's time; what nobody
gave back would take 30 seconds more."""


@dataclass
class Load:
    """Submits at a fixed rate, whatever becomes of it, and follows each job to its end."""

    client: AsyncClient
    ended: list[JobInfo] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)
    submit_s: float = 0.0
    end_s: float = 0.0
    """The slowest submit, and the slowest job."""
    is_over: bool = False

    async def run(self) -> None:
        """Until `is_over`, and every job has ended."""
        async with asyncio.TaskGroup() as group:
            while not self.is_over:
                group.create_task(self._one())
                await asyncio.sleep(EVERY_S)

    async def _one(self) -> None:
        try:
            began_s = time.monotonic()
            job = await self.client.submit(
                "job.torture.read.ok", payload={"run": "slow", "seconds": RUN_S}, max_attempts=1
            )
            self.submit_s = max(self.submit_s, time.monotonic() - began_s)
            self.ended.append(await job.wait(timeout_s=60))
            self.end_s = max(self.end_s, time.monotonic() - began_s)
        except Exception as error:  # noqa: BLE001  whatever it is, it is a request that failed
            self.failed.append(error)


async def test_each_process_is_restarted_under_load_and_nobody_notices(tmp_path: Path) -> None:
    """`max_attempts` is 1: a job that a restart gave to another worker would have failed, and a second run shows in the
    workers' journals."""
    async with running_cluster(SHAPE, tmp_path / "cluster") as cluster:
        urls = ",".join(cluster.api_urls)
        async with AsyncClient(cluster.keys["agent"], url=urls, retry_s=RETRY_S) as client:
            await allow(cluster, client)
            load = Load(client)
            loading = asyncio.create_task(load.run())
            await restart(cluster, RESTARTED)
            load.is_over = True
            await loading
    assert not load.failed
    assert Counter(job.state for job in load.ended) == {"succeeded": len(load.ended)}
    runs = Counter(run.job_id for run in read_journals(cluster.journals))
    assert runs == {job.job_id: 1 for job in load.ended}
    assert load.submit_s < SUBMIT_S_MAX
    assert load.end_s < END_S_MAX


async def allow(cluster: Cluster, client: AsyncClient) -> None:
    """The bundle of the load is in force."""
    now_ms, provisioned = SystemClock().now_ms(), cluster.provisioned
    root = load_root(cluster.home.root_file, Pins.parse(provisioned.root_pins), now_ms)
    bundle = signed_bundle(cluster.tenants[0], 1, load_signer(cluster.home.key_file("author")))
    nc = await cluster.operator()
    await publish(BundleStore(nc), bundle, root, now_ms, accept=Accept.WIDENING, publisher="nats:operator")
    await nc.close()

    async def is_allowed() -> bool:
        try:
            return (await client.jobs.dry_run(TOPIC)).verdict == "allow"
        except Denied:
            return False

    async with asyncio.timeout(20):
        while not await is_allowed():  # noqa: ASYNC110  no event tells
            await asyncio.sleep(EVERY_S)


async def restart(cluster: Cluster, names: tuple[str, ...]) -> None:
    """One after the other: each is there again before the next one goes."""
    for name in names:
        await cluster.members[name].stop()
        await cluster.members[name].start()
