"""A backup's file: whole or not at all, and refused when it is not what was written."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel.canonical import canonical_bytes
from holdgate.scheduler.backup import archive
from holdgate.scheduler.backup.archive import MANIFEST, Manifest, Reader, writing
from holdgate.scheduler.errors import BackupBroken, BackupNewer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "backup"
    with writing(path) as writer:
        writer.add("redis/keys", b"one")
        writer.add("redis/keys", b"two")
        writer.add("audit/acme/00000000000000000001.jsonl", b"{}\n")
        writer.end(holdgate="0.1.0", created_ms=5, facts={"keys": 2})
    return path


def test_what_was_added_comes_back_in_its_order(file: Path) -> None:
    """Of one name as parts."""
    manifest = Reader(file).verify()
    assert (manifest.holdgate, manifest.created_ms, manifest.facts) == ("0.1.0", 5, {"keys": 2})
    assert [(part.name, part.number, part.data) for part in Reader(file).parts()] == [
        ("redis/keys", 0, b"one"),
        ("redis/keys", 1, b"two"),
        ("audit/acme/00000000000000000001.jsonl", 0, b"{}\n"),
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_large_is_in_parts_of_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PART_BYTES_MAX", 10)
    with writing(tmp_path / "backup") as writer:
        writer.add("large", bytes(range(25)))
        writer.end(holdgate="", created_ms=0, facts={})
    sizes = [len(part.data) for part in Reader(tmp_path / "backup").parts()]
    assert sizes == [10, 10, 5]


def test_a_file_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    """Nor anything else: whoever looks finds no half of a backup."""

    def fail() -> None:
        with writing(tmp_path / "backup") as writer:
            writer.add("redis/keys", b"one")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(file: Path) -> None:
    with pytest.raises(BackupBroken, match="exists"), writing(file):
        pass
    Reader(file).verify()


def rewritten(file: Path, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> None:
    with tarfile.open(file) as tar:
        members = [(entry.name, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]
    with tarfile.open(file, "w") as tar:
        for name, data in change(members):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def listing(members: list[tuple[str, bytes]], facts: dict[str, Any]) -> list[tuple[str, bytes]]:
    """These and a manifest that fits them."""
    parts = tuple((name, len(data), hashlib.sha256(data).hexdigest()) for name, data in members)
    return [*members, (MANIFEST, Manifest("", 0, facts, parts).as_bytes())]


ATTACKS: dict[str, Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]] = {
    "a part is altered": lambda found: [(found[0][0], b"0ne"), *found[1:]],
    "a part is missing": lambda found: found[1:],
    "a part is twice there": lambda found: [found[0], *found],
    "parts change places": lambda found: [found[1], found[0], *found[2:]],
    "a part is renamed": lambda found: [("redis/kezs@00000000", found[0][1]), *found[1:]],
    "something stands behind the manifest": lambda found: [*found, ("more@00000000", b"")],
    "the manifest is missing": lambda found: found[:-1],
    "the manifest is no JSON": lambda found: [*found[:-1], (MANIFEST, b"{")],
    "the manifest lists nothing": lambda found: [*found[:-1], (MANIFEST, Manifest("", 0, {}, ()).as_bytes())],
    "a stream has no head": lambda found: listing([*found[:-1], ("streams/JOBS@00000000", b"")], {}),
    "a stream's head is none": lambda found: listing(found[:-1], {"streams": {"JOBS": {"config": {}}}}),
    "a number is none": lambda found: listing(found[:-1], {"keys": "many"}),
    "a name leads elsewhere": lambda found: [("../../etc/passwd@00000000", b""), *found],
    "a name is absolute": lambda found: [("/etc/passwd@00000000", b""), *found],
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_file_that_is_not_what_was_written_is_refused(
    file: Path, attack: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]
) -> None:
    rewritten(file, attack)
    with pytest.raises(BackupBroken):
        Reader(file).verify()


def test_a_file_that_ends_too_early_is_refused(file: Path) -> None:
    """Wherever it was cut off."""
    data = file.read_bytes()
    for length in (0, 100, 600, 1500, data.index(b"manifest.json"), data.rindex(b'"v":1')):
        file.write_bytes(data[:length])
        with pytest.raises(BackupBroken):
            Reader(file).verify()


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_nothing_is_read_whole_because_it_says_that_it_is_large(tmp_path: Path, kind: bytes) -> None:
    """A head that announces 300 MB of names, in a file that takes no room."""
    entry = tarfile.TarInfo("redis/keys@00000000")
    entry.type, entry.size = kind, 300_000_000
    with (tmp_path / "backup").open("wb") as made:
        made.write(entry.tobuf(tarfile.USTAR_FORMAT))
        made.truncate(300_000_000 + 2048)
    tracemalloc.start()
    try:
        with pytest.raises(BackupBroken):
            Reader(tmp_path / "backup").verify()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_size_below_nothing_is_refused(tmp_path: Path) -> None:
    """It would be read to the end of the file."""
    entry = tarfile.TarInfo("redis/keys@00000000")
    head = bytearray(entry.tobuf(tarfile.USTAR_FORMAT))
    head[124:136] = b"\xff" * 12
    head[148:156] = b"%06o\0 " % (256 + sum(head[:148]) + sum(head[156:]))
    (tmp_path / "backup").write_bytes(head + bytes(1024))
    with pytest.raises(BackupBroken, match="nothing that a backup holds"):
        Reader(tmp_path / "backup").verify()


def test_what_is_exchanged_between_two_looks_is_not_taken(file: Path) -> None:
    """The second look finds what the first one verified, or nothing."""
    reader = Reader(file)
    reader.verify()
    rewritten(file, lambda found: listing([(found[0][0], b"0ne"), *found[1:-1]], {}))
    Reader(file).verify()
    with pytest.raises(BackupBroken, match="changed"):
        next(reader.parts())
    rewritten(file, lambda found: listing([(found[0][0], b"one")], {}))
    with pytest.raises(BackupBroken, match="too early"):
        list(reader.parts())


def test_a_name_that_is_too_long_is_refused_when_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(BackupBroken, match="too long"), writing(tmp_path / "backup") as writer:
        writer.add("n" * 100, b"")


def test_a_link_is_not_followed(file: Path) -> None:
    with tarfile.open(file, "w") as tar:
        entry = tarfile.TarInfo("redis/keys@00000000")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(BackupBroken, match="nothing that a backup holds"):
        Reader(file).verify()


def test_a_backup_of_a_newer_release_is_told_from_a_broken_one() -> None:
    """Whoever reads that starts the right one."""
    data = canonical_bytes({"v": 2, "holdgate": "9", "created_ms": 0, "facts": {}, "parts": [], "new": 1})
    with pytest.raises(BackupNewer, match="use a newer one") as caught:
        Manifest.of(data)
    assert caught.value.code == "record_newer"
