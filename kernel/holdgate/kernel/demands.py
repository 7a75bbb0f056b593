"""What a rule demands of a job that it lets through: constraints of the run, who releases it, how often, what else.

The same as in `records`, of which these are part: immutable, `as_dict` gives plain values, `from_dict` takes them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.plain import as_plain, as_record, as_texts, field_names


class Over(StrEnum):
    """What happens to a job beyond a rate limit."""

    REJECT = "reject"
    HOLD = "hold"
    DELAY = "delay"


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
        return {name: as_plain(value) for name in field_names(type(self)) if (value := getattr(self, name)) is not None}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The constraints of `as_dict`."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in as_record(cls, value).items()}
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
        return cls(**as_record(cls, value))


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
        return {name: as_plain(getattr(self, name)) for name in field_names(type(self))}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The requirement of `as_dict`."""
        known = as_record(cls, value)
        for name in _REQUIREMENT_TEXTS:
            known[name] = as_texts(known.get(name, ()))
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
        return {name: as_plain(getattr(self, name)) for name in field_names(type(self))}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The throttle of `as_dict`."""
        known = as_record(cls, value)
        return cls(**{**known, "over": Over(known["over"])})


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
