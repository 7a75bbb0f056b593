"""Keys, a root, bundles and jobs for tests of what is signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from holdgate.bundles.chain import parse_chain, sign_root
from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.bundles.root import Approver, AuthorKey, Fail, Pins, Root, RootKeys, Scope
from holdgate.kernel.canonical import canonical_bytes, digest_bytes
from holdgate.kernel.ids import ActorId, JobId, Tenant, new_job_id
from holdgate.kernel.links import Admission, Signed, Vote
from holdgate.kernel.permits import Signer, seal
from holdgate.kernel.records import Decision, Job, Outcome

NOW_MS = 1_800_000_000_000
YEAR_MS = 365 * 86_400_000
STARTER = Path(__file__).parents[2] / "bundles" / "holdgate" / "bundles" / "starter" / "demo"


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms

    def advance(self, seconds: float) -> None:
        self.time_ms += int(seconds * 1000)


def signer(name: str) -> Signer:
    """The same key for the same name, in every run."""
    return Signer.from_seed(name.encode().ljust(32, b".")[:32])


@dataclass
class Ceremony:
    """A root with its keys. Change a field, then ask for `root` again."""

    version: int = 1
    expires: str = "2040-01-01T00:00:00Z"
    authors: Sequence[str] = ("author",)
    threshold: int = 1
    root_keys: Sequence[str] = ("root",)
    root_threshold: int = 1
    scopes: dict[str, Scope] = field(default_factory=dict)
    approvers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    fail_modes: Fail = field(default_factory=Fail)
    default_decision: Literal["deny", "allow"] = "deny"
    older: Ceremony | None = None
    """The root that this one follows; its keys sign this one too, and it stands in this one's file."""

    @property
    def root(self) -> Root:
        return Root(
            version=self.version,
            expires=self.expires,
            root=RootKeys(keys=[_hex(name) for name in self.root_keys], threshold=self.root_threshold),
            authors=[
                AuthorKey(name=name, public_key=_hex(name), scope=self.scopes.get(name, Scope()))
                for name in self.authors
            ],
            threshold=self.threshold,
            api_keys=[_hex("api")],
            kernel_keys=[_hex("kernel")],
            dispatcher_keys=[_hex("dispatcher")],
            approvers=[
                Approver(actor=actor, public_key=_hex(actor), roles=list(roles))
                for actor, roles in self.approvers.items()
            ],
            fail_modes=self.fail_modes,
            default_decision=self.default_decision,
        )

    @property
    def pins(self) -> Pins:
        return Pins(frozenset(signer(name).name for name in self.root_keys), self.root_threshold)

    def signed_root(self) -> bytes:
        if self.older is None:
            return sign_root(self.root, [signer(name) for name in self.root_keys])
        names = {*self.root_keys, *self.older.root_keys}
        return sign_root(self.root, [signer(name) for name in names], after=parse_chain(self.older.signed_root()))

    def next(self, **changes: Any) -> Ceremony:
        """The ceremony of the next version, with `changes`."""
        return replace(self, **{"version": self.version + 1, "older": self, **changes})


def bundle(
    directory: Path,
    rules: str,
    *,
    name: str = "house",
    version: int = 1,
    signers: Sequence[str] = ("author",),
    scope: str = '{tenants: ["*"], topics: [">"]}',
    expires: str = "2039-01-01T00:00:00Z",
    more: str = "",
) -> bytes:
    """A bundle with these rules, built in a directory of its own under `directory` and signed.

    `more`: further lines of `bundle.yaml`.
    """
    place = directory / f"{name}-{version}"
    place.mkdir(exist_ok=True)
    (place / "rules.yaml").write_text(rules)
    (place / "bundle.yaml").write_text(
        f'name: {name}\nversion: {version}\nscope: {scope}\nexpires: "{expires}"\nrules: [rules.yaml]\n{more}'
    )
    return signed(build_bundle(place), signers)


def starter() -> bytes:
    """The starter bundle, signed."""
    return signed(build_bundle(STARTER), ["author"])


def signed(built: bytes, signers: Sequence[str]) -> bytes:
    for name in signers:
        built = sign_bundle(built, signer(name))
    return built


ALLOW_READS = """
rules:
  - {id: allow-reads, decision: allow, reason: reading is fine, match: {topics: ["job.read.>"]}}
"""
HOLD_WRITES = """
rules:
  - id: hold-writes
    decision: require_approval
    reason: somebody looks at writes
    match: {topics: ["job.write.>"]}
    approvers: {roles: [release-manager], quorum: 1, expires: 1h}
"""


def job(topic: str = "job.read.all", *, payload: Any = None, **changes: Any) -> Job:
    """A job of `agent` in tenant `default`."""
    data = canonical_bytes(payload)
    made = Job(
        job_id=new_job_id(NOW_MS),
        created_ms=NOW_MS,
        trace_id="trace",
        tenant=Tenant("default"),
        topic=topic,
        payload=data,
        payload_digest=digest_bytes(data),
        actor=ActorId("agent"),
        actor_type="agent",
        pool="default",
        max_attempts=3,
    )
    return replace(made, **changes)


def admission(of: Job, decision: Decision, *, by: str = "api", **changes: Any) -> Signed:
    """The api's admission of `of`; `changes` forge fields before it is signed."""
    record = Admission(
        job_id=of.job_id,
        job_hash=of.job_hash(),
        tenant=of.tenant,
        actor=of.actor,
        principals=of.principals,
        outcome=Outcome.ACCEPTED,
        verdict=str(decision.verdict),
        snapshot=decision.snapshot,
        issued_ms=NOW_MS,
    )
    return seal(replace(record, **changes), signer(by))


def vote(of: Job, decision: Decision, *, by: str = "api", **changes: Any) -> Signed:
    """A release manager's yes, signed by the api; `changes` forge fields before it is signed."""
    record = Vote(
        job_id=JobId(of.job_id),
        job_hash=of.job_hash(),
        snapshot=decision.snapshot,
        tenant=of.tenant,
        approver=ActorId("erin"),
        roles=("release-manager",),
        approve=True,
        reason="looked at it",
        attempt=1,
        issued_ms=NOW_MS,
        expires_ms=NOW_MS + 3_600_000,
    )
    return seal(replace(record, **changes), signer(by))


def _hex(name: str) -> str:
    return signer(name).public_key.hex()
