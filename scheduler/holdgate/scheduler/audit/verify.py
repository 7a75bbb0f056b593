"""Offline verification of an audit archive: public keys and files, nothing else.

Checked for each tenant, in this order: every segment file has a seal (the newest may be open) and every seal a file;
the seal's signature; that it names this tenant and file; that it follows the seal before (sequence, chain, digest);
the number of lines, their sequence and canonical form; the chain hash; the Merkle root. Cutting off the newest segments
together with their seals leaves a valid shorter archive: only a `head` remembered elsewhere shows that, so callers
may pass the heads they know. Events that were lost with the state store are missing for good: the event behind them
says so, under a seal like any other, and the report names them apart; a gap that nothing declares is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdgate.kernel.canonical import canonical_bytes, parse_json
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.permits import Keyring
from holdgate.scheduler.audit.merkle import leaf_hash, root_of
from holdgate.scheduler.audit.records import (
    CHAIN_START,
    LINE_BYTES_MAX,
    SEAL_START,
    Seal,
    declares_gap,
    next_chain,
    open_seal,
    seal_digest,
    segment_name,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold. `code` is stable; `where` is a file below the archive."""

    tenant: str
    where: str
    code: str
    message: str


@dataclass(slots=True)
class TenantReport:
    """What an archive holds of one tenant. `head` is the digest of its newest seal."""

    tenant: str
    segments: int = 0
    sealed_events: int = 0
    unsealed_events: int = 0
    head: str = SEAL_START
    findings: list[Finding] = field(default_factory=list)
    declared_gaps: list[tuple[int, int]] = field(default_factory=list)
    """First and last number of events that are missing, as the event behind them says: the state store was lost."""


@dataclass(slots=True)
class _Walk:
    report: TenantReport
    next_seq: int = 1
    chain: bytes = CHAIN_START
    heads: set[str] = field(default_factory=set)

    def found(self, where: str, code: str, message: str) -> None:
        self.report.findings.append(Finding(self.report.tenant, where, code, message))


def verify_archive(root: Path, keyring: Keyring, heads: Mapping[str, str] | None = None) -> list[TenantReport]:
    """A report for each tenant below `root`; `heads` are digests of seals that must be in there, by tenant."""
    known = dict(heads or {})
    tenants = sorted({path.name for path in root.iterdir() if path.is_dir()} | set(known))
    return [_verify_tenant(root / tenant, keyring, known.get(tenant)) for tenant in tenants]


def is_intact(reports: list[TenantReport]) -> bool:
    """Whether nothing was found."""
    return not any(report.findings for report in reports)


def _verify_tenant(directory: Path, keyring: Keyring, head: str | None) -> TenantReport:
    walk = _Walk(TenantReport(directory.name))
    segments = {path.stem for path in directory.glob("*.jsonl")}
    seals = {path.stem for path in directory.glob("*.seal")}
    for name in sorted(seals - segments):
        walk.found(f"{name}.seal", "segment_missing", "a sealed segment's events are gone")
    open_ones = sorted(segments - seals)
    for name in sorted(seals & segments):
        _verify_segment(walk, directory, name, keyring)
    for name in open_ones:
        if name == max(segments) and _follows(walk, directory / f"{name}.jsonl"):
            walk.report.unsealed_events = _count_open(walk, directory / f"{name}.jsonl")
        else:
            walk.found(f"{name}.jsonl", "seal_missing", "a segment that is not the newest has no seal")
    if head and head not in walk.heads:
        walk.found(directory.name, "truncated", "the archive lacks a seal that was seen before")
    return walk.report


def _verify_segment(walk: _Walk, directory: Path, name: str, keyring: Keyring) -> None:
    data = (directory / f"{name}.seal").read_bytes()
    try:
        seal = open_seal(data, keyring)
        digest = seal_digest(data)
    except HoldgateError as error:
        walk.found(f"{name}.seal", "seal_forged", str(error))
        return
    _check_place(walk, seal, directory, name)
    root, chain = _check_lines(walk, directory / f"{name}.jsonl", seal)
    if root.hex() != seal.root or chain.hex() != seal.chain_after:
        walk.found(f"{name}.jsonl", "edited", "the events are not those that were sealed")
    walk.next_seq, walk.chain = seal.last_seq + 1, bytes.fromhex(seal.chain_after)
    walk.report.head = digest
    walk.heads.add(digest)
    walk.report.segments += 1
    walk.report.sealed_events += seal.count


def _follows(walk: _Walk, segment: Path) -> bool:
    """Whether the segment goes on where the one before it ended, or begins by saying what is missing in between."""
    first = int(segment.stem)
    if first <= walk.next_seq:
        return first == walk.next_seq
    line = next(_lines(segment), b"")
    if _seq_of(line) != first or not declares_gap(parse_json(line)):
        return False
    walk.report.declared_gaps.append((walk.next_seq, first - 1))
    walk.next_seq = first
    return True


def _check_place(walk: _Walk, seal: Seal, directory: Path, name: str) -> None:
    where = f"{name}.seal"
    if seal.tenant != walk.report.tenant or segment_name(seal.first_seq) != name:
        walk.found(where, "seal_misplaced", f"the seal is of tenant `{seal.tenant}` from event {seal.first_seq}")
    if not _follows(walk, directory / f"{name}.jsonl"):
        walk.found(where, "gap", f"events {walk.next_seq} to {seal.first_seq - 1} are missing")
    elif seal.previous != walk.report.head or seal.chain_before != walk.chain.hex():
        walk.found(where, "chain_broken", "the seal does not follow the one before it")


def _check_lines(walk: _Walk, path: Path, seal: Seal) -> tuple[bytes, bytes]:
    leaves: list[bytes] = []
    chain = bytes.fromhex(seal.chain_before)
    for seq, line in enumerate(_lines(path), start=seal.first_seq):
        leaves.append(leaf_hash(line))
        chain = next_chain(chain, line)
        if _seq_of(line) != seq:
            walk.found(path.name, "bad_line", f"line {len(leaves)} is not event {seq} in canonical form")
    if len(leaves) != seal.count:
        walk.found(path.name, "wrong_count", f"{len(leaves)} events where {seal.count} were sealed")
    return root_of(leaves), chain


def _count_open(walk: _Walk, path: Path) -> int:
    count = 0
    for seq, line in enumerate(_lines(path), start=walk.next_seq):
        count += 1
        if _seq_of(line) != seq:
            walk.found(path.name, "bad_line", f"line {count} is not event {seq} in canonical form")
    return count


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while line := file.readline(LINE_BYTES_MAX):
            yield line.removesuffix(b"\n")


def _seq_of(line: bytes) -> int | None:
    try:
        event = parse_json(line)
        seq = event.get("seq") if isinstance(event, dict) and canonical_bytes(event) == line else None
    except HoldgateError:
        return None
    return seq if isinstance(seq, int) else None
