"""A job on its way to a worker: the permit that lets it go, what makes it run in the store, and what the worker gets.

What always holds: nothing is decided here; a permit is carried as it came, or is of a gate that the signed root lets
fail open, and then says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from holdgate.kernel import limits
from holdgate.kernel.ids import Entropy, LeaseToken, PermitId, WorkerId, new_permit_id
from holdgate.kernel.links import Permit, Signed
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import Decision, Job
from holdgate.scheduler.gates.custody import approvals_of
from holdgate.scheduler.state.backlog import Picked, StartRequest

HANDOVER_LEASE_MS = 3 * limits.HEARTBEAT_S * 1000
"""First lease: three heartbeats. A reply that never reached its worker costs this long, not a whole lease."""


@dataclass(frozen=True, slots=True)
class Asker:
    """The worker that asked, and its pool."""

    worker: WorkerId
    pool: str


@dataclass(frozen=True, slots=True)
class Handover:
    """A started job with its permit, as it goes to the worker; with the votes that released it, if any did."""

    job: Job
    permit: Signed
    attempt: int
    token: LeaseToken
    lease_ms: int
    votes: tuple[Signed, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain values for the reply."""
        return {
            "job": self.job.as_dict(),
            "permit": self.permit.as_dict(),
            "attempt": self.attempt,
            "token": self.token,
            "lease_ms": self.lease_ms,
            "votes": [vote.as_dict() for vote in self.votes],
        }


@dataclass(frozen=True, slots=True)
class Permitted:
    """A picked job that may go: under which decision, and by which permit."""

    item: Picked
    decision: Decision
    permit_id: PermitId
    permit: Signed
    fail_open: bool = False

    def start(self, asker: Asker, token: LeaseToken) -> StartRequest:
        """What makes it run at `asker`."""
        item, constraints = self.item, self.decision.constraints
        runtime_s = constraints.max_runtime_s
        return StartRequest(
            job_id=item.job.job_id,
            reservation=item.reservation,
            decision=None if self.fail_open else self.decision,
            permit_id=self.permit_id,
            worker=asker.worker,
            pool=asker.pool,
            token=token,
            attempt=item.attempt,
            lease_ms=HANDOVER_LEASE_MS,
            approval_required=not self.fail_open and bool(approvals_of(self.decision, item.admission)),
            topic=item.job.topic,
            topic_max=constraints.max_concurrency,
            attempts_max=constraints.max_attempts,
            max_runtime_ms=None if runtime_s is None else runtime_s * 1000,
            fail_open=self.fail_open,
        )

    def handover(self, request: StartRequest) -> Handover:
        """What the worker gets once `request` made it run."""
        return Handover(self.item.job, self.permit, request.attempt, request.token, request.lease_ms, self.item.votes)


def permitted(item: Picked, decision: Decision | None, permit: Signed | None) -> Permitted | None:
    """The job with the kernel's permit; None where there is none, or none that can be read."""
    if decision is None or permit is None:
        return None
    permit_id = _permit_id(permit)
    return None if permit_id is None else Permitted(item, decision, permit_id, permit)


def permitted_without_kernel(item: Picked, signer: Signer, asker: Asker, now_ms: int, entropy: Entropy) -> Permitted:
    """The job with a permit of the dispatcher itself, under the newest decision on record."""
    last = item.last_decision
    permit = Permit(
        permit_id=new_permit_id(now_ms, entropy),
        job_id=item.job.job_id,
        job_hash=item.job.job_hash(),
        tenant=item.job.tenant,
        snapshot=last.snapshot,
        verdict=str(last.verdict),
        rules=last.rules,
        constraints=last.constraints,
        attempt=item.attempt,
        pool=asker.pool,
        worker=asker.worker,
        issued_ms=now_ms,
        expires_ms=now_ms + limits.PERMIT_LIFETIME_S * 1000,
        fail_open=True,
    )
    return Permitted(item, last, permit.permit_id, seal(permit, signer), fail_open=True)


def _permit_id(permit: Signed) -> PermitId | None:
    """The id in a permit, for the record; whether the permit holds is the worker's to check."""
    try:
        body = json.loads(permit.body)
    except ValueError:
        return None
    permit_id = body.get("permit_id") if isinstance(body, dict) else None
    return PermitId(permit_id) if isinstance(permit_id, str) else None
