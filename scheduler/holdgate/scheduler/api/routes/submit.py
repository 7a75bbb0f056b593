"""A job comes in over HTTP: bytes → form → job → submit gate → answer. And the safer version of a refused one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes, digest, digest_bytes
from holdgate.kernel.ids import JobId, new_job_id
from holdgate.kernel.jobform import NULL_PAYLOAD, Identity, JobForm, parse_form
from holdgate.kernel.records import Decision, Job, Remediation
from holdgate.scheduler.api.calls import Call, Header, Reply, reply_json
from holdgate.scheduler.api.measuring import measured
from holdgate.scheduler.api.problems import Problem, invalid
from holdgate.scheduler.api.routes.jobs import require_job
from holdgate.scheduler.gates.submit import Submitted
from holdgate.scheduler.identity.principals import Principal
from holdgate.scheduler.state.entry import Idempotency
from holdgate.scheduler.state.jobs import JobView
from holdgate.scheduler.state.transitions import State

REPLAYED: Header = (b"idempotency-replayed", b"true")


async def submit_job(call: Call) -> Reply:
    """`POST /jobs`"""
    form = call.json
    if not isinstance(form, dict):
        raise invalid("body", "an object is expected")
    dry_run = _dry_run(form)
    parsed = parse_form(form, now_ms=call.deps.clock.now_ms())
    job = await job_of(call, parsed)
    if dry_run:
        decision = await call.deps.submit_gate.preview(job)
        return reply_json({"dry_run": True, "decision": decision.as_dict(), "trace_id": call.trace_id})
    return _brought(call, await call.deps.submit_gate.submit(job, idempotency_of(call, form)))


async def remediate_job(call: Call) -> Reply:
    """`POST /jobs/{job_id}/remediate`: a new job, changed as the decision proposes, through the same gates"""
    view = await require_job(call, ())
    body = _remediation_body(call.json)
    remediation = _chosen(view.decision, body.get("remediation_id"))
    payload = await _payload_again(call, view, body)
    job = await _remedied(call, view.job, remediation, payload, body)
    submitted = await call.deps.submit_gate.submit(job, idempotency_of(call, {**body, "of": view.job.job_id}))
    return _brought(call, submitted)


async def job_of(call: Call, form: JobForm) -> Job:
    """The job that the caller asks for by `form`, measured. PlatformSecretInPayload."""
    deps = call.deps
    require_size(form, deps.limits.body_bytes_max)
    found = await measured(call, form)
    now_ms = deps.clock.now_ms()
    return form.job(
        identity=identity_of(call.principal),
        job_id=new_job_id(now_ms),
        now_ms=now_ms,
        trace_id=call.trace_id,
        secrets_present=found.secrets,
        pii_present=found.pii,
    )


def require_size(form: JobForm, bytes_max: int) -> None:
    """Problem `body_too_large` when the payload is over the limit as it is hashed, kept and handed over.

    The canonical form can be several times what was sent: `1e15` has sixteen digits there.
    """
    if len(form.payload) > bytes_max:
        raise Problem("body_too_large", f"the payload is over {bytes_max} bytes in its canonical form")


def identity_of(principal: Principal) -> Identity:
    """Who submits, from the key and nothing else."""
    return Identity(principal.tenant, principal.actor, principal.actor_type, principal.principals)


def idempotency_of(call: Call, form: Mapping[str, Any]) -> Idempotency | None:
    """The caller's `Idempotency-Key`, made its own: two actors never meet in one key."""
    key = call.header(b"idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= limits.IDEMPOTENCY_KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
        raise invalid(
            "Idempotency-Key", f"1 to {limits.IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters are expected"
        )
    return Idempotency(key=digest([call.principal.actor, key]), fingerprint=digest(dict(form)))


def _brought(call: Call, submitted: Submitted) -> Reply:
    if submitted.replayed:
        call.trace.speaks_of(submitted.job_id, submitted.trace_id)
    else:
        call.trace.brings(submitted.job_id)
    return answer(submitted)


def answer(submitted: Submitted) -> Reply:
    """202 with the job and its decision; a refusal is raised as its problem."""
    if submitted.state is State.DENIED and submitted.code is not None:
        raise refusal(submitted)
    shown: dict[str, Any] = {
        "job_id": submitted.job_id,
        "state": str(submitted.state),
        "decision": submitted.decision.as_dict(),
        "trace_id": submitted.trace_id,
    }
    if submitted.fail_open:
        shown["fail_open"] = True
    return reply_json(shown, 202, (REPLAYED,) if submitted.replayed else ())


def refusal(submitted: Submitted) -> Problem:
    """The problem of a denied (403) or throttled (429) job: why, by which rule, and what would be safer."""
    decision = submitted.decision
    throttled = submitted.code == "throttled"
    extra = {
        "job_id": submitted.job_id,
        "rule": decision.deciding[0] if decision.deciding else None,
        "reason": decision.reason,
        "decision": decision.as_dict(),
        "remediations": [item.as_dict() for item in decision.remediations],
    }
    return Problem(
        "throttled" if throttled else "denied",
        decision.reason,
        extra=extra,
        retry_after_s=-(-submitted.retry_after_ms // 1000) if throttled else None,
    )


def _dry_run(form: dict[str, Any]) -> bool:
    dry_run = form.pop("dry_run", False)
    if not isinstance(dry_run, bool):
        raise invalid("dry_run", "true or false is expected")
    return dry_run


def _remediation_body(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise invalid("body", "an object is expected")
    for name in body:
        if name not in {"remediation_id", "payload", "prompt"}:
            raise invalid(name[:64] if name.isprintable() else "body", "an unknown key")
    if not isinstance(body.get("remediation_id", ""), str):
        raise invalid("remediation_id", "a string is expected")
    return body


def _chosen(decision: Decision, remediation_id: str | None) -> Remediation:
    if remediation_id is None and len(decision.remediations) == 1:
        return decision.remediations[0]
    for item in decision.remediations:
        if item.id == remediation_id:
            return item
    if remediation_id is None and decision.remediations:
        raise invalid("remediation_id", "is needed where there is more than one")
    raise Problem("remediation_not_found")


async def _payload_again(call: Call, view: JobView, body: Mapping[str, Any]) -> bytes:
    """The payload of the new job: sent again, or the one of the job where that was kept."""
    job = view.job
    if "payload" in body:
        return canonical_bytes(body["payload"])
    if job.payload_digest == digest_bytes(NULL_PAYLOAD):
        return NULL_PAYLOAD
    if view.state is State.DENIED:
        raise Problem("payload_needed", extra={"job_id": job.job_id})
    payload = await call.deps.jobs.payload(job.tenant, JobId(job.job_id))
    return payload if payload is not None else await call.deps.payloads.get(job.payload_digest)


async def _remedied(call: Call, job: Job, remediation: Remediation, payload: bytes, body: Mapping[str, Any]) -> Job:
    now_ms = call.deps.clock.now_ms()
    form = parse_form(
        {"topic": remediation.topic or job.topic, "prompt": body.get("prompt", job.prompt)}, now_ms=now_ms
    )
    changed = replace(
        form,
        payload=payload,
        labels={**job.labels, **(remediation.labels or {})},
        capability=remediation.capability or job.capability,
        risk_tags=job.risk_tags,
        requires=job.requires,
        pool=job.pool,
        priority=job.priority,
        concurrency_key=job.concurrency_key,
        run_at_ms=job.run_at_ms if job.run_at_ms and job.run_at_ms > now_ms else None,
        deadline_ms=job.deadline_ms if job.deadline_ms and job.deadline_ms > now_ms else None,
        max_attempts=job.max_attempts,
        secrets=job.secrets,
    )
    return replace(await job_of(call, changed), remediation_of=job.job_id)
