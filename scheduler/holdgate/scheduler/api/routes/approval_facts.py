"""What an approver looks at beside the approval itself: the job with its secrets masked, and the rules' own text.

What always holds: what is masked is shown whole only on request, and the request is in the audit trail before it is
answered.
"""

from __future__ import annotations

from holdgate.scheduler.api.calls import Call, Reply, reply_json, reply_with
from holdgate.scheduler.api.problems import invalid
from holdgate.scheduler.api.routes.approvals import approval_id_of, payload_of


async def get_masked(call: Call) -> Reply:
    """`GET /approvals/{job_id}/masked`: prompt, labels and payload with secrets replaced by tags"""
    deps, tenant, job_id = call.deps, call.principal.tenant, approval_id_of(call)
    approval = await deps.approvals.require(tenant, job_id)
    view = await deps.jobs.require(tenant, job_id)
    payload = await payload_of(call, approval, view)
    masked = await deps.masking.mask(payload, view.job.prompt, view.job.labels)
    told = {
        "job_id": job_id,
        "payload_shown": payload is not None,
        "scanned": masked.scanned,
        "masked": masked.count,
    }
    return reply_with(told, "shown", masked.data)


async def reveal(call: Call) -> Reply:
    """`POST /approvals/{job_id}/reveal`: the same as it was sent, with its secrets"""
    if call.json not in (None, {}):
        raise invalid("body", "an empty object is expected")
    deps, tenant, job_id = call.deps, call.principal.tenant, approval_id_of(call)
    approval = await deps.approvals.require(tenant, job_id)
    view = await deps.jobs.require(tenant, job_id)
    told = {"actor": call.principal.actor, "job_id": job_id, "round": approval.round, "trace_id": call.trace_id}
    await deps.audit.append(tenant, "approval.revealed", told, deps.clock.now_ms())
    shown = {"job_id": job_id, "labels": dict(view.job.labels), "prompt": view.job.prompt}
    return reply_with(shown, "payload", await payload_of(call, approval, view))


async def list_rules(call: Call) -> Reply:
    """`GET /approvals/{job_id}/rules`: each rule that matched, as it is written and by whom it is signed"""
    deps, tenant, job_id = call.deps, call.principal.tenant, approval_id_of(call)
    approval = await deps.approvals.require(tenant, job_id)
    decision = (await deps.jobs.require(tenant, job_id)).decision
    definitions = {item.rule: item.definition for item in approval.requirements if item.definition}
    rows = await deps.rule_texts.of(decision.rules, definitions)
    return reply_json({"items": [{**row, "deciding": row["id"] in decision.deciding} for row in rows]})
