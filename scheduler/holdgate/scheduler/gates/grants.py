"""Standing grants: approvers release jobs of a kind before they come, so many of them and until a time.

What always holds: a grant is itself an approval: asked for over a held job that was shown, by who may release it, with
as many others as its rules want, each bound to the digest of all terms; nobody grants what is done in their own name; a
policy that changed voids it. Nothing is released here: see `granted`.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from holdgate.kernel import limits
from holdgate.kernel.client import KernelClient
from holdgate.kernel.clock import Clock
from holdgate.kernel.errors import Forged, InvalidInput, KernelUnavailable, NoPolicy
from holdgate.kernel.grants import GrantId, GrantPart, GrantTerms, new_grant_id, rules_of
from holdgate.kernel.ids import Digest, JobId, Tenant, is_same, people_of, person_of
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import ApprovalRequirement
from holdgate.kernel.standing import Ballot, all_missing, is_useful
from holdgate.scheduler.errors import (
    ApprovalConfirmationRequired,
    ApprovalForbidden,
    ApprovalSelf,
    ApprovalStalePolicy,
    ApprovalTooSoon,
    GrantEnded,
    GrantForbidden,
    GrantNotFound,
    GrantStale,
    StateUnavailable,
)
from holdgate.scheduler.gates.approval import (
    ApprovalGate,
    Approver,
    Shown,
    StillHeld,
    reading_left_ms,
    verify_reason,
    verify_shown,
)
from holdgate.scheduler.gates.granted import GrantVerifier, takes_grants
from holdgate.scheduler.gates.people import keyed_of
from holdgate.scheduler.state.approvals import Approvals, ApprovalView
from holdgate.scheduler.state.approvals.demands import confirm_of, reading_s_of
from holdgate.scheduler.state.grants import Grants, GrantStatus, StoredGrant
from holdgate.scheduler.state.jobs import Jobs, JobView

log = structlog.get_logger("holdgate.gates.grants")

TRIES = 8
"""How often a part is counted anew because another came in between."""


@dataclass(frozen=True, slots=True)
class GrantForm:
    """What is asked for: jobs like this one, `labels` being the keys whose values must be the same."""

    job_id: JobId
    shown: Shown
    labels: tuple[str, ...]
    uses_max: int
    expires_ms: int
    reason: str
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class GrantView:
    """A grant as it is shown: its parts were verified. `missing`: how many more have to give theirs."""

    stored: StoredGrant
    parts: tuple[GrantPart, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class GrantApproval:
    """What an approver of somebody else's grant sends back."""

    grant_id: GrantId
    digest: Digest
    reason: str
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class GrantGate:
    """Takes requests for grants, and approvers' parts of them. One per api process."""

    grants: Grants
    approvals: Approvals
    jobs: Jobs
    approval_gate: ApprovalGate
    still_held: StillHeld
    verifier: GrantVerifier
    kernel: KernelClient
    signer: Signer
    clock: Clock

    async def request(self, approver: Approver, form: GrantForm) -> GrantView:
        """Ask for a grant over a held job; active at once where one person is enough. The job itself stays held.

        The errors of an approval; GrantForbidden, GrantLimit, InvalidInput.
        """
        verify_reason(form.reason)
        approval = await self.approval_gate.require_open(approver, form.job_id)
        verify_shown(form.shown, approval)
        view = await self.jobs.require(approver.tenant, form.job_id)
        now_ms = self.clock.now_ms()
        _verify_form(form, approval, view, now_ms)
        _verify_confirmed(approval.requirements, form.confirm)
        await self._verify_read(approver, approval, now_ms)
        await self.still_held.verify(view, approval)
        terms = _terms(approver, form, approval, view, now_ms)
        part = self._part(approver, terms, terms.digest(), form.reason, now_ms)
        ballot = self.verifier.ballot(part, terms, now_ms)
        if not is_useful(approval.requirements, ballot, now_ms):
            raise ApprovalForbidden
        is_complete = all_missing(approval.requirements, [ballot], now_ms) == 0
        signed = seal(part, self.signer)
        await self.grants.request(terms, approval.requirements, signed, is_complete=is_complete, now_ms=now_ms)
        log.info("a standing grant was asked for", action="grant_requested", grant_id=terms.grant_id,
                 active=is_complete)  # fmt: skip
        return await self.require(approver.tenant, terms.grant_id)

    async def approve(self, approver: Approver, form: GrantApproval) -> GrantView:
        """Give a part of a pending grant, as it was shown. The errors of an approval; GrantNotFound, GrantEnded,
        GrantStale."""
        verify_reason(form.reason)
        for _ in range(TRIES):
            view = await self.require(approver.tenant, form.grant_id)
            now_ms = self.clock.now_ms()
            part = self._fitting_part(approver, view, form, now_ms)
            ballots = [self.verifier.ballot(item, view.stored.terms, now_ms) for item in (*view.parts, part)]
            done = await self.grants.approve(
                view.stored,
                seal(part, self.signer),
                approver.actor,
                form.reason,
                fresh=await self._snapshot_for(view.stored),
                is_complete=all_missing(view.stored.requirements, ballots, now_ms) == 0,
                now_ms=now_ms,
            )
            if done:
                return await self.require(approver.tenant, form.grant_id)
        raise StateUnavailable("too many approve this grant at once; send yours again")

    async def end(self, approver: Approver, grant_id: GrantId, reason: str, *, anyones: bool) -> GrantView:
        """Revoke a grant, or reject or withdraw a pending one: who may approve it, who gave a part, and where
        `anyones` anybody. GrantNotFound, GrantEnded, ApprovalForbidden."""
        verify_reason(reason)
        view = await self.require(approver.tenant, grant_id)
        if not anyones and not self._may_end(approver, view):
            raise ApprovalForbidden
        await self.grants.end(
            approver.tenant,
            grant_id,
            by=approver.actor,
            is_requester=is_same(approver.actor, view.stored.terms.requested_by),
            reason=reason,
            now_ms=self.clock.now_ms(),
        )
        return await self.require(approver.tenant, grant_id)

    async def look(self, approver: Approver, grant_id: GrantId) -> GrantView:
        """The grant. Where its rules give a reading time, the first look of who may approve it is recorded."""
        view = await self.require(approver.tenant, grant_id)
        stored, now_ms = view.stored, self.clock.now_ms()
        if stored.status is GrantStatus.PENDING and reading_s_of(stored.requirements):
            ballot = self._ballot(approver, stored.terms, now_ms)
            if is_useful(stored.requirements, ballot, now_ms):
                await self.grants.seen(approver.tenant, grant_id, approver.actor, now_ms)
        return view

    async def require(self, tenant: Tenant, grant_id: GrantId) -> GrantView:
        """The grant; GrantNotFound, also where it is not what the api signed."""
        view = self.view(tenant, await self.grants.require(tenant, grant_id))
        if view is None:
            raise GrantNotFound
        return view

    def view(self, tenant: Tenant, stored: StoredGrant) -> GrantView | None:
        """The grant with its parts verified; None where it is forged, and an alarm while it could be used."""
        now_ms = self.clock.now_ms()
        try:
            if stored.terms.tenant != tenant:
                raise Forged("the grant is of another tenant", code="grant_other")
            parts = self.verifier.parts(stored.terms, stored.digest, stored.parts)
        except Forged as error:
            if stored.status in (GrantStatus.PENDING, GrantStatus.ACTIVE):
                self.verifier.alarm(tenant, stored.terms.grant_id, error)
            return None
        ballots = [self.verifier.ballot(part, stored.terms, now_ms) for part in parts]
        return GrantView(stored, parts, all_missing(stored.requirements, ballots, now_ms))

    def _fitting_part(self, approver: Approver, view: GrantView, form: GrantApproval, now_ms: int) -> GrantPart:
        stored, terms = view.stored, view.stored.terms
        if stored.status is not GrantStatus.PENDING or now_ms >= terms.expires_ms:
            raise GrantEnded
        if form.digest != stored.digest:
            raise GrantStale
        if person_of(approver.actor) in people_of((terms.actor, *terms.principals)):
            raise ApprovalSelf
        _verify_confirmed(stored.requirements, form.confirm)
        part = self._part(approver, terms, stored.digest, form.reason, now_ms)
        if not is_useful(stored.requirements, self.verifier.ballot(part, terms, now_ms), now_ms):
            raise ApprovalForbidden
        _verify_seen(stored.seen.get(person_of(approver.actor)), stored.requirements, now_ms)
        return part

    async def _snapshot_for(self, stored: StoredGrant) -> Digest:
        """The snapshot in force, the grant's; ApprovalStalePolicy, and the grant void, where it is another."""
        info = self.kernel.snapshot
        if info is None or self.kernel.is_silent:
            raise KernelUnavailable
        if not info.policy:
            raise NoPolicy
        if info.snapshot != stored.terms.snapshot:
            await self.grants.void_others(stored.terms.tenant, info.snapshot, self.clock.now_ms())
            raise ApprovalStalePolicy
        return info.snapshot

    async def _verify_read(self, approver: Approver, approval: ApprovalView, now_ms: int) -> None:
        if approval.reading_s:
            seen_ms = await self.approvals.view(approver.tenant, approval, approver.actor, now_ms)
            _verify_seen(seen_ms, approval.requirements, now_ms)

    def _may_end(self, approver: Approver, view: GrantView) -> bool:
        now_ms = self.clock.now_ms()
        gave = any(is_same(part.approver, approver.actor) for part in view.parts)
        ballot = self._ballot(approver, view.stored.terms, now_ms)
        return gave or is_useful(view.stored.requirements, ballot, now_ms)

    def _ballot(self, approver: Approver, terms: GrantTerms, now_ms: int) -> Ballot:
        return self.verifier.ballot(self._part(approver, terms, terms.digest(), "", now_ms), terms, now_ms)

    def _part(self, approver: Approver, terms: GrantTerms, terms_digest: Digest, reason: str, now_ms: int) -> GrantPart:
        return GrantPart(
            grant_id=terms.grant_id,
            grant_digest=terms_digest,
            tenant=terms.tenant,
            approver=approver.actor,
            roles=approver.roles,
            reason=reason,
            issued_ms=now_ms,
            expires_ms=terms.expires_ms,
            keyed=keyed_of(approver.roles, self.verifier.roles_now(approver.tenant, approver.actor)),
        )


def _verify_form(form: GrantForm, approval: ApprovalView, view: JobView, now_ms: int) -> None:
    if not takes_grants(view.decision) or not all(item.grants for item in approval.requirements):
        raise GrantForbidden
    if view.job.secrets:
        # The terms name no secrets, so none is released by them: it would cover nothing.
        raise GrantForbidden("the job asks for secrets, and no standing grant covers such a job; release it by itself")
    missing = [name for name in form.labels if name not in view.job.labels]
    if missing or len(form.labels) > limits.GRANT_LABELS_MAX:
        raise InvalidInput(f"`labels` are keys of labels that the job has, at most {limits.GRANT_LABELS_MAX}")
    if not 1 <= form.uses_max <= limits.GRANT_USES_MAX:
        raise InvalidInput(f"`uses_max` must be from 1 to {limits.GRANT_USES_MAX}")
    if not now_ms < form.expires_ms <= now_ms + limits.GRANT_S_MAX * 1000:
        raise InvalidInput(f"`expires_at` must be within the next {limits.GRANT_S_MAX // 86400} days")


def _verify_confirmed(requirements: tuple[ApprovalRequirement, ...], confirm: str) -> None:
    wanted = confirm_of(requirements)
    if wanted and confirm.strip() != wanted:
        raise ApprovalConfirmationRequired


def _verify_seen(seen_ms: int | None, requirements: tuple[ApprovalRequirement, ...], now_ms: int) -> None:
    left_ms = reading_left_ms(seen_ms, requirements, now_ms)
    if left_ms:
        raise ApprovalTooSoon(retry_after_ms=left_ms)


def _terms(approver: Approver, form: GrantForm, approval: ApprovalView, view: JobView, now_ms: int) -> GrantTerms:
    job = view.job
    return GrantTerms(
        grant_id=new_grant_id(now_ms),
        tenant=approver.tenant,
        actor=job.actor,
        principals=job.principals,
        topic=job.topic,
        capability=job.capability,
        rules=rules_of(approval.requirements),
        snapshot=approval.snapshot,
        uses_max=form.uses_max,
        requested_by=approver.actor,
        requested_ms=now_ms,
        expires_ms=form.expires_ms,
        job_id=job.job_id,
        reason=form.reason,
        labels={name: job.labels[name] for name in sorted(form.labels)},
    )
