"""What a kernel remembers on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.bundles.errors import ShelfNewer, ShelfUnusable
from holdgate.bundles.root import Scope
from holdgate.bundles.shelf import Shelf, Versions
from holdgate.bundles.trusted import Floor
from holdgate.kernel.ids import Digest

B, C = Digest("sha256:" + "b" * 64), Digest("sha256:" + "c" * 64)
SEEN = Versions(
    Floor(2, Digest("sha256:r")),
    {"house": Floor(3, B, Scope(tenants=["acme"])), "old": Floor(1, C)},
    time_ms=7,
    stamp_ms=8,
)


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    Shelf(tmp_path / "k").keep(SEEN, {"house": b"data"})
    again = Shelf(tmp_path / "k")
    assert again.versions() == SEEN
    assert again.bundle("house", B) == b"data"
    assert again.bundle("house", C) is None
    assert again.bundle("other", B) is None


def test_a_disk_that_fails_half_way_leaves_the_set_that_was_kept(tmp_path: Path) -> None:
    """New files of some bundles and old ones of others were never one policy."""
    shelf = Shelf(tmp_path)
    before = Versions(None, {"a": Floor(1, B), "b": Floor(1, B)})
    shelf.keep(before, {"a": b"a1", "b": b"b1"})
    in_the_way = tmp_path / "bundles" / f"b.{C.removeprefix('sha256:')}.new"
    in_the_way.mkdir()
    after = Versions(None, {"a": Floor(2, C), "b": Floor(2, C)})
    with pytest.raises(ShelfUnusable):
        shelf.keep(after, {"a": b"a2", "b": b"b2"})
    kept = shelf.versions()
    assert kept == before
    assert [shelf.bundle(name, floor.digest) for name, floor in kept.bundles.items()] == [b"a1", b"b1"]
    in_the_way.rmdir()
    shelf.keep(after, {"a": b"a2", "b": b"b2"})
    assert [shelf.bundle(name, C) for name in ("a", "b")] == [b"a2", b"b2"]


def test_files_that_nothing_names_any_more_are_taken_away(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / "bundles" / "a.json").write_bytes(b"a0")
    (tmp_path / "bundles" / "notes.txt").write_bytes(b"")
    for digest in (B, C):
        shelf.keep(Versions(None, {"a": Floor(1, digest)}), {"a": b"x"})
    assert sorted(path.name for path in (tmp_path / "bundles").iterdir()) == [f"a.{'c' * 64}.json", "notes.txt"]


def test_a_file_of_an_older_release_is_read_until_there_is_a_newer_one(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / "bundles" / "a.json").write_bytes(b"a0")
    shelf.keep(Versions(None, {"a": Floor(1, B), "b": Floor(1, B)}), {"b": b"b"})
    assert shelf.bundle("a", B) == b"a0"


def test_a_new_directory_has_seen_nothing(tmp_path: Path) -> None:
    assert Shelf(tmp_path).versions() == Versions()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"root": null, "bundles": []}',
        b'{"root": 1, "bundles": {}}',
        b'{"root": null, "bundles": {"a": {"version": "1", "digest": "x"}}}',
        b'{"root": null, "bundles": {}, "time_ms": "0"}',
        b'{"root": null, "bundles": {}, "time_ms": -1}',
        b'{"root": null, "bundles": {}, "stamp_ms": true}',
        b'{"root": null, "bundles": {"a": {"version": 1, "digest": "x", "scope": {"tenants": []}}}}',
    ],
)
def test_damaged_versions_are_an_error_and_not_a_new_start(tmp_path: Path, data: bytes) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / "versions.json").write_bytes(data)
    with pytest.raises(ShelfUnusable, match="damaged"):
        shelf.versions()


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        *((name, B) for name in ("../x", "a/b", "", "A", ".")),
        *(("a", d) for d in ("", "sha256:../x", "md5:" + "0" * 64)),
    ],
)
def test_neither_name_nor_digest_is_a_path(tmp_path: Path, name: str, digest: str) -> None:
    with pytest.raises(ShelfUnusable):
        Shelf(tmp_path).keep(Versions(None, {name: Floor(1, Digest(digest))}), {name: b""})
    with pytest.raises(ShelfUnusable):
        Shelf(tmp_path).bundle(name, Digest(digest))


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShelfUnusable):
        Shelf(tmp_path / "file")
    shelf = Shelf(tmp_path / "k")
    (tmp_path / "k" / "versions.json").mkdir()
    with pytest.raises(ShelfUnusable):
        shelf.keep(SEEN, {})


def test_a_directory_of_a_newer_release_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    """And one that says no version is of this form: those before did not."""
    (tmp_path / "versions.json").write_text('{"bundles":{},"root":null,"v":2}')
    with pytest.raises(ShelfNewer, match="newer release"):
        Shelf(tmp_path).versions()
    (tmp_path / "versions.json").write_text('{"bundles":{},"root":null,"time_ms":5}')
    assert Shelf(tmp_path).versions().time_ms == 5
