"""The quarantine gate: people release exactly what was sealed, or what they wrote instead of it, or destroy it.

What always holds: only who may release jobs of this topic under the trust root decides about their output, and never
about that of their own job or of one made in their name; without a root in force nobody does. A vote is bound to the
digest of the sealed bytes; what is released is what is in those very bytes, in a box that names this job and attempt,
or a replacement that every counted vote names by its digest and that was scanned again; nobody can read any of it
before the script that releases it; destroying needs no key. Nothing is ever run.

The digest is of the sealed bytes, never of what is in them: a digest of a short secret would give the secret away to
whoever guesses. A box opens to one content, so its digest stands for that; the commitment is salted (`sealing`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from holdgate.kernel import limits
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Unavailable
from holdgate.kernel.ids import Digest, JobId, Tenant, is_same, people_of, person_of
from holdgate.kernel.permits import Signer
from holdgate.kernel.records import Severity
from holdgate.kernel.standing import BREAK_GLASS_ROLE, ESCALATION_ROLE
from holdgate.kernel.trust import Trust
from holdgate.scan.output import Output
from holdgate.scheduler import metrics
from holdgate.scheduler.errors import (
    ApprovalDuplicateVote,
    ApprovalForbidden,
    ApprovalSelf,
    QuarantineNotFound,
    QuarantineResolved,
    QuarantineStale,
    QuarantineTooManyVotes,
    QuarantineUnopenable,
    StateUnavailable,
)
from holdgate.scheduler.gates.approval import Approver, Hints, verify_reason
from holdgate.scheduler.gates.files import kept_files
from holdgate.scheduler.gates.replacement import ReplacementCheck
from holdgate.scheduler.gates.sealedbox import Boxes, verify_opened
from holdgate.scheduler.gates.sealedvotes import sign_vote, votes_that_hold
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.state.quarantine import (
    Act,
    Proposed,
    Quarantine,
    QuarantineItem,
    Released,
    Replacement,
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
VOTES_EACH_MAX = 20
"""Of one person on one output. Each costs a scan and an event; a destruction is taken even so."""
GRAVE = frozenset({Severity.HIGH, Severity.CRITICAL})
_ORDER = list(Severity)


@dataclass(frozen=True, slots=True)
class Acted:
    """What a vote came to. `replacement`: the digest of the one that it is for."""

    status: SealedStatus
    state: State
    votes_missing: int = 0
    replacement: Digest | None = None


@dataclass(frozen=True, slots=True)
class ToRead:
    """What a vote for a release lets be read: what was sealed, where nothing is said; one of these at most is given.

    `opened`: the bytes of the box, opened elsewhere. `replacement`: what is proposed with this vote. `proposed`: the
    digest of what was proposed before.
    """

    opened: bytes | None = None
    replacement: Replacement | None = None
    proposed: Digest | None = None

    @property
    def digest(self) -> Digest | None:
        """Of the replacement."""
        return self.proposed if self.replacement is None else self.replacement.digest


SEALED_CONTENT = ToRead()


@dataclass(frozen=True, slots=True)
class Ballot:
    """What somebody wants done, before it is counted."""

    approver: Approver
    act: Act
    reason: str
    content: ToRead = SEALED_CONTENT


class QuarantineGate:
    """Takes votes on sealed outputs. One per api process; `boxes` open where this process is given the key."""

    def __init__(
        self,
        *,
        items: Quarantine,
        boxes: Boxes,
        hints: Hints,
        trust: TrustInForce,
        clock: Clock,
        signer: Signer,
        check: ReplacementCheck,
        keep_s: int,
    ) -> None:
        self.items = items
        self._trust = trust
        self._hints = hints
        self._clock = clock
        self._signer = signer
        self._check = check
        self._keep_s = keep_s
        self._boxes = boxes

    @property
    def can_open(self) -> bool:
        """Whether what was sealed can be opened here."""
        return self._boxes.key is not None

    def expires_ms(self, item: QuarantineItem) -> int | None:
        """When it is destroyed unless somebody decides; None where that is done."""
        return item.quarantined_ms + self._keep_s * 1000 if item.status is SealedStatus.SEALED else None

    def remaining_s(self, item: QuarantineItem) -> int | None:
        """Seconds until then, none below zero."""
        expires_ms = self.expires_ms(item)
        return None if expires_ms is None else max(0, (expires_ms - self._clock.now_ms()) // 1000)

    def quorum_of(self, tenant: Tenant, item: QuarantineItem) -> int:
        """How many people a release takes."""
        return quorum_of(item, self._trust(), tenant)

    def votes_missing(self, tenant: Tenant, item: QuarantineItem, replacement: Digest | None = None) -> int:
        """How many more people a release takes, of what was sealed or of a replacement."""
        if item.status is not SealedStatus.SEALED:
            return 0
        subject = _subject(Act.RELEASE, replacement)
        counted = [vote for vote in self._counted(tenant, item) if vote.subject == subject]
        return max(1, self.quorum_of(tenant, item) - len(counted))

    async def release(
        self, approver: Approver, job_id: JobId, digest: Digest, reason: str, content: ToRead = SEALED_CONTENT
    ) -> Acted:
        """Vote to make it readable; `quorum_of` such votes do. The errors of a vote, QuarantineSealedElsewhere,
        QuarantineUnopenable, ReplacementRefused; LogUnavailable, KernelUnavailable: nothing changed."""
        return await self._act(Ballot(approver, Act.RELEASE, reason, content), job_id, digest)

    async def destroy(self, approver: Approver, job_id: JobId, digest: Digest, reason: str) -> Acted:
        """Delete what is sealed; the record stays, and one vote does. The errors of a vote."""
        return await self._act(Ballot(approver, Act.DESTROY, reason), job_id, digest)

    async def sealed_bytes(self, approver: Approver, job_id: JobId) -> tuple[QuarantineItem, bytes]:
        """The box, to be opened elsewhere, for whoever may decide about it. QuarantineUnopenable, LogUnavailable."""
        item = await self.items.require(approver.tenant, job_id)
        verify_may_decide(approver, item, self._trust())
        return item, await self._boxes.sealed(item)

    async def proposed(self, approver: Approver, job_id: JobId) -> tuple[QuarantineItem, Proposed, Replacement]:
        """What is to be read instead, for whoever may decide about it. QuarantineNotFound where nothing is proposed."""
        item = await self.items.require(approver.tenant, job_id)
        verify_may_decide(approver, item, self._trust())
        replacement = await self.items.replacement(approver.tenant, job_id)
        if item.proposed is None or replacement is None or replacement.digest != item.proposed.digest:
            raise QuarantineNotFound("nothing is proposed to be read instead of this output")
        return item, item.proposed, replacement

    async def _act(self, ballot: Ballot, job_id: JobId, digest: Digest) -> Acted:
        verify_reason(ballot.reason)
        tenant, subject = ballot.approver.tenant, _subject(ballot.act, ballot.content.digest)
        for _ in range(VOTE_TRIES):
            item = await self.items.require(tenant, job_id)
            verify_may_act(ballot.approver, item, digest, self._trust(), subject)
            missing = 0
            if ballot.act is Act.RELEASE:
                missing = self.votes_missing(tenant, item, ballot.content.digest) - 1
            try:
                request = await self._request(ballot, item, missing)
            except QuarantineUnopenable:
                await self._verify_still_sealed(tenant, job_id)
                raise
            status = await self.items.vote(tenant, request, request.vote.cast_ms)
            if status is not None:
                return await self._acted(tenant, item, request, status, missing)
        raise StateUnavailable("too many votes at once; send yours again")

    async def _verify_still_sealed(self, tenant: Tenant, job_id: JobId) -> None:
        """QuarantineResolved where others decided since it was read: the box is gone then, and nothing is wrong."""
        if (await self.items.require(tenant, job_id)).status is not SealedStatus.SEALED:
            raise QuarantineResolved

    async def _request(self, ballot: Ballot, item: QuarantineItem, missing: int) -> SealedRequest:
        tenant, completes = ballot.approver.tenant, missing <= 0
        vote = SealedVote(ballot.approver.actor, ballot.act, ballot.reason, self._clock.now_ms(), ballot.content.digest)
        return SealedRequest(
            job_id=item.job_id,
            vote=sign_vote(vote, tenant, item, self._signer),
            digest=item.digest or Digest(""),
            votes_seen=len(item.votes),
            completes=completes,
            attempt=item.attempt,
            released=await self._released(tenant, item, vote, ballot.content, completes=completes),
            proposal=ballot.content.replacement,
        )

    async def _released(
        self, tenant: Tenant, item: QuarantineItem, vote: SealedVote, content: ToRead, *, completes: bool
    ) -> Released | None:
        """What becomes readable; None while further votes are needed. What is brought along is checked either way."""
        if vote.act is Act.DESTROY:
            return None
        if vote.replacement is not None:
            made = await self._replaced(tenant, item, vote, content)
        elif content.opened is not None:
            output = await asyncio.to_thread(verify_opened, item, content.opened)
            made = await self._as_sealed(output) if completes else _unread(output)
        elif completes:
            made = await self._as_sealed(await self._boxes.open(item))
        else:
            return None
        return self._by(tenant, item, vote, made) if completes else None

    async def _as_sealed(self, output: Output) -> Released:
        """All that was sealed. Files lie in the object store already, under digests that nothing names yet: a release
        that is not stored leaves them there, and one that is finds them."""
        made = _unread(output)
        if not output.artifacts:
            return made
        return replace(made, verdict={"artifacts": await kept_files(self._boxes.payloads, output.artifacts)})

    async def _replaced(self, tenant: Tenant, item: QuarantineItem, vote: SealedVote, content: ToRead) -> Released:
        replacement = content.replacement or await self.items.replacement(tenant, item.job_id)
        if replacement is None or replacement.digest != vote.replacement:
            raise QuarantineStale("the replacement is not the one that was shown; look again")
        # Each time anew: the policy may be another than it was when somebody proposed it.
        verdict = await self._check.verify(tenant, item, replacement)
        return Released(
            {**verdict, "replacement": vote.replacement}, replacement.value, replacement.logs, replacement.error
        )

    def _by(self, tenant: Tenant, item: QuarantineItem, vote: SealedVote, made: Released) -> Released:
        """The same, with who released it and when."""
        others = [each.approver for each in self._counted(tenant, item) if each.subject == vote.subject]
        verdict = {**item.verdict, **made.verdict, "verdict": "released", "sealed": False}
        verdict |= {"released_by": [*others, vote.approver], "released_ms": vote.cast_ms}
        return Released(verdict, made.value, made.logs, made.error)

    def _counted(self, tenant: Tenant, item: QuarantineItem) -> tuple[SealedVote, ...]:
        """The votes that stand, of those that an api of the root in force took."""
        trust = self._trust()
        return () if trust is None else votes_that_hold(item.standing, tenant, item, trust.api)

    async def _acted(
        self, tenant: Tenant, item: QuarantineItem, request: SealedRequest, status: SealedStatus, missing: int
    ) -> Acted:
        replacement = request.vote.replacement
        if status is SealedStatus.SEALED:
            return Acted(status, State.QUARANTINED, missing, replacement)
        log.info("a sealed output was decided", action=f"quarantine_{status}", job_id=item.job_id)
        if item.sealed_ref is not None:
            await self._delete(tenant, item.sealed_ref)
        state = State.SUCCEEDED if status is SealedStatus.RELEASED else State.QUARANTINED
        if state is State.SUCCEEDED:
            metrics.JOBS.labels(str(state)).inc()
            await self._put_away(tenant, request)
        await self._hints.changed(tenant, [item.job_id], state)
        return Acted(status, state, 0, replacement)

    async def _put_away(self, tenant: Tenant, request: SealedRequest) -> None:
        """A large value lies in the object store, once it may be read; where that fails it stays where it is."""
        value = None if request.released is None else request.released.value
        if value is None or len(value) <= limits.INLINE_BYTES_MAX:
            return
        try:
            await self.items.put_away(tenant, request, await self._boxes.payloads.put(value))
        except Unavailable as error:
            log.warning("a released value stays inline", action="released_inline", error=type(error).__name__)

    async def _delete(self, tenant: Tenant, object_: Digest) -> None:
        """At once where that is possible; the dispatcher deletes what is left over."""
        try:
            await self._boxes.payloads.delete(object_)
            await self.items.note_gone(tenant, [object_])
        except Unavailable as error:
            log.warning("sealed bytes are deleted later", action="sealed_left", error=type(error).__name__)


def verify_may_act(approver: Approver, item: QuarantineItem, digest: Digest, trust: Trust | None, subject: str) -> None:
    """The errors of `verify_may_decide`, ApprovalDuplicateVote, QuarantineStale, QuarantineTooManyVotes.

    The script takes a vote only where none came in since `item` was read, so what is counted here is all there is.
    """
    verify_may_decide(approver, item, trust)
    if any(is_same(vote.approver, approver.actor) and vote.subject == subject for vote in item.standing):
        raise ApprovalDuplicateVote
    if digest != item.digest:
        raise QuarantineStale
    cast = sum(is_same(vote.approver, approver.actor) for vote in item.votes)
    if cast >= VOTES_EACH_MAX and subject != Act.DESTROY:
        raise QuarantineTooManyVotes


def verify_may_decide(approver: Approver, item: QuarantineItem, trust: Trust | None) -> None:
    """ApprovalForbidden, ApprovalSelf, QuarantineResolved."""
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


def severity_of(item: QuarantineItem) -> Severity | None:
    """The worst of the findings that count; None where there are none, or one of them does not say."""
    findings = [each for each in item.verdict.get("findings", ()) if each.get("verdict") != "shadow"]
    found = item.verdict.get("severity")
    named = [found] if found is not None else [each.get("severity") for each in findings]
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


def _subject(act: Act, replacement: Digest | None) -> str:
    """As `SealedVote.subject`."""
    return str(act) if replacement is None else f"{act} {replacement}"


def _unread(output: Output) -> Released:
    error = None if output.error is None else dict(output.error)
    return Released({}, output.value, output.logs, error)
