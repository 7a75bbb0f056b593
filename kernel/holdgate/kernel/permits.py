"""The chain of custody: each step signs, the next verifies.

    Admission (api) → Vote (approver, or api for the approver) → Permit (kernel) → the worker's check

What always holds: a signature is made over a named purpose and canonical bytes, so one kind of record never passes for
another; a record is parsed only after its signature was verified; a key is found by fingerprint among those the caller
pinned, never taken from the message. No IO.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.grants import Delegation, GrantPart
from holdgate.kernel.links import Admission, Permit, Signed, Vote
from holdgate.kernel.records import Constraints, Outcome

Record = TypeVar("Record", Admission, Vote, Permit, GrantPart, Delegation)

DOMAINS: dict[type, str] = {
    Admission: "admission",
    Vote: "vote",
    Permit: "permit",
    GrantPart: "grant",
    Delegation: "delegation",
}
_FIELDS = {record: frozenset(item.name for item in fields(record)) for record in DOMAINS}


def fingerprint(public_key: bytes) -> str:
    """How a key is named: `ed25519:` and the first 32 hex digits of the SHA-256 of its 32 raw bytes."""
    return "ed25519:" + hashlib.sha256(public_key).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and the name of its public half. Does not print itself."""

    key: SigningKey = field(repr=False)
    name: str

    @classmethod
    def from_seed(cls, seed: bytes) -> Signer:
        """The signer of a 32-byte seed."""
        key = SigningKey(seed)
        return cls(key, fingerprint(bytes(key.verify_key)))

    @property
    def public_key(self) -> bytes:
        """32 raw bytes."""
        return bytes(self.key.verify_key)

    def sign(self, domain: str, body: bytes) -> Signed:
        """`body` signed for the purpose `domain`."""
        return Signed(body=body, key=self.name, signature=self.key.sign(_input(domain, body)).signature)


class Keyring:
    """Public keys that a process pins, found by fingerprint."""

    def __init__(self, public_keys: Iterable[bytes]) -> None:
        self._keys = {fingerprint(raw): VerifyKey(raw) for raw in public_keys}

    def __contains__(self, name: str) -> bool:
        return name in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def verify(self, domain: str, signed: Signed) -> bytes:
        """The body, once its signature held; Forged otherwise."""
        key = self._keys.get(signed.key)
        if key is None:
            raise Forged(f"signed by a key that is not pinned (`{signed.key[:48]}`)", code="unknown_key")
        try:
            key.verify(_input(domain, signed.body), signed.signature)
        except (BadSignatureError, ValueError) as error:
            raise Forged(f"the signature of the {domain} does not hold", code="bad_signature") from error
        return signed.body


def seal(record: Admission | Vote | Permit | GrantPart | Delegation, signer: Signer) -> Signed:
    """`record` signed for its own purpose."""
    return signer.sign(DOMAINS[type(record)], canonical_bytes(_plain(record)))


def open_signed(signed: Signed, record: type[Record], keyring: Keyring) -> Record:
    """The record inside, once its signature held; Forged otherwise."""
    body = parse_json(keyring.verify(DOMAINS[record], signed))
    if not isinstance(body, dict) or body.keys() != _FIELDS[record]:
        raise Forged(f"not a {DOMAINS[record]}")
    try:
        return record(**_typed(body))
    except (TypeError, ValueError, InvalidInput) as error:
        raise Forged(f"not a {DOMAINS[record]}: {error}") from error


def _input(domain: str, body: bytes) -> bytes:
    return b"holdgate/" + domain.encode() + b"/v1\0" + body


def _plain(record: Admission | Vote | Permit | GrantPart | Delegation) -> dict[str, Any]:
    return {
        name: value.as_dict() if isinstance(value := getattr(record, name), Constraints) else _listed(value)
        for name in _FIELDS[type(record)]
    }


def _listed(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return str(value)  # a plain string has a fast way through the canonical encoding
    return list(value) if isinstance(value, tuple) else value


def _typed(body: Mapping[str, Any]) -> dict[str, Any]:
    typed: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}
    if "constraints" in typed:
        typed["constraints"] = Constraints.from_dict(typed["constraints"])
    if "outcome" in typed:
        typed["outcome"] = Outcome(typed["outcome"])
    return typed
