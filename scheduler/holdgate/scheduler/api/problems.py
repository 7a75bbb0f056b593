"""What a caller is told when something is wrong: RFC 9457 problems, and the one table from code to HTTP status.

What always holds: a code has one status and one title; a detail never holds a secret, a payload or a body; everything
that is not in the table is `internal_error`, with nothing of the exception's text in the reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from holdgate.bundles.documents import CODES as YAML_CODES
from holdgate.bundles.errors import BundleFaulty
from holdgate.kernel.errors import FormInvalid, HoldgateError, PolicyInvalid

PROBLEM_TYPE = "application/problem+json"
ERRORS_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table: the status of a code and its title; `retry_after_s` where trying again helps."""

    status: int
    title: str
    retry_after_s: int | None = None


KINDS: Mapping[str, Kind] = {
    # The bytes are wrong
    "malformed_json": Kind(400, "The body is not JSON that can be hashed"),
    "bad_request": Kind(400, "The request is not understood"),
    "bad_cursor": Kind(400, "The cursor is not one this list gave out"),
    "body_timeout": Kind(408, "The body did not arrive in time"),
    "body_too_large": Kind(413, "The body is over the limit"),
    "unsupported_media_type": Kind(415, "The body must be application/json"),
    "invalid_input": Kind(422, "The request has invalid fields"),
    # Who asks
    "unauthenticated": Kind(401, "An API key is needed"),
    "forbidden": Kind(403, "This key may not do that"),
    "tenant_mismatch": Kind(403, "The key belongs to another tenant"),
    "too_many_attempts": Kind(429, "Too many keys were tried in vain", 5),
    # What is asked for
    "not_found": Kind(404, "There is no such thing"),
    "job_not_found": Kind(404, "There is no such job"),
    "session_not_found": Kind(404, "There is no such session"),
    "method_not_allowed": Kind(405, "The method is not allowed here"),
    # What the gates say
    "denied": Kind(403, "Policy denies this job"),
    "limited": Kind(429, "A limit is reached", 1),
    "throttled": Kind(429, "The rate limit of a rule is used up", 1),
    "queue_full": Kind(429, "The tenant has as many jobs waiting as it may", 5),
    "queues_full": Kind(429, "As many jobs wait in all tenants together as may", 5),
    "too_many_pools": Kind(429, "The tenant has jobs in as many pools as it may", 60),
    "output_quarantined": Kind(403, "The output is quarantined"),
    # The state it is in
    "idempotency_conflict": Kind(409, "The idempotency key was used with another body"),
    "conflict": Kind(409, "The state is not as the request supposes"),
    "wrong_state": Kind(409, "The job is not in a state that allows this"),
    "result_not_ready": Kind(409, "There is no result yet"),
    "result_not_found": Kind(404, "The job ended without a result"),
    "artifact_not_found": Kind(404, "The result has no file of that name"),
    "platform_secret_in_payload": Kind(422, "The job holds a live credential of the platform"),
    "payload_needed": Kind(422, "The payload of a denied job was not kept; send it again"),
    "remediation_not_found": Kind(404, "The decision names no such remediation"),
    # Approvals
    "approval_not_found": Kind(404, "There is no such approval"),
    "approval_resolved": Kind(409, "The approval is already resolved"),
    "approval_expired": Kind(410, "The approval has expired"),
    "approval_stale_policy": Kind(409, "The policy has changed since the approval was shown"),
    "approval_stale_job": Kind(409, "The job is not the one that was shown"),
    "approval_altered": Kind(409, "What is kept of the job is not what was submitted"),
    "approval_self": Kind(403, "Nobody approves their own job"),
    "approval_forbidden": Kind(403, "The deciding rule does not name this approver"),
    "approval_duplicate_vote": Kind(409, "This approver has voted already"),
    "approval_reason_required": Kind(422, "A reason is needed"),
    "approval_confirmation_required": Kind(422, "The rule wants a text typed"),
    "approval_signature_required": Kind(422, "The rule wants the vote signed with the approver's own key"),
    "approval_signature_invalid": Kind(422, "The signed vote does not hold, or says something else"),
    "approval_not_reconfirmable": Kind(409, "No earlier yes of this approver can be given again"),
    "approval_too_soon": Kind(409, "The rule wants the job read for a while first", 1),
    "bulk_mixed": Kind(409, "The jobs are not of one kind"),
    "bulk_forbidden": Kind(403, "The deciding rule wants each job looked at by itself"),
    "grant_not_found": Kind(404, "There is no such grant"),
    "grant_forbidden": Kind(403, "The deciding rule takes no standing grants"),
    "grant_stale": Kind(409, "The grant is not the one that was shown"),
    "grant_ended": Kind(409, "The grant is over"),
    "grant_limit": Kind(409, "There are as many grants as there may be"),
    "delegation_not_found": Kind(404, "There is no such delegation"),
    "delegation_forbidden": Kind(403, "That cannot be delegated by this person"),
    "delegation_ended": Kind(409, "The delegation is over"),
    "delegation_limit": Kind(409, "There are as many delegations as there may be"),
    # Quarantine
    "quarantine_not_found": Kind(404, "There is no such quarantined output"),
    "quarantine_resolved": Kind(409, "The output was released, destroyed, or never kept"),
    "quarantine_stale": Kind(409, "The sealed output is not the one that was shown"),
    "quarantine_unopenable": Kind(409, "The sealed output cannot be opened"),
    "quarantine_sealed_elsewhere": Kind(409, "The key that opens it is not here"),
    "quarantine_too_many_votes": Kind(409, "Your vote on this output was changed too often"),
    "quarantine_replacement_refused": Kind(422, "The replacement holds what may not be read"),
    # Policy
    "policy_invalid": Kind(422, "The rules do not load"),
    "bundle_refused": Kind(422, "The bundle is refused"),
    "bundle_malformed": Kind(422, "The body is not a bundle file"),
    "bundle_truncated": Kind(422, "The bundle file ends too early"),
    "bundle_not_canonical": Kind(422, "The bundle file is not in its one form"),
    "bundle_path": Kind(422, "A path in the bundle leads elsewhere"),
    "bundle_link": Kind(422, "A file of the bundle is a link"),
    "bundle_files": Kind(422, "The files are not those that the bundle names"),
    "bundle_too_many_files": Kind(422, "The bundle names more files than it may"),
    "bundle_count": Kind(422, "There are more bundles than one set may have"),
    "bundle_rule_id": Kind(422, "A rule takes an id that is kept for the kernel"),
    "bundle_allow_expires": Kind(422, "Findings are let through for more than a year"),
    "bundle_approvers": Kind(422, "A rule asks for approvers that the root does not allow"),
    "bundle_combining": Kind(422, "The rules files of the bundle combine in different ways"),
    **dict.fromkeys(YAML_CODES, Kind(422, "A file of the bundle is not the YAML that is read here")),
    "bundle_name": Kind(422, "The bundle has another name than the path"),
    "bundle_threshold": Kind(422, "Fewer authors signed the bundle than the root wants"),
    "bundle_unknown_key": Kind(422, "No author of the root signed the bundle"),
    "bundle_signature": Kind(422, "A signature on the bundle does not hold"),
    "bundle_scope": Kind(422, "The authors who signed may not rule there"),
    "bundle_reach": Kind(422, "A rule reaches outside the scope of its bundle"),
    "bundle_set": Kind(422, "The bundle does not fit beside the others in force"),
    "bundle_expired": Kind(422, "The time of the bundle is over"),
    "bundle_not_yet": Kind(422, "The time of the bundle has not come"),
    "bundle_too_large": Kind(413, "The bundle is over the limit"),
    "bundle_tests": Kind(422, "The bundle's own tests fail"),
    "bundle_lint": Kind(422, "The linter finds an error in the bundle"),
    "bundle_tenant": Kind(403, "The bundle rules on other tenants only"),
    "bundle_version": Kind(409, "The version is not above those published before"),
    "bundle_version_reused": Kind(409, "This version was published with other content"),
    "bundle_widening": Kind(409, "The bundle allows what was not allowed, which nobody accepted"),
    "bundle_conflict": Kind(409, "Somebody else published at the same time"),
    "bundle_store_behind": Kind(409, "The store does not hold what kernels decide by"),
    "bundle_not_found": Kind(404, "There is no such bundle, or no such version"),
    # The system
    "kernel_unavailable": Kind(503, "The kernel gave no decision in time; nothing was stored", 2),
    "nats_unavailable": Kind(503, "NATS is away, and with it every kernel; nothing was stored", 2),
    "no_policy": Kind(503, "No valid policy is in force; nothing was changed", 5),
    "state_unavailable": Kind(503, "The state store is away", 2),
    "log_unavailable": Kind(503, "The job log is away; send again with the same idempotency key", 2),
    "unavailable": Kind(503, "A part of the system is away", 2),
    "draining": Kind(503, "This process ends; another one answers", 1),
    "record_newer": Kind(503, "A newer release wrote this; this process cannot read it", 5),
    "keys_unavailable": Kind(503, "The file of API keys does not load", 5),
    "overloaded": Kind(503, "Too many requests are under way", 1),
    "too_many_waiters": Kind(429, "Too many long polls are under way", 5),
    "internal_error": Kind(500, "Something went wrong"),
}


class Problem(HoldgateError):
    """a reply that is not what was asked for

    `extra` are further members (RFC 9457, section 3.2): `job_id`, `decision`, `errors`, `remediations`. `allow` are
    the methods that would be allowed.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
        allow: Sequence[str] = (),
    ) -> None:
        kind = KINDS[code]
        super().__init__(detail or kind.title)
        self.code = code
        self.status = kind.status
        self.extra = extra or {}
        self.allow = tuple(allow)
        self.retry_after_s = kind.retry_after_s if retry_after_s is None else max(1, retry_after_s)

    def as_dict(self) -> dict[str, Any]:
        """The members of the problem document."""
        kind = KINDS[self.code]
        shown: dict[str, Any] = {
            "type": f"urn:holdgate:problem:{self.code}",
            "title": kind.title,
            "status": kind.status,
            "code": self.code,
            "detail": str(self),
        }
        if self.retry_after_s is not None:
            shown["retry_after_s"] = self.retry_after_s
        shown.update(self.extra)
        return shown


def invalid(field: str, detail: str) -> Problem:
    """The problem of one wrong field; `field` is a JSON pointer, a query name or a header name."""
    return invalid_fields([(field, detail)])


def invalid_fields(errors: Sequence[tuple[str, str]]) -> Problem:
    """The problem of wrong fields, each `(where, why)`."""
    shown = [{"field": field, "detail": detail} for field, detail in errors]
    field, detail = errors[0]
    return Problem("invalid_input", f"{field}: {detail}" if field else detail, extra={"errors": shown})


def problem_of(error: HoldgateError) -> Problem:
    """The problem that tells of `error`: its own code or the nearest base's in the table, else `internal_error`."""
    if isinstance(error, Problem):
        return error
    code = next((code for code in _codes_of(error) if code in KINDS), "internal_error")
    if code == "internal_error":
        return Problem("internal_error")
    retry_after_ms = getattr(error, "retry_after_ms", None)
    return Problem(
        code,
        str(error),
        extra=_named_fields(error),
        retry_after_s=None if retry_after_ms is None else -(-retry_after_ms // 1000),
    )


def _codes_of(error: HoldgateError) -> Iterator[str]:
    yield error.code
    for kind in type(error).__mro__:
        if issubclass(kind, HoldgateError):
            yield kind.code


def _named_fields(error: HoldgateError) -> dict[str, Any]:
    if not isinstance(error, FormInvalid | PolicyInvalid | BundleFaulty):
        return {}
    shown = [
        {"field": where if isinstance(where, str) else ".".join(map(str, where)), "detail": why}
        for where, why in error.problems
    ]
    return {"errors": shown[:ERRORS_SHOWN_MAX]}


assert all(HTTPStatus(kind.status) for kind in KINDS.values()), "every status is one of HTTP"  # noqa: S101  a table is checked at import
