"""A kernel whose clock jumped ahead and is right again leaves deciding to others: nobody is denied for want of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdgate.kernel import calls, subjects, wire
from holdgate.kernel.client import KernelClient
from holdgate.kernel.custody import PermitRequest
from holdgate.kernel.errors import KernelUnavailable
from holdgate.kernel.ids import WorkerId
from holdgate.kernel.records import Phase, Verdict
from holdgate.scheduler.cli.checks import clock_check
from support.trust import ALLOW_READS, SetClock, admission, bundle, job
from support.waiting import Eventually

from .conftest import Kernel, System

HOUR_S = 3600
ASKED = 200
"""Of so many questions two members of a queue group get some each."""


async def jumped(system: System, clock: SetClock, kernel: Kernel) -> None:
    """`clock` was an hour ahead while `kernel` decided by it, and is right again."""
    clock.advance(HOUR_S)
    await kernel.service.announce()
    clock.advance(-HOUR_S)


async def verdicts(client: KernelClient) -> set[str]:
    """What `ASKED` callers one after the other are told."""
    told = set()
    for number in range(ASKED):
        try:
            told.add(str((await client.decide_fresh([job(payload=number)], Phase.SUBMIT))[0].verdict))
        except KernelUnavailable:
            told.add("unavailable")
    return told


async def test_submits_go_on_by_another_kernel(system: System, tmp_path: Path, eventually: Eventually) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    clock = SetClock()
    wrong, right = await system.kernel("k1", clock=clock), await system.kernel("k2")
    client = await system.client()
    heard: list[str] = []
    client.on_snapshot(lambda info: heard.append(str(info.snapshot)))
    await jumped(system, clock, wrong)
    # What it is sent before it noticed is refused, to be sent again, and never denied.
    assert await verdicts(client) <= {"allow", "unavailable"}
    await eventually(lambda: not wrong.service.is_answering, why="it leaves")
    assert await verdicts(client) == {"allow"}
    await asyncio.gather(wrong.service.announce(), right.service.announce())
    await (await system.client()).status()  # who starts asks everybody, and all hear the answers
    assert len(set(heard)) <= 1, "no cache is dropped for a kernel that stands aside"
    told = {status.replica: (status.policy, status.reason) for status in await client.status()}
    assert told["k2"] == (True, "")
    assert not told["k1"][0]
    assert told["k1"][1].startswith("the clock went back")


async def test_without_another_kernel_it_is_as_if_there_were_none_until_the_time_has_come(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    decision = await client.decide(job())
    await jumped(system, system.clock, kernel)
    asked = PermitRequest(job(), admission(job(), decision), 1, "default", WorkerId("w1"))
    with pytest.raises(KernelUnavailable):
        await client.permits([asked])
    with pytest.raises(KernelUnavailable):
        await client.decide_now(job(payload="another"))
    await eventually(lambda: not kernel.service.is_answering)
    assert "clock" in str(await clock_check(kernel.service).look())
    question = calls.pack_request([calls.pack_job(job())], system.clock.now_ms() + 1000, Phase.SUBMIT)
    reply = await system.nc.request(subjects.KERNEL_STATUS, b"", timeout=5)
    assert wire.unpack(reply.data)["policy"] is False
    with pytest.raises(Exception, match="no responders"):
        await system.nc.request(subjects.KERNEL_DECIDE, question, timeout=5)
    system.clock.advance(HOUR_S)
    await eventually(lambda: kernel.service.is_answering)
    assert await clock_check(kernel.service).look() is None
    assert (await client.decide_fresh([job()], Phase.SUBMIT))[0].verdict is Verdict.ALLOW


async def test_one_that_saw_a_later_time_before_its_restart_starts_aside(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    clock = SetClock()
    first = await system.kernel("k1", clock=clock)
    clock.advance(HOUR_S)
    await first.source.refresh()
    await first.stop()
    clock.advance(-HOUR_S)
    again = await system.kernel("k1", clock=clock)
    await system.kernel("k2")
    assert not again.service.is_answering
    assert await verdicts(await system.client()) == {"allow"}
