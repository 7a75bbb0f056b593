"""Ed25519 key files: a JSON document with a 32-byte seed, readable by its owner only, plain or sealed.

    {"format": "holdgate-key/1", "kind": "author", "fingerprint": "ed25519:…", "public_key": "<hex>", "seed": "<hex>"}
    {"format": "holdgate-key/2", "kind": …, "fingerprint": …, "public_key": …, "sealed": {…see `passphrase`…}}

What always holds: a private key file that others can read or replace is refused, by looking at the very file that was
opened; a key is named by its fingerprint; nothing prints a seed. A public key file has the shape of the first without
`seed`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from nacl.public import PrivateKey

from holdgate.bundles.errors import KeyPassphrase, KeyUnsafe, KeyUnusable
from holdgate.bundles.passphrase import Cost, open_seed, parse_passphrase, require_strong, seal_seed
from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.kernel.filemodes import is_private
from holdgate.kernel.ids import Entropy
from holdgate.kernel.permits import Signer, fingerprint

FORMAT = "holdgate-key/1"
SEALED_FORMAT = "holdgate-key/2"
KEY_FILE_BYTES_MAX = 4096
AskPassphrase = Callable[[], bytes]
"""Called for a sealed key only."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """32 raw bytes and their name. `sealed`: of a private key file that a passphrase opens."""

    kind: str
    raw: bytes
    sealed: bool = False

    @property
    def fingerprint(self) -> str:
        """`ed25519:` and 32 hex digits."""
        return fingerprint(self.raw)


def generate(
    path: Path,
    kind: str = "author",
    *,
    passphrase: bytes | None = None,
    cost: Cost | None = None,
    entropy: Entropy = os.urandom,
) -> Signer:
    """A new private key in `path` (created with mode 0600, never overwritten) and its `.pub` beside it.

    Sealed, where there is a passphrase; KeyPassphrase where that is too short.
    """
    seed = entropy(32)
    signer = Signer.from_seed(seed)
    public = {"format": FORMAT, "kind": kind, "fingerprint": signer.name, "public_key": signer.public_key.hex()}
    private: dict[str, Any] = {**public, "seed": seed.hex()}
    if passphrase is not None:
        sealed = seal_seed(seed, require_strong(passphrase), entropy=entropy, cost=cost)
        private = {**public, "format": SEALED_FORMAT, "sealed": sealed}
    _write_new(path, canonical_bytes(private) + b"\n", 0o600)
    _write_new(path.with_name(path.name + ".pub"), canonical_bytes(public) + b"\n", 0o644)
    return signer


def load_signer(path: Path, passphrase: AskPassphrase | None = None) -> Signer:
    """The private key in `path`.

    KeyUnsafe when others may read or replace it, KeyPassphrase when it is sealed and does not open, KeyUnusable when it
    is not a key file.
    """
    return _signer(_document(_read_private(path), f"`{path}`"), f"`{path}`", passphrase)


def load_signer_fd(descriptor: int, passphrase: AskPassphrase | None = None) -> Signer:
    """The private key that a descriptor gives, such as a pipe from a program that keeps keys; as `load_signer`."""
    name = f"descriptor {descriptor}"
    return _signer(_document(read_descriptor(descriptor), name), name, passphrase)


def load_public(path: Path) -> PublicKey:
    """The public key in `path`, a private or a public key file. Of a sealed one, as the file says it."""
    name = f"`{path}`"
    with _opened(path) as file:
        document = _document(_bounded(file, name), name)
        if "seed" in document or "sealed" in document:
            _refuse_shared(file, name)
    try:
        key = PublicKey(str(document["kind"]), bytes.fromhex(document["public_key"]), "sealed" in document)
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnusable(f"{name} has no usable public key") from error
    if len(key.raw) != 32 or document.get("fingerprint") != key.fingerprint:
        raise KeyUnusable(f"the fingerprint in {name} is not that of its key")
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
    document = _document(_read_private(path), f"`{path}`")
    try:
        key = PrivateKey(bytes.fromhex(document["seed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnusable(f"`{path}` has no usable seed") from error
    if document.get("kind") != "quarantine":
        raise KeyUnusable(f"`{path}` is not a quarantine key")
    return key


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a file that is its owner's only; KeyUnsafe, KeyPassphrase, KeyUnusable."""
    return parse_passphrase(_read_private(path))


def read_descriptor(descriptor: int) -> bytes:
    """What an open descriptor gives; KeyUnusable, and KeyUnsafe for a file that is not its owner's only."""
    name = f"descriptor {descriptor}"
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                _refuse_shared(file, name)
            return _bounded(file, name)
    except OSError as error:
        raise KeyUnusable(f"cannot read {name}: {error.strerror}") from error


def _signer(document: dict[str, Any], name: str, passphrase: AskPassphrase | None) -> Signer:
    try:
        signer = Signer.from_seed(_seed(document, name, passphrase))
    except (KeyError, TypeError, ValueError) as error:
        raise KeyUnusable(f"{name} has no usable seed") from error
    if document.get("fingerprint") != signer.name:
        raise KeyUnusable(f"the fingerprint in {name} is not that of its seed")
    return signer


def _seed(document: dict[str, Any], name: str, passphrase: AskPassphrase | None) -> bytes:
    if document["format"] == FORMAT:
        return bytes.fromhex(document["seed"])
    if passphrase is None:
        raise KeyPassphrase(f"{name} is sealed with a passphrase, and nothing here can give one")
    return open_seed(document["sealed"], passphrase())


def _document(data: bytes, name: str) -> dict[str, Any]:
    try:
        value = parse_json(data)
    except MalformedJson as error:
        raise KeyUnusable(f"{name} is not a key file") from error
    if not isinstance(value, dict) or value.get("format") not in (FORMAT, SEALED_FORMAT):
        raise KeyUnusable(f"{name} is not a key file")
    return value


def _read_private(path: Path) -> bytes:
    name = f"`{path}`"
    with _opened(path, os.O_NOFOLLOW) as file:
        _refuse_shared(file, name)
        return _bounded(file, name)


def _opened(path: Path, flags: int = 0) -> BinaryIO:
    """A plain file; what lies at `path` is opened once, and nothing waits for whoever writes to a pipe."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyUnsafe(f"`{path}` is a link; name the file that it leads to") from error
        raise KeyUnusable(f"cannot read `{path}`: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise KeyUnusable(f"`{path}` is not a plain file; for a pipe there is `--key-fd`")
    return os.fdopen(descriptor, "rb")


def _bounded(file: BinaryIO, name: str) -> bytes:
    try:
        data = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyUnusable(f"cannot read {name}: {error.strerror}") from error
    if len(data) > KEY_FILE_BYTES_MAX:
        raise KeyUnusable(f"{name} is not a key file: it is larger than {KEY_FILE_BYTES_MAX} bytes")
    return data


def _refuse_shared(file: BinaryIO, name: str) -> None:
    """Only whoever runs this, or the superuser, may own the file, and nobody else may read it: `is_private`."""
    status = os.fstat(file.fileno())
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyUnsafe(f"{name} belongs to user {status.st_uid}; make a copy of your own, with mode 600")
    if not is_private(status, os.geteuid()):
        raise KeyUnsafe(f"others may read {name}; run `chmod 600` on it")


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
