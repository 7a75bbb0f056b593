"""Jobs over HTTP: look, wait, cancel, retry. Submitting is in `submit`."""

from __future__ import annotations

import re
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.ids import JOB_ID, ActorId, JobId
from holdgate.scheduler.api.calls import Call, Later, Reply, reply_json, reply_with
from holdgate.scheduler.api.events import LOOK_AGAIN_S
from holdgate.scheduler.api.masked_jobs import masked_part
from holdgate.scheduler.api.measuring import measured_again
from holdgate.scheduler.api.paging import page_of, page_reply
from holdgate.scheduler.api.portions import portion_of
from holdgate.scheduler.api.problems import Problem, invalid
from holdgate.scheduler.api.shapes import event_row, job_row, job_whole, output_told, result_whole
from holdgate.scheduler.errors import JobNotFound
from holdgate.scheduler.gates.approval.unaltered import verify_unaltered
from holdgate.scheduler.identity.keys import Role
from holdgate.scheduler.identity.principals import Principal
from holdgate.scheduler.state.jobs import JobFilter, JobView, ResultView
from holdgate.scheduler.state.transitions import DEAD, TERMINAL, State

SEES_ALL = (Role.APPROVER, Role.OPERATOR, Role.AUDITOR)
"""Roles that see every job of their tenant; an agent sees those that it submitted or that were submitted for it."""
READS_ALL = (Role.OPERATOR,)
"""Roles that read the results of every job of their tenant."""
ID_PREFIX = re.compile(r"job_[0-9a-f-]{0,36}\Z", re.ASCII)
_WAIT = re.compile(r"([0-9]{1,3})s?\Z", re.ASCII)


async def list_jobs(call: Call) -> Reply:
    """`GET /jobs`"""
    page, principal = page_of(call.query), call.principal
    wanted = _filter(call)
    if wanted.actor != principal.actor and not principal.has(*SEES_ALL):
        return reply_json(page_reply([], None))
    found = await call.deps.jobs.list_jobs(principal.tenant, wanted, page.limit, page.after)
    return reply_json(page_reply([job_row(view) for view in found.items], found.cursor))


async def list_dead(call: Call) -> Reply:
    """`GET /dlq`"""
    state = _state(call.query.get("state")) or State.FAILED
    if state not in DEAD:
        raise invalid("state", "must be `failed` or `timed_out`")
    page = page_of(call.query)
    found = await call.deps.jobs.list_jobs(call.principal.tenant, JobFilter(state=state), page.limit, page.after)
    return reply_json(page_reply([job_row(view) for view in found.items], found.cursor))


async def get_job(call: Call) -> Reply | Later:
    """`GET /jobs/{job_id}`, with `wait` until it has ended or the time is over"""
    view = await require_job(call)
    wait_s = _wait_s(call.query.get("wait"), call.deps.limits.wait_s_max)
    if wait_s == 0 or view.state in TERMINAL:
        return await _whole(call, view)
    return Later(lambda: _wait_for_end(call, view, wait_s))


async def _wait_for_end(call: Call, view: JobView, wait_s: int) -> Reply:
    clock, tenant, job_id = call.deps.clock, view.job.tenant, view.job.job_id
    until_ms = clock.now_ms() + wait_s * 1000
    async with call.deps.events.watch(tenant, job_id, call.receive) as watch:
        while True:
            view = await call.deps.jobs.require(tenant, job_id)
            left_s = (until_ms - clock.now_ms()) / 1000
            if view.state in TERMINAL or left_s <= 0 or watch.gone:
                return await _whole(call, view)
            await watch.changed(min(left_s, LOOK_AGAIN_S))


async def _whole(call: Call, view: JobView) -> Reply:
    """Of a job that waits for people only what its hash is over: whoever decides may be looking here."""
    if view.state is State.HELD:
        verify_unaltered(await call.deps.approvals.require(view.job.tenant, view.job.job_id), view.job, None)
    wanted = call.query.get("masked", "false")
    if wanted not in {"true", "false"}:
        raise invalid("masked", "must be one of false, true")
    masked = await masked_part(call.deps.masking, view.job) if wanted == "true" else {}
    return reply_json({**job_whole(view), "output": await output_of(call, view), **masked})


async def output_of(call: Call, view: JobView) -> dict[str, Any] | None:
    """What the output gate said of the output of a job that has ended; None where there was none."""
    if view.state not in TERMINAL:
        return None
    verdict = await call.deps.jobs.verdict(view.job.tenant, view.job.job_id)
    return None if verdict is None else output_told(verdict)


async def get_decisions(call: Call) -> Reply:
    """`GET /jobs/{job_id}/decisions`"""
    view = await require_job(call)
    decisions = await call.deps.jobs.decisions(view.job.tenant, view.job.job_id)
    return reply_json(page_reply([decision.as_dict() for decision in decisions], None))


async def get_timeline(call: Call) -> Reply:
    """`GET /jobs/{job_id}/timeline`"""
    view = await require_job(call)
    events = await call.deps.jobs.timeline(view.job.tenant, view.job.job_id)
    return reply_json(page_reply([event_row(event) for event in events], None))


async def get_result(call: Call) -> Reply:
    """`GET /jobs/{job_id}/result`: only what the output gate let through"""
    result = await require_result(call)
    value = result.value
    if value is None and result.ref is not None:
        value = await call.deps.payloads.get(result.ref)  # type: ignore[arg-type]  # a digest, as the state keeps it
    portion = portion_of(call, "value", value)
    return reply_with({**result_whole(result), **portion.told}, "value", portion.data)


async def require_result(call: Call) -> ResultView:
    """What the output gate let through of the job of the path; a problem before the verdict, and where it is sealed."""
    view = await require_job(call, READS_ALL)
    tenant, job_id = view.job.tenant, view.job.job_id
    if view.state is State.QUARANTINED:
        raise Problem(
            "output_quarantined", "the output is sealed until approvers release or destroy it", extra={"job_id": job_id}
        )
    if view.state not in TERMINAL:
        raise Problem("result_not_ready", f"the job is `{view.state}`", extra={"job_id": job_id})
    result = await call.deps.jobs.result(tenant, job_id)
    if result is None:
        raise Problem("result_not_found", f"the job is `{view.state}`", extra={"job_id": job_id})
    return result


async def cancel_job(call: Call) -> Reply:
    """`POST /jobs/{job_id}/cancel`"""
    view = await require_job(call, (Role.OPERATOR,))
    tenant, job_id = view.job.tenant, view.job.job_id
    reason = _reason(call)
    deps = call.deps
    result = await deps.jobs.cancel(tenant, job_id, by=call.principal.actor, reason=reason, now_ms=deps.clock.now_ms())
    if result.state is State.RUNNING and result.pool is not None and result.worker is not None:
        await deps.hints.cancel(result.pool, result.worker, job_id)
    await deps.hints.changed(tenant, [job_id], result.state)
    return reply_json(
        {"job_id": job_id, "state": str(result.state), "cancel_requested": result.state is State.RUNNING},
        202 if result.state is State.RUNNING else 200,
    )


async def retry_job(call: Call) -> Reply:
    """`POST /jobs/{job_id}/retry`: out of the dead-letter list, gated again at hand-off"""
    deps, tenant, job_id = call.deps, call.principal.tenant, job_id_of(call)
    reason, now_ms = _reason(call), deps.clock.now_ms()
    await measured_again(call, (await deps.jobs.require(tenant, job_id)).job)
    view = await deps.jobs.retry(tenant, job_id, by=call.principal.actor, reason=reason, now_ms=now_ms)
    await deps.hints.ready(tenant, [view.job.pool])
    await deps.hints.changed(tenant, [job_id], view.state)
    return reply_json({**job_whole(view), "output": None}, 202)


async def require_job(call: Call, all_of: tuple[Role, ...] = SEES_ALL) -> JobView:
    """The job of the path, if the caller may see it; otherwise it does not exist for them."""
    view = await call.deps.jobs.require(call.principal.tenant, job_id_of(call))
    if not may_see(call.principal, view, all_of):
        raise JobNotFound
    return view


def may_see(principal: Principal, view: JobView, all_of: tuple[Role, ...]) -> bool:
    """Whether the job is the caller's own, or one of the roles sees every job of the tenant."""
    own = principal.actor == view.job.actor or principal.actor in view.job.principals
    return own or principal.has(*all_of)


def job_id_of(call: Call) -> JobId:
    """The job id of the path; JobNotFound when it has not the shape of one."""
    text = call.path["job_id"]
    if JOB_ID.match(text) is None:
        raise JobNotFound
    return JobId(text)


def _filter(call: Call) -> JobFilter:
    """What the query asks for; who does not see every job asks for its own unless it names another actor."""
    query, principal = call.query, call.principal
    anyone = None if principal.has(*SEES_ALL) else principal.actor
    return JobFilter(
        state=_state(query.get("state")),
        topic=query.get("topic"),
        actor=ActorId(query["actor"]) if "actor" in query else anyone,
        id_prefix=_id_prefix(query.get("id")),
        label=_label(query.get("label")),
    )


def _id_prefix(text: str | None) -> str | None:
    if text is not None and ID_PREFIX.match(text) is None:
        raise invalid("id", "a job id or its beginning is expected, such as `job_0192`")
    return text


def _label(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    name, found, value = text.partition("=")
    if not found or not name:
        raise invalid("label", "`key=value` is expected")
    return name, value


def _reason(call: Call) -> str:
    body = call.json
    if body is None:
        return ""
    if not isinstance(body, dict) or set(body) - {"reason"}:
        raise invalid("body", "only `reason` is known here")
    reason = body.get("reason") or ""
    if not isinstance(reason, str) or len(reason) > limits.REASON_CHARS_MAX:
        raise invalid("reason", f"a text of at most {limits.REASON_CHARS_MAX} characters is expected")
    return reason


def _state(text: str | None) -> State | None:
    if text is None:
        return None
    if text not in frozenset(State):
        raise invalid("state", "is not a state of a job")
    return State(text)


def _wait_s(text: str | None, wait_s_max: int) -> int:
    if text is None:
        return 0
    match = _WAIT.match(text)
    if match is None or int(match[1]) > wait_s_max:
        raise invalid("wait", f"a time such as `30s`, at most `{wait_s_max}s`, is expected")
    return int(match[1])
