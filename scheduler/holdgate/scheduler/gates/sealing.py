"""Sealing of quarantined output: to a public key whose private half the control plane does not need to hold.

libsodium's sealed box (X25519, XSalsa20-Poly1305, an ephemeral sender): whoever seals cannot open.

What always holds: beside the box goes a commitment to its content, salted inside the box with 32 random bytes, so that
it tells nothing to whoever guesses, and whoever opened the box elsewhere can prove that this is what was sealed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from holdgate.kernel import wire
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.ids import Digest, Entropy

SALT_BYTES = 32
_COMMITTED = b"holdgate/sealed-output/v1\0"


@dataclass(frozen=True, slots=True)
class Sealed:
    """Sealed bytes. `digest` is of the sealed bytes, `commitment` of what is in them: what is released is these."""

    data: bytes
    digest: Digest
    commitment: Digest


class Sealer:
    """Seals to one X25519 public key of 32 bytes."""

    def __init__(self, public_key: bytes, entropy: Entropy = os.urandom) -> None:
        self._box = SealedBox(PublicKey(public_key))
        self._entropy = entropy

    def seal(self, content: dict[str, Any]) -> Sealed:
        """`content` (plain values) as bytes that only the private key opens."""
        opened = wire.pack({**content, "salt": self._entropy(SALT_BYTES)})
        data = bytes(self._box.encrypt(opened))
        return Sealed(data, digest_bytes(data), commitment_of(opened))


def commitment_of(opened: bytes) -> Digest:
    """What was committed to when this was sealed: over every byte of it, the salt among them."""
    return digest_bytes(_COMMITTED + opened)


def open_box(data: bytes, private_key: PrivateKey) -> bytes:
    """The bytes that were sealed. Forged when they were not sealed to this key, or altered."""
    try:
        return bytes(SealedBox(private_key).decrypt(data))
    except (CryptoError, ValueError) as error:
        raise Forged("not sealed to this key, or altered") from error


def content_of(opened: bytes) -> dict[str, Any]:
    """What the bytes of an opened box say, without the salt. Forged when they are not what is sealed."""
    try:
        content = wire.unpack(opened, bytes_max=len(opened))
    except InvalidInput as error:
        raise Forged("not the content of a sealed output") from error
    content.pop("salt", None)
    return content
