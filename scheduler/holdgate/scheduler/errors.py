"""What can go wrong in the scheduler, sorted by who is at fault.

HoldgateError
├── InvalidInput
│   ├── ApprovalReasonRequired      a vote without a reason
│   ├── ApprovalConfirmationRequired the text that the rule wants typed is not there, or another
│   ├── ApprovalSignatureRequired   the rule wants the vote signed with the approver's own key
│   ├── ApprovalSignatureInvalid    the signed vote does not hold, or says something else than was shown
│   ├── PlatformSecretInPayload     a job carries a live credential of the platform itself
│   └── ReplacementRefused          what is to be read instead of a sealed output holds what may not be read
├── NotFound                        nothing of that name in this tenant (404)
│   ├── JobNotFound
│   ├── ApprovalNotFound            also: another tenant's
│   ├── GrantNotFound
│   ├── DelegationNotFound
│   ├── QuarantineNotFound          also: another tenant's
│   └── SessionNotFound             also: another person's
├── Forbidden                       known, but may not (403)
│   ├── ApprovalSelf                the submitter, or someone in its principal chain
│   ├── ApprovalForbidden           lacks the role or name that the rule asks for
│   ├── BulkForbidden               a deciding rule wants each job looked at by itself
│   ├── GrantForbidden              a deciding rule takes no standing grants
│   └── DelegationForbidden         roles that are not theirs, or to themselves
├── Conflict                        the state is not as the caller believes (409)
│   ├── WrongState                  not possible from the state the job is in
│   ├── IdempotencyConflict         the same key with another body
│   ├── ApprovalResolved            decided already
│   ├── ApprovalExpired             too late
│   ├── ApprovalStalePolicy         the policy is not the one that was shown
│   ├── ApprovalStaleJob            the job is not the one that was shown
│   ├── ApprovalAltered             what is kept of the job is not what its hash is over
│   ├── ApprovalDuplicateVote       has voted already
│   ├── BulkMixed                   the jobs are not of one kind
│   ├── GrantStale                  the terms are not those that were shown
│   ├── GrantEnded                  used up, over, revoked or refused
│   ├── GrantLimit                  as many as there may be at one time
│   ├── DelegationEnded             over, or revoked
│   ├── DelegationLimit             as many as there may be at one time
│   ├── QuarantineResolved          released, destroyed, or never kept
│   ├── QuarantineStale             the sealed bytes are not those that were shown
│   ├── QuarantineUnopenable        altered, gone, or sealed to another key
│   ├── QuarantineTooManyVotes      somebody changed their vote too often
│   └── QuarantineSealedElsewhere   the key that opens it is not here
├── Limited                         come back later (429); carries `retry_after_ms`
│   ├── Throttled                   a rate limit of the policy
│   ├── QueueFull                   the tenant's queue is full
│   ├── QueuesFull                  the queues of all tenants together are full
│   ├── TooManyPools                the tenant has jobs in as many pools as it may
│   └── TooManyAttempts             keys or sign-ins were tried in vain too often
├── Unavailable
│   ├── StateUnavailable            Redis did not answer in time
│   └── LogUnavailable              JetStream did not confirm in time
├── Misconfigured                   start-up refuses to go on
│   ├── DurabilityMismatch          servers are not as durable as the profile declares
│   └── ServerUnusable              an embedded NATS or Redis is missing, too old or does not start
└── StateBroken                     the store holds what no code of ours wrote
"""

from __future__ import annotations

from collections.abc import Sequence

from holdgate.kernel.errors import HoldgateError, InvalidInput, Unavailable


class StateUnavailable(Unavailable):
    """the state store did not answer in time; what was asked may or may not have happened; ask again"""

    code = "state_unavailable"


class LogUnavailable(Unavailable):
    """the durable log did not confirm in time; send the same request again"""

    code = "log_unavailable"


class NotFound(HoldgateError):
    """there is nothing of that name"""

    code = "not_found"


class JobNotFound(NotFound):
    """there is no such job"""

    code = "job_not_found"


class ApprovalNotFound(NotFound):
    """there is no such approval"""

    code = "approval_not_found"


class GrantNotFound(NotFound):
    """there is no such grant"""

    code = "grant_not_found"


class DelegationNotFound(NotFound):
    """there is no such delegation"""

    code = "delegation_not_found"


class Forbidden(HoldgateError):
    """that is not allowed to this key"""

    code = "forbidden"


class ApprovalSelf(Forbidden):
    """a job cannot be approved by its submitter or anyone it was submitted for"""

    code = "approval_self"


class ApprovalForbidden(Forbidden):
    """the rule that holds this job asks for another role or name"""

    code = "approval_forbidden"


class BulkForbidden(Forbidden):
    """the rule that holds these jobs wants each of them looked at by itself"""

    code = "bulk_forbidden"


class GrantForbidden(Forbidden):
    """a rule that holds this job takes no standing grants; release the job by itself"""

    code = "grant_forbidden"


class DelegationForbidden(Forbidden):
    """nobody delegates roles that they do not hold, roles of the API but `approver`, or anything to themselves"""

    code = "delegation_forbidden"


class PlatformSecretInPayload(InvalidInput):
    """the job holds a live password or key of the platform; take it out, and change it: whoever sent it knows it"""

    code = "platform_secret_in_payload"


class ApprovalReasonRequired(InvalidInput):
    """a vote needs a reason"""

    code = "approval_reason_required"


class ApprovalConfirmationRequired(InvalidInput):
    """the rule wants a text typed to release this job; send it as `confirm`, as `GET /approvals/{job_id}` shows it"""

    code = "approval_confirmation_required"


class ApprovalSignatureRequired(InvalidInput):
    """the rule wants this vote signed with the approver's own key; send it as `vote`"""

    code = "approval_signature_required"


class ApprovalSignatureInvalid(InvalidInput):
    """the signed vote does not hold; sign what `GET /approvals/{job_id}` shows as `to_sign`"""

    code = "approval_signature_invalid"


class Conflict(HoldgateError):
    """the state is not as the request supposes"""

    code = "conflict"


class WrongState(Conflict):
    """that is not possible from the state the job is in"""

    code = "wrong_state"

    def __init__(self, message: str | None = None, *, state: str | None = None) -> None:
        self.state = state
        super().__init__(message or (f"not possible while the job is `{state}`" if state else None))


class IdempotencyConflict(Conflict):
    """this idempotency key was used with another body"""

    code = "idempotency_conflict"


class ApprovalResolved(Conflict):
    """this approval is decided already"""

    code = "approval_resolved"


class ApprovalExpired(Conflict):
    """this approval has expired"""

    code = "approval_expired"


class ApprovalStalePolicy(Conflict):
    """the policy changed since the approval was shown; look again"""

    code = "approval_stale_policy"


class ApprovalStaleJob(Conflict):
    """the job is not the one that was shown; look again"""

    code = "approval_stale_job"


class ApprovalAltered(Conflict):
    """what is kept of this job is not what was submitted; it is not shown: tell an operator, who can cancel the job"""

    code = "approval_altered"


class ApprovalNotReconfirmable(Conflict):
    """no yes of yours from an earlier round can be given again; look at the job, and approve or reject it"""

    code = "approval_not_reconfirmable"


class ApprovalTooSoon(Conflict):
    """the rule wants the job read for a while before it is released; reject it now, or approve later"""

    code = "approval_too_soon"

    def __init__(self, message: str | None = None, *, retry_after_ms: int) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(message)


class ApprovalDuplicateVote(Conflict):
    """this approver has voted already"""

    code = "approval_duplicate_vote"


class BulkMixed(Conflict):
    """these jobs are not held by the same rules, on the same topic and of the same shape; leave the named ones out

    `job_ids` are the odd ones.
    """

    code = "bulk_mixed"

    def __init__(self, job_ids: Sequence[str] = ()) -> None:
        self.job_ids = tuple(job_ids)
        super().__init__((type(self).__doc__ or "").partition("\n")[0])


class GrantStale(Conflict):
    """the terms of the grant are not those that were shown; look again"""

    code = "grant_stale"


class GrantEnded(Conflict):
    """this grant is used up, over, revoked or refused"""

    code = "grant_ended"


class GrantLimit(Conflict):
    """there are as many grants as there may be at one time; revoke one first"""

    code = "grant_limit"


class DelegationEnded(Conflict):
    """this delegation is over or revoked"""

    code = "delegation_ended"


class DelegationLimit(Conflict):
    """there are as many delegations by or to this person as there may be at one time; revoke one first"""

    code = "delegation_limit"


class QuarantineNotFound(NotFound):
    """there is no such quarantined output"""

    code = "quarantine_not_found"


class SessionNotFound(NotFound):
    """there is no such session, or it is over"""

    code = "session_not_found"


class QuarantineResolved(Conflict):
    """this output was released or destroyed already, or was never kept"""

    code = "quarantine_resolved"


class QuarantineStale(Conflict):
    """the sealed output is not the one that was shown; look again"""

    code = "quarantine_stale"


class QuarantineUnopenable(Conflict):
    """what is sealed is not what the output gate sealed, or it is sealed to another key"""

    code = "quarantine_unopenable"


class QuarantineTooManyVotes(Conflict):
    """your vote on this output was changed too often; others may vote, and you may destroy it"""

    code = "quarantine_too_many_votes"


class QuarantineSealedElsewhere(Conflict):
    """the quarantine key is not here: open it where the key is, and release it with the opened file"""

    code = "quarantine_sealed_elsewhere"


class ReplacementRefused(InvalidInput):
    """the replacement holds what may not be read, or could not be searched"""

    code = "quarantine_replacement_refused"


class Limited(HoldgateError):
    """a limit is reached; come back later"""

    code = "limited"

    def __init__(self, message: str | None = None, *, retry_after_ms: int) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(message)


class Throttled(Limited):
    """over a rate limit of the policy"""

    code = "throttled"


class QueueFull(Limited):
    """the queue of this tenant is full"""

    code = "queue_full"


class QueuesFull(Limited):
    """as many jobs wait in all tenants together as may"""

    code = "queues_full"


class TooManyPools(Limited):
    """this tenant has jobs in as many pools as it may; use one of those, or wait until some are empty"""

    code = "too_many_pools"


class TooManyAttempts(Limited):
    """too many keys were tried in vain; come back later"""

    code = "too_many_attempts"


class Misconfigured(HoldgateError):
    """the configuration does not hold together"""

    code = "misconfigured"


class DurabilityMismatch(Misconfigured):
    """a server is less durable than the declared profile"""

    code = "durability_mismatch"


class ServerUnusable(Misconfigured):
    """an embedded server cannot be used"""

    code = "server_unusable"


class BackupBroken(HoldgateError):
    """a backup cannot be made or used"""

    code = "backup_broken"


class BackupNewer(BackupBroken):
    """a newer release wrote this backup"""

    code = "record_newer"


class TargetNotEmpty(HoldgateError):
    """a backup is restored into empty servers and directories only"""

    code = "target_not_empty"


class StateBroken(HoldgateError):
    """the state store holds a record that cannot be read"""

    code = "state_broken"


class StateNewer(StateBroken):
    """the state store holds a record of a newer release: only that one reads it"""

    code = "record_newer"


class RecordsNewer(Misconfigured):
    """a newer release has been at work on the state store"""

    code = "record_newer"


APPROVAL_ERRORS: dict[str, type[HoldgateError]] = {
    error.code: error
    for error in (
        ApprovalNotFound,
        ApprovalSelf,
        ApprovalForbidden,
        ApprovalReasonRequired,
        ApprovalConfirmationRequired,
        ApprovalSignatureRequired,
        ApprovalSignatureInvalid,
        ApprovalResolved,
        ApprovalExpired,
        ApprovalStalePolicy,
        ApprovalStaleJob,
        ApprovalDuplicateVote,
        DelegationForbidden,
    )
}
"""The typed errors of a vote by their stable code; `ApprovalTooSoon` says more than its code, and is raised apart."""

QUARANTINE_ERRORS: dict[str, type[HoldgateError]] = {
    error.code: error
    for error in (
        QuarantineNotFound,
        QuarantineResolved,
        QuarantineStale,
        ApprovalSelf,
        ApprovalDuplicateVote,
    )
}
"""The typed errors of a vote on a sealed output that the script gives, by their stable code."""
