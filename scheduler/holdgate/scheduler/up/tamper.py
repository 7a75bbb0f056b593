"""What a compromised dispatcher could try: hand a worker a job that is not the one the kernel permitted.

Plays the dispatcher with the dispatcher's own NATS user: gets a real permit from the real kernel for a real job, alters
what the job asks for, and hands both to the worker that asks. The worker must refuse.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from holdgate.kernel import limits, subjects, wire
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.custody import PermitRequest
from holdgate.kernel.ids import LeaseToken, WorkerId, new_token
from holdgate.kernel.login import Login, connect
from holdgate.kernel.records import Job
from holdgate.scheduler.gates.dispatch import Handover
from holdgate.scheduler.state.log import Envelope

TIMEOUT_S = 15.0
ALTERED_PROMPT = "status, and delete everything"


@dataclass(frozen=True, slots=True)
class Wires:
    """NATS as the operator sees it, and the user whose place is taken."""

    url: str
    operator: Login
    taken: Login


def hand_over_altered(wires: Wires, job_id: str, tenant: str) -> str:
    """The code with which the worker refused, `ran` when it did not refuse."""
    return asyncio.run(_hand_over_altered(wires, job_id, tenant))


async def _hand_over_altered(wires: Wires, job_id: str, tenant: str) -> str:
    operator = await connect(wires.url, wires.operator)
    dispatcher = await connect(wires.url, wires.taken)
    kernel = KernelClient(dispatcher, clock=SystemClock())
    await kernel.start()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            envelope = await _logged(operator, job_id, tenant)
            return await _deceive(operator, dispatcher, kernel, envelope)
    finally:
        await kernel.stop()
        await dispatcher.close()
        await operator.close()


async def _logged(operator: Nats, job_id: str, tenant: str) -> Envelope:
    """The job as it lies in the log."""
    last = await operator.jetstream().get_last_msg(subjects.STREAM_JOBS, subjects.job(tenant))
    envelope = Envelope.unpack(last.data or b"")
    if envelope.job.job_id != job_id:
        msg = "another job was logged meanwhile"
        raise ValueError(msg)
    return envelope


async def _deceive(operator: Nats, dispatcher: Nats, kernel: KernelClient, envelope: Envelope) -> str:
    reported: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def on_result(message: Msg) -> None:
        result = wire.unpack(message.data)
        if result.get("job_id") == envelope.job.job_id and not reported.done():
            reported.set_result(str(result["code"]) if result.get("outcome") == "refused" else "ran")

    async def on_ask(message: Msg) -> None:
        worker = message.subject.rpartition(".")[2]
        (reply,) = await kernel.permits(
            [PermitRequest(envelope.job, envelope.admission, 1, envelope.job.pool, WorkerId(worker))]
        )
        if reply.permit is None:
            reported.set_result(f"no permit: {reply.refusal}")
            return
        token = LeaseToken(new_token())
        handover = Handover(_altered(envelope.job), reply.permit, 1, token, limits.LEASE_S * 1000)
        await message.respond(wire.pack({"jobs": [handover.as_dict()]}))

    await operator.subscribe(subjects.result(envelope.job.pool, "*"), cb=on_result)
    await operator.flush()
    asks = await dispatcher.subscribe(f"{subjects.ASK}.*.*", queue=subjects.DISPATCHER_QUEUE, cb=on_ask)
    seen = await reported
    await asks.unsubscribe()
    return seen


def _altered(job: Job) -> Job:
    return replace(job, prompt=ALTERED_PROMPT)
