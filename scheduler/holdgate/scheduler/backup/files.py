"""Directories in a backup: the audit archive, what a kernel remembers, and, under a passphrase, keys.

What always holds: a directory that is written to meanwhile is copied as it could have been left by a process that was
killed; what comes back is readable by its owner only, and is never written over something.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from holdgate.bundles.passphrase import Cost, open_seed, seal_seed
from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.kernel.ids import Entropy
from holdgate.scheduler.errors import BackupBroken, Misconfigured, TargetNotEmpty

Add = Callable[[str, bytes], None]
PIECE_BYTES = 1024 * 1024
TRIES = 5
KEYS_BYTES_MAX = 16 * 1024 * 1024
SEAL, LINES = ".seal", ".jsonl"
VERSIONS = "versions.json"
KEY_PLACES = (
    *("keys/**/*", "secrets/**/*", "bundles/**/*", "kubernetes/**/*", "root.json", "api-keys.json", "keys.json"),
    *("worker-keys.json", "webhooks.json", "*.conf", "redis.users", "compose.env"),
)
"""In the directory of a `holdgate up`, its keys and settings. Data is kept in other ways, and backups are not kept."""


def add_audit(directory: Path, add: Add) -> int:
    """The archive; how many segments. Seals first: what a sealed segment holds is whole by then.

    Of segments without a seal only the first is taken, which is the one being written to.
    """
    count = 0
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        names = sorted(path.name for path in folder.iterdir())
        sealed = [name for name in names if name.endswith(SEAL)]
        for name in sealed:
            add(f"audit/{folder.name}/{name}", (folder / name).read_bytes())
        stems = [name.removesuffix(SEAL) for name in sealed]
        last = stems[-1] if stems else ""
        unsealed = [name.removesuffix(LINES) for name in names if name.endswith(LINES)]
        for stem in [*stems, *[stem for stem in unsealed if stem > last][:1]]:
            for piece in _pieces(folder / f"{stem}{LINES}"):
                add(f"audit/{folder.name}/{stem}{LINES}", piece)
            count += 1
    return count


def add_kernel(directory: Path, add: Add) -> int:
    """What a kernel remembers, as one moment had it; how many bundles."""
    for _ in range(TRIES):
        versions = _read(directory / VERSIONS)
        bundles = {path.name: _read(path) for path in sorted((directory / "bundles").glob("*.json"))}
        if versions is not None and versions == _read(directory / VERSIONS) and None not in bundles.values():
            for name, data in bundles.items():
                add(f"kernel/bundles/{name}", data or b"")
            add(f"kernel/{VERSIONS}", versions)
            return len(bundles)
    raise BackupBroken(f"`{directory}` is no directory of a kernel, or changes all the time")


def require_new(directory: Path) -> None:
    """TargetNotEmpty where `directory` holds anything."""
    if directory.is_dir() and any(path.name != ".lock" for path in directory.rglob("*") if path.is_file()):
        raise TargetNotEmpty(f"`{directory}` is not empty")


def put(directory: Path, name: str, data: bytes) -> None:
    """Append `data` to the file `name` below `directory`."""
    file = directory / name
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise BackupBroken(f"`{name}` leads elsewhere")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)


def sealed_keys(
    directory: Path, passphrase: bytes, entropy: Entropy, *, cost: Cost | None = None
) -> tuple[bytes, bytes]:
    """Keys, passwords and settings of the directory of a `holdgate up`, sealed; and how to open that with the
    passphrase. Misconfigured where one could not be restored."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted({path for place in KEY_PLACES for path in directory.glob(place)}):
            name = path.relative_to(directory)
            if path.is_symlink():
                raise Misconfigured(f"`{name}` is a link: put the file itself there")
            if path.is_dir():
                continue
            if not path.is_file() or path.stat().st_size > KEYS_BYTES_MAX:
                raise Misconfigured(f"`{name}` is no file of at most {KEYS_BYTES_MAX} bytes: keep it elsewhere")
            tar.add(path, str(name), recursive=False)
    seed = entropy(SecretBox.KEY_SIZE)
    box = bytes(SecretBox(seed).encrypt(packed.getvalue(), entropy(SecretBox.NONCE_SIZE)))
    return box, canonical_bytes(seal_seed(seed, passphrase, entropy=entropy, cost=cost))


def open_keys(box: bytes, head: bytes, passphrase: bytes) -> dict[str, bytes]:
    """The files by name; KeyPassphrase where it does not open them."""
    try:
        plain = SecretBox(open_seed(parse_json(head), passphrase)).decrypt(box)
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r") as tar:
            return {entry.name: _opened(tar, entry) for entry in tar if entry.isreg()}
    except (CryptoError, MalformedJson, tarfile.TarError) as error:
        raise BackupBroken("its keys cannot be read") from error


def _opened(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    opened = tar.extractfile(entry)
    if opened is None or entry.size > KEYS_BYTES_MAX:
        raise BackupBroken("its keys cannot be read")
    return opened.read()


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
