"""The approval gate: a person releases or rejects exactly the job and the policy that they were shown.

What always holds: before a release the kernel is asked afresh, never a cache; a release under a policy that is no
longer in force is refused, and the job is decided again; nobody votes on their own job or on one made in their name; a
vote is signed for the approver that the API authenticated, and releases one attempt. A rejection needs no kernel:
saying no is always possible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import HoldgateError, InvalidInput
from holdgate.kernel.ids import ActorId, JobId, Tenant, is_same
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import Job
from holdgate.kernel.standing import Ballot
from holdgate.kernel.trust import Trust
from holdgate.scheduler import metrics
from holdgate.scheduler.errors import (
    ApprovalDuplicateVote,
    ApprovalForbidden,
    ApprovalNotReconfirmable,
    ApprovalSignatureInvalid,
)
from holdgate.scheduler.gates.approval.checks import (
    Approver,
    Shown,
    reading_left_ms,
    verify_may_break_glass,
    verify_may_vote,
    verify_pending,
    verify_reason,
    verify_shown,
)
from holdgate.scheduler.gates.approval.forms import Delegations, VoteForm
from holdgate.scheduler.gates.approval.fresh import StillHeld
from holdgate.scheduler.gates.approval.look import Look
from holdgate.scheduler.gates.approval.signed import OwnVote, is_as_signed, keys_of, to_sign, verify_own
from holdgate.scheduler.gates.approval.stale import changes, earlier_yes
from holdgate.scheduler.gates.people import RolesNow, keyed_of
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.state.approvals import (
    Approvals,
    ApprovalStatus,
    ApprovalView,
    CastVote,
    PastRound,
    VoteRequest,
    VoteResult,
)
from holdgate.scheduler.state.jobs import Jobs, JobView
from holdgate.scheduler.state.transitions import State

log = structlog.get_logger("holdgate.gates.approval")


@dataclass(frozen=True, slots=True)
class _Casting:
    """A vote about to be cast: on what, how it counts, and what the signed record says."""

    approval: ApprovalView
    view: JobView
    ballot: Ballot
    record: Vote
    own: OwnVote | None
    keyed: tuple[str, ...]
    details: tuple[tuple[str, str | tuple[str, ...]], ...]


class ApprovalGate:
    """Takes votes. One per api process."""

    def __init__(
        self,
        *,
        still_held: StillHeld,
        jobs: Jobs,
        approvals: Approvals,
        delegations: Delegations,
        signer: Signer,
        trust: TrustInForce,
        roles_now: RolesNow,
        clock: Clock,
    ) -> None:
        self._still_held = still_held
        self._jobs = jobs
        self._approvals = approvals
        self._delegations = delegations
        self._signer = signer
        self._trust = trust
        self._roles_now = roles_now
        self._clock = clock

    async def approve(self, approver: Approver, job_id: JobId, form: VoteForm) -> VoteResult:
        """Vote yes. The errors of `errors.APPROVAL_ERRORS` and ApprovalTooSoon; Unavailable (no kernel, no policy,
        no payload): nothing changed."""
        return await self._approve(approver, job_id, form, None)

    async def reconfirm(self, approver: Approver, job_id: JobId, shown: Shown, confirm: str) -> VoteResult:
        """Vote yes as in an earlier round, with its reason. ApprovalNotReconfirmable; else as `approve`."""
        approval = await self.require_open(approver, job_id)
        verify_shown(shown, approval)
        view = await self._jobs.require(approver.tenant, job_id)
        past = await self._approvals.past(approver.tenant, job_id)
        yes = self._earlier_yes(approver, past, approval, view)
        if yes is None:
            raise ApprovalNotReconfirmable
        return await self._approve(approver, job_id, VoteForm(shown, yes.reason, confirm), past)

    async def reject(self, approver: Approver, job_id: JobId, form: VoteForm) -> VoteResult:
        """Vote no; one no ends it. The errors of `errors.APPROVAL_ERRORS`."""
        if form.break_glass:
            raise InvalidInput("`break_glass` releases; a rejection needs no more than one who may vote")
        casting = await self._casting(approver, job_id, form, approve=False)
        return await self._cast(casting, form)

    async def defer(self, approver: Approver, job_id: JobId, until_ms: int, reason: str) -> ApprovalView:
        """Look at it again at `until_ms`; who may vote and when it expires stay. The errors of a vote."""
        verify_reason(reason)
        await self.require_open(approver, job_id)
        approval = await self._approvals.defer(
            approver.tenant, job_id, by=approver.actor, until_ms=until_ms, reason=reason, now_ms=self._clock.now_ms()
        )
        await self._still_held.announce(approver.tenant, job_id, State.HELD, None)
        return approval

    async def require_open(self, approver: Approver, job_id: JobId) -> ApprovalView:
        """The pending approval that this approver may act on; the errors of `errors.APPROVAL_ERRORS`."""
        approval = await self._approvals.require(approver.tenant, job_id)
        verify_pending(approval, self._clock.now_ms())
        verify_may_vote(approver, approval, self._own_ballot(approver, approval))
        return approval

    async def look(self, approver: Approver, approval: ApprovalView, view: JobView) -> Look:
        """What this approver is told of it. The first look of a round is recorded where the rule has a reading time."""
        now_ms = self._clock.now_ms()
        past = await self._approvals.past(approver.tenant, approval.job_id)
        differing = () if past is None else tuple(changes(past, approval, view.decision))
        refusal, glass = self._refusal(approver, approval, now_ms), self._glass_refusal(approver, approval, now_ms)
        seen_ms: int | None = now_ms
        # Who may not vote in their own name may in somebody else's, and has to have read it, too.
        if approval.reading_s and (refusal is None or refusal.code == ApprovalForbidden.code):
            seen_ms = await self._approvals.view(approver.tenant, approval, approver.actor, now_ms)
        left_ms = reading_left_ms(seen_ms, approval.requirements, now_ms)
        yes = self._earlier_yes(approver, past, approval, view) if refusal is None else None
        expected = self._record(approver, approval, view, reason="", approve=True)
        return Look(
            refused_for=None if refusal is None else refusal.code,
            glass_refused_for=None if glass is None else glass.code,
            reading_left_ms=left_ms,
            past=past,
            changes=differing,
            can_reconfirm=yes is not None,
            to_sign=to_sign(expected, self._trust()) if refusal is None or glass is None else None,
        )

    def counting(self, approver: Approver) -> Callable[[str], frozenset[str]]:
        """Gives those of the approver's roles that the root lets count for a topic."""
        trust, known = self._trust(), dict[str, frozenset[str]]()

        def of(topic: str) -> frozenset[str]:
            if topic not in known:
                known[topic] = _counting(trust, approver.roles, approver.tenant, topic)
            return known[topic]

        return of

    def _earlier_yes(
        self, approver: Approver, past: PastRound | None, approval: ApprovalView, view: JobView
    ) -> CastVote | None:
        yes = earlier_yes(past, approval, view.decision, approver.actor)
        if yes is None or past is None:
            return None
        return yes if is_as_signed(yes, approval.job_id, past, approver.tenant, self._trust()) else None

    def _refusal(self, approver: Approver, approval: ApprovalView, now_ms: int) -> HoldgateError | None:
        try:
            verify_pending(approval, now_ms)
            verify_may_vote(approver, approval, self._own_ballot(approver, approval))
            # Who broke the glass may still vote as the rule asks.
            if any(is_same(vote.approver, approver.actor) and not vote.break_glass for vote in approval.votes):
                raise ApprovalDuplicateVote
        except HoldgateError as error:
            return error
        return None

    def _glass_refusal(self, approver: Approver, approval: ApprovalView, now_ms: int) -> HoldgateError | None:
        keys = keys_of(approver.actor, self._trust())
        signed = [replace(self._own_ballot(approver, approval, key.roles), own_key=True) for key in keys.values()]
        try:
            verify_pending(approval, now_ms)
            verify_may_break_glass(approver, approval, self._own_ballot(approver, approval), signed)
        except HoldgateError as error:
            return error
        return None

    async def _approve(
        self, approver: Approver, job_id: JobId, form: VoteForm, confirmed: PastRound | None
    ) -> VoteResult:
        casting = await self._casting(approver, job_id, form, approve=True)
        await self._still_held.verify(casting.view, casting.approval)
        return await self._cast(casting, form, confirmed)

    async def _casting(self, approver: Approver, job_id: JobId, form: VoteForm, *, approve: bool) -> _Casting:
        """The vote as it would be cast, once this approver may cast it on what was shown."""
        verify_reason(form.reason)
        approval = await self._approvals.require(approver.tenant, job_id)
        now_ms = self._clock.now_ms()
        verify_pending(approval, now_ms)
        ballot, details = await self._ballot(approver, approval, form)
        verify_may_vote(approver, approval, ballot)
        verify_shown(form.shown, approval)
        view = await self._jobs.require(approver.tenant, job_id)
        record = replace(
            self._record(approver, approval, view, reason=form.reason, approve=approve),
            roles=tuple(sorted(ballot.roles)),
            on_behalf_of=None if ballot.person == ballot.approver else ActorId(ballot.person),
            break_glass=form.break_glass,
        )
        own = None if form.signed is None else verify_own(form.signed, record, self._trust(), now_ms)
        if own is not None:
            # The kernel will judge it by when it says that it was cast.
            ballot = replace(ballot, cast_ms=own.issued_ms)
            verify_may_vote(approver, approval, ballot)
        keyed = keyed_of(approver.roles, self._roles_now(approver.tenant, approver.actor))
        return _Casting(approval, view, ballot, record, own, keyed, details)

    async def _ballot(
        self, approver: Approver, approval: ApprovalView, form: VoteForm
    ) -> tuple[Ballot, tuple[tuple[str, str | tuple[str, ...]], ...]]:
        """How the vote would count, and what the record says of in whose stead."""
        person = form.on_behalf_of
        if person is not None and not is_same(person, approver.actor):
            if form.break_glass or form.signed is not None:
                raise InvalidInput("in somebody's stead nobody breaks the glass, nor signs with a key of their own")
            stead = await self._delegations.require_stead(approver, person)
            ballot = replace(self._own_ballot(approver, approval, stead.roles), person=stead.person)
            return ballot, (("delegations", tuple(stead.delegation_ids)),)
        if form.signed is not None:
            trust = self._trust()
            key = None if trust is None else trust.approvers.get(form.signed.key)
            if key is None or not is_same(key.actor, approver.actor):
                raise ApprovalSignatureInvalid("the root lists no such key for you; sign with the one it lists")
            ballot = replace(self._own_ballot(approver, approval, key.roles), own_key=True)
            return replace(ballot, break_glass=form.break_glass), (("key", form.signed.key),)
        return replace(self._own_ballot(approver, approval), break_glass=form.break_glass), ()

    def _own_ballot(self, approver: Approver, approval: ApprovalView, roles: tuple[str, ...] | None = None) -> Ballot:
        """A vote in their own name, with those of the roles that the root lets count for this job."""
        held = approver.roles if roles is None else roles
        counting = _counting(self._trust(), held, approver.tenant, approval.topic)
        return Ballot(approver.actor, approver.actor, counting, self._clock.now_ms())

    def _record(self, approver: Approver, approval: ApprovalView, view: JobView, *, reason: str, approve: bool) -> Vote:
        now_ms = self._clock.now_ms()
        return Vote(
            job_id=approval.job_id,
            job_hash=approval.job_hash,
            snapshot=approval.snapshot,
            tenant=approver.tenant,
            approver=approver.actor,
            roles=approver.roles,
            approve=approve,
            reason=reason,
            attempt=view.next_attempt,
            issued_ms=now_ms,
            expires_ms=_vote_expires_ms(approval, view.job, now_ms),
        )

    async def _cast(self, casting: _Casting, form: VoteForm, confirmed: PastRound | None = None) -> VoteResult:
        """`confirmed`: the round whose yes is given again, which was read then."""
        record, ballot = casting.record, casting.ballot
        again = () if confirmed is None else (("confirms_round", str(confirmed.round)),)
        request = VoteRequest(
            job_id=record.job_id,
            approver=record.approver,
            roles=tuple(sorted(ballot.roles)),
            approve=record.approve,
            reason=record.reason,
            job_hash=record.job_hash,
            snapshot=record.snapshot,
            fresh=record.snapshot,
            signed=seal(record, self._signer) if casting.own is None else casting.own.signed,
            own_key=casting.own is not None,
            on_behalf_of=record.on_behalf_of,
            break_glass=record.break_glass,
            keyed=casting.keyed,
            confirm=form.confirm,
            has_read=confirmed is not None,
            details=(*casting.details, *again),
        )
        result = await self._approvals.vote(record.tenant, request, self._clock.now_ms())
        if record.break_glass:
            _tell_of_glass(record, result)
        await self._still_held.announce(record.tenant, record.job_id, result.state, result.pool)
        return result


def _counting(trust: Trust | None, roles: tuple[str, ...], tenant: Tenant, topic: str) -> frozenset[str]:
    return frozenset(roles) if trust is None else trust.roles_that_count(roles, tenant, topic)


def _tell_of_glass(vote: Vote, result: VoteResult) -> None:
    released = result.status is ApprovalStatus.RELEASED
    metrics.BREAK_GLASS.labels("released" if released else "voted").inc()
    log.critical(
        "a held job is released by breaking the glass" if released else "somebody breaks the glass over a held job",
        action="break_glass",
        job_id=vote.job_id,
        tenant=vote.tenant,
        approver=vote.approver,
        released=released,
    )


def _vote_expires_ms(approval: ApprovalView, job: Job, now_ms: int) -> int:
    """A release holds as long as the rule gives approvers, counted from when the job could run."""
    lifetime_s = min((item.expires_s for item in approval.requirements), default=0)
    return max(now_ms, job.run_at_ms or 0) + lifetime_s * 1000
