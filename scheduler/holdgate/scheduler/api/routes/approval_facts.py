"""What an approver looks at beside the approval itself: the job with its secrets masked, and the rules' own text.

What always holds: `reveal` is in the audit trail before it is answered. The console, where people look, shows secrets
in no other way; with an API key `GET /approvals/{job_id}` gives the same bytes without a trace, because who computes
the hash for themselves needs them.
"""

from __future__ import annotations

from holdgate.scheduler.api.calls import Call, Reply, reply_json, reply_with
from holdgate.scheduler.api.portions import portion_of
from holdgate.scheduler.api.problems import invalid
from holdgate.scheduler.api.routes.held_jobs import approval_id_of, held_job_of
from holdgate.scheduler.gates.masking import MASKED_BYTES_MAX, around_of


async def get_masked(call: Call) -> Reply:
    """`GET /approvals/{job_id}/masked`: what its submitter wrote, with secrets replaced by tags"""
    held = await held_job_of(call)
    portion = portion_of(call, "payload", held.payload, MASKED_BYTES_MAX)
    job = held.view.job
    masked = await call.deps.masking.mask(portion.data, job.prompt, job.labels, around_of(job), tenant=job.tenant)
    told = {"job_id": job.job_id, "scanned": masked.scanned, "masked": masked.count, **portion.told}
    return reply_with(told, "shown", masked.data)


async def reveal(call: Call) -> Reply:
    """`POST /approvals/{job_id}/reveal`: the same as it was sent, with its secrets"""
    if call.json not in (None, {}):
        raise invalid("body", "an empty object is expected")
    deps, held = call.deps, await held_job_of(call)
    job = held.view.job
    told = {"actor": call.principal.actor, "job_id": job.job_id, "round": held.approval.round,
            "trace_id": call.trace_id}  # fmt: skip
    await deps.audit.append(job.tenant, "approval.revealed", told, deps.clock.now_ms())
    portion = portion_of(call, "payload", held.payload)
    shown = {"job_id": job.job_id, "labels": dict(job.labels), "prompt": job.prompt, **portion.told}
    return reply_with(shown, "payload", portion.data)


async def list_rules(call: Call) -> Reply:
    """`GET /approvals/{job_id}/rules`: each rule that matched, as it is written and by whom it is signed"""
    deps, tenant, job_id = call.deps, call.principal.tenant, approval_id_of(call)
    approval = await deps.approvals.require(tenant, job_id)
    decision = (await deps.jobs.require(tenant, job_id)).decision
    definitions = {item.rule: item.definition for item in approval.requirements if item.definition}
    rows = await deps.rule_texts.of(decision.rules, definitions)
    return reply_json({"items": [{**row, "deciding": row["id"] in decision.deciding} for row in rows]})
