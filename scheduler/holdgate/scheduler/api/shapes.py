"""Records as the API shows them: plain values, times as RFC 3339."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.kernel.clock import rfc3339
from holdgate.kernel.records import Job
from holdgate.kernel.standing import BREAK_GLASS_QUORUM
from holdgate.scheduler.gates.approval import Look
from holdgate.scheduler.state.approvals import ApprovalView, CastVote, PastRound, tally_of
from holdgate.scheduler.state.jobs import JobView, ResultView
from holdgate.scheduler.state.workers import PoolView, WorkerView


def time_or_none(time_ms: int | None) -> str | None:
    """`time_ms` as RFC 3339."""
    return None if time_ms is None else rfc3339(time_ms)


def job_facts(job: Job) -> dict[str, Any]:
    """What the job asks for, without prompt and payload."""
    return {
        "job_id": job.job_id,
        "tenant": job.tenant,
        "topic": job.topic,
        "labels": dict(job.labels),
        "capability": job.capability,
        "risk_tags": list(job.risk_tags),
        "requires": list(job.requires),
        "pool": job.pool,
        "priority": str(job.priority),
        "concurrency_key": job.concurrency_key,
        "run_at": time_or_none(job.run_at_ms),
        "deadline": time_or_none(job.deadline_ms),
        "max_attempts": job.max_attempts,
        "actor": job.actor,
        "actor_type": job.actor_type,
        "principals": list(job.principals),
        "payload_digest": job.payload_digest,
        "secrets_present": job.secrets_present,
        "pii_present": job.pii_present,
        "remediation_of": job.remediation_of,
        "secrets": list(job.secrets),
        "trace_id": job.trace_id,
        "created_at": rfc3339(job.created_ms),
    }


def job_row(view: JobView) -> dict[str, Any]:
    """A job as lists show it."""
    return {
        **job_facts(view.job),
        "state": str(view.state),
        "job_hash": view.job_hash,
        "attempt": view.attempt,
        "verdict": str(view.decision.verdict),
        "waiting_reason": view.waiting_reason,
        "code": view.code,
        "reason": view.reason,
        "fail_open": view.fail_open,
        "broke_glass": view.broke_glass,
        "worker": view.worker,
        "permit_id": view.permit_id,
        "progress": view.progress,
        "cancel_requested_by": view.cancel_requested_by,
        "updated_at": rfc3339(view.updated_ms),
        "ready_at": time_or_none(view.ready_ms),
        "started_at": time_or_none(view.started_ms),
        "ended_at": time_or_none(view.ended_ms),
    }


def job_whole(view: JobView) -> dict[str, Any]:
    """A job as its own page shows it: with its prompt and the decision."""
    return {**job_row(view), "prompt": view.job.prompt, "decision": view.decision.as_dict()}


def output_told(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """What the output gate said of a job's output, without the findings one by one."""
    return {
        "verdict": verdict.get("verdict"),
        "reason": verdict.get("reason"),
        "severity": verdict.get("severity"),
        "findings_total": verdict.get("findings_total", 0),
        "data_class": verdict.get("data_class"),
        "marks": list(verdict.get("marks", ())),
        "shadow": dict(verdict.get("shadow", {})),
        "allowed_by": list(verdict.get("allowed_by", ())),
    }


def event_row(event: dict[str, Any]) -> dict[str, Any]:
    """An audit event with its time readable."""
    shown = dict(event)
    time_ms = shown.pop("time_ms", None)
    return {**shown, "time": time_or_none(time_ms)}


def approval_row(approval: ApprovalView, now_ms: int) -> dict[str, Any]:
    """An approval: what it is bound to at top level, who may release it, who voted."""
    found = tally_of(approval, approval.votes)
    return {
        "job_id": approval.job_id,
        "status": str(approval.status),
        "job_hash": approval.job_hash,
        "snapshot": approval.snapshot,
        "previous_snapshot": approval.previous_snapshot,
        "topic": approval.topic,
        "actor": approval.actor,
        "principals": list(approval.principals),
        "severity": str(approval.severity),
        "rules": list(approval.rules),
        "reason": approval.reason,
        "shape": approval.shape or None,
        "reading_s": approval.reading_s,
        "confirm": approval.confirm or None,
        "escalated": approval.has_escalated(now_ms),
        "remaining_s": max(0, approval.expires_ms - now_ms) // 1000,
        "round": approval.round,
        "created_at": rfc3339(approval.created_ms),
        "expires_at": rfc3339(approval.expires_ms),
        "resolved_at": time_or_none(approval.resolved_ms),
        "deferred_until": time_or_none(approval.deferred_until_ms),
        "requirements": [item.as_dict() for item in approval.requirements],
        "votes_missing": found.ordinary_missing,
        "glass_votes": found.glass,
        "glass_votes_needed": None if found.glass is None else BREAK_GLASS_QUORUM,
        "votes": [vote_row(vote) for vote in approval.votes],
    }


def vote_row(vote: CastVote) -> dict[str, Any]:
    """A vote on record: who, as whom, how and why."""
    return {
        "approver": vote.approver,
        "roles": list(vote.roles),
        "approve": vote.approve,
        "reason": vote.reason,
        "cast_at": rfc3339(vote.cast_ms),
        "own_key": vote.own_key,
        "on_behalf_of": vote.on_behalf_of,
        "grant": vote.grant,
        "break_glass": vote.break_glass,
        "counts": not vote.is_void,
    }


def look_shown(look: Look) -> dict[str, Any]:
    """What an approver is told beyond the approval: whether they may vote, how soon, and what was before."""
    return {
        "may_vote": look.refused_for is None,
        "refused_for": look.refused_for,
        "may_break_glass": look.glass_refused_for is None,
        "break_glass_refused_for": look.glass_refused_for,
        "reading_left_s": -(-look.reading_left_ms // 1000),
        "previous": None if look.past is None else _past_round(look.past),
        "changes": [{"what": item.what, "before": item.before, "after": item.after} for item in look.changes],
        "can_reconfirm": look.can_reconfirm,
        "to_sign": look.to_sign,
    }


def _past_round(past: PastRound) -> dict[str, Any]:
    return {
        "status": str(past.status),
        "job_hash": past.job_hash,
        "snapshot": past.snapshot,
        "round": past.round,
        "created_at": rfc3339(past.created_ms),
        "ended_at": rfc3339(past.ended_ms),
        "requirements": [item.as_dict() for item in past.requirements],
        "decision": past.decision.as_dict(),
        "votes": [vote_row(vote) for vote in past.votes],
    }


def approval_whole(approval: dict[str, Any], view: JobView) -> dict[str, Any]:
    """An approval with all that is released by it but the payload: the job as the worker would get it, the decision."""
    return {
        **approval,
        "job": {**job_facts(view.job), "state": str(view.state), "prompt": view.job.prompt},
        "decision": view.decision.as_dict(),
        "constraints": view.decision.constraints.as_dict(),
    }


def result_whole(result: ResultView) -> dict[str, Any]:
    """What the output gate let through, but the value."""
    return {
        "job_id": result.job_id,
        "state": str(result.state),
        "attempt": result.attempt,
        "verdict": {name: value for name, value in result.verdict.items() if name != "artifacts"},
        "artifacts": list(result.artifacts),
        "logs": list(result.logs),
        "error": result.error,
        "finished_at": rfc3339(result.finished_ms),
    }


def worker_row(worker: WorkerView) -> dict[str, Any]:
    """A worker as it described itself last."""
    return {
        "worker": worker.worker,
        "pool": worker.pool,
        "topics": list(worker.topics),
        "capabilities": list(worker.capabilities),
        "capacity": worker.capacity,
        "busy": worker.busy,
        "seen_at": rfc3339(worker.seen_ms),
    }


def pool_row(pool: PoolView) -> dict[str, Any]:
    """A pool as the sum of its workers."""
    return {
        "pool": pool.pool,
        "workers": pool.workers,
        "capacity": pool.capacity,
        "busy": pool.busy,
        "topics": list(pool.topics),
        "capabilities": list(pool.capabilities),
    }
