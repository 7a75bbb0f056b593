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
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, JobId, Tenant


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


class Over(StrEnum):
    """What happens to a job beyond a rate limit."""

    REJECT = "reject"
    HOLD = "hold"
    DELAY = "delay"


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
        checked = _known(cls, value)
        try:
            labels = checked.get("labels") or {}
            checked["labels"] = {_text(name): _text(text) for name, text in dict(labels).items()}
            for name in _JOB_TEXTS:
                checked[name] = _texts(checked.get(name, ()))
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
        plain[name] = _plain(plain[name])
    for name in _LEFT_OUT_EMPTY:
        if not plain[name]:
            del plain[name]
    return plain


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a run is held to. None means not constrained; an empty allow-list means nothing is allowed."""

    max_runtime_s: int | None = None
    max_output_bytes: int | None = None
    max_attempts: int | None = None
    max_concurrency: int | None = None
    network: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None

    def tightest(self, other: Constraints) -> Constraints:
        """The smaller of each limit, the intersection of allow-lists, the union of deny-lists."""
        return Constraints(
            max_runtime_s=_smaller(self.max_runtime_s, other.max_runtime_s),
            max_output_bytes=_smaller(self.max_output_bytes, other.max_output_bytes),
            max_attempts=_smaller(self.max_attempts, other.max_attempts),
            max_concurrency=_smaller(self.max_concurrency, other.max_concurrency),
            network=_intersection(self.network, other.network),
            paths=_union(self.paths, other.paths),
            env=_intersection(self.env, other.env),
        )

    def as_dict(self) -> dict[str, Any]:
        """Only what is constrained."""
        if self is NO_CONSTRAINTS:
            return {}
        return {name: _plain(value) for name in _names(type(self)) if (value := getattr(self, name)) is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The constraints of `as_dict`."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in _known(cls, value).items()}
        return cls(**known)

    def advisory(self) -> tuple[str, ...]:
        """Names of those set that the worker's runtime hands to the handler but cannot enforce."""
        return tuple(name for name in ADVISORY_CONSTRAINTS if getattr(self, name) is not None)


ADVISORY_CONSTRAINTS = ("network", "paths", "env")
NO_CONSTRAINTS = Constraints()


@dataclass(frozen=True, slots=True)
class Remediation:
    """A named safer version of a denied or held job: what to replace in it."""

    id: str
    title: str
    topic: str | None = None
    capability: str | None = None
    labels: Mapping[str, str] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Only what is replaced, and the name."""
        return {item.name: value for item in fields(self) if (value := getattr(self, item.name)) is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The remediation of `as_dict`."""
        return cls(**_known(cls, value))


class Severity(StrEnum):
    """How much harm a rule's author thinks a job could do, least first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


SEVERE = frozenset({Severity.HIGH, Severity.CRITICAL})
"""What is looked at job by job, unless a rule says otherwise."""


@dataclass(frozen=True, slots=True)
class ApprovalRequirement:
    """Who must release a job, and how, as one deciding rule demands it. All requirements of a decision must be met.

    `escalate_roles` and `escalate_names` may release it too once it was held for `escalate_after_s`. `not_author`: who
    signed the rule's bundle may not; `excluded` are their names, wherever signatures were verified. `bulk`: in one act
    with others; `grants`: by a standing grant; `break_glass`: by two holders of that role. `reading_s` and `confirm`, a
    text to type, slow the approver down. `definition` is the digest of the rule as it was written, with its bundle's
    name.
    """

    rule: str
    roles: tuple[str, ...]
    names: tuple[str, ...] = ()
    quorum: int = 1
    expires_s: int = 24 * 3600
    escalate_after_s: int | None = None
    escalate_roles: tuple[str, ...] = ()
    escalate_names: tuple[str, ...] = ()
    not_author: bool = False
    excluded: tuple[str, ...] = ()
    signed: bool = False
    severity: Severity = Severity.MEDIUM
    bulk: bool = True
    grants: bool = False
    break_glass: bool = True
    reading_s: int = 0
    confirm: str = ""
    reason: str = ""
    definition: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: _plain(getattr(self, name)) for name in _names(type(self))}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The requirement of `as_dict`."""
        known = _known(cls, value)
        for name in _REQUIREMENT_TEXTS:
            known[name] = _texts(known.get(name, ()))
        try:
            return cls(**{**known, "severity": Severity(known.get("severity", Severity.MEDIUM))})
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"not a requirement record: {error}") from error


_REQUIREMENT_TEXTS = ("roles", "names", "escalate_roles", "escalate_names", "excluded")


@dataclass(frozen=True, slots=True)
class Throttle:
    """A rate limit that a matching rule names; the accept script counts it, once per job."""

    rule: str
    bucket: str
    limit: int
    per_s: int
    over: Over

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {name: _plain(getattr(self, name)) for name in _names(type(self))}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The throttle of `as_dict`."""
        known = _known(cls, value)
        return cls(**{**known, "over": Over(known["over"])})


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
        known = _known(cls, {k: v for k, v in value.items() if k != "decided_at"})
        trace = known.get("trace")
        try:
            return cls(
                **{
                    **known,
                    "verdict": Verdict(known["verdict"]),
                    "phase": Phase(known["phase"]),
                    "within": None if known.get("within") is None else Verdict(known["within"]),
                    "rules": _texts(known.get("rules", ())),
                    "deciding": _texts(known.get("deciding", ())),
                    "errors": _texts(known.get("errors", ())),
                    "constraints": Constraints.from_dict(known.get("constraints", {})),
                    "remediations": tuple(map(Remediation.from_dict, known.get("remediations", ()))),
                    "approvals": tuple(map(ApprovalRequirement.from_dict, known.get("approvals", ()))),
                    "throttles": tuple(map(Throttle.from_dict, known.get("throttles", ()))),
                    "trace": None if trace is None else tuple(trace),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"not a decision record: {error}") from error


_ATOMS = frozenset({str, int, bool, bytes, float, type(None)})
_FIELDS: dict[type[Any], dict[str, None]] = {}


def _names(record: type[Any]) -> dict[str, None]:
    """Names of the fields, in order; `fields` itself costs more than all that is done with them."""
    found = _FIELDS.get(record)
    if found is None:
        found = _FIELDS[record] = dict.fromkeys(item.name for item in fields(record))
    return found


def _plain(value: Any) -> Any:
    # Most values are of these types; the checks below are an order of magnitude slower, and this runs for every field.
    if type(value) in _ATOMS:
        return value
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, Mapping):
        return dict(value)
    return value


def _known(record: type[Any], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= _names(record).keys():
        raise InvalidInput(f"not a {record.__name__.lower()} record")
    return dict(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput("a text was expected")
    return value


def _texts(values: Any) -> tuple[str, ...]:
    return tuple([_text(value) for value in values])


def _smaller(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _intersection(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return one if other is None else other
    return tuple(sorted(set(one) & set(other)))


def _union(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return one if other is None else other
    return tuple(sorted(set(one) | set(other)))
