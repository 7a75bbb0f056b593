"""What a kernel remembers on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.bundles.errors import ShelfUnusable
from holdgate.bundles.root import Scope
from holdgate.bundles.shelf import Shelf, Versions
from holdgate.bundles.trusted import Floor
from holdgate.kernel.ids import Digest

SEEN = Versions(
    Floor(2, Digest("sha256:r")),
    {"house": Floor(3, Digest("sha256:b"), Scope(tenants=["acme"])), "old": Floor(1, Digest("sha256:c"))},
    time_ms=7,
    stamp_ms=8,
)


def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    Shelf(tmp_path / "k").keep(SEEN, {"house": b"data"})
    again = Shelf(tmp_path / "k")
    assert again.versions() == SEEN
    assert again.bundle("house") == b"data"
    assert again.bundle("other") is None


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


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", "."])
def test_a_name_is_not_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ShelfUnusable):
        Shelf(tmp_path).keep(Versions(), {name: b""})


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShelfUnusable):
        Shelf(tmp_path / "file")
    shelf = Shelf(tmp_path / "k")
    (tmp_path / "k" / "versions.json").mkdir()
    with pytest.raises(ShelfUnusable):
        shelf.keep(SEEN, {})
