"""What people sign beside votes: a part of a standing grant, and a delegation. Pure records.

What always holds: a part is bound to the digest of all the terms that its signer was shown; terms and delegations name
one tenant, one agent or delegate, and an end; neither record releases anything by itself: the kernel sees votes only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NewType, Self

from holdgate.kernel.canonical import digest
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, Digest, Entropy, JobId, Tenant, uuid7
from holdgate.kernel.records import ApprovalRequirement, Job

GrantId = NewType("GrantId", str)
DelegationId = NewType("DelegationId", str)


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """Which jobs a standing grant releases, how many and until when.

    `rules` are the ids and definitions of the deciding rules, in order of id. `principals`: whom the agent acts for.
    `job_id` is the held job from which the terms were taken.
    """

    grant_id: GrantId
    tenant: Tenant
    actor: ActorId
    principals: tuple[str, ...]
    topic: str
    capability: str | None
    rules: tuple[tuple[str, str], ...]
    snapshot: Digest
    uses_max: int
    requested_by: ActorId
    requested_ms: int
    expires_ms: int
    job_id: JobId
    reason: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        rules = [list(pair) for pair in self.rules]
        return {**plain, "principals": list(self.principals), "rules": rules, "labels": dict(self.labels)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The terms of `as_dict`; InvalidInput when they are not of the record's shape."""
        try:
            return cls(
                **{
                    **value,
                    "principals": tuple(value["principals"]),
                    "rules": tuple((str(rule), str(definition)) for rule, definition in value["rules"]),
                    "labels": dict(value["labels"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("not the terms of a grant") from error

    def digest(self) -> Digest:
        """What an approver of the grant sends back, and what their part is bound to."""
        return digest(self.as_dict())

    def cover(self, job: Job) -> bool:
        """Whether `job` is one of those that the terms are about; its deciding rules are not looked at.

        A job that asks for secrets is never one: the terms name none, so nobody who signed them said yes to any.
        """
        return (
            not job.secrets
            and (job.tenant, job.actor, job.principals) == (self.tenant, self.actor, self.principals)
            and (job.topic, job.capability) == (self.topic, self.capability)
            and all(job.labels.get(name) == value for name, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class GrantPart:
    """An approver gives their part of a standing grant: the api signs it for the approver it authenticated.

    `keyed`: those of the roles that API keys gave, which count as long as these do; without any key left none counts.
    """

    grant_id: GrantId
    grant_digest: Digest
    tenant: Tenant
    approver: ActorId
    roles: tuple[str, ...]
    reason: str
    issued_ms: int
    expires_ms: int
    keyed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delegation:
    """`delegator` lets `delegate` vote in these roles of theirs until `expires_ms`; the api signs for the delegator.

    `keyed`: those of the roles that API keys gave, which count as long as these do; without any key left none counts.
    """

    delegation_id: DelegationId
    tenant: Tenant
    delegator: ActorId
    delegate: ActorId
    roles: tuple[str, ...]
    reason: str
    issued_ms: int
    expires_ms: int
    keyed: tuple[str, ...]


def rules_of(requirements: tuple[ApprovalRequirement, ...]) -> tuple[tuple[str, str], ...]:
    """Ids and definitions of the rules that demand these, in order of id."""
    return tuple(sorted((item.rule, item.definition) for item in requirements))


def new_grant_id(now_ms: int, entropy: Entropy = os.urandom) -> GrantId:
    """`grant_` and a UUIDv7."""
    return GrantId("grant_" + uuid7(now_ms, entropy))


def new_delegation_id(now_ms: int, entropy: Entropy = os.urandom) -> DelegationId:
    """`delegation_` and a UUIDv7."""
    return DelegationId("delegation_" + uuid7(now_ms, entropy))
