"""A backup's file: a tar of parts of bounded size, and behind them a manifest with the digest of each.

    <name>@<number>    a part of what is kept under <name>, at most PART_BYTES_MAX
    manifest.json      {"v": 1, "holdgate": …, "created_ms": …, "facts": {…}, "parts": [[member, bytes, sha256], …]}

What always holds: the file has its name only once it is whole and on disk; nothing of it is held in memory but one
part, whatever it says of itself; a file whose parts are not those of its manifest, or of a version that is not known
here, is refused as a whole, also when it becomes another one between the first look and the second.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import MalformedJson
from holdgate.scheduler.errors import BackupBroken, BackupNewer

VERSION = 1
PART_BYTES_MAX = 4 * 1024 * 1024
MANIFEST = "manifest.json"
STREAM = "streams/"
"""What the parts of a stream are kept under; `facts["streams"]` has its configuration and state."""
MANIFEST_BYTES_MAX = 64 * 1024 * 1024
FILE_MODE = 0o600
_MEMBER = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.{}-]*(?:/[A-Za-z0-9_.{}-]+)*)@([0-9]{8})\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of what is kept under `name`; `number` counts from 0."""

    name: str
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `facts`: counts for people, and what a restore needs besides."""

    holdgate: str
    created_ms: int
    facts: dict[str, Any]
    parts: tuple[tuple[str, int, str], ...]

    def holds(self, name: str) -> bool:
        """Whether anything is kept under `name`."""
        return any(member.startswith(f"{name}@") for member, _, _ in self.parts)

    def as_bytes(self) -> bytes:
        """As it is written."""
        return canonical_bytes(
            {
                "v": VERSION,
                "holdgate": self.holdgate,
                "created_ms": self.created_ms,
                "facts": self.facts,
                "parts": [list(part) for part in self.parts],
            }
        )

    @classmethod
    def of(cls, data: bytes) -> Manifest:
        """The manifest in `data`; BackupNewer, BackupBroken."""
        try:
            record = parse_json(data)
            if not isinstance(record, dict):
                raise TypeError
            version = record["v"]
            if isinstance(version, int) and version > VERSION:
                raise BackupNewer(f"a backup of version {version}; this release reads up to {VERSION}: use a newer one")
            facts, parts = record["facts"], record["parts"]
            if version != VERSION or not isinstance(facts, dict) or not isinstance(parts, list):
                raise TypeError
            listed = tuple(_listed(part) for part in parts)
            _check_facts(facts, listed)
            return cls(str(record["holdgate"]), int(str(record["created_ms"])), facts, listed)
        except (MalformedJson, KeyError, TypeError, ValueError) as error:
            raise BackupBroken("its manifest cannot be read") from error


def _listed(part: object) -> tuple[str, int, str]:
    match part:
        case [str(name), int(size), str(digest)]:
            return name, size, digest
        case _:
            raise TypeError


def _check_facts(facts: dict[str, Any], parts: tuple[tuple[str, int, str], ...]) -> None:
    """TypeError where a restore, or whoever shows it, would miss something half way."""
    streams = facts.get("streams", {})
    if not isinstance(streams, dict) or not all(map(_is_head, streams.values())):
        raise TypeError
    if not all(isinstance(facts.get(name, 0), int) for name in ("keys", "segments")):
        raise TypeError
    if {name.removeprefix(STREAM).partition("@")[0] for name, _, _ in parts if name.startswith(STREAM)} - set(streams):
        raise TypeError


def _is_head(head: object) -> bool:
    match head:
        case {"config": dict(), "state": dict(state)}:
            return isinstance(state.get("messages", 0), int)
        case _:
            return False


class Writer:
    """Writes a backup. Blocking, part by part."""

    def __init__(self, file: IO[bytes]) -> None:
        self._tar = tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)
        self._parts: list[tuple[str, int, str]] = []
        self._numbers: dict[str, int] = {}

    def add(self, name: str, data: bytes) -> None:
        """`data`, or the next piece of it, under `name`."""
        for start in range(0, max(len(data), 1), PART_BYTES_MAX):
            piece = data[start : start + PART_BYTES_MAX]
            number = self._numbers.get(name, 0)
            self._numbers[name] = number + 1
            member = f"{name}@{number:08d}"
            if _MEMBER.match(member) is None:
                raise BackupBroken(f"`{name}` cannot be the name of something in a backup")
            self._put(member, piece)
            self._parts.append((member, len(piece), hashlib.sha256(piece).hexdigest()))

    def end(self, *, holdgate: str, created_ms: int, facts: dict[str, Any]) -> Manifest:
        """Write the manifest, behind which nothing comes."""
        manifest = Manifest(holdgate, created_ms, facts, tuple(self._parts))
        self._put(MANIFEST, manifest.as_bytes())
        self._tar.close()
        return manifest

    def _put(self, member: str, data: bytes) -> None:
        entry = tarfile.TarInfo(member)
        entry.size, entry.mode = len(data), FILE_MODE
        try:
            self._tar.addfile(entry, io.BytesIO(data))
        except ValueError as error:
            raise BackupBroken(f"`{member}` is too long for the name of something in a backup") from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """A new file at `path`, there once the block ended well; BackupBroken where there is one already."""
    if path.exists():
        raise BackupBroken(f"`{path}` exists; a backup is written over by nothing")
    unfinished = path.with_name(f".{path.name}.part")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE)
    except OSError as error:
        raise BackupBroken(f"cannot write `{unfinished}`: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield Writer(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    except OSError as error:
        raise BackupBroken(f"cannot write `{path}`: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


@dataclass
class Reader:
    """Reads a backup from front to back: first `verify`, which reads all of it, then `parts`.

    `manifest`: of a look before, by which `parts` goes; without one it begins with `verify`.
    """

    path: Path
    manifest: Manifest | None = None

    def verify(self) -> Manifest:
        """The manifest, when every part is as it says. BackupBroken, BackupNewer."""
        seen: list[tuple[str, int, str]] = []
        manifest = None
        for member, data in self._members():
            if member == MANIFEST:
                manifest = Manifest.of(data)
            else:
                seen.append(_measured(member, data))
        if manifest is None:
            raise BackupBroken("it ends before its manifest: it was not written to its end")
        if tuple(seen) != manifest.parts:
            wrong = next((one for one, other in zip(seen, manifest.parts, strict=False) if one != other), None)
            raise BackupBroken(f"it is not what was written: `{wrong[0] if wrong else 'the number of parts'}` differs")
        self.manifest = manifest
        return manifest

    def parts(self) -> Iterator[Part]:
        """What is kept, in the order in which it was added, each as the manifest says. BackupBroken."""
        listed = iter((self.manifest or self.verify()).parts)
        for member, data in self._members():
            found = _MEMBER.match(member)
            if found is None:
                continue
            if _measured(member, data) != next(listed, None):
                raise BackupBroken(f"it was changed while it was read: `{member}` differs")
            yield Part(found[1], int(found[2]), data)
        if next(listed, None) is not None:
            raise BackupBroken("it was changed while it was read: it ends too early")

    def _members(self) -> Iterator[tuple[str, bytes]]:
        has_manifest = False
        try:
            with self.path.open("rb") as file:
                while (entry := _head(file)) is not None:
                    bytes_max = MANIFEST_BYTES_MAX if entry.name == MANIFEST else PART_BYTES_MAX
                    known = entry.name == MANIFEST or _MEMBER.match(entry.name) is not None
                    is_file = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
                    if has_manifest or not known or not is_file or not 0 <= entry.size <= bytes_max:
                        raise BackupBroken(f"`{entry.name}` is nothing that a backup holds")
                    has_manifest = entry.name == MANIFEST
                    data = file.read(entry.size)
                    if len(data) != entry.size:
                        raise BackupBroken("it ends too early")
                    file.seek(-entry.size % tarfile.BLOCKSIZE, os.SEEK_CUR)
                    yield entry.name, data
        except OSError as error:
            raise BackupBroken(f"cannot read `{self.path}`: {error.strerror or error}") from error
        except tarfile.TarError as error:
            raise BackupBroken("it is no backup, or it ends too early") from error


def _measured(member: str, data: bytes) -> tuple[str, int, str]:
    return member, len(data), hashlib.sha256(data).hexdigest()


def _head(file: IO[bytes]) -> tarfile.TarInfo | None:
    """The next head, None behind the last; TarError. `tarfile` itself would read what such a head announces of a longer
    name, before anybody has seen how long."""
    block = file.read(tarfile.BLOCKSIZE)
    if not block.strip(b"\0"):
        return None
    return tarfile.TarInfo.frombuf(block, "ascii", "replace")
