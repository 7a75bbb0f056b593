"""Second and third link of the chain of custody: what must be proven before the kernel signs a permit. No IO.

What always holds: a permit is signed only for a job whose admission an api key of the root signed, byte for byte this
job, for this tenant, actor and principals, and neither before its time nor after its deadline; a held job only with the
votes that the rules of *now* demand, given for this attempt of this job under the snapshot of *now*, by people who are
neither its author nor anyone it acts for. What is wrong with a vote never is told as something wrong with the job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdgate.kernel import limits
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.ids import NAME, WorkerId, new_permit_id
from holdgate.kernel.links import Admission, Permit, Signed, Vote
from holdgate.kernel.permits import Signer, open_signed, seal
from holdgate.kernel.records import ApprovalRequirement, Decision, Job, Outcome, Over, Verdict
from holdgate.kernel.standing import Ballot, is_useful, missing
from holdgate.kernel.trust import Trust
from holdgate.kernel.votes import VOTES_MAX, VotesInvalid, VoteTarget, open_vote

DEFAULT_APPROVER_ROLE = "approver"
"""Who releases a job held over a rate limit, where the rule names nobody."""
ATTEMPT_NUMBER_MAX = 1_000_000
"""Far above any `max_attempts`: an operator may retry a dead job by hand, which is a new attempt each time."""


@dataclass(frozen=True, slots=True)
class PermitRequest:
    """What the dispatcher shows the kernel: the job as it will be handed over, and the signed links before it."""

    job: Job
    admission: Signed
    attempt: int
    pool: str
    worker: WorkerId
    votes: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True)
class PermitReply:
    """`permit` is there only when the job may run now; otherwise `refusal` says why not.

    refusal          what it means for the job
    denied           `decision` says deny: queued → denied
    no_policy        deny because there is no valid policy at all
    not_yet          its `run_at` is to come: it waits
    deadline_passed  it did not start in time, and never will: queued → expired
    needs_approval   held by the rules of now, and no votes: queued → held
    votes_*          there are votes, but they do not hold (a suffix says which check): queued → held, votes void
    forged_*         the admission or the job is not what the api signed: nothing may run; an alarm. Never for a vote
    invalid_*        the request itself is malformed

    `permit_record` is what `permit` says, on the kernel's own side only.
    """

    decision: Decision | None
    permit: Signed | None = None
    refusal: str | None = None
    message: str = ""
    permit_record: Permit | None = None


NOT_YET = "not_yet"
DEADLINE_PASSED = "deadline_passed"


def required_approvals(decision: Decision, outcome: Outcome | None) -> tuple[ApprovalRequirement, ...]:
    """Who must release the job before it may run; empty when nobody must (or when nobody can: a deny).

    `outcome` is how the job entered: a job that was held because it was over a rate limit stays held as long as such a
    limit matches it, whoever brings it. Where the decision names nobody for it, the role `approver` releases it. Where
    a rule holds the job beside such a limit, its approvers alone release it: the stricter verdict decides, and whether
    the job was over the limit too is on no record that somebody signed. A diff tells where they are easier to find.
    """
    match effective_verdict(decision):
        case Verdict.DENY:
            return ()
        case Verdict.REQUIRE_APPROVAL:
            named = decision.approvals
            return named or (ApprovalRequirement(rule=decision.deciding[0], roles=(DEFAULT_APPROVER_ROLE,)),)
        case _:
            if outcome is not Outcome.HELD or decision.verdict is not Verdict.THROTTLE:
                return ()
    holding = [throttle.rule for throttle in decision.throttles if throttle.over is Over.HOLD]
    named = tuple(item for item in decision.approvals if item.rule in holding)
    return named or tuple(ApprovalRequirement(rule=rule, roles=(DEFAULT_APPROVER_ROLE,)) for rule in holding)


def effective_verdict(decision: Decision) -> Verdict:
    """What holds for a job that was counted already: `within` under a throttle, deny when that is not said."""
    if decision.verdict is Verdict.THROTTLE:
        return decision.within or Verdict.DENY
    return decision.verdict


def verify_admission(request: PermitRequest, decision: Decision, trust: Trust) -> Admission:
    """The admission, once an api key of the root signed it for exactly this job; Forged otherwise."""
    job = request.job
    admission = open_signed(request.admission, Admission, trust.api)
    if admission.job_id != job.job_id or admission.job_hash != decision.job_hash:
        raise Forged("the admission is for another job", code="admission_other_job")
    if (admission.tenant, admission.actor, admission.principals) != (job.tenant, job.actor, job.principals):
        raise Forged("the admission is for another tenant, actor or principal", code="admission_other_actor")
    return admission


def verify_votes(
    requirements: Sequence[ApprovalRequirement],
    request: PermitRequest,
    decision: Decision,
    trust: Trust,
    now_ms: int,
    held_ms: int,
) -> tuple[Vote, ...]:
    """Those of the request's votes that count, once they meet all `requirements` under `decision.snapshot`.

    `held_ms`: since when the job can have been held, as was signed; votes are judged by when they say they were cast.

    VotesInvalid otherwise; its `code` says what is missing. A vote that does not hold counts for nothing; a valid "no"
    ends it, whatever else there is.
    """
    if len(request.votes) > VOTES_MAX:
        raise VotesInvalid(f"more than {VOTES_MAX} votes", code="votes_too_many")
    counted: list[tuple[Vote, Ballot]] = []
    problem: Forged | None = None
    for signed in request.votes:
        try:
            counted.append(_open_vote(signed, request, decision, trust, now_ms))
        except Forged as error:
            problem = problem or error
    if any(not vote.approve for vote, _ in counted):
        raise VotesInvalid("an approver rejected this job", code="votes_rejected")
    ballots = [ballot for _, ballot in counted]
    for requirement in requirements:
        if lacking := missing(requirement, ballots, held_ms):
            if problem is not None:
                raise VotesInvalid(str(problem), code=problem.code) from problem
            raise VotesInvalid(f"`{requirement.rule}` lacks {lacking} votes", code="votes_quorum")
    return tuple(vote for vote, ballot in counted if is_useful(requirements, ballot, held_ms))


def answer_permit(request: PermitRequest, decision: Decision, trust: Trust, signer: Signer, now_ms: int) -> PermitReply:
    """The permit for `request` under `decision`, made of this job just now, or why there is none."""
    try:
        _check_form(request)
        admission = verify_admission(request, decision, trust)
    except Forged as error:
        return PermitReply(decision, refusal=f"forged_{error.code}", message=str(error))
    except InvalidInput as error:
        return PermitReply(decision, refusal="invalid_request", message=str(error))
    if (untimely := _untimely(request, now_ms)) is not None:
        # Before the verdict: what the rules of now say of a job that does not start now must not end or hold it.
        return PermitReply(decision, refusal=untimely, message="before its `run_at`, or after its deadline")
    if effective_verdict(decision) is Verdict.DENY:
        return PermitReply(decision, refusal="denied", message=decision.reason)
    requirements = required_approvals(decision, admission.outcome)
    if requirements and not request.votes:
        return PermitReply(decision, refusal="needs_approval", message=decision.reason)
    votes: tuple[Vote, ...] = ()
    try:
        if requirements:
            votes = verify_votes(requirements, request, decision, trust, now_ms, admission.issued_ms)
    except Forged as error:
        return PermitReply(decision, refusal=error.code, message=str(error))
    permit = _permit(request, decision, votes, now_ms)
    return PermitReply(decision, permit=seal(permit, signer), permit_record=permit)


def _open_vote(
    signed: Signed, request: PermitRequest, decision: Decision, trust: Trust, now_ms: int
) -> tuple[Vote, Ballot]:
    target = VoteTarget(request.job, decision.job_hash, decision.snapshot, request.attempt)
    opened = open_vote(signed, target, trust.vote_keys, now_ms)
    vote = opened.vote
    # A person's own key proves who, not what: the roles it counts for stand in the root.
    held = trust.approvers[signed.key].roles if opened.own_key else vote.roles
    return vote, Ballot(
        approver=vote.approver,
        person=opened.person,
        roles=trust.roles_that_count(held, request.job.tenant, request.job.topic),
        cast_ms=vote.issued_ms,
        own_key=opened.own_key,
        break_glass=vote.break_glass,
        by_grant=vote.grant is not None,
    )


def _untimely(request: PermitRequest, now_ms: int) -> str | None:
    """The refusal of a job whose time has not come, or has passed before it started for the first time."""
    job = request.job
    if job.run_at_ms is not None and job.run_at_ms > now_ms + limits.CLOCK_SKEW_S * 1000:
        return NOT_YET
    if job.deadline_ms is not None and request.attempt == 1 and now_ms >= job.deadline_ms:
        return DEADLINE_PASSED
    return None


def _check_form(request: PermitRequest) -> None:
    if type(request.attempt) is not int or not 1 <= request.attempt <= ATTEMPT_NUMBER_MAX:
        raise InvalidInput("an attempt is a number from 1")
    if NAME.match(request.pool) is None or NAME.match(request.worker) is None:
        raise InvalidInput("pool and worker are names")
    if request.pool != request.job.pool:
        raise Forged("the job is for another pool", code="other_pool")


def _permit(request: PermitRequest, decision: Decision, votes: Sequence[Vote], now_ms: int) -> Permit:
    return Permit(
        permit_id=new_permit_id(now_ms),
        job_id=request.job.job_id,
        job_hash=decision.job_hash,
        tenant=request.job.tenant,
        snapshot=decision.snapshot,
        verdict=str(decision.verdict),
        rules=decision.deciding,
        constraints=decision.constraints,
        attempt=request.attempt,
        pool=request.pool,
        worker=request.worker,
        issued_ms=now_ms,
        expires_ms=now_ms + limits.PERMIT_LIFETIME_S * 1000,
        approvers=tuple(dict.fromkeys(vote.approver for vote in votes)),
    )
