"""The root as a process holds it while its file changes under it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdgate.bundles.errors import RootUnreadable
from holdgate.bundles.rootfile import LOOK_AGAIN_MS, RootFile
from support.trust import Ceremony, SetClock


@contextmanager
def no_more_files() -> Iterator[None]:
    """As in a process that has all its files open: a file is there, and cannot be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "root.json").write_bytes(Ceremony().signed_root())
    return tmp_path / "root.json"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def root(path: Path, clock: SetClock) -> RootFile:
    return RootFile(path, Ceremony().pins, clock)


def version(root: RootFile, clock: SetClock) -> int | None:
    """The version in force after it looked again."""
    clock.advance(LOOK_AGAIN_MS / 1000)
    trust = root()
    return None if trust is None else trust.root_version


def test_a_new_root_is_in_force_after_the_next_look(path: Path, root: RootFile, clock: SetClock) -> None:
    path.write_bytes(Ceremony().next().signed_root())
    assert version(root, clock) == 2


def test_a_new_root_that_could_not_be_read_is_read_again(path: Path, root: RootFile, clock: SetClock) -> None:
    path.write_bytes(Ceremony().next().signed_root())
    with no_more_files():
        assert version(root, clock) == 1
    assert version(root, clock) == 2


@pytest.mark.parametrize("content", [b"", b"{}", Ceremony(version=2, root_keys=("mallory",)).signed_root()])
def test_what_does_not_verify_changes_nothing(path: Path, root: RootFile, clock: SetClock, content: bytes) -> None:
    path.write_bytes(content)
    assert version(root, clock) == 1


def test_an_older_root_changes_nothing(path: Path, clock: SetClock) -> None:
    path.write_bytes(Ceremony(version=3).signed_root())
    root = RootFile(path, Ceremony().pins, clock)
    path.write_bytes(Ceremony(version=2).signed_root())
    assert version(root, clock) == 3


def test_an_expired_root_is_none(path: Path, root: RootFile, clock: SetClock) -> None:
    clock.advance(20 * 366 * 86_400)
    assert version(root, clock) is None


def test_without_a_file_there_is_no_start(tmp_path: Path, clock: SetClock) -> None:
    with pytest.raises(RootUnreadable):
        RootFile(tmp_path / "none.json", Ceremony().pins, clock)
