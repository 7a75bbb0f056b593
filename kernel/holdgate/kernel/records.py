"""What crosses processes: the job and the decision about it. The signed links between them are in `links`.

What always holds: `job_hash` covers everything the decision was about and everything the worker gets; nothing that a
submitter can write (labels, tags, payload) shares a field with what the system decides (approval, tenant, actor).
Records are immutable. `as_dict` gives plain values for msgpack and JSON, `from_dict` takes them back and raises
`InvalidInput` when they are not of the record's shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, Self

from holdgate.kernel.canonical import digest, digest_bytes
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.demands import (
    ADVISORY_CONSTRAINTS,
    NO_CONSTRAINTS,
    SEVERE,
    ApprovalRequirement,
    Constraints,
    Over,
    Remediation,
    Severity,
    Throttle,
)
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant
from holdgate.kernel.plain import as_plain, as_record, as_text, as_texts

__all__ = [
    "ADVISORY_CONSTRAINTS",
    "ALLOWING",
    "HASHED_FIELDS",
    "JOB_FIELDS",
    "NOT_HASHED",
    "NO_CONSTRAINTS",
    "SEVERE",
    "STRICTEST_FIRST",
    "ApprovalRequirement",
    "Constraints",
    "Decision",
    "Job",
    "Outcome",
    "Over",
    "Phase",
    "Priority",
    "Remediation",
    "Severity",
    "Throttle",
    "Verdict",
]


class Verdict(StrEnum):
    """What the kernel says, strictest first."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    THROTTLE = "throttle"
    ALLOW_WITH_CONSTRAINTS = "allow_with_constraints"
    ALLOW = "allow"


STRICTEST_FIRST: tuple[Verdict, ...] = tuple(Verdict)
ALLOWING = frozenset({Verdict.ALLOW, Verdict.ALLOW_WITH_CONSTRAINTS})


class Phase(StrEnum):
    """For whom a decision was made. One function serves all of them."""

    SUBMIT = "submit"
    DISPATCH = "dispatch"
    SIMULATE = "simulate"
    EXPLAIN = "explain"


class Priority(StrEnum):
    """How far ahead of its time of arrival a job stands in the backlog."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Outcome(StrEnum):
    """How a submitted job entered: signed in the admission, so that a hold cannot be dropped on the way."""

    ACCEPTED = "accepted"
    HELD = "held"
    FAIL_OPEN = "fail_open"


@dataclass(frozen=True, slots=True)
class Job:
    """What an agent asks for. Every field but those named in `NOT_HASHED` is covered by `job_hash`.

    `payload` is canonical JSON, or None where it is above the inline limit and lies in the object store under
    `payload_digest`. `secrets` are names of secrets that the worker is to hand to the handler, never their values.
    Times are milliseconds since the epoch.
    """

    job_id: JobId
    created_ms: int
    trace_id: str
    tenant: Tenant
    topic: str
    payload: bytes | None
    payload_digest: Digest
    actor: ActorId
    actor_type: str
    pool: str
    max_attempts: int
    prompt: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    capability: str | None = None
    risk_tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    concurrency_key: str | None = None
    run_at_ms: int | None = None
    deadline_ms: int | None = None
    secrets_present: bool = False
    remediation_of: str | None = None
    secrets: tuple[str, ...] = ()
    pii_present: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values; `payload` stays bytes."""
        return _plain_job(JOB_FIELDS, _JOB_VALUES(self))

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The job of `as_dict`; InvalidInput when a field is missing, unknown or of another type."""
        checked = as_record(cls, value)
        try:
            labels = checked.get("labels") or {}
            checked["labels"] = {as_text(name): as_text(text) for name, text in dict(labels).items()}
            for name in _JOB_TEXTS:
                checked[name] = as_texts(checked.get(name, ()))
            checked["priority"] = Priority(checked.get("priority", Priority.NORMAL))
            return cls(**checked)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"not a job record: {error}") from error

    def hashed(self) -> dict[str, Any]:
        """What `job_hash` is over: the payload by its digest, so that inline and stored payloads hash alike."""
        return _plain_job(HASHED_FIELDS, _HASHED_VALUES(self))

    def job_hash(self) -> Digest:
        """Digest of everything decided about and handed over (design: records)."""
        return digest(self.hashed())

    def payload_holds(self) -> bool:
        """Whether the payload that is here is the one that was hashed."""
        return self.payload is not None and digest_bytes(self.payload) == self.payload_digest

    def with_payload(self, payload: bytes | None) -> Job:
        """The same job with its payload put in or left out; the hash does not change."""
        return replace(self, payload=payload)


NOT_HASHED = frozenset({"job_id", "created_ms", "trace_id", "payload"})
"""Bound elsewhere: admission, vote and permit each name the job id; the payload is hashed by its digest."""
JOB_FIELDS = tuple(item.name for item in fields(Job))
HASHED_FIELDS = tuple(name for name in JOB_FIELDS if name not in NOT_HASHED)
_JOB_VALUES = attrgetter(*JOB_FIELDS)
_HASHED_VALUES = attrgetter(*HASHED_FIELDS)
_JOB_TEXTS = ("risk_tags", "requires", "principals", "secrets")
_NOT_ATOMS = ("labels", "risk_tags", "requires", "principals", "priority", "secrets")
_LEFT_OUT_EMPTY = ("secrets", "pii_present")
"""Younger than the record: without them it reads and hashes as it did before they were there."""


def _plain_job(names: tuple[str, ...], values: tuple[Any, ...]) -> dict[str, Any]:
    # A look at every field would take longer than hashing and packing what comes of it.
    plain = dict(zip(names, values, strict=True))
    for name in _NOT_ATOMS:
        plain[name] = as_plain(plain[name])
    for name in _LEFT_OUT_EMPTY:
        if not plain[name]:
            del plain[name]
    return plain


@dataclass(frozen=True, slots=True)
class Decision:
    """What the kernel decided about one job, the same object wherever it is shown.

    `rules` are the ids of all matching rules, the `deciding` ones first. `within` is, under `throttle`, what holds
    inside the limit. `trace` and `combined` are there for explain only, see `kernel.trace`.
    """

    verdict: Verdict
    reason: str
    snapshot: Digest
    job_hash: Digest
    phase: Phase
    decided_ms: int
    rules: tuple[str, ...] = ()
    deciding: tuple[str, ...] = ()
    constraints: Constraints = NO_CONSTRAINTS
    remediations: tuple[Remediation, ...] = ()
    approvals: tuple[ApprovalRequirement, ...] = ()
    throttles: tuple[Throttle, ...] = ()
    within: Verdict | None = None
    cacheable: bool = False
    errors: tuple[str, ...] = ()
    trace: tuple[Mapping[str, Any], ...] | None = None
    combined: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as HTTP, the CLI and messages show them."""
        shown: dict[str, Any] = {
            "verdict": str(self.verdict),
            "reason": self.reason,
            "rules": list(self.rules),
            "deciding": list(self.deciding),
            "constraints": self.constraints.as_dict(),
            "remediations": [item.as_dict() for item in self.remediations],
            "approvals": [item.as_dict() for item in self.approvals],
            "throttles": [item.as_dict() for item in self.throttles],
            "within": None if self.within is None else str(self.within),
            "snapshot": self.snapshot,
            "job_hash": self.job_hash,
            "phase": str(self.phase),
            "cacheable": self.cacheable,
            "errors": list(self.errors),
            "decided_at": rfc3339(self.decided_ms),
            "decided_ms": self.decided_ms,
        }
        if self.trace is not None:
            shown["trace"] = [dict(step) for step in self.trace]
        if self.combined is not None:
            shown["combined"] = dict(self.combined)
        return shown

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The decision of `as_dict`."""
        known = as_record(cls, {k: v for k, v in value.items() if k != "decided_at"})
        trace = known.get("trace")
        try:
            return cls(
                **{
                    **known,
                    "verdict": Verdict(known["verdict"]),
                    "phase": Phase(known["phase"]),
                    "within": None if known.get("within") is None else Verdict(known["within"]),
                    "rules": as_texts(known.get("rules", ())),
                    "deciding": as_texts(known.get("deciding", ())),
                    "errors": as_texts(known.get("errors", ())),
                    "constraints": Constraints.from_dict(known.get("constraints", {})),
                    "remediations": tuple(map(Remediation.from_dict, known.get("remediations", ()))),
                    "approvals": tuple(map(ApprovalRequirement.from_dict, known.get("approvals", ()))),
                    "throttles": tuple(map(Throttle.from_dict, known.get("throttles", ()))),
                    "trace": None if trace is None else tuple(trace),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"not a decision record: {error}") from error
