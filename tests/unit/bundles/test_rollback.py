"""An older version under a new number: what comes back, how long it holds, and whose word that is. Data only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from holdgate.bundles.errors import BundleRefused, BundleUnsigned
from holdgate.bundles.format import BundleFile, parse_bundle, sign_bundle
from holdgate.bundles.history import Entry, entry_of, renewed, restored
from holdgate.bundles.manifest import Manifest
from holdgate.bundles.rollback import (
    DAY_MS,
    LIFETIME_MS_MAX,
    LIFETIME_MS_UNKNOWN,
    STEP_MAX,
    expiry_ms,
    next_version,
    parse_expires,
    require_version,
    roll_back,
    verify_origin,
)
from holdgate.bundles.store import StoredBundle
from support.trust import ALLOW_READS, HOLD_WRITES, NOW_MS, YEAR_MS, Ceremony, bundle, signer

UNTIL = "2040-01-01T00:00:00Z"


@pytest.fixture
def old(tmp_path: Path) -> BundleFile:
    return parse_bundle(bundle(tmp_path, ALLOW_READS, version=3))


def test_only_version_and_times_are_new_and_nobody_has_signed(old: BundleFile) -> None:
    back = parse_bundle(roll_back(old, version=9, expires=UNTIL))
    assert (back.manifest.version, back.manifest.expires, back.manifest.valid_from) == (9, UNTIL, None)
    assert (back.files, back.manifest.scope, back.manifest.files) == (old.files, old.manifest.scope, old.manifest.files)
    assert back.signatures == ()


def test_the_signatures_of_the_old_version_do_not_hold_for_the_new_one(old: BundleFile) -> None:
    back = parse_bundle(roll_back(old, version=9, expires=UNTIL))
    carried = [{"key": signed.key, "signature": signed.signature.hex()} for signed in old.signatures]
    assert carried
    forged = BundleFile(back.manifest, back.files, old.signatures).to_bytes()
    with pytest.raises(BundleUnsigned, match="does not hold"):
        verify_origin(parse_bundle(forged), signer("author"), Ceremony().root)


def manifest(old: BundleFile, **changes: object) -> Manifest:
    return Manifest.model_validate({**old.manifest.model_dump(mode="json"), **changes})


def test_it_holds_as_long_as_the_old_one_did_from_a_day_to_a_year(old: BundleFile) -> None:
    month = manifest(old, valid_from="2026-01-01T00:00:00Z", expires="2026-01-31T00:00:00Z")
    assert expiry_ms(month, None, NOW_MS) == NOW_MS + 30 * DAY_MS
    published_ms = old.manifest.expires_ms - 10 * DAY_MS
    assert expiry_ms(old.manifest, published_ms, NOW_MS) == NOW_MS + 10 * DAY_MS
    assert expiry_ms(old.manifest, old.manifest.expires_ms - 1, NOW_MS) == NOW_MS + DAY_MS
    assert expiry_ms(old.manifest, old.manifest.expires_ms - 9 * YEAR_MS, NOW_MS) == NOW_MS + LIFETIME_MS_MAX
    assert expiry_ms(old.manifest, None, NOW_MS) == NOW_MS + LIFETIME_MS_UNKNOWN


def test_an_expiry_that_is_no_time_or_over_is_refused() -> None:
    assert parse_expires(UNTIL, NOW_MS) == UNTIL
    with pytest.raises(BundleRefused, match="such as"):
        parse_expires("next week", NOW_MS)
    with pytest.raises(BundleRefused, match="over already"):
        parse_expires("2020-01-01T00:00:00Z", NOW_MS)


def test_a_store_that_makes_up_a_version_far_away_gets_no_signature() -> None:
    """Under a name of which the last version was used nobody can publish any more."""
    assert [next_version(highest, 3) for highest in (0, 3, 7, 3 + STEP_MAX - 1)] == [4, 4, 8, 3 + STEP_MAX]
    for highest in (3 + STEP_MAX, 2**53 - 2):
        with pytest.raises(BundleRefused, match="--version") as refused:
            next_version(highest, 3)
        assert refused.value.code == "bundle_version"


def test_another_version_or_bundle_than_the_one_asked_for_is_refused(old: BundleFile) -> None:
    require_version(old, "house", 3)
    for name, version in (("house", 2), ("other", 3)):
        with pytest.raises(BundleRefused, match="this is `house` version 3"):
            require_version(old, name, version)


def test_an_author_signs_again_what_they_or_enough_authors_had_signed(old: BundleFile) -> None:
    verify_origin(old, signer("author"), None)
    verify_origin(old, signer("somebody"), Ceremony().root)


def test_an_author_signs_nothing_that_nobody_had_signed(tmp_path: Path, old: BundleFile) -> None:
    unsigned = BundleFile(old.manifest, old.files, ())
    with pytest.raises(BundleRefused, match="--root"):
        verify_origin(unsigned, signer("author"), None)
    with pytest.raises(BundleUnsigned):
        verify_origin(unsigned, signer("author"), Ceremony().root)
    others = parse_bundle(bundle(tmp_path, HOLD_WRITES, signers=["stranger"]))
    with pytest.raises(BundleRefused):
        verify_origin(others, signer("author"), None)


def test_an_authors_own_signature_over_other_bytes_is_no_signature(tmp_path: Path, old: BundleFile) -> None:
    """What was signed are the rules of another version."""
    other = parse_bundle(bundle(tmp_path, HOLD_WRITES, version=4))
    swapped = parse_bundle(BundleFile(other.manifest, other.files, old.signatures).to_bytes())
    with pytest.raises(BundleRefused, match="does not hold"):
        verify_origin(swapped, signer("author"), None)


def entries(*files: bytes) -> list[Entry]:
    root = Ceremony().root
    return [entry_of(StoredBundle("house", data, revision), root) for revision, data in enumerate(files, start=1)]


def test_a_version_restores_the_one_that_has_its_files(tmp_path: Path) -> None:
    first, second = bundle(tmp_path, ALLOW_READS), bundle(tmp_path, HOLD_WRITES, version=2)
    third = parse_bundle(roll_back(parse_bundle(first), version=3, expires=UNTIL)).manifest
    assert restored(third, entries(first, second)) == 1
    assert restored(third, entries(first)) is None  # renewed, not brought back
    assert restored(third, []) is None


def test_a_version_with_the_files_of_the_one_before_renews_it(tmp_path: Path) -> None:
    first, second = bundle(tmp_path, ALLOW_READS), bundle(tmp_path, HOLD_WRITES, version=2)
    third = parse_bundle(roll_back(parse_bundle(second), version=3, expires=UNTIL)).manifest
    assert renewed(third, entries(second, first)) == 2
    assert renewed(third, entries(first)) is None
    assert renewed(third, []) is None


def test_files_of_a_version_that_did_not_count_are_not_brought_back(tmp_path: Path) -> None:
    planted = bundle(tmp_path, ALLOW_READS, signers=[])
    second = bundle(tmp_path, HOLD_WRITES, version=2)
    third = parse_bundle(roll_back(parse_bundle(planted), version=3, expires=UNTIL)).manifest
    assert restored(third, entries(planted, second)) is None


def test_an_entry_says_what_is_wrong_with_a_file_and_keeps_none_of_its_bytes(tmp_path: Path) -> None:
    root = Ceremony().root
    good = bundle(tmp_path, ALLOW_READS)
    assert entry_of(StoredBundle("house", good, 7), root).problem is None
    cases = {
        b'{"noise":1}': "bundle_malformed",
        bundle(tmp_path, ALLOW_READS, version=2, signers=[]): "bundle_threshold",
        sign_bundle(bundle(tmp_path, ALLOW_READS, version=3, signers=[]), signer("x")): "bundle_unknown_key",
    }
    for data, problem in cases.items():
        entry = entry_of(StoredBundle("house", data, 7), root)
        assert (entry.problem, entry.stored.data, entry.signers) == (problem, b"", ())
    assert entry_of(replace(StoredBundle("house", good, 7), name="other"), root).problem == "bundle_name"
