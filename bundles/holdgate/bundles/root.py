"""The trust root: who may sign what. Signed itself. No IO.

    {"signatures": [{"key": "ed25519:…", "signature": "<hex>"}, …], "signed": {…the root…}}

The signatures cover the canonical bytes of `signed`. What always holds: a first root is believed only when as many of
the *pinned* keys signed it as the pins demand, so that a root naming its own signers proves nothing; a root is parsed
into `Root` only after that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
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

from holdgate.bundles.errors import BundleExpired, BundleMalformed, RootRefused
from holdgate.kernel.canonical import canonical_bytes, digest, parse_json
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import Forged, MalformedJson
from holdgate.kernel.ids import ActorId
from holdgate.kernel.permits import Keyring, Signer, fingerprint
from holdgate.kernel.records import Signed
from holdgate.kernel.topics import is_pattern
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

    @field_validator("topics")
    @classmethod
    def _are_patterns(cls, topics: list[str]) -> list[str]:
        if not all(map(is_pattern, topics)):
            msg = "not a topic pattern"
            raise ValueError(msg)
        return topics


class AuthorKey(_Strict):
    """A key that may sign bundles, and within which scope. An author with an old and a new key stands here twice."""

    name: str = Field(min_length=1, max_length=128)
    public_key: KeyHex
    scope: Scope = Scope()


class Approver(_Strict):
    """An approver's own key; `roles` are those that votes signed with it count for."""

    actor: str = Field(min_length=1, max_length=128)
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
        parse_rfc3339(self.expires)
        if self.threshold > len({author.name for author in self.authors}):
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
            approver_keys=_keyring([approver.public_key for approver in self.approvers]),
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
    signed = root.model_dump(mode="json")
    body = canonical_bytes(signed)
    signatures = [
        {"key": signer.name, "signature": signer.sign(DOMAIN, body).signature.hex()}
        for signer in sorted(signers, key=lambda signer: signer.name)
    ]
    return canonical_bytes({"signed": signed, "signatures": signatures}) + b"\n"


def verify_root(data: bytes, pins: Pins, now_ms: int) -> Root:
    """The root in `data`, once enough pinned keys signed it and it has not expired.

    RootRefused when the pins are not met, BundleMalformed when it is not a root, BundleExpired when its time is over.
    """
    signed, signatures = _split(data)
    body = canonical_bytes(signed)
    candidates = _declared_root_keys(signed)
    pinned = Keyring(raw for raw in candidates if fingerprint(raw) in pins.keys)
    holding = {signature.key for signature in signatures if _holds(pinned, body, signature)}
    if len(holding) < pins.threshold:
        raise RootRefused(
            f"{len(holding)} of the pinned keys signed the root, {pins.threshold} must", code="root_threshold"
        )
    root = parse_root(signed)
    own = Keyring(bytes.fromhex(key) for key in root.root.keys)
    if len({signature.key for signature in signatures if _holds(own, body, signature)}) < root.root.threshold:
        raise RootRefused("the root is not signed by its own threshold", code="root_threshold")
    if now_ms >= root.expires_ms:
        raise BundleExpired(f"the root expired at {root.expires}", code="root_expired")
    return root


def parse_root(value: Any) -> Root:
    """The root in a JSON value, nothing verified; BundleMalformed when it is not one."""
    try:
        return Root.model_validate(value)
    except (ValidationError, ValueError) as error:
        raise BundleMalformed(f"not a root: {_first_problem(error)}", code="root_malformed") from error


def _split(data: bytes) -> tuple[dict[str, Any], list[Signed]]:
    if len(data) > ROOT_BYTES_MAX:
        raise BundleMalformed(
            f"a root of {len(data)} bytes is over the limit of {ROOT_BYTES_MAX}", code="root_malformed"
        )
    try:
        document = parse_json(data)
    except MalformedJson as error:
        raise BundleMalformed(f"the root is not JSON: {error}", code="root_malformed") from error
    if not isinstance(document, dict) or set(document) != {"signed", "signatures"}:
        raise BundleMalformed("a root has `signed` and `signatures`", code="root_malformed")
    signed, listed = document["signed"], document["signatures"]
    if not isinstance(signed, dict) or not isinstance(listed, list) or len(listed) > 100:
        raise BundleMalformed("a root has `signed` and `signatures`", code="root_malformed")
    body = canonical_bytes(signed)
    return signed, [_signature(body, item) for item in listed]


def _signature(body: bytes, item: Any) -> Signed:
    if (
        not isinstance(item, dict)
        or set(item) != {"key", "signature"}
        or not isinstance(item["key"], str)
        or not isinstance(item["signature"], str)
        or SIGNATURE_HEX.match(item["signature"]) is None
    ):
        raise BundleMalformed("a signature has `key` and `signature` in hex", code="root_malformed")
    return Signed(body=body, key=item["key"], signature=bytes.fromhex(item["signature"]))


def _declared_root_keys(signed: Mapping[str, Any]) -> list[bytes]:
    """Raw keys that the file offers; only those whose fingerprint is pinned are ever used."""
    section = signed.get("root")
    keys = section.get("keys") if isinstance(section, dict) else None
    if not isinstance(keys, list) or not all(
        isinstance(key, str) and re.fullmatch(r"[0-9a-f]{64}", key) for key in keys
    ):
        raise BundleMalformed("a root lists its keys in hex", code="root_malformed")
    return [bytes.fromhex(key) for key in keys]


def _holds(keyring: Keyring, body: bytes, signature: Signed) -> bool:
    if signature.key not in keyring:
        return False
    try:
        return keyring.verify(DOMAIN, signature) == body
    except Forged:
        return False


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
