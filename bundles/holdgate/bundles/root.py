"""The trust root: who may sign what, and what operators pin. Plain data; `chain` verifies it. No IO.

What always holds: within a root, a key has one purpose and stands once for it, thresholds can be met, and nothing but
the root says that something is allowed by default or while no kernel answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from holdgate.bundles.errors import BundleMalformed, RootRefused
from holdgate.kernel.canonical import digest
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.ids import ActorId, Digest, people_of
from holdgate.kernel.permits import Keyring, fingerprint
from holdgate.kernel.topics import is_pattern
from holdgate.kernel.trust import ApproverKey, ApproverScope, FailModes, Trust

FORMAT = "holdgate-root/1"
KEYS_MAX = 1000

KEY_HEX = re.compile(r"[0-9a-f]{64}\Z")
KeyHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TIME_MS_MAX = 253_370_764_799_999
"""The end of the year 9998."""
FINGERPRINT = re.compile(r"ed25519:[0-9a-f]{32}\Z")
SIGNATURE_HEX = re.compile(r"[0-9a-f]{128}\Z")


def parse_time_ms(text: str) -> int:
    """As `parse_rfc3339`, for times that can be written again, also with months added: bundles and roots are shown
    wherever their status is. ValueError otherwise.
    """
    time_ms = parse_rfc3339(text)
    if not 0 <= time_ms <= TIME_MS_MAX:
        msg = "a time from 1970 to 9998 is expected"
        raise ValueError(msg)
    return time_ms


def _printable(text: str) -> str:
    """A name stands on the terminals of those who are asked to sign: nothing in it may move a cursor."""
    if not text.isprintable():
        msg = "a character that cannot be printed"
        raise ValueError(msg)
    return text


Printable = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_printable)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Scope(_Strict):
    """Where rules may reach. An empty list would reach nowhere and is refused."""

    tenants: list[Name | Literal["*"]] = Field(default=["*"], min_length=1, max_length=1000)
    topics: list[Pattern] = Field(default=[">"], min_length=1, max_length=1000)

    @field_validator("topics")
    @classmethod
    def _are_patterns(cls, topics: list[str]) -> list[str]:
        if not all(map(is_pattern, topics)):
            msg = "not a topic pattern"
            raise ValueError(msg)
        return topics


class AuthorKey(_Strict):
    """A key that may sign bundles, and within which scope. An author with an old and a new key stands here twice."""

    name: Printable
    public_key: KeyHex
    scope: Scope = Scope()


class Approver(_Strict):
    """An approver's own key; `roles` are those that votes signed with it count for."""

    actor: Printable
    public_key: KeyHex
    roles: list[Name] = []


class ApproverRole(_Strict):
    """A role that rules within `scope` may ask approvals of, from at least `quorum_min` people."""

    name: Name
    scope: Scope = Scope()
    quorum_min: int = Field(default=1, ge=1, le=100)


class RootKeys(_Strict):
    """Who may sign the next root."""

    keys: list[KeyHex] = Field(min_length=1, max_length=100)
    threshold: int = Field(ge=1)


class Fail(_Strict):
    """What a gate does while no kernel answers."""

    submit: Literal["closed", "open"] = "closed"
    dispatch: Literal["closed", "open"] = "closed"


class Root(_Strict):
    """What the signatures of a root cover. Keys are hex of 32 raw bytes; `expires` is RFC 3339."""

    format: Literal["holdgate-root/1"] = "holdgate-root/1"
    version: int = Field(ge=1, le=2**53 - 1)
    expires: str
    root: RootKeys
    authors: list[AuthorKey] = Field(min_length=1, max_length=KEYS_MAX)
    threshold: int = Field(default=1, ge=1)
    api_keys: list[KeyHex] = Field(min_length=1, max_length=KEYS_MAX)
    kernel_keys: list[KeyHex] = Field(min_length=1, max_length=KEYS_MAX)
    dispatcher_keys: list[KeyHex] = []
    auditor_keys: list[KeyHex] = []
    approvers: list[Approver] = Field(default=[], max_length=KEYS_MAX)
    approver_roles: list[ApproverRole] = Field(default=[], max_length=KEYS_MAX)
    quarantine_key: KeyHex | None = None
    default_decision: Literal["deny", "allow"] = "deny"
    fail_modes: Fail = Fail()

    @model_validator(mode="after")
    def _relations(self) -> Self:
        parse_time_ms(self.expires)
        if self.threshold > len(people_of(author.name for author in self.authors)):
            msg = "`threshold` is more than there are authors"
            raise ValueError(msg)
        if self.root.threshold > len(set(self.root.keys)):
            msg = "`root.threshold` is more than there are root keys"
            raise ValueError(msg)
        problem = _repeated(self) or _mixed_purposes(self)
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_serializer(mode="wrap")
    def _as_first_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the members that roots of older releases do not have, where they say nothing: what those roots are
        called by (`Trust.root_digest`) stays as kernels remember it."""
        plain: dict[str, Any] = handler(self)
        if not self.approver_roles:
            plain.pop("approver_roles", None)
        return plain

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every signing key that it names, in hex."""
        people = [*self.root.keys, *(author.public_key for author in self.authors)]
        processes = [*self.api_keys, *self.kernel_keys, *self.dispatcher_keys, *self.auditor_keys]
        return (*people, *processes, *(approver.public_key for approver in self.approvers))

    @property
    def expires_ms(self) -> int:
        """When nothing under this root is decided any more but deny."""
        return parse_rfc3339(self.expires)

    @property
    def digest(self) -> Digest:
        """Names what it says."""
        return digest(self.model_dump(mode="json"))

    def trust(self) -> Trust:
        """The root as kernel and gates use it."""
        return Trust(
            root_version=self.version,
            root_digest=self.digest,
            expires_ms=self.expires_ms,
            api=_keyring(self.api_keys),
            kernel=_keyring(self.kernel_keys),
            dispatcher=_keyring(self.dispatcher_keys),
            auditor=_keyring(self.auditor_keys),
            approvers={
                fingerprint(raw): ApproverKey(ActorId(approver.actor), raw, tuple(approver.roles))
                for approver in self.approvers
                for raw in [bytes.fromhex(approver.public_key)]
            },
            approver_keys=_keyring([approver.public_key for approver in self.approvers]),
            approver_roles={
                role.name: ApproverScope(tuple(role.scope.tenants), tuple(role.scope.topics), role.quorum_min)
                for role in self.approver_roles
            },
            fail_modes=FailModes(self.fail_modes.submit == "open", self.fail_modes.dispatch == "open"),
            default_decision=self.default_decision,
            quarantine_key=None if self.quarantine_key is None else bytes.fromhex(self.quarantine_key),
        )


@dataclass(frozen=True, slots=True)
class Pins:
    """What an operator hands every process beside the root file: at least `threshold` of `keys` signed it."""

    keys: frozenset[str]
    threshold: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`2/ed25519:…,ed25519:…` or `ed25519:…,ed25519:…` (all of them); RootRefused otherwise."""
        count, slash, rest = text.strip().partition("/")
        names = [name.strip() for name in (rest if slash else text).split(",") if name.strip()]
        keys = frozenset(names)
        try:
            threshold = int(count) if slash else len(keys)
        except ValueError as error:
            raise RootRefused("pins begin with a number and a slash, or with a fingerprint") from error
        if not keys or not all(map(FINGERPRINT.match, keys)):
            raise RootRefused("pins are fingerprints of root keys, such as `2/ed25519:…,ed25519:…`")
        if not 1 <= threshold <= len(keys):
            raise RootRefused(
                f"the pins want {threshold} to have signed, and name {len(keys)}; name more, or want fewer"
            )
        return cls(keys, threshold)

    def __str__(self) -> str:
        return f"{self.threshold}/{','.join(sorted(self.keys))}"


def authors_of(keys: Iterable[str], root: Root) -> list[tuple[str, str]]:
    """Each of `keys`, fingerprints of authors of `root`, with the name of its author."""
    names = {fingerprint(bytes.fromhex(author.public_key)): author.name for author in root.authors}
    return [(key, names[key]) for key in keys]


def parse_root(value: Any) -> Root:
    """The root in a JSON value, nothing verified; BundleMalformed when it is not one."""
    try:
        return Root.model_validate(value)
    except (ValidationError, ValueError) as error:
        raise BundleMalformed(f"not a root: {_first_problem(error)}", code="root_malformed") from error


def _repeated(root: Root) -> str | None:
    """What stands twice and may not, in words."""
    lists = {
        "authors": [author.public_key for author in root.authors],
        "root.keys": root.root.keys,
        "approver_roles": [role.name for role in root.approver_roles],
    }
    for name, values in lists.items():
        if len(set(values)) != len(values):
            return f"the same {'role' if name == 'approver_roles' else 'key'} stands twice in `{name}`"
    return None


def _mixed_purposes(root: Root) -> str | None:
    """Whoever takes over a process must not sign as another process, nor as a person."""
    online: set[str] = set()
    for keys in (root.api_keys, root.kernel_keys, root.dispatcher_keys, root.auditor_keys):
        if online & set(keys):
            return "a key has more than one purpose among api, kernel, dispatcher and auditor"
        online |= set(keys)
    people = {
        "an author": [author.public_key for author in root.authors],
        "the root": root.root.keys,
        "an approver": [approver.public_key for approver in root.approvers],
    }
    for name, keys in people.items():
        if online & set(keys):
            return f"a key of {name} is also that of a process"
    return None


def _keyring(keys: Sequence[str]) -> Keyring:
    return Keyring(bytes.fromhex(key) for key in keys)


def _first_problem(error: ValidationError | ValueError) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False, include_input=False)[0]
        return f"`{'.'.join(map(str, problem['loc'])) or 'document'}`: {problem['msg'].lower()}"
    return str(error)
