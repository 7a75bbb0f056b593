"""A kernel that falls silent between the parts of one question."""

from __future__ import annotations

import pytest
from nats.aio.msg import Msg

from holdgate.kernel import calls, limits, subjects, wire
from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.custody import PermitRequest
from holdgate.kernel.errors import KernelUnavailable
from holdgate.kernel.evaluate import evaluate
from holdgate.kernel.ids import WorkerId
from holdgate.kernel.records import Phase
from support.policies import policy, rule
from support.trust import NOW_MS, admission, job

from .conftest import System


async def test_those_before_the_silence_keep_their_answers_and_it_is_one_failure(system: System) -> None:
    decision = evaluate(policy(rule()), job(), now_ms=NOW_MS, phase=Phase.DISPATCH)
    signed = admission(job(), decision)
    requests = [PermitRequest(job(), signed, 1, "default", WorkerId("w1"))] * (2 * limits.KERNEL_BATCH_MAX + 1)
    asked: list[int] = []

    async def answer_once(message: Msg) -> None:
        items = calls.unpack_request(message.data).items
        asked.append(len(items))
        if len(asked) == 1:
            await message.respond(wire.pack({"items": [{"error": "told", "message": ""}] * len(items)}))

    await system.nc.subscribe(subjects.KERNEL_PERMIT, queue=subjects.KERNEL_QUEUE, cb=answer_once)
    await system.nc.flush()
    client = await system.client(timeout_s=0.3)
    refusals = [reply.refusal for reply in await client.permits(requests)]
    first = limits.KERNEL_BATCH_MAX
    assert refusals == ["told"] * first + ["kernel_unavailable"] * (len(requests) - first)
    assert asked == [first, first]
    assert (client._breaker._failures, client.breaker_state) == (1, BreakerState.CLOSED)
    with pytest.raises(KernelUnavailable):
        await client.permits(requests[:1])
