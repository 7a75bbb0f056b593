"""The quarantine gate: people release exactly what was sealed, or destroy it.

What always holds: only who may release jobs of this topic under the trust root decides about their output, and never
about that of their own job or of one made in their name; without a root in force nobody does. A vote is bound to the
digest of the sealed bytes; what is opened is those very bytes, and a box that names this job and attempt; nothing of
it is anywhere in the open before the script that releases it; without the key nothing is released, and destroying
needs no key. Nothing is ever run.

The digest is of the sealed bytes, never of what is in them: a digest of a short secret would give the secret away to
whoever guesses. A box opens to one content, so its digest stands for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from nacl.public import PrivateKey

from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, Unavailable
from holdgate.kernel.ids import Digest, JobId, Tenant, is_same, people_of, person_of
from holdgate.kernel.records import Severity
from holdgate.kernel.standing import BREAK_GLASS_ROLE, ESCALATION_ROLE
from holdgate.kernel.trust import Trust
from holdgate.scan.output import Output
from holdgate.scheduler import metrics
from holdgate.scheduler.errors import (
    ApprovalDuplicateVote,
    ApprovalForbidden,
    ApprovalSelf,
    NotFound,
    QuarantineResolved,
    QuarantineSealedElsewhere,
    QuarantineStale,
    QuarantineUnopenable,
    StateUnavailable,
)
from holdgate.scheduler.gates.approval import Approver, Hints, verify_reason
from holdgate.scheduler.gates.sealing import open_sealed
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.state.log import PayloadStore
from holdgate.scheduler.state.quarantine import (
    Act,
    Quarantine,
    QuarantineItem,
    Released,
    SealedRequest,
    SealedStatus,
    SealedVote,
)
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger("holdgate.gates.quarantine")

APPROVER_ROLE = "approver"
EXTRAORDINARY = frozenset({BREAK_GLASS_ROLE, ESCALATION_ROLE})
"""Roles that a held job's own round gives a say, and a sealed output has none."""
VOTE_TRIES = 5
"""How often a vote is counted anew because another came in between: with a quorum of two, two are enough."""
GRAVE = frozenset({Severity.HIGH, Severity.CRITICAL})
_ORDER = list(Severity)


@dataclass(frozen=True, slots=True)
class Acted:
    """What a vote came to."""

    status: SealedStatus
    state: State
    votes_missing: int = 0


class QuarantineGate:
    """Takes votes on sealed outputs. One per api process; `key` opens them, where this process is given it."""

    def __init__(
        self,
        *,
        items: Quarantine,
        payloads: PayloadStore,
        hints: Hints,
        trust: TrustInForce,
        clock: Clock,
        key: PrivateKey | None = None,
    ) -> None:
        self.items = items
        self._trust = trust
        self._payloads = payloads
        self._hints = hints
        self._clock = clock
        self._key = key

    @property
    def can_open(self) -> bool:
        """Whether a release is possible here."""
        return self._key is not None

    def quorum_of(self, tenant: Tenant, item: QuarantineItem) -> int:
        """How many people a release takes."""
        return quorum_of(item, self._trust(), tenant)

    def votes_missing(self, tenant: Tenant, item: QuarantineItem) -> int:
        """How many more people a release takes."""
        if item.status is not SealedStatus.SEALED:
            return 0
        return max(1, self.quorum_of(tenant, item) - len(item.votes))

    async def release(self, approver: Approver, job_id: JobId, digest: Digest, reason: str) -> Acted:
        """Vote to make it readable; `quorum_of` such votes do. The errors of a vote, QuarantineSealedElsewhere,
        QuarantineUnopenable; LogUnavailable: nothing changed."""
        return await self._act(Act.RELEASE, approver, job_id, digest, reason)

    async def destroy(self, approver: Approver, job_id: JobId, digest: Digest, reason: str) -> Acted:
        """Delete what is sealed; the record stays, and one vote does. The errors of a vote."""
        return await self._act(Act.DESTROY, approver, job_id, digest, reason)

    async def _act(self, act: Act, approver: Approver, job_id: JobId, digest: Digest, reason: str) -> Acted:
        verify_reason(reason)
        for _ in range(VOTE_TRIES):
            item = await self.items.require(approver.tenant, job_id)
            verify_may_act(approver, item, digest, self._trust())
            if act is Act.RELEASE and self._key is None:
                raise QuarantineSealedElsewhere
            missing = 0 if act is Act.DESTROY else self.votes_missing(approver.tenant, item) - 1
            request = await self._request(item, SealedVote(approver.actor, act, reason, self._clock.now_ms()), missing)
            status = await self.items.vote(approver.tenant, request, request.vote.cast_ms)
            if status is not None:
                return await self._acted(approver.tenant, item, status, missing)
        raise StateUnavailable("too many votes at once; send yours again")

    async def _request(self, item: QuarantineItem, vote: SealedVote, missing: int) -> SealedRequest:
        completes = missing <= 0
        return SealedRequest(
            job_id=item.job_id,
            vote=vote,
            digest=item.digest or Digest(""),
            votes_seen=len(item.votes),
            completes=completes,
            attempt=item.attempt,
            released=await self._opened(item, vote) if completes and vote.act is Act.RELEASE else None,
        )

    async def _opened(self, item: QuarantineItem, vote: SealedVote) -> Released:
        """What was sealed, as a result that says who released it; QuarantineUnopenable."""
        output = _output_of(item, await asyncio.to_thread(self._open, item, await self._sealed(item)))
        by = [each.approver for each in (*item.votes, vote)]
        verdict = {**item.verdict, "verdict": "released", "sealed": False}
        return Released(
            verdict={**verdict, "released_by": by, "released_ms": vote.cast_ms},
            value=output.value,
            logs=output.logs,
            error=None if output.error is None else dict(output.error),
        )

    async def _sealed(self, item: QuarantineItem) -> bytes:
        if item.sealed_ref is None:
            return item.sealed or b""
        try:
            return await self._payloads.get(item.sealed_ref)
        except (NotFound, Forged) as error:
            raise QuarantineUnopenable("the sealed bytes are gone or altered; destroy what is left") from error

    def _open(self, item: QuarantineItem, data: bytes) -> Mapping[str, Any]:
        if self._key is None or digest_bytes(data) != item.digest:
            raise QuarantineUnopenable
        try:
            return open_sealed(data, self._key)
        except Forged as error:
            raise QuarantineUnopenable from error

    async def _acted(self, tenant: Tenant, item: QuarantineItem, status: SealedStatus, missing: int) -> Acted:
        if status is SealedStatus.SEALED:
            return Acted(status, State.QUARANTINED, missing)
        log.info("a sealed output was decided", action=f"quarantine_{status}", job_id=item.job_id)
        if item.sealed_ref is not None:
            await self._delete(tenant, item.sealed_ref)
        state = State.SUCCEEDED if status is SealedStatus.RELEASED else State.QUARANTINED
        if state is State.SUCCEEDED:
            metrics.JOBS.labels(str(state)).inc()
        await self._hints.changed(tenant, [item.job_id], state)
        return Acted(status, state)

    async def _delete(self, tenant: Tenant, object_: Digest) -> None:
        """At once where that is possible; the dispatcher deletes what is left over."""
        try:
            await self._payloads.delete(object_)
            await self.items.note_gone(tenant, [object_])
        except Unavailable as error:
            log.warning("sealed bytes are deleted later", action="sealed_left", error=type(error).__name__)


def verify_may_act(approver: Approver, item: QuarantineItem, digest: Digest, trust: Trust | None) -> None:
    """ApprovalForbidden, ApprovalSelf, QuarantineResolved, ApprovalDuplicateVote, QuarantineStale."""
    if not approver.actor or APPROVER_ROLE not in approver.roles:
        raise ApprovalForbidden("only approvers decide about sealed outputs")
    if trust is None:
        raise ApprovalForbidden("without a trust root in force nobody decides about sealed outputs")
    if not trust.roles_that_count(approver.roles, approver.tenant, item.topic) - EXTRAORDINARY:
        raise ApprovalForbidden("the trust root gives none of your roles a say about outputs of this topic")
    if person_of(approver.actor) in people_of((item.actor, *item.principals)):
        raise ApprovalSelf
    if item.status is not SealedStatus.SEALED:
        raise QuarantineResolved
    if any(is_same(vote.approver, approver.actor) for vote in item.votes):
        raise ApprovalDuplicateVote
    if digest != item.digest:
        raise QuarantineStale


def severity_of(item: QuarantineItem) -> Severity | None:
    """The worst of the findings; None where there are none, or one of them does not say."""
    found = item.verdict.get("severity")
    named = [found] if found is not None else [each.get("severity") for each in item.verdict.get("findings", ())]
    try:
        return max(map(Severity, named), key=_ORDER.index, default=None)
    except ValueError:
        return None


def quorum_of(item: QuarantineItem, trust: Trust | None, tenant: Tenant) -> int:
    """How many people a release takes: two where it is grave, or where nobody can say how grave it is; more where the
    root wants more of any role that has a say about this topic. Votes keep no roles, so the strictest holds for all.
    """
    severity = severity_of(item)
    allowed = {} if trust is None else trust.approver_roles
    wanted = [
        scope.quorum_min
        for role, scope in allowed.items()
        if role not in EXTRAORDINARY and scope.covers(tenant, item.topic)
    ]
    return max([2 if severity is None or severity in GRAVE else 1, *wanted])


def _output_of(item: QuarantineItem, content: Mapping[str, Any]) -> Output:
    """The output in an opened box; QuarantineUnopenable when it is that of another job or attempt."""
    try:
        if (content["job_id"], content["attempt"]) != (item.job_id, item.attempt):
            raise QuarantineUnopenable("the box holds the output of another job")
        return Output.from_dict(content["output"])
    except (KeyError, TypeError, ValueError) as error:
        raise QuarantineUnopenable from error
