"""A backup of a running system, a look at one, and a system made of one.

The order is what makes copies of different moments fit:

    1. audit archive    before the state: it may hold no event that the state does not know, or that number would be
                        given twice
    2. a kernel's directory, the root    before the store of bundles, which may be ahead of a kernel, not behind
    3. the state        the moment that the backup is of
    4. the log          behind the state: a job that was accepted meanwhile is in JOBS, and one that ended meanwhile in
                        ENDED. Dispatchers find both when they start, as they do after a loss of the state. Large
                        payloads of every job in the state are in the copy; bundles last.

What always holds: nothing is restored into a server or a directory that holds anything; nothing is restored from a file
of which any part is not what was written.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from nats.aio.client import Client as Nats

from holdgate.kernel.clock import Clock
from holdgate.kernel.ids import Entropy
from holdgate.scheduler.backup import files, state, streams
from holdgate.scheduler.backup.archive import PART_BYTES_MAX, STREAM, Manifest, Part, Reader, Writer, writing
from holdgate.scheduler.errors import BackupBroken, Misconfigured, TargetNotEmpty
from holdgate.scheduler.state.address import RedisAddress

STATE = "redis/keys"
ROOT = "root.json"
SMALL_BYTES_MAX = 64 * 1024 * 1024
"""Of what is read whole."""
KEYS, KEYS_HEAD = "keys.box", "keys.json"
Progress = Callable[[str], None]


def _quiet(_what: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Places:
    """Where a system keeps what a backup is of; a directory that is None is none of this machine's."""

    redis: RedisAddress
    root_file: Path
    audit_dir: Path | None
    kernel_dir: Path | None
    home: Path | None = None
    """The directory of a `holdgate up`: where its keys are, too."""


@dataclass(frozen=True, slots=True)
class Around:
    """What a run is given. `passphrase`: of the keys, where they are in the backup."""

    nc: Nats
    clock: Clock
    holdgate: str
    passphrase: bytes | None = None
    entropy: Entropy = os.urandom
    progress: Progress = _quiet


async def backup(file: Path, places: Places, around: Around) -> Manifest:
    """Write all of it to the new `file`. BackupBroken, StateUnavailable, LogUnavailable: there is no file then."""
    created_ms = around.clock.now_ms()
    facts: dict[str, Any] = {"streams": {}}
    with writing(file) as writer:
        await asyncio.to_thread(_add_directories, writer, places, around, facts)
        around.progress("state")
        gathered = _Gathered(writer, STATE)
        facts["keys"], facts["rdb"] = await state.dump(places.redis, gathered.add)
        gathered.flush()
        for stream in streams.STREAMS:
            around.progress(f"stream {stream}")
            gathered = _Gathered(writer, f"{STREAM}{stream}")
            head = await streams.snapshot(around.nc, stream, gathered.add)
            gathered.flush()
            if head is not None:
                facts["streams"][stream] = {name: head[name] for name in ("config", "state")}
        return writer.end(holdgate=around.holdgate, created_ms=created_ms, facts=facts)


def _add_directories(writer: Writer, places: Places, around: Around, facts: dict[str, Any]) -> None:
    if places.audit_dir is not None:
        around.progress("audit archive")
        facts["segments"] = files.add_audit(places.audit_dir, writer.add)
    if places.kernel_dir is not None:
        facts["bundles"] = files.add_kernel(places.kernel_dir, writer.add)
    writer.add(ROOT, places.root_file.read_bytes())
    if around.passphrase is not None and places.home is not None:
        box, head = files.sealed_keys(places.home, around.passphrase, around.entropy)
        if len(box) > SMALL_BYTES_MAX:
            raise Misconfigured(f"keys and settings in `{places.home}` are over {SMALL_BYTES_MAX} bytes together")
        writer.add(KEYS_HEAD, head)
        writer.add(KEYS, box)


@dataclass
class _Gathered:
    """Small pieces made into parts."""

    writer: Writer
    name: str
    pieces: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, data: bytes) -> None:
        self.pieces.append(data)
        self.size += len(data)
        if self.size >= PART_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        if self.pieces:
            self.writer.add(self.name, b"".join(self.pieces))
            self.pieces, self.size = [], 0


def verify(file: Path) -> Manifest:
    """What the backup says of itself, when it is what was written. BackupBroken, BackupNewer."""
    return Reader(file).verify()


def keys_of(file: Path, manifest: Manifest, passphrase: bytes) -> dict[str, bytes]:
    """Keys and settings by the name of their file; {} where the backup has none."""
    if not manifest.holds(KEYS):
        return {}
    box, head = (small_file(file, manifest, name) for name in (KEYS, KEYS_HEAD))
    return files.open_keys(box, head, passphrase)


def small_file(file: Path, manifest: Manifest, name: str) -> bytes:
    """What is kept under `name`, where that is of a few parts; BackupBroken where it is more, or nothing."""
    _require_small(manifest, name)
    return b"".join(part.data for part in Reader(file, manifest).parts() if part.name == name)


def _require_small(manifest: Manifest, name: str) -> None:
    if not 0 < sum(size for member, size, _ in manifest.parts if member.startswith(f"{name}@")) <= SMALL_BYTES_MAX:
        raise BackupBroken(f"`{name}` is missing in it, or far too large")


async def restore(file: Path, places: Places, around: Around, *, replicas: int | None = None) -> Manifest:
    """Make servers and directories of `file`. TargetNotEmpty where something is there; nothing was changed then.

    `replicas`: streams are made on so many servers of NATS, instead of as many as they were on.
    """
    reader = Reader(file)
    manifest = await asyncio.to_thread(reader.verify)
    _require_small(manifest, ROOT)
    await _require_empty(places, around)
    for name, parts in groupby(reader.parts(), key=lambda part: part.name):
        if name == STATE:
            around.progress("state")
            count = await state.restore(places.redis, _fed(parts))
            if count != manifest.facts.get("keys"):
                raise BackupBroken("its keys of Redis are not as many as there were")
            await state.mark_restored(places.redis)
        elif name.startswith(STREAM):
            stream = name.removeprefix(STREAM)
            around.progress(f"stream {stream}")
            await streams.restore(around.nc, stream, manifest.facts["streams"][stream], _fed(parts), replicas=replicas)
        else:
            await asyncio.to_thread(_put, places, name, parts)
    return manifest


async def _require_empty(places: Places, around: Around) -> None:
    for directory in (places.audit_dir, places.kernel_dir):
        if directory is not None:
            files.require_new(directory)
    await state.require_empty(places.redis)
    await streams.require_absent(around.nc)


def _put(places: Places, name: str, parts: Iterator[Part]) -> None:
    folder, _, rest = name.partition("/")
    if name == ROOT:
        _put_root(places.root_file, b"".join(part.data for part in parts))
        return
    directory = {"audit": places.audit_dir, "kernel": places.kernel_dir}.get(folder)
    for part in parts:
        if directory is not None and rest:
            files.put(directory, rest, part.data)


def _put_root(file: Path, data: bytes) -> None:
    """The root of the backup; another one that is there is the operator's to decide about."""
    if not file.exists():
        files.put(file.parent, file.name, data)
    elif file.read_bytes() != data:
        raise TargetNotEmpty(f"`{file}` is another root than that of the backup; move it away, or give its path")


async def _fed(parts: Iterator[Part]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part.data
