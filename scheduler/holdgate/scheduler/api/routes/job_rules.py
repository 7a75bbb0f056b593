"""The rules that decided about a job, as their authors wrote them."""

from __future__ import annotations

from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.routes.jobs import require_job


async def list_rules(call: Call) -> Reply:
    """`GET /jobs/{job_id}/rules`: each rule that matched at the latest decision, and by whom it is signed"""
    decision = (await require_job(call)).decision
    definitions = {item.rule: item.definition for item in decision.approvals if item.definition}
    rows = await call.deps.rule_texts.of(decision.rules, definitions)
    return reply_json({"items": [{**row, "deciding": row["id"] in decision.deciding} for row in rows]})
