"""Keys of NATS users (nkeys): a seed that its holder keeps, and the public key that the server's configuration names.

What always holds: whoever reads the server's configuration or its wire cannot log in with what stands there; a text
with a wrong check sum, or of another kind than a user, is no key. A seed does not print itself.

The form is that of github.com/nats-io/nkeys: base32 of prefix, 32 bytes and a CRC-16 (XMODEM, least byte first). It is
written here because the Python package of that name has no wheel, and these lines are all that a client needs of it.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Entropy

_SEED = 18 << 3  # shows as S
_USER = 20 << 3  # shows as U
_SEED_CHARS = 58
_PUBLIC_CHARS = 56


@dataclass(frozen=True, slots=True)
class Nkey:
    """A user's key. `seed` is the text that lies in its file, `public` the text that the server knows."""

    seed: str = field(repr=False)
    public: str
    _key: SigningKey = field(repr=False, compare=False)

    @classmethod
    def generate(cls, entropy: Entropy = os.urandom) -> Nkey:
        """A new one."""
        head = bytes((_SEED | (_USER >> 5), (_USER & 31) << 3))
        return cls.parse(_encoded(head + entropy(32)))

    @classmethod
    def parse(cls, seed: str) -> Nkey:
        """The key of a seed; InvalidInput when it is not that of a user."""
        raw = _decoded(seed, _SEED_CHARS)
        if raw[0] & 0xF8 != _SEED or ((raw[0] & 7) << 5 | raw[1] >> 3) != _USER:
            raise InvalidInput("not the seed of a NATS user: it begins with SU")
        key = SigningKey(raw[2:])
        return cls(seed, _encoded(bytes((_USER,)) + bytes(key.verify_key)), key)

    def sign(self, nonce: str) -> bytes:
        """What a server wants for its nonce, as nats-py sends it."""
        return base64.urlsafe_b64encode(self._key.sign(nonce.encode()).signature).rstrip(b"=")


def verify_public(text: str) -> str:
    """`text`, which is the public key of a user; InvalidInput otherwise."""
    if _decoded(text, _PUBLIC_CHARS)[0] != _USER:
        raise InvalidInput("not the public key of a NATS user: it begins with U")
    return text


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _decoded(text: str, chars: int) -> bytes:
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8)) if len(text) == chars else b""
    except ValueError as error:
        raise InvalidInput("not a key of NATS: it is not base32") from error
    if not raw or binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != raw[-2:]:
        raise InvalidInput("not a key of NATS: it is too short or too long, or its check sum is wrong")
    return raw[:-2]
