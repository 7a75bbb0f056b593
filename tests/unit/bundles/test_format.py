"""From a directory to one file: what is taken, and what is refused on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.bundles.errors import BundleRefused
from holdgate.bundles.format import build_bundle, parse_bundle
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.limits import RULES_FILE_BYTES_MAX

SOURCE = 'name: house\nversion: 1\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules/a.yaml]\n'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yaml").write_bytes(b"rules: []\n\xc3\xa9")
    (tmp_path / "bundle.yaml").write_text(SOURCE)
    return tmp_path


def test_files_are_taken_byte_for_byte(directory: Path) -> None:
    file = parse_bundle(build_bundle(directory))
    assert file.files == {"rules/a.yaml": b"rules: []\n\xc3\xa9"}
    assert file.signatures == ()


def test_files_that_are_not_named_are_left_out(directory: Path) -> None:
    before = build_bundle(directory)
    (directory / "notes.txt").write_text("private")
    assert build_bundle(directory) == before


@pytest.mark.parametrize(
    "change",
    [
        ("version: 1", "version: 0"),
        ("version: 1", "version: '1'"),
        ("version: 1", "version: 1.0"),
        ("version: 1", f"version: {2**53}"),
        ("name: house", "name: ../house"),
        ("name: house", "name: House"),
        ("[rules/a.yaml]", "[]"),
        ("[rules/a.yaml]", "[rules/a.yaml, rules/a.yaml]"),
        ("[rules/a.yaml]", "[../rules/a.yaml]"),
        ("[rules/a.yaml]", "[/etc/passwd]"),
        ("[rules/a.yaml]", "[rules/missing.yaml]"),
        ("[rules/a.yaml]", "[rules/../rules/a.yaml]"),
        ("name: house", "name: house\nname: house"),
        ("name: house", "name: house\nextra: 1"),
        ("2040-01-01T00:00:00Z", "2040-01-01T00:00:00"),
        ("2040-01-01T00:00:00Z", "tomorrow"),
        ("version: 1", 'version: 1\nscope: {topics: ["a..b"]}'),
        ("version: 1", "version: 1\nscope: {tenants: []}"),
    ],
)
def test_a_description_that_is_refused(directory: Path, change: tuple[str, str]) -> None:
    (directory / "bundle.yaml").write_text(SOURCE.replace(*change))
    with pytest.raises(HoldgateError):
        build_bundle(directory)


def test_a_link_to_a_file_is_refused(directory: Path, tmp_path: Path) -> None:
    (directory / "rules" / "a.yaml").unlink()
    (directory / "rules" / "a.yaml").symlink_to("/etc/hostname")
    with pytest.raises(BundleRefused, match="is a link"):
        build_bundle(directory)


def test_a_linked_folder_is_refused(directory: Path) -> None:
    (directory / "rules").rename(directory / "elsewhere")
    (directory / "rules").symlink_to(directory / "elsewhere")
    with pytest.raises(BundleRefused, match="is a link"):
        build_bundle(directory)


def test_a_file_over_the_limit_is_refused(directory: Path) -> None:
    (directory / "rules" / "a.yaml").write_bytes(b" " * (RULES_FILE_BYTES_MAX + 1))
    with pytest.raises(BundleRefused) as caught:
        build_bundle(directory)
    assert caught.value.code == "bundle_too_large"
