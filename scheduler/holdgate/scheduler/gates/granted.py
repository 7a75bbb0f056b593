"""Standing grants at the submit gate: whether people have released a held job before it came.

What always holds: a grant releases only jobs that its terms cover, held by exactly the rules of the terms, under the
snapshot that it was given under, where each of these rules takes grants, and by votes that meet them at this moment;
terms and parts are what the api signed, or it is an alarm; nobody's part releases a job of their own or in their name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from holdgate.kernel.clock import Clock
from holdgate.kernel.custody import effective_verdict
from holdgate.kernel.errors import Forged
from holdgate.kernel.grants import GrantId, GrantPart, GrantTerms, rules_of
from holdgate.kernel.ids import Digest, Tenant, people_of, person_of
from holdgate.kernel.links import Signed, Vote
from holdgate.kernel.permits import Signer, open_signed, seal
from holdgate.kernel.records import Decision, Job, Verdict
from holdgate.kernel.standing import Ballot, all_missing
from holdgate.kernel.trust import Trust
from holdgate.scheduler.gates import metrics
from holdgate.scheduler.gates.people import RolesNow, still_held
from holdgate.scheduler.gates.trust import TrustInForce
from holdgate.scheduler.state.encoding import StoredVote
from holdgate.scheduler.state.grants import FoundGrant, Grants, GrantUse

log = structlog.get_logger("holdgate.gates.grants")

ALARMED_MAX = 1000
"""Forged grants of which this process remembers that it told: a flood of submits is one line in the log."""


@dataclass(slots=True)
class GrantVerifier:
    """Opens the parts of grants. One per api process."""

    trust: TrustInForce
    roles_now: RolesNow
    _alarmed: set[str]

    @classmethod
    def of(cls, trust: TrustInForce, roles_now: RolesNow) -> GrantVerifier:
        """One that has told of nothing yet."""
        return cls(trust, roles_now, set())

    def parts(self, terms: GrantTerms, terms_digest: Digest, parts: Sequence[Signed]) -> tuple[GrantPart, ...]:
        """Who gave the grant, once all of it is what the api signed; Forged otherwise."""
        trust = self.trust()
        if trust is None:
            raise Forged("no root is in force", code="no_root")
        if terms.digest() != terms_digest:
            raise Forged("the terms are not those that were signed", code="grant_terms")
        return tuple(_opened(signed, terms, terms_digest, trust) for signed in parts)

    def ballot(self, part: GrantPart, terms: GrantTerms, now_ms: int) -> Ballot:
        """The part as it counts now: for the roles that its giver still holds, and that the root lets count."""
        held = still_held(part.roles, self.roles_now(part.tenant, part.approver), keyed=part.keyed)
        trust = self.trust()
        roles = frozenset(held) if trust is None else trust.roles_that_count(held, part.tenant, terms.topic)
        return Ballot(part.approver, part.approver, roles, now_ms, by_grant=True)

    def alarm(self, tenant: Tenant, grant_id: GrantId, error: Forged) -> None:
        """Somebody wrote to the state store."""
        metrics.RECORDS_FORGED.labels("grant").inc()
        if grant_id not in self._alarmed:
            if len(self._alarmed) >= ALARMED_MAX:
                self._alarmed.clear()
            self._alarmed.add(grant_id)
            log.critical("a standing grant is not what the api signed", action="grant_forged",
                         grant_id=grant_id, tenant=tenant, code=error.code)  # fmt: skip


class StandingGrants:
    """Finds the grant that releases a held job. One per api process."""

    def __init__(self, *, grants: Grants, verifier: GrantVerifier, signer: Signer, clock: Clock) -> None:
        self._grants = grants
        self._verifier = verifier
        self._signer = signer
        self._clock = clock

    async def use_for(self, job: Job, decision: Decision) -> GrantUse | None:
        """The use that would release `job`, with its votes; None where no grant does. StateUnavailable.

        `decision` is the one by which the job is held, with whoever must release it among its `approvals`.
        """
        if not takes_grants(decision):
            return None
        now_ms = self._clock.now_ms()
        for found in await self._grants.find(job, decision.snapshot, now_ms):
            if votes := self._votes(found, job, decision, now_ms):
                return GrantUse(found.terms, found.digest, votes)
        return None

    def _votes(self, found: FoundGrant, job: Job, decision: Decision, now_ms: int) -> tuple[StoredVote, ...]:
        terms = found.terms
        if not _fits(terms, job, decision, now_ms):
            return ()
        try:
            if terms.grant_id != found.grant_id:
                raise Forged("the terms are of another grant", code="grant_terms")
            parts = self._verifier.parts(terms, found.digest, found.parts)
        except Forged as error:
            self._verifier.alarm(job.tenant, found.grant_id, error)
            return ()
        given = [
            (part, self._verifier.ballot(part, terms, now_ms))
            for part in parts
            if person_of(part.approver) not in people_of((job.actor, *job.principals))
        ]
        if all_missing(decision.approvals, [ballot for _, ballot in given], now_ms):
            return ()
        return tuple(self._vote(part, ballot, terms, job, decision, now_ms) for part, ballot in given)

    def _vote(
        self, part: GrantPart, ballot: Ballot, terms: GrantTerms, job: Job, decision: Decision, now_ms: int
    ) -> StoredVote:
        roles = tuple(sorted(ballot.roles))
        lifetime_s = min((item.expires_s for item in decision.approvals), default=0)
        vote = Vote(
            job_id=job.job_id,
            job_hash=decision.job_hash,
            snapshot=decision.snapshot,
            tenant=job.tenant,
            approver=part.approver,
            roles=roles,
            approve=True,
            reason=part.reason,
            attempt=1,
            issued_ms=now_ms,
            # A grant releases nothing after its end, however long its jobs may wait.
            expires_ms=min(max(now_ms, job.run_at_ms or 0) + lifetime_s * 1000, terms.expires_ms),
            grant=terms.grant_id,
        )
        return StoredVote(
            approver=part.approver,
            roles=roles,
            approve=True,
            reason=part.reason,
            cast_ms=now_ms,
            own_key=False,
            signed=seal(vote, self._signer),
            grant=terms.grant_id,
        )


def takes_grants(decision: Decision) -> bool:
    """Whether a standing grant may release what `decision` holds.

    Not where a condition failed, which holds a job for want of knowing better, nor what is held for being over a rate
    limit: a person looks at these.
    """
    return (
        effective_verdict(decision) is Verdict.REQUIRE_APPROVAL
        and bool(decision.approvals)
        and all(item.grants and not item.signed for item in decision.approvals)
        and not decision.errors
    )


def _fits(terms: GrantTerms, job: Job, decision: Decision, now_ms: int) -> bool:
    return (
        terms.cover(job)
        and terms.snapshot == decision.snapshot
        and terms.rules == rules_of(decision.approvals)
        and max(now_ms, job.run_at_ms or 0) < terms.expires_ms
    )


def _opened(signed: Signed, terms: GrantTerms, terms_digest: Digest, trust: Trust) -> GrantPart:
    part = open_signed(signed, GrantPart, trust.api)
    bound = (part.grant_id, part.grant_digest, part.tenant, part.expires_ms)
    if bound != (terms.grant_id, terms_digest, terms.tenant, terms.expires_ms):
        raise Forged("the part is of another grant", code="grant_other")
    return part
