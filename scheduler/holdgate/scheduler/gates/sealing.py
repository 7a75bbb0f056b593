"""Sealing of quarantined output: to a public key whose private half the control plane does not need to hold.

libsodium's sealed box (X25519, XSalsa20-Poly1305, an ephemeral sender): whoever seals cannot open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from holdgate.kernel import wire
from holdgate.kernel.canonical import digest_bytes
from holdgate.kernel.errors import Forged, InvalidInput
from holdgate.kernel.ids import Digest


@dataclass(frozen=True, slots=True)
class Sealed:
    """Sealed bytes. `digest` is of the sealed bytes: what is released later is checked to be these."""

    data: bytes
    digest: Digest


class Sealer:
    """Seals to one X25519 public key of 32 bytes."""

    def __init__(self, public_key: bytes) -> None:
        self._box = SealedBox(PublicKey(public_key))

    def seal(self, content: dict[str, Any]) -> Sealed:
        """`content` (plain values) as bytes that only the private key opens."""
        data = bytes(self._box.encrypt(wire.pack(content)))
        return Sealed(data, digest_bytes(data))


def open_sealed(data: bytes, private_key: PrivateKey) -> dict[str, Any]:
    """What was sealed. Forged when it was not sealed to this key, or altered."""
    try:
        return wire.unpack(SealedBox(private_key).decrypt(data), bytes_max=4 * len(data) + 1024)
    except (CryptoError, InvalidInput, ValueError) as error:
        raise Forged("not sealed to this key, or altered") from error
