"""Directories that are written to while they are copied, and keys under a passphrase."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest
from nacl.pwhash import argon2id

from holdgate.bundles.errors import KeyPassphrase
from holdgate.bundles.passphrase import Cost
from holdgate.kernel.permits import Keyring
from holdgate.scheduler.audit.archive import TenantArchive
from holdgate.scheduler.audit.verify import is_intact, verify_archive
from holdgate.scheduler.backup import files
from holdgate.scheduler.errors import BackupBroken, Misconfigured, TargetNotEmpty
from support.trust import NOW_MS, signer

AUDITOR = signer("auditor")
KEYS = Keyring([AUDITOR.public_key])
CHEAP = Cost(argon2id.OPSLIMIT_MIN, argon2id.MEMLIMIT_MIN)


def events(first: int, count: int) -> list[dict[str, object]]:
    return [
        {"seq": seq, "time_ms": 1_000 + seq, "tenant": "acme", "type": "job.running"}
        for seq in range(first, first + count)
    ]


def copied(source: Path, target: Path, *, meanwhile: TenantArchive | None = None) -> None:
    """What a backup has of `source`, put into `target`; `meanwhile` seals and goes on after the first file."""
    waiting = [meanwhile] if meanwhile else []

    def add(name: str, data: bytes) -> None:
        files.put(target, name.removeprefix("audit/"), data)
        if waiting:
            archive = waiting.pop()
            archive.append(events(archive.next_seq, 3))
            archive.seal(AUDITOR, NOW_MS)
            archive.append(events(archive.next_seq, 2))

    files.add_audit(source, add)


def test_an_archive_that_is_sealed_while_it_is_copied_is_intact_in_the_copy(tmp_path: Path) -> None:
    """As if the auditor had been killed at some moment of it; the next one goes on from there."""
    archive = TenantArchive(tmp_path / "a", "acme")
    for _ in range(2):
        archive.append(events(archive.next_seq, 3))
        archive.seal(AUDITOR, NOW_MS)
    archive.append(events(archive.next_seq, 3))
    copied(tmp_path / "a", tmp_path / "b", meanwhile=archive)
    assert is_intact(verify_archive(tmp_path / "b", KEYS, {}))
    again = TenantArchive(tmp_path / "b", "acme")
    assert 7 <= again.next_seq <= archive.next_seq
    again.append(events(again.next_seq, 1))
    again.seal(AUDITOR, NOW_MS)
    assert is_intact(verify_archive(tmp_path / "b", KEYS, {}))


def test_of_unsealed_segments_only_the_first_is_taken(tmp_path: Path) -> None:
    """One behind it has a past that the copy does not."""
    archive = TenantArchive(tmp_path / "a", "acme")
    archive.append(events(1, 3))
    archive.seal(AUDITOR, NOW_MS)
    archive.append(events(4, 3))
    (tmp_path / "a" / "acme" / f"{1:020d}.seal").unlink()
    copied(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in (tmp_path / "b" / "acme").iterdir()] == [f"{1:020d}.jsonl"]


def test_a_directory_that_is_no_kernels_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    with pytest.raises(BackupBroken, match="no directory of a kernel"):
        files.add_kernel(tmp_path, lambda _name, _data: None)


def test_a_directory_with_anything_in_it_is_not_new(tmp_path: Path) -> None:
    """Empty folders and the lock of an auditor that is gone are nothing."""
    (tmp_path / "acme").mkdir()
    (tmp_path / ".lock").touch()
    files.require_new(tmp_path)
    files.require_new(tmp_path / "missing")
    (tmp_path / "acme" / "1.jsonl").touch()
    with pytest.raises(TargetNotEmpty):
        files.require_new(tmp_path)


def test_a_name_that_leads_elsewhere_is_not_written(tmp_path: Path) -> None:
    for name in ("../out", "a/../../out", str(tmp_path / "out")):
        with pytest.raises(BackupBroken):
            files.put(tmp_path / "in", name, b"")
    assert not (tmp_path / "out").exists()


def test_keys_come_back_with_their_passphrase_alone(tmp_path: Path) -> None:
    """All that is no data of servers; a wrong passphrase and an altered box are refused."""
    home, passphrase = tmp_path / "home", secrets.token_bytes(16).hex().encode()
    others = ("nats/data", "audit/acme/1.jsonl", "lock", "monday.backup", ".tuesday.backup.part")
    for name in ("keys/api.key", "secrets/redis", "root.json", *others):
        files.put(home, name, name.encode())
    box, head = files.sealed_keys(home, passphrase, os.urandom, cost=CHEAP)
    assert b"api.key" not in box
    assert files.open_keys(box, head, passphrase) == {
        name: name.encode() for name in ("keys/api.key", "root.json", "secrets/redis")
    }
    with pytest.raises(KeyPassphrase):
        files.open_keys(box, head, b"another one than that")
    with pytest.raises(BackupBroken):
        files.open_keys(box[:-1] + bytes([box[-1] ^ 1]), head, passphrase)


def test_what_could_not_be_restored_is_no_backup_of_keys(tmp_path: Path) -> None:
    """A link leads out of the directory, and who leaves it out loses a key; a large file could not be opened again."""
    passphrase = secrets.token_bytes(16).hex().encode()
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "api.key").symlink_to("/etc/passwd")
    with pytest.raises(Misconfigured, match="is a link"):
        files.sealed_keys(tmp_path, passphrase, os.urandom, cost=CHEAP)
    (tmp_path / "keys" / "api.key").unlink()
    with (tmp_path / "keys" / "large").open("wb") as file:
        file.truncate(files.KEYS_BYTES_MAX + 1)
    with pytest.raises(Misconfigured, match="keep it elsewhere"):
        files.sealed_keys(tmp_path, passphrase, os.urandom, cost=CHEAP)
