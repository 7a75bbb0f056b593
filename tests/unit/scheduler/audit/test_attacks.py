"""What somebody who can write to the archive, but has no auditor's key, may try."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from holdgate.bundles.keys import generate
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.permits import Keyring, Signer
from holdgate.scheduler.audit.archive import TenantArchive
from holdgate.scheduler.audit.cli import app
from holdgate.scheduler.audit.errors import ArchiveBroken, AuditGap
from holdgate.scheduler.audit.records import read_seal, seal_bytes
from holdgate.scheduler.audit.verify import is_intact, verify_archive

AUDITOR = Signer.from_seed(b"u" * 32)
STRANGER = Signer.from_seed(b"s" * 32)
KEYS = Keyring([AUDITOR.public_key])


def event(seq: int, **more: Any) -> dict[str, Any]:
    return {"seq": seq, "time_ms": 1_000 + seq, "tenant": "acme", "type": "job.running", **more}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three sealed segments of four events, and an open one of two."""
    files = TenantArchive(tmp_path, "acme")
    for first in (1, 5, 9):
        files.append([event(seq) for seq in range(first, first + 4)])
        files.seal(AUDITOR, 5_000)
    files.append([event(13), event(14)])
    return tmp_path


def codes(root: Path, **heads: str) -> set[str]:
    return {finding.code for report in verify_archive(root, KEYS, heads) for finding in report.findings}


def segment(root: Path, first: int, suffix: str = "jsonl") -> Path:
    return root / "acme" / f"{first:020d}.{suffix}"


def test_an_archive_as_the_auditor_left_it_is_intact(archive: Path) -> None:
    reports = verify_archive(archive, KEYS)
    assert is_intact(reports)
    assert [(r.tenant, r.segments, r.sealed_events, r.unsealed_events) for r in reports] == [("acme", 3, 12, 2)]


def edit_an_event(root: Path) -> None:
    path = segment(root, 5)
    path.write_bytes(path.read_bytes().replace(b"job.running", b"job.allowed", 1))


def drop_an_event(root: Path) -> None:
    path = segment(root, 5)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def drop_the_last_event(root: Path) -> None:
    path = segment(root, 9)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))


def swap_two_events(root: Path) -> None:
    path = segment(root, 5)
    one, two, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([two, one, *rest]))


def write_an_event_in_another_form(root: Path) -> None:
    path = segment(root, 5)
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([json.dumps(json.loads(first), indent=None).encode() + b"\n", *rest]))


def drop_a_segment_in_the_middle(root: Path) -> None:
    for suffix in ("jsonl", "seal"):
        segment(root, 5, suffix).unlink()


def drop_the_first_segment(root: Path) -> None:
    for suffix in ("jsonl", "seal"):
        segment(root, 1, suffix).unlink()


def drop_the_events_of_a_seal(root: Path) -> None:
    segment(root, 5).unlink()


def drop_a_seal(root: Path) -> None:
    segment(root, 5, "seal").unlink()


def seal_again_with_another_key(root: Path) -> None:
    path = segment(root, 9, "seal")
    path.write_bytes(seal_bytes(read_seal(path.read_bytes()), STRANGER))


def name_the_auditor_s_key_on_another_signature(root: Path) -> None:
    path = segment(root, 9, "seal")
    forged = json.loads(seal_bytes(read_seal(path.read_bytes()), STRANGER))
    path.write_bytes(canonical_bytes({**forged, "key": AUDITOR.name}))


def alter_a_seal(root: Path) -> None:
    path = segment(root, 9, "seal")
    seal = json.loads(path.read_bytes())
    path.write_bytes(canonical_bytes({**seal, "body": seal["body"].replace('"last_seq":12', '"last_seq":11')}))


def move_segments_to_another_tenant(root: Path) -> None:
    shutil.copytree(root / "acme", root / "other")


def put_an_older_segment_in_the_place_of_a_newer(root: Path) -> None:
    for suffix in ("jsonl", "seal"):
        shutil.copy(segment(root, 1, suffix), segment(root, 5, suffix))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (edit_an_event, "edited"),
        (drop_an_event, "wrong_count"),
        (drop_the_last_event, "wrong_count"),
        (swap_two_events, "edited"),
        (write_an_event_in_another_form, "bad_line"),
        (drop_a_segment_in_the_middle, "gap"),
        (drop_the_first_segment, "gap"),
        (drop_the_events_of_a_seal, "segment_missing"),
        (drop_a_seal, "seal_missing"),
        (seal_again_with_another_key, "seal_forged"),
        (name_the_auditor_s_key_on_another_signature, "seal_forged"),
        (alter_a_seal, "seal_forged"),
        (move_segments_to_another_tenant, "seal_misplaced"),
        (put_an_older_segment_in_the_place_of_a_newer, "seal_misplaced"),
    ],
)
def test_an_attack_on_the_archive_is_found(archive: Path, attack: Callable[[Path], None], code: str) -> None:
    attack(archive)
    assert code in codes(archive)


def test_cutting_off_the_newest_segments_is_found_by_who_remembers_a_head(archive: Path) -> None:
    (report,) = verify_archive(archive, KEYS)
    for first in (9, 13):
        for suffix in ("jsonl", "seal"):
            segment(archive, first, suffix).unlink(missing_ok=True)
    assert codes(archive) == set()
    assert codes(archive, acme=report.head) == {"truncated"}


def test_removing_a_whole_tenant_is_found_by_who_remembers_a_head(archive: Path) -> None:
    (report,) = verify_archive(archive, KEYS)
    shutil.rmtree(archive / "acme")
    assert codes(archive, acme=report.head) == {"truncated"}


def test_an_older_head_is_still_in_a_longer_archive(archive: Path) -> None:
    (report,) = verify_archive(archive, KEYS)
    files = TenantArchive(archive, "acme")
    files.seal(AUDITOR, 6_000)
    assert codes(archive, acme=report.head) == set()


def test_an_archive_opened_again_goes_on_where_it_was(archive: Path) -> None:
    files = TenantArchive(archive, "acme")
    assert (files.next_seq, files.open_count) == (15, 2)
    assert files.append([event(13), event(14), event(15)]) == 1
    files.seal(AUDITOR, 7_000)
    assert is_intact(verify_archive(archive, KEYS))


def test_a_write_cut_off_by_a_crash_is_taken_back_and_written_again(archive: Path) -> None:
    path = segment(archive, 13)
    path.write_bytes(path.read_bytes()[:-7])
    files = TenantArchive(archive, "acme")
    assert files.next_seq == 14
    files.append([event(14)])
    files.seal(AUDITOR, 7_000)
    assert is_intact(verify_archive(archive, KEYS))


def test_a_gap_in_the_stream_is_not_written_over(archive: Path) -> None:
    files = TenantArchive(archive, "acme")
    with pytest.raises(AuditGap):
        files.append([event(16)])
    assert files.next_seq == 15


def test_an_open_segment_that_somebody_edited_is_not_sealed(archive: Path) -> None:
    path = segment(archive, 13)
    path.write_bytes(path.read_bytes().replace(b'"seq":14', b'"seq":41'))
    with pytest.raises(ArchiveBroken):
        TenantArchive(archive, "acme")


def test_the_command_says_intact_or_fails_and_names_what_was_found(archive: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    signer = generate(keys / "auditor.json", "auditor")
    root = tmp_path / "archive"
    files = TenantArchive(root, "acme")
    files.append([event(1), event(2)])
    files.seal(signer, 1)
    command = ["verify", str(root), "--key", str(keys / "auditor.json.pub")]
    good = CliRunner().invoke(app, command)
    assert (good.exit_code, "intact" in good.output) == (0, True)
    edit = root / "acme" / f"{1:020d}.jsonl"
    edit.write_bytes(edit.read_bytes().replace(b"job.running", b"job.allowed", 1))
    bad = CliRunner().invoke(app, command)
    assert (bad.exit_code, "edited" in bad.output) == (1, True)
