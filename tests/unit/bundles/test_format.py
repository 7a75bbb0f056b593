"""From a directory to one file: what is taken, and what is refused on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.bundles import format as bundle_format
from holdgate.bundles.errors import BundleMalformed, BundleRefused, DocumentInvalid
from holdgate.bundles.format import VALUES_MAX, BundleFile, build_bundle, parse_bundle
from holdgate.bundles.manifest import Vocabulary
from holdgate.bundles.root import Scope
from holdgate.kernel.errors import InvalidInput
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
        ("version: 1", "version: 1\ngrace: 0d"),
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
    with pytest.raises((BundleRefused, DocumentInvalid)):
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


def test_whatever_a_check_says_the_file_is_malformed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads many files stops at no other error: one of them must not hide the next."""
    built = build_bundle(directory)

    def failing(*_: object) -> None:
        raise InvalidInput("of another kind")

    monkeypatch.setattr(bundle_format, "_signatures", failing)
    with pytest.raises(BundleMalformed, match="of another kind"):
        parse_bundle(built)


def _full_vocabulary() -> Vocabulary:
    words = [f"w{number}" for number in range(64)]
    topics = {f"job.t{number}": {"labels": words, "capabilities": words} for number in range(1000)}
    return Vocabulary.model_validate({"topics": topics})


def test_the_largest_vocabulary_and_scope_are_within_the_bound_on_values(directory: Path) -> None:
    scope = {"tenants": [f"t{number}" for number in range(1000)], "topics": [f"job.t{n}" for n in range(1000)]}
    manifest = parse_bundle(build_bundle(directory)).manifest
    vocabulary = _full_vocabulary()
    full = manifest.model_copy(update={"vocabulary": vocabulary, "scope": Scope.model_validate(scope)})
    files = parse_bundle(build_bundle(directory)).files
    assert parse_bundle(BundleFile(full, files, ()).to_bytes()).manifest == full


def test_more_values_than_any_bundle_has_are_refused_before_they_are_read() -> None:
    """Reading millions of empty lists would hold up everything else in the process for seconds."""
    with pytest.raises(BundleMalformed, match="more than"):
        parse_bundle(b'{"a":[' + b"[]," * VALUES_MAX + b"[]]}")
