"""Seals the seed of a key with a passphrase: Argon2id makes a key of it (RFC 9106), XSalsa20-Poly1305 seals. No IO.

    {"kdf": "argon2id", "operations": 3, "memory_bytes": 268435456, "salt": "<hex>", "box": "<hex>"}

What always holds: what a file asks for in time and memory is bounded before it is spent; a wrong passphrase and an
altered box are one error; a passphrase is in no message.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from holdgate.bundles.errors import KeyPassphrase, KeyUnusable
from holdgate.kernel.ids import Entropy

LENGTH_MIN = 12
"""Characters of a new passphrase."""
BYTES_MAX = 1024
OPERATIONS_MAX = 10
MEMORY_BYTES_MAX = 1024 * 1024 * 1024
_SEED_BYTES = 32
_BOX_HEX = 2 * (SecretBox.NONCE_SIZE + SecretBox.MACBYTES + _SEED_BYTES)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a guess costs. The default is libsodium's `moderate`: 256 MiB, about 0.7 s."""

    operations: int = argon2id.OPSLIMIT_MODERATE
    memory_bytes: int = argon2id.MEMLIMIT_MODERATE


class SealedSeed(BaseModel):
    """As it stands in a key file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    kdf: Literal["argon2id"] = "argon2id"
    operations: int = Field(ge=argon2id.OPSLIMIT_MIN, le=OPERATIONS_MAX)
    memory_bytes: int = Field(ge=argon2id.MEMLIMIT_MIN, le=MEMORY_BYTES_MAX)
    salt: Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{2 * argon2id.SALTBYTES}}}$")]
    box: Annotated[str, StringConstraints(pattern=rf"^[0-9a-f]{{{_BOX_HEX}}}$")]


def parse_passphrase(data: bytes) -> bytes:
    """A passphrase as it was typed or read, without the end of its line; KeyPassphrase where it is none.

    The same characters are the same passphrase however a keyboard composes them.
    """
    if len(data) > BYTES_MAX:
        raise KeyPassphrase(f"a passphrase has at most {BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise KeyPassphrase("the passphrase is not UTF-8") from error
    if not text:
        raise KeyPassphrase("the passphrase is empty")
    return unicodedata.normalize("NFC", text).encode()


def require_strong(passphrase: bytes) -> bytes:
    """`passphrase`, for a new key; KeyPassphrase where it is too short."""
    if len(passphrase.decode()) < LENGTH_MIN:
        raise KeyPassphrase(f"a new passphrase has at least {LENGTH_MIN} characters")
    return passphrase


def seal_seed(seed: bytes, passphrase: bytes, *, entropy: Entropy, cost: Cost | None = None) -> dict[str, Any]:
    """The seed, 32 bytes, sealed; plain values."""
    chosen = cost or Cost()
    salt = entropy(argon2id.SALTBYTES)
    box = SecretBox(argon2id.kdf(SecretBox.KEY_SIZE, passphrase, salt, chosen.operations, chosen.memory_bytes))
    sealed = bytes(box.encrypt(seed, entropy(SecretBox.NONCE_SIZE)))
    return SealedSeed(
        operations=chosen.operations, memory_bytes=chosen.memory_bytes, salt=salt.hex(), box=sealed.hex()
    ).model_dump(mode="json")


def open_seed(value: Any, passphrase: bytes) -> bytes:
    """The seed in a sealed one; KeyPassphrase where it does not open, KeyUnusable where it is none."""
    try:
        sealed = SealedSeed.model_validate(value)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise KeyUnusable(f"not a sealed key: `{where or 'sealed'}` is out of bounds") from error
    try:
        key = argon2id.kdf(
            SecretBox.KEY_SIZE, passphrase, bytes.fromhex(sealed.salt), sealed.operations, sealed.memory_bytes
        )
        return bytes(SecretBox(key).decrypt(bytes.fromhex(sealed.box)))
    except CryptoError as error:
        raise KeyPassphrase("the passphrase does not open the key") from error
