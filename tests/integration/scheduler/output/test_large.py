"""Many large outputs at once: bounded in memory, each judged once, small ones not kept waiting for long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nats.aio.msg import Msg

from holdgate.kernel.ids import JobId, Tenant
from holdgate.scheduler.gates.output.service import OutputGateService
from holdgate.scheduler.state.transitions import State
from support.waiting import Eventually

from .conftest import Gate

LARGE = ["an ordinary line of a long report"] * 4_000
BYTES = 100_000
OTHER = Tenant("other")


class Counting:
    """Counts what a gate holds and scans."""

    def __init__(self, service: OutputGateService) -> None:
        self.most = 0
        self.scans: list[str] = []
        self._inspect = service._inspecting.large
        self._service = service
        service._inspecting.large = self.inspect  # type: ignore[method-assign]  # looks on, changes nothing

    async def inspect(self, item: Any) -> Any:
        """As before."""
        self.most = max(self.most, len(self._service._held._held))
        self.scans.append(item.message.job_id)
        return await self._inspect(item)


async def states(gate: Gate, jobs: list[JobId]) -> set[State]:
    """Where they are."""
    return {await gate.state(job_id) for job_id in jobs}


async def test_no_more_large_outputs_are_read_than_are_allowed_to_wait(gate: Gate, eventually: Eventually) -> None:
    """Twelve, one scanner, room for two: all are judged, and never more than a few of them are here."""
    jobs = [(await gate.ran({"report": LARGE}))[0] for _ in range(12)]
    service = gate.service(replace(gate.config, batch=1, batches=1, large_bytes_max=2 * BYTES))
    counting = Counting(service)
    await service.start()

    async def judged() -> bool:
        return await states(gate, jobs) == {State.SUCCEEDED}

    await eventually(judged, 30)
    assert counting.most <= 3
    assert sorted(counting.scans) == sorted(jobs)


async def test_a_large_output_that_waits_does_not_come_again(gate: Gate, eventually: Eventually) -> None:
    """The stream would bring it to another gate, and both would scan it."""
    consumer = await gate.nc.jetstream().consumer_info("RESULTS", "output-gate")
    consumer.config.ack_wait = 0.4
    await gate.nc.jetstream().add_consumer("RESULTS", consumer.config)
    job_id, _ = await gate.ran({"report": LARGE})
    service = gate.service(replace(gate.config, large_max=1))
    service._held._keep_s = 0.1
    counting = Counting(service)
    kept: list[bytes] = []

    async def listen(said: Msg) -> None:
        if said.data == Msg.Ack.Progress:
            kept.append(said.data)

    await gate.nc.subscribe("$JS.ACK.RESULTS.>", cb=listen)
    async with service._large.turn(Tenant("other")):  # somebody else's scan takes long
        await service.start()
        await eventually(lambda: service._held._held)
        (held,) = service._held._held.values()
        await eventually(lambda: len(kept) >= 10)  # more than twice the time after which it would come again

    async def judged() -> bool:
        return await gate.state(job_id) is State.SUCCEEDED

    await eventually(judged)
    assert int(held.raw.metadata.num_delivered or 0) == 1
    info = await gate.nc.jetstream().consumer_info("RESULTS", "output-gate")
    assert info.delivered is not None
    assert info.delivered.consumer_seq == 1
    assert counting.scans == [job_id]


async def test_a_job_that_ended_while_its_output_waited_is_not_scanned(gate: Gate, eventually: Eventually) -> None:
    """A scan takes seconds; this one would be for nobody."""
    picked, token = await gate.world.running(max_attempts=1)
    await gate.report(picked, token, value={"report": LARGE})
    service = gate.service(replace(gate.config, large_max=1))
    counting = Counting(service)

    async def ended() -> bool:
        return await gate.state(picked.job.job_id) is State.SUCCEEDED

    async with service._large.turn(Tenant("other")):
        await service.start()
        await eventually(lambda: service._held._held)
        await gate.report(picked, token, value="done")
        await eventually(ended)
    await eventually(lambda: not service._held._held)
    assert counting.scans == []

    async def nothing_left() -> bool:
        return await gate.pending() == 0

    await eventually(nothing_left)
