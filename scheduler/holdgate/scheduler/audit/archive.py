"""One tenant's segment files: append, seal, and pick up where a crash left off.

What always holds: an event is appended only right after the one before it (`AuditGap` otherwise); what `append` and
`seal` returned from is on disk; a sealed file is never opened for writing again; a seal is never made over lines other
than those this process wrote or read back from the open file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdgate.kernel.canonical import parse_json
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.permits import Signer
from holdgate.scheduler.audit.errors import ArchiveBroken, AuditGap
from holdgate.scheduler.audit.merkle import leaf_hash, root_of
from holdgate.scheduler.audit.records import (
    CHAIN_START,
    SEAL_START,
    Seal,
    declares_gap,
    event_line,
    next_chain,
    read_seal,
    seal_bytes,
    seal_digest,
    segment_name,
)

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


class TenantArchive:
    """The files of `tenant` below `root`. Blocking: call it from a thread. One process at a time (see service)."""

    def __init__(self, root: Path, tenant: str) -> None:
        self.tenant = tenant
        self._dir = root / tenant
        self._previous = SEAL_START
        self._chain = CHAIN_START
        self._chain_before = CHAIN_START
        self._first_seq = 1
        self._leaves: list[bytes] = []
        self._last: tuple[int, bytes] | None = None
        """The newest event that this process wrote or read back, and its line."""
        self.open_since_ms: int | None = None
        """Time of the first event of the open segment."""
        self._recover()

    @property
    def next_seq(self) -> int:
        """Sequence of the event that must come next."""
        return self._first_seq + len(self._leaves)

    @property
    def open_count(self) -> int:
        """Events that are on disk but not sealed yet."""
        return len(self._leaves)

    @property
    def head(self) -> str:
        """Digest of the newest seal, or `` before the first: kept elsewhere, it shows a truncated archive."""
        return self._previous

    def append(self, events: Sequence[dict[str, Any]]) -> int:
        """Write `events` behind the last one and sync; those already here are skipped. How many were new."""
        lines: list[bytes] = []
        for event in events:
            seq = event["seq"]
            expected = self.next_seq + len(lines)
            if seq < expected:
                continue
            if seq != expected:
                raise AuditGap(f"tenant `{self.tenant}`: event {expected} is missing, {seq} came instead")
            lines.append(event_line(event))
        if not lines:
            return 0
        if self.open_since_ms is None:
            self.open_since_ms = _time_ms(events[-len(lines)])
        _append(self._open_path, b"".join(line + b"\n" for line in lines))
        for line in lines:
            self._take(line)
        return len(lines)

    def resume(self, event: dict[str, Any]) -> None:
        """Go on with `event`, which says that those before it are missing; AuditGap when it does not say so.

        Only right behind a seal: a segment has no gap in it.
        """
        if self._leaves or not declares_gap(event) or event["seq"] < self.next_seq:
            raise AuditGap(f"tenant `{self.tenant}`: event {event.get('seq')} does not say what is missing before it")
        self._first_seq = event["seq"]

    def has(self, event: dict[str, Any]) -> bool:
        """Whether this very event is archived. The newest is asked for again and again, and so remembered."""
        seq, line = event["seq"], event_line(event)
        if self._last is not None and self._last[0] == seq:
            return self._last[1] == line
        return self._line_of(seq) == line

    def seal(self, signer: Signer, now_ms: int) -> Seal | None:
        """Seal the open segment; None when it is empty."""
        if not self._leaves:
            return None
        seal = Seal(
            tenant=self.tenant,
            first_seq=self._first_seq,
            last_seq=self.next_seq - 1,
            root=root_of(self._leaves).hex(),
            chain_before=self._chain_before.hex(),
            chain_after=self._chain.hex(),
            previous=self._previous,
            sealed_ms=now_ms,
        )
        data = seal_bytes(seal, signer)
        _write_whole(self._open_path.with_suffix(".seal"), data)
        self._start_behind(seal, seal_digest(data))
        return seal

    def _line_of(self, seq: int) -> bytes | None:
        """As it is on disk; None where its segment is not here."""
        begins = [(int(path.stem), path) for path in self._dir.glob("*.jsonl")]
        begin, path = max(((begin, path) for begin, path in begins if begin <= seq), default=(0, None))
        lines = [] if path is None else path.read_bytes().splitlines()
        return lines[seq - begin] if seq - begin < len(lines) else None

    @property
    def _open_path(self) -> Path:
        return self._dir / f"{segment_name(self._first_seq)}.jsonl"

    def _take(self, line: bytes) -> None:
        self._last = self.next_seq, line
        self._leaves.append(leaf_hash(line))
        self._chain = next_chain(self._chain, line)

    def _start_behind(self, seal: Seal, digest: str) -> None:
        self._first_seq = seal.last_seq + 1
        self._chain = self._chain_before = bytes.fromhex(seal.chain_after)
        self._previous = digest
        self._leaves = []
        self.open_since_ms = None

    def _recover(self) -> None:
        self._dir.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        seals = sorted(self._dir.glob("*.seal"))
        if seals:
            data = seals[-1].read_bytes()
            seal = read_seal(data)
            if seal.tenant != self.tenant or seals[-1].stem != segment_name(seal.first_seq):
                raise ArchiveBroken(f"the seal `{seals[-1].name}` of tenant `{self.tenant}` is of another segment")
            self._start_behind(seal, seal_digest(data))
        is_open = [path for path in self._dir.glob("*.jsonl") if not path.with_suffix(".seal").exists()]
        newest = max((int(path.stem) for path in is_open), default=0)
        if newest > self._first_seq:
            with (self._dir / f"{segment_name(newest)}.jsonl").open("rb") as file:
                if not declares_gap(_event(file.readline())):
                    raise ArchiveBroken(f"the archive of tenant `{self.tenant}` lacks event {self._first_seq}")
            self._first_seq = newest
        if self._open_path.exists():
            self._read_back()

    def _read_back(self) -> None:
        data = self._open_path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            # The last write was cut off by a crash. Its event is still in the stream: nothing is trimmed before a seal.
            os.truncate(self._open_path, whole)
        for line in data[:whole].splitlines():
            event = parse_json(line)
            if not isinstance(event, dict) or event.get("seq") != self.next_seq:
                raise ArchiveBroken(f"`{self._open_path.name}` of tenant `{self.tenant}` lacks event {self.next_seq}")
            if self.open_since_ms is None:
                self.open_since_ms = _time_ms(event)
            self._take(line)


def _event(line: bytes) -> Any:
    try:
        return parse_json(line)
    except InvalidInput:
        return None  # cut off by a crash


def _time_ms(event: dict[str, Any]) -> int:
    return int(event.get("time_ms", 0))


def _append(path: Path, data: bytes) -> None:
    is_new = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    try:
        _write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    if is_new:
        _sync_directory(path.parent)


def _write_whole(path: Path, data: bytes) -> None:
    draft = path.with_suffix(".seal-draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    try:
        _write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(path)
    _sync_directory(path.parent)


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
