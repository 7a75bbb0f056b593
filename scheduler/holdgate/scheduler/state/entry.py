"""How jobs enter: the arguments of `accept.lua`, and what became of a submission.

What always holds: entry, identity, decision and audit event are one script; an idempotency key names one body; a rate
limit is taken only when the job enters; a denied job keeps its decision and neither payload nor prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from holdgate.kernel.custody import required_approvals
from holdgate.kernel.ids import JobId, Tenant
from holdgate.kernel.links import Signed
from holdgate.kernel.records import ApprovalRequirement, Decision, Job, Outcome, Over, Throttle
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.demands import escalates_ms
from holdgate.scheduler.state.approvals.shape import job_shape
from holdgate.scheduler.state.backlog import BOOST_MS
from holdgate.scheduler.state.connection import Arg, Scripts
from holdgate.scheduler.state.encoding import Idempotency
from holdgate.scheduler.state.grants import GrantUse, use_args
from holdgate.scheduler.state.transitions import State

__all__ = ["AcceptKind", "AcceptResult", "Idempotency", "StateLimits", "Submission", "attempts_max", "enter"]

NO_ROOM = -1
"""In place of a queue's length: all queues together are full. What was let in before is still answered."""
QUEUE_FULL_RETRY_MS = 5_000
POOLS_RETRY_MS = 60_000
"""Dispatchers look about as often for pools that are empty."""
"""When to try again: nobody knows when a full queue drains; a few seconds keep a client from hammering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLimits:
    """Bounds that an operator sets. `queue_max`: waiting jobs of one tenant, 0 for any number, NO_ROOM for none more;
    `queue_max_of`: of tenants with a bound of their own, and may change; `queues_max`: of all together."""

    queue_max: int = 100_000
    queue_max_of: Mapping[str, int] = field(default_factory=dict)
    queues_max: int = 1_000_000
    idempotency_ttl_ms: int = 24 * 3600 * 1000

    def of(self, tenant: Tenant) -> StateLimits:
        """Those of `tenant`, as they are now."""
        return replace(self, queue_max=self.queue_max_of.get(tenant, self.queue_max)) if self.queue_max_of else self


@dataclass(frozen=True, slots=True)
class Submission:
    """A job at the door. `job.payload` is None where the payload lies in the object store.

    `initial` is ACCEPTED, HELD (an approval is opened from `decision.approvals`) or SCHEDULED (until `job.run_at_ms`).
    `throttles` are counted once: pass () when the caller already turned an over-limit job into a held one.
    """

    job: Job
    decision: Decision
    admission: Signed
    initial: State
    idempotency: Idempotency | None = None
    throttles: tuple[Throttle, ...] = ()
    fail_open: bool = False
    grant: GrantUse | None = None
    """A standing grant that may release it, where `initial` is HELD."""
    packed: encoding.Packed | None = None
    """Job, decision and admission where they are packed already."""


class AcceptKind(StrEnum):
    """What became of a submission."""

    ACCEPTED = "accepted"
    REPLAY = "replay"
    CONFLICT = "conflict"
    THROTTLED = "throttled"
    QUEUE_FULL = "queue_full"
    QUEUES_FULL = "queues_full"
    TOO_MANY_POOLS = "too_many_pools"


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """Answer of `accept` and `deny`.

    ACCEPTED: `job_id`, `state` (SCHEDULED when a limit with `over: delay` put the job off).
    REPLAY: `job_id`, `state` of the first submit; `logged` False means: publish its envelope again before a 202.
    CONFLICT: the key was used with another body. THROTTLED: over a limit whose `over` is REJECT or HOLD; nothing was
    taken or stored. QUEUE_FULL, and QUEUES_FULL of all tenants together, TOO_MANY_POOLS: nothing was stored.
    """

    kind: AcceptKind
    job_id: JobId | None = None
    state: State | None = None
    logged: bool = False
    retry_after_ms: int = 0
    over: Over | None = None
    rule: str | None = None


async def enter(
    scripts: Scripts,
    submission: Submission,
    now_ms: int,
    limits: StateLimits,
    *,
    details: dict[str, Any],
    code: str = "",
) -> AcceptResult:
    """Let a job in, or record that it was refused (`initial` is DENIED, for `code`); StateUnavailable.

    The audit event names the secrets that it asks for: names, which is all that is known of them here.
    """
    job = submission.job
    held = submission.initial is State.HELD
    requirements = required_approvals(submission.decision, Outcome.HELD) if held else ()
    args = [
        *_record_args(submission, now_ms),
        *_place_args(submission, now_ms),
        encoding.pack_details({**details, "secrets": list(job.secrets) or None}),
        *_bound_args(submission.idempotency, limits),
        *_decided_args(submission, requirements, now_ms, code),
        *use_args(submission.grant),
        *_throttle_args(submission.throttles),
    ]
    return _accept_result(job.job_id, await scripts.run("accept", job.tenant, args))


def _record_args(submission: Submission, now_ms: int) -> list[Arg]:
    """What is kept of the job: arguments 1 to 11."""
    job, decision = submission.job, submission.decision
    refused, packed = submission.initial is State.DENIED, submission.packed
    if refused:
        packed = encoding.Packed(encoding.pack_job(job, keep_prompt=False), encoding.pack_decision(decision), b"")
    elif packed is None:
        packed = encoding.Packed.of(job, decision, submission.admission)
    payload = None if refused else job.payload
    return [
        job.job_id,
        now_ms,
        submission.initial,
        packed.job,
        payload or b"",
        int(payload is not None),
        decision.job_hash,
        encoding.pack_who(job, decision.job_hash),
        packed.admission,
        packed.decision,
        decision.snapshot,
    ]


def _place_args(submission: Submission, now_ms: int) -> list[Arg]:
    """Where and when it is to run: arguments 12 to 18."""
    job, decision = submission.job, submission.decision
    return [
        job.pool,
        BOOST_MS[job.priority],
        attempts_max(job, decision),
        job.concurrency_key or "",
        job.deadline_ms or 0,
        max(now_ms, job.run_at_ms or 0),
        int(submission.fail_open),
    ]


def attempts_max(job: Job, decision: Decision) -> int:
    """How often it may be tried, as far as the decision that let it in says."""
    return max(1, min(job.max_attempts, decision.constraints.max_attempts or job.max_attempts))


def _bound_args(idempotency: Idempotency | None, limits: StateLimits) -> list[Arg]:
    """What may keep it out: arguments 20 to 23."""
    return [
        "" if idempotency is None else idempotency.key,
        "" if idempotency is None else idempotency.fingerprint,
        limits.idempotency_ttl_ms,
        limits.queue_max,
    ]


def _decided_args(
    submission: Submission, requirements: tuple[ApprovalRequirement, ...], now_ms: int, code: str
) -> list[Arg]:
    """What was decided, and who must release it: arguments 24 to 30."""
    expires_s = min((item.expires_s for item in requirements), default=0)
    return [
        encoding.pack_requirements(requirements),
        now_ms + expires_s * 1000,
        int(submission.initial is not State.DENIED),
        code,
        submission.decision.verdict,
        escalates_ms(requirements, now_ms) or 0,
        job_shape(submission.job) if requirements else "",
    ]


def _throttle_args(throttles: Sequence[Throttle]) -> list[Arg]:
    args: list[Arg] = []
    for throttle in throttles:
        interval_us = throttle.per_s * 1_000_000 // max(throttle.limit, 1)
        args += [throttle.bucket, interval_us, throttle.per_s * 1_000_000, throttle.over, throttle.rule]
    return args


def _accept_result(job_id: JobId, reply: list[Any]) -> AcceptResult:
    kind = AcceptKind(reply[0].decode())
    match kind:
        case AcceptKind.ACCEPTED:
            return AcceptResult(kind, job_id, State(reply[1].decode()))
        case AcceptKind.REPLAY:
            return AcceptResult(kind, JobId(reply[1].decode()), State(reply[2].decode()), logged=bool(reply[3]))
        case AcceptKind.THROTTLED:
            return AcceptResult(
                kind, over=Over(reply[1].decode()), retry_after_ms=int(reply[2]), rule=reply[3].decode()
            )
        case AcceptKind.QUEUE_FULL | AcceptKind.QUEUES_FULL:
            return AcceptResult(kind, retry_after_ms=QUEUE_FULL_RETRY_MS)
        case AcceptKind.TOO_MANY_POOLS:
            return AcceptResult(kind, retry_after_ms=POOLS_RETRY_MS)
        case AcceptKind.CONFLICT:
            return AcceptResult(kind)
