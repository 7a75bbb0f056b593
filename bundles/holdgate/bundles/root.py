"""The trust root: who may sign what. Signed itself. No IO.

    {"signatures": [{"key": "ed25519:…", "signature": "<hex>"}, …], "signed": {…the root…}}

The signatures cover the canonical bytes of `signed`. What always holds: a first root is believed only when as many of the
*pinned* keys signed it as the pins demand, so that a root naming its own signers proves nothing; a root is parsed into
`Root` only after that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from holdgate.bundles.errors import BundleExpired, BundleMalformed, RootRefused
from holdgate.kernel.canonical import canonical_bytes, digest, parse_json
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import Forged, HoldgateError, MalformedJson
from holdgate.kernel.ids import ActorId, Digest
from holdgate.kernel.permits import Keyring, Signer, fingerprint
from holdgate.kernel.records import Signed
from holdgate.kernel.trust import ApproverKey, FailModes, Trust

FORMAT = "holdgate-root/1"
DOMAIN = "root"
ROOT_BYTES_MAX = 1024 * 1024
KEYS_MAX = 1000

KeyHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]
FINGERPRINT = re.compile(r"ed25519:[0-9a-f]{32}\Z")
SIGNATURE_HEX = re.compile(r"[0-9a-f]{128}\Z")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Scope(_Strict):
    """Where rules may reach. An empty list would reach nowhere and is refused."""

    tenants: list[Name | Literal["*"]] = Field(default=["*"], min_length=1, max_length=1000)
    topics: list[Pattern] = Field(default=[">"], min_length=1, max_length=1000)


class AuthorKey(_Strict):
    """A key that may sign bundles, and within which scope."""

    name: str = Field(min_length=1, max_length=128)
    public_key: KeyHex
    scope: Scope = Scope()


class Approver(_Strict):
    """An approver's own key; `roles` are those that votes signed with it count for."""

    actor: str = Field(min_length=1, max_length=128)
    public_key: KeyHex
    roles: list[Name] = []


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
    approvers: list[Approver] = []
    quarantine_key: KeyHex | None = None
    default_decision: Literal["deny"] = "deny"
    fail_modes: Fail = Fail()

    @model_validator(mode="after")
    def _relations(self) -> Self:
        parse_rfc3339(self.expires)
        if self.threshold > len({author.public_key for author in self.authors}):
            msg = "`threshold` is more than there are authors"
            raise ValueError(msg)
        if self.root.threshold > len(set(self.root.keys)):
            msg = "`root.threshold` is more than there are root keys"
            raise ValueError(msg)
        lists = (self.api_keys, self.kernel_keys, self.dispatcher_keys, self.auditor_keys)
        one_purpose = [key for keys in lists for key in set(keys)]
        if len(one_purpose) != len(set(one_purpose)):
            msg = "a key has more than one purpose among api, kernel, dispatcher and auditor"
            raise ValueError(msg)
        return self

    @property
    def expires_ms(self) -> int:
        """When nothing under this root is decided any more but deny."""
        return parse_rfc3339(self.expires)

    def trust(self) -> Trust:
        """The root as kernel and gates use it."""
        return Trust(
            root_version=self.version,
            root_digest=digest(self.model_dump(mode="json")),
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
        if not keys or not all(map(FINGERPRINT.match, keys)) or not 1 <= threshold <= len(keys):
            raise RootRefused("pins are fingerprints of root keys, such as `2/ed25519:…,ed25519:…`")
        return cls(keys, threshold)

    def __str__(self) -> str:
        return f"{self.threshold}/{','.join(sorted(self.keys))}"


def sign_root(root: Root, signers: Sequence[Signer]) -> bytes:
    """The root file: `root` with one signature each of `signers`."""
    raise NotImplementedError


def verify_root(data: bytes, pins: Pins, now_ms: int) -> Root:
    """The root in `data`, once enough pinned keys signed it and it has not expired; RootRefused and kin otherwise."""
    raise NotImplementedError
