"""What the API shows, typed. Fields that a newer API adds are kept (`model_extra`), never an error."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload

from pydantic import BaseModel, ConfigDict

TERMINAL = frozenset({"denied", "succeeded", "quarantined", "failed", "timed_out", "cancelled", "expired"})
"""States in which a job has ended."""
Item = TypeVar("Item")


class _Shown(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    def as_dict(self) -> dict[str, Any]:
        """The object of the API, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)


class Remediation(_Shown):
    """A named safer version of a job: what it would replace."""

    id: str
    title: str = ""
    topic: str | None = None
    capability: str | None = None
    labels: dict[str, str] | None = None


class Decision(_Shown):
    """What the kernel decided, the same object wherever a decision is shown."""

    verdict: str
    reason: str
    rules: tuple[str, ...] = ()
    deciding: tuple[str, ...] = ()
    constraints: dict[str, Any] = {}
    remediations: tuple[Remediation, ...] = ()
    snapshot: str
    job_hash: str
    phase: str = ""
    cacheable: bool = False
    errors: tuple[str, ...] = ()
    decided_at: datetime | None = None
    trace: tuple[dict[str, Any], ...] | None = None


class Submitted(_Shown):
    """The reply to a submit. `state` is `held` where somebody has to release the job first."""

    job_id: str
    state: str
    decision: Decision
    trace_id: str = ""


class OutputTold(_Shown):
    """What the output gate said of a job's output. `marks`: what to handle it as, such as `untrusted_instructions`."""

    verdict: str | None = None
    reason: str | None = None
    severity: str | None = None
    findings_total: int = 0
    data_class: str | None = None
    marks: tuple[str, ...] = ()
    shadow: dict[str, int] = {}
    allowed_by: tuple[str, ...] = ()


class JobInfo(_Shown):
    """A job as it stands. `output`: once it has ended with one."""

    job_id: str
    topic: str
    state: str
    tenant: str = ""
    attempt: int = 0
    labels: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    actor: str = ""
    waiting_reason: str | None = None
    code: str | None = None
    reason: str | None = None
    progress: float | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None
    prompt: str | None = None
    decision: Decision | None = None
    masked: int | None = None
    output: OutputTold | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to the job by itself."""
        return self.state in TERMINAL


class Cancelled(_Shown):
    """The reply to a cancel. `cancel_requested`: it runs, and its worker is told; `state` is not final then."""

    job_id: str
    state: str
    cancel_requested: bool = False


class RunError(_Shown):
    """What the handler raised."""

    type: str = ""
    message: str = ""
    trace: str = ""


class ArtifactInfo(_Shown):
    """A file that a run left: `artifact` of the client gives its bytes."""

    name: str
    media_type: str | None = None
    bytes: int = 0
    digest: str = ""


class Output(_Shown):
    """What the output gate let through of a job's result. `verdict` says whether something was redacted."""

    job_id: str
    state: str = ""
    attempt: int = 0
    value: Any = None
    logs: tuple[str, ...] = ()
    error: RunError | None = None
    verdict: Any = None
    artifacts: tuple[ArtifactInfo, ...] = ()


class Approval(_Shown):
    """A held job as an approver sees it. `job_hash` and `snapshot` are what a vote is bound to.

    `previous` and `changes`: what was decided of it before, and what is other now; `to_sign`: what a vote signed with
    the caller's own key must say besides.
    """

    job_id: str
    status: str
    job_hash: str
    snapshot: str
    topic: str = ""
    actor: str = ""
    principals: tuple[str, ...] = ()
    severity: str | None = None
    rules: tuple[str, ...] = ()
    round: int = 1
    created_at: datetime | None = None
    expires_at: datetime | None = None
    deferred_until: datetime | None = None
    remaining_s: float | None = None
    escalated: bool = False
    requirements: tuple[dict[str, Any], ...] = ()
    votes_missing: int | None = None
    glass_votes: int | None = None
    glass_votes_needed: int | None = None
    votes: tuple[dict[str, Any], ...] = ()
    job: dict[str, Any] | None = None
    payload: Any = None
    payload_shown: bool = True
    decision: Decision | None = None
    reason: str | None = None
    constraints: dict[str, Any] = {}
    may_vote: bool | None = None
    refused_for: str | None = None
    may_break_glass: bool | None = None
    break_glass_refused_for: str | None = None
    reading_left_s: float = 0
    previous: dict[str, Any] | None = None
    changes: tuple[dict[str, Any], ...] = ()
    can_reconfirm: bool = False
    to_sign: dict[str, Any] | None = None


class VoteResult(_Shown):
    """What a vote did: `status` of the approval, `state` of the job, how many votes are still missing.

    `votes_missing` are ordinary ones; `glass_votes` people broke the glass, of `glass_votes_needed` that release it.
    """

    job_id: str
    status: str
    state: str
    votes_missing: int = 0
    glass_votes: int | None = None
    glass_votes_needed: int | None = None


class BulkItem(_Shown):
    """What became of one vote of many: `status`, or the `code` of what it was refused for."""

    job_id: str
    status: str | None = None
    code: str | None = None
    detail: str | None = None


class BulkResult(_Shown):
    """What became of many votes, in the order in which they were given."""

    items: tuple[BulkItem, ...]


class ApprovalChange(_Shown):
    """Something of a held job changed. Without a `job_id` more happened than could be told: look at the whole list."""

    job_id: str
    state: str | None = None


@dataclass(frozen=True, slots=True)
class SignedVote:
    """A vote signed with an approver's own key: canonical bytes, the key's fingerprint, the signature."""

    body: bytes
    key: str
    signature: bytes

    def as_dict(self) -> dict[str, str]:
        """As the API takes it."""
        return {
            "body": b64encode(self.body).decode(),
            "key": self.key,
            "signature": b64encode(self.signature).decode(),
        }


class Items(_Shown):
    """A list that comes whole."""

    items: tuple[dict[str, Any], ...]


class Delegation(_Shown):
    """Who may vote for whom, in which roles, until when. `status` is `active`, `revoked` or `expired`."""

    delegation_id: str
    status: str
    delegator: str
    delegate: str
    roles: tuple[str, ...] = ()
    reason: str = ""
    given_at: datetime | None = None
    expires_at: datetime | None = None


class Grant(_Shown):
    """A standing grant. `grant_digest` is what an approval of it is bound to; `used_by`: the jobs that it released."""

    grant_id: str
    status: str
    grant_digest: str
    actor: str = ""
    principals: tuple[str, ...] = ()
    topic: str = ""
    labels: dict[str, str] = {}
    capability: str | None = None
    rules: tuple[str, ...] = ()
    snapshot: str = ""
    uses_max: int = 0
    uses: int = 0
    uses_left: int = 0
    requested_by: str = ""
    requested_at: datetime | None = None
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    reason: str = ""
    job_id: str = ""
    requirements: tuple[dict[str, Any], ...] = ()
    approvals: tuple[dict[str, Any], ...] = ()
    approvals_missing: int = 0
    used_by: tuple[dict[str, Any], ...] = ()


class Quarantined(_Shown):
    """A sealed output: its findings, never content. `digest` is what a vote is bound to."""

    job_id: str
    status: str
    topic: str = ""
    actor: str = ""
    attempt: int = 0
    severity: str | None = None
    verdict: dict[str, Any] = {}
    digest: str | None = None
    quorum: int = 1
    votes_missing: int = 0
    votes: tuple[dict[str, Any], ...] = ()
    quarantined_at: datetime | None = None
    expires_at: datetime | None = None
    commitment: str | None = None
    replacement: dict[str, Any] | None = None


class SealedExport(_Shown):
    """The sealed bytes of an output, in base64, and what they are checked against once they are open."""

    job_id: str
    attempt: int
    digest: str
    sealed: str
    commitment: str | None = None


class SealedReplacement(_Shown):
    """What is proposed to be read instead of a sealed output; `digest` is what a vote for it is bound to."""

    job_id: str
    digest: str
    proposed_by: str = ""
    votes_missing: int = 0
    value: Any = None
    logs: tuple[str, ...] = ()
    error: dict[str, str] | None = None


class Page(_Shown, Generic[Item]):
    """One page of a list; `next_cursor` is None on the last one."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


@overload
def time_text(value: datetime | str) -> str: ...


@overload
def time_text(value: None) -> None: ...


def time_text(value: datetime | str | None) -> str | None:
    """A time as the API takes it; ValueError for one without a zone."""
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        msg = "a time needs a zone, such as `datetime.now(UTC)`"
        raise ValueError(msg)
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
