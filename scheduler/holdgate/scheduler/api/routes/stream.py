"""The states of a job as Server-Sent Events (HTML standard, section 9.2), until it has ended."""

from __future__ import annotations

from typing import Any

from pydantic_core import to_json

from holdgate.scheduler.api.calls import CSP_NOTHING, SECURITY_HEADERS, Call, Reply, Write
from holdgate.scheduler.api.events import LOOK_AGAIN_S, RECONNECT
from holdgate.scheduler.api.routes.jobs import output_of, require_job
from holdgate.scheduler.api.shapes import job_row
from holdgate.scheduler.api.still import may_still
from holdgate.scheduler.state.jobs import JobView
from holdgate.scheduler.state.transitions import TERMINAL

KEEPALIVE_S = 15
EVENT_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), CSP_NOTHING, *SECURITY_HEADERS)


async def stream_job(call: Call) -> Reply:
    """`GET /jobs/{job_id}/events`: one event `state` at once, and one for each change that is seen"""
    view = await require_job(call)
    call.deps.events.check_room(view.job.tenant)

    async def stream(write: Write) -> None:
        await _follow(call, view, write)

    return Reply(200, headers=EVENT_HEADERS, stream=stream)


async def _follow(call: Call, view: JobView, write: Write) -> None:
    clock, tenant, job_id = call.deps.clock, view.job.tenant, view.job.job_id
    started_ms = spoke_ms = clock.now_ms()
    longest_ms = call.deps.limits.stream_s_max * 1000
    told: tuple[object, ...] | None = None
    async with call.deps.events.watch(tenant, job_id, call.receive) as watch:
        while not watch.gone and may_still(call) and clock.now_ms() - started_ms < longest_ms:
            view = await call.deps.jobs.require(tenant, job_id)
            now = (view.state, view.attempt, view.progress, view.waiting_reason)
            if now != told:
                told, spoke_ms = now, clock.now_ms()
                await write(_event(view, await output_of(call, view)))
            elif clock.now_ms() - spoke_ms >= KEEPALIVE_S * 1000:
                spoke_ms = clock.now_ms()
                await write(b": still here\n\n")
            if view.state in TERMINAL:
                return
            await watch.changed(LOOK_AGAIN_S)
    await write(RECONNECT)


def _event(view: JobView, output: dict[str, Any] | None) -> bytes:
    told = {**job_row(view), "output": output}
    return b"event: state\nid: %d\ndata: %b\n\n" % (view.updated_ms, to_json(told))
