"""Ed25519 key files: a JSON document with a 32-byte seed, readable by its owner only.

    {"format": "holdgate-key/1", "kind": "author", "fingerprint": "ed25519:…", "public_key": "<hex>", "seed": "<hex>"}

What always holds: a private key file that others can read is refused; a key is named by its fingerprint; nothing prints
a seed. A public key file has the same shape without `seed`.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey

from holdgate.bundles.errors import KeyUnsafe, KeyUnusable
from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.kernel.ids import Entropy
from holdgate.kernel.permits import Signer, fingerprint

FORMAT = "holdgate-key/1"
KEY_FILE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class PublicKey:
    """32 raw bytes and their name."""

    kind: str
    raw: bytes

    @property
    def fingerprint(self) -> str:
        """`ed25519:` and 32 hex digits."""
        return fingerprint(self.raw)


def generate(path: Path, kind: str = "author", *, entropy: Entropy = os.urandom) -> Signer:
    """A new private key in `path` (created with mode 0600, never overwritten) and its `.pub` beside it."""
    seed = entropy(32)
    signer = Signer.from_seed(seed)
    public = {"format": FORMAT, "kind": kind, "fingerprint": signer.name, "public_key": signer.public_key.hex()}
    _write_new(path, canonical_bytes({**public, "seed": seed.hex()}) + b"\n", 0o600)
    _write_new(path.with_name(path.name + ".pub"), canonical_bytes(public) + b"\n", 0o644)
    return signer


def load_signer(path: Path) -> Signer:
    """The private key in `path`; KeyUnsafe when others may read it, KeyUnusable when it is not a key file."""
    document = _document(path, private=True)
    try:
        signer = Signer.from_seed(bytes.fromhex(document["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnusable(f"`{path}` has no usable seed") from error
    if document.get("fingerprint") != signer.name:
        raise KeyUnusable(f"the fingerprint in `{path}` is not that of its seed")
    return signer


def load_public(path: Path) -> PublicKey:
    """The public key in `path`, a private or a public key file."""
    document = _document(path, private=False)
    if "seed" in document:
        _refuse_readable(path)
    try:
        key = PublicKey(str(document["kind"]), bytes.fromhex(document["public_key"]))
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnusable(f"`{path}` has no usable public key") from error
    if len(key.raw) != 32 or document.get("fingerprint") != key.fingerprint:
        raise KeyUnusable(f"the fingerprint in `{path}` is not that of its key")
    return key


def generate_quarantine(path: Path, *, entropy: Entropy = os.urandom) -> bytes:
    """A new X25519 private key in `path` (mode 0600); returns the public half, 32 bytes, that the root names."""
    key = PrivateKey(entropy(32))
    public = bytes(key.public_key)
    document = {"format": FORMAT, "kind": "quarantine", "public_key": public.hex(), "seed": bytes(key).hex()}
    _write_new(path, canonical_bytes(document) + b"\n", 0o600)
    return public


def load_quarantine(path: Path) -> PrivateKey:
    """The X25519 private key in `path`, which opens quarantined output."""
    document = _document(path, private=True)
    try:
        key = PrivateKey(bytes.fromhex(document["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnusable(f"`{path}` has no usable seed") from error
    if document.get("kind") != "quarantine":
        raise KeyUnusable(f"`{path}` is not a quarantine key")
    return key


def _document(path: Path, *, private: bool) -> dict[str, Any]:
    if private:
        _refuse_readable(path)
    try:
        with path.open("rb") as file:
            value = parse_json(file.read(KEY_FILE_BYTES_MAX))
    except OSError as error:
        raise KeyUnusable(f"cannot read `{path}`: {error.strerror}") from error
    except MalformedJson as error:
        raise KeyUnusable(f"`{path}` is not a key file") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise KeyUnusable(f"`{path}` is not a key file")
    return value


def _refuse_readable(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise KeyUnusable(f"cannot read `{path}`: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyUnsafe(f"others may read `{path}`; run `chmod 600 {path}`")


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    except FileExistsError as error:
        raise KeyUnusable(f"`{path}` exists; a key is never overwritten") from error
    except OSError as error:
        raise KeyUnusable(f"cannot write `{path}`: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
