"""What the kernel trusts, and where its policy comes from: data and a Protocol; `holdgate.bundles` verifies it.

What always holds: the kernel's service never knows how a policy was found; what it is given here was verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from holdgate.kernel.canonical import digest
from holdgate.kernel.ids import ActorId, Digest
from holdgate.kernel.permits import Keyring
from holdgate.kernel.standing import BREAK_GLASS_QUORUM, BREAK_GLASS_ROLE
from holdgate.kernel.topics import matches
from holdgate.kernel.votes import VoteKeys

if TYPE_CHECKING:
    from holdgate.kernel.policy import Policy  # the form of rules takes long to load; most who trust decide nothing

NO_POLICY_SNAPSHOT: Digest = digest({"policy": None})
"""What a kernel without a valid policy names as its snapshot: every decision under it is deny."""


@dataclass(frozen=True, slots=True)
class ApproverKey:
    """A person's own key. Roles of votes signed with it come from here, never from the vote."""

    actor: ActorId
    public_key: bytes
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApproverScope:
    """Where the root lets a role approve, and from how many people at least. `*` is every tenant."""

    tenants: tuple[str, ...]
    topics: tuple[str, ...]
    quorum_min: int = 1

    def covers(self, tenant: str, topic: str) -> bool:
        """Whether a job of `tenant` on `topic` is within it."""
        is_tenant = "*" in self.tenants or tenant in self.tenants
        return is_tenant and any(matches(pattern, topic) for pattern in self.topics)


@dataclass(frozen=True, slots=True)
class FailModes:
    """What the gates do without a kernel: True lets jobs through. Only the signed root says so."""

    submit_open: bool = False
    dispatch_open: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """The trust root as the gates use it.

    `approvers` is by fingerprint of the key, `approver_keys` holds the same keys. `approver_roles` is by role; empty:
    the root leaves it to the rules who approves. `quarantine_key` is an X25519 public
    key, 32 bytes, or None where sealing is not set up (quarantined output is then dropped, never shown).
    """

    root_version: int
    root_digest: Digest
    expires_ms: int
    api: Keyring
    kernel: Keyring
    dispatcher: Keyring
    auditor: Keyring
    approvers: Mapping[str, ApproverKey] = field(default_factory=dict)
    approver_keys: Keyring = field(default_factory=lambda: Keyring(()))
    approver_roles: Mapping[str, ApproverScope] = field(default_factory=dict)
    fail_modes: FailModes = FailModes()
    default_decision: str = "deny"
    quarantine_key: bytes | None = None

    @property
    def vote_keys(self) -> VoteKeys:
        """Who may sign votes under this root."""
        return VoteKeys(self.api, self.approver_keys, self.approvers)

    def roles_that_count(self, roles: Iterable[str], tenant: str, topic: str) -> frozenset[str]:
        """Those of an approver's `roles` in which they may release a job of `tenant` on `topic`.

        Rules name none that the root does not (`bundles.reach`); this keeps out the roles that no rule needs to name.
        """
        allowed = self.approver_roles
        if not allowed:
            return frozenset(roles)
        within = {role for role in roles if role in allowed and allowed[role].covers(tenant, topic)}
        glass = allowed.get(BREAK_GLASS_ROLE)
        if glass is not None and glass.quorum_min > BREAK_GLASS_QUORUM:
            within.discard(BREAK_GLASS_ROLE)
        return frozenset(within)


@dataclass(frozen=True, slots=True)
class BundleInfo:
    """One active bundle, for status. It decides until `ends_ms`; from `expires_ms` to there is its grace."""

    name: str
    version: int
    digest: Digest
    signers: tuple[str, ...]
    valid_from_ms: int
    expires_ms: int
    ends_ms: int
    rules: int

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "signers": list(self.signers),
            "valid_from_ms": self.valid_from_ms,
            "expires_ms": self.expires_ms,
            "ends_ms": self.ends_ms,
            "rules": self.rules,
        }


@dataclass(frozen=True, slots=True)
class DroppedBundle:
    """A bundle that was in force and does not hold any more; `code` says why. Its whole scope is denied."""

    name: str
    version: int
    code: str

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {"name": self.name, "version": self.version, "code": self.code}


@dataclass(frozen=True, slots=True)
class ActivePolicy:
    """The compiled rules of all active bundles, under one snapshot.

    `expires_ms` is the earliest end of root and bundles: from then on nothing is decided but deny. At the end of a
    bundle its source soon gives another one, in which only the scope of that bundle is denied. `not_before_ms` is the
    latest time that was seen: a clock that stands before it went back, and could bring back what has expired.
    """

    policy: Policy
    snapshot: Digest
    trust: Trust
    bundles: tuple[BundleInfo, ...]
    expires_ms: int
    dropped: tuple[DroppedBundle, ...] = ()
    not_before_ms: int = 0


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """A bundle, or a root where `bundle` is empty, that a kernel accepted, refused or dropped; `code` says why not.

    `seq` counts from 1 without gaps as long as the process lives.
    """

    seq: int
    at_ms: int
    kind: str
    bundle: str
    version: int | None
    code: str
    message: str

    def as_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "seq": self.seq,
            "at_ms": self.at_ms,
            "kind": self.kind,
            "bundle": self.bundle,
            "version": self.version,
            "code": self.code,
            "message": self.message,
        }


class PolicySource(Protocol):
    """Gives the policy to decide under; what it gives was verified."""

    @property
    def trust(self) -> Trust | None:
        """The root in force, also while there is no bundle."""
        ...

    def current(self) -> ActivePolicy | None:
        """The policy in force, or None: then every decision is deny. Cheap; called for every request."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` (quick, on the event loop) after every change of `current` and every event."""
        ...

    def events(self, after: int) -> Sequence[PolicyEvent]:
        """What happened to policy since the event `after`, as far as it is kept; oldest first."""
        ...

    @property
    def epoch_ms(self) -> int:
        """Since when events are counted: with the replica's name and `seq` it names an event."""
        ...

    def status(self) -> dict[str, object]:
        """What an operator wants to know: last success, last error, revision, signers. Plain values."""
        ...
