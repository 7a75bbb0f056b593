"""A bounded torture with fixed seeds: everything that must always hold, holds. `make torture` goes on for longer.

And what the checker is given there is true but for one thing, once each: it goes red.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.scheduler.torture.check import check
from holdgate.scheduler.torture.cluster import Topology
from holdgate.scheduler.torture.cluster.topology import RedisShape
from holdgate.scheduler.torture.run import Options, Report, table, torture
from holdgate.scheduler.torture.schedule import BOUNDED
from support.broken import BREAKS

pytestmark = pytest.mark.xdist_group("torture")
RATE = 8.0
"""Operations a second; a machine that does other things at the same time bears it."""
SECONDS_MAX = 120.0
"""Each fault is injected once, however slow the machine is: on one that does nothing else in some 25 s."""
PROCESSES = ("kill-process", "pause-process", "restart-process", "kernels-away", "clock-jump", "expired-bundle")
NETWORK = ("cut", "blackhole", "loss", "isolate", "stream-leader", "nats-wiped", "redis-truncated-aof")


async def tortured(folder: Path, seed: int, faults: tuple[str, ...], shape: RedisShape) -> Report:
    topology = Topology(redis=shape, proxied=True)
    options = Options(seed, SECONDS_MAX, faults, topology, folder, RATE, mixes=False, pace=BOUNDED)
    report = await torture(options, print)
    print("\n".join(table(report)))
    return report


@pytest.mark.parametrize(
    ("seed", "faults", "shape"),
    [(1, PROCESSES, RedisShape.CLUSTER), (2, NETWORK, RedisShape.SENTINEL)],
    ids=["processes", "network"],
)
async def test_nothing_is_lost_nothing_happens_twice_and_nothing_is_open(
    tmp_path: Path, seed: int, faults: tuple[str, ...], shape: RedisShape
) -> None:
    report = await tortured(tmp_path, seed, faults, shape)
    assert report.jobs > 10
    assert {row.fault for row in report.rows} | report.not_run.keys() == set(faults)
    assert report.is_clean, "\n".join(table(report))
    for broken, rule in BREAKS:
        found = {violation.rule for violation in check(broken(report.evidence))}
        assert rule in found, f"{broken.__name__}: the checker found {found or 'nothing'}"
