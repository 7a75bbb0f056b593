"""One answer to many held jobs over HTTP."""

from __future__ import annotations

from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.ids import JOB_ID, Digest, JobId
from holdgate.scheduler.api.calls import Call, Reply, reply_json
from holdgate.scheduler.api.forms import confirm_of, members_of, reason_of
from holdgate.scheduler.api.problems import Problem, invalid, problem_of
from holdgate.scheduler.api.routes.approvals import approver_of
from holdgate.scheduler.errors import BulkMixed
from holdgate.scheduler.gates.approval import Shown
from holdgate.scheduler.gates.bulk import BulkForm, BulkOutcome

VERDICTS = ("approve", "reject")


async def vote_in_bulk(call: Call) -> Reply:
    """`POST /approvals/bulk`: 200 with what became of each, also where some were refused"""
    form = _form(call.json)
    try:
        outcomes = await call.deps.bulk_gate.vote(approver_of(call), form)
    except BulkMixed as error:
        raise Problem("bulk_mixed", str(error), extra={"job_ids": list(error.job_ids)}) from error
    return reply_json({"items": [_item(outcome) for outcome in outcomes]})


def _form(sent: Any) -> BulkForm:
    body = members_of(sent, required={"verdict", "reason", "items"}, optional={"confirm"})
    if body["verdict"] not in VERDICTS:
        raise invalid("verdict", "`approve` or `reject` is expected")
    items = body["items"]
    if not isinstance(items, list) or not 1 <= len(items) <= limits.BULK_JOBS_MAX:
        raise invalid("items", f"a list of 1 to {limits.BULK_JOBS_MAX} jobs is expected")
    return BulkForm(
        approve=body["verdict"] == "approve",
        reason=reason_of(body),
        confirm=confirm_of(body),
        items=tuple(_shown(index, item) for index, item in enumerate(items)),
    )


def _shown(index: int, item: Any) -> tuple[JobId, Shown]:
    names = ("job_id", "job_hash", "snapshot")
    if not isinstance(item, dict) or set(item) != set(names):
        raise invalid(f"items.{index}", "an object of `job_id`, `job_hash` and `snapshot` is expected")
    if not all(isinstance(item[name], str) and len(item[name]) <= 128 for name in names):
        raise invalid(f"items.{index}", "texts are expected, as `GET /approvals/{job_id}` shows them")
    if JOB_ID.match(item["job_id"]) is None:
        raise invalid(f"items.{index}.job_id", "is not the id of a job")
    return JobId(item["job_id"]), Shown(Digest(item["job_hash"]), Digest(item["snapshot"]))


def _item(outcome: BulkOutcome) -> dict[str, Any]:
    shown: dict[str, Any] = {"job_id": outcome.job_id}
    if outcome.error is not None:
        problem = problem_of(outcome.error)
        return {**shown, "status": None, "state": None, "votes_missing": None, "code": problem.code,
                "detail": str(problem)}  # fmt: skip
    result = outcome.result
    if result is None:
        raise Problem("internal_error")
    return {
        **shown,
        "status": str(result.status),
        "state": str(result.state),
        "votes_missing": result.votes_missing,
        "code": None,
        "detail": None,
    }
