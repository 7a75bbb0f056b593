"""Attacks on the way from one trust root to the next."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from holdgate.bundles import chain as chains
from holdgate.bundles.chain import (
    CHAIN_BYTES_MAX,
    CHAIN_MAX,
    VALUES_MAX,
    RootChain,
    parse_chain,
    sign_root,
    unsigned,
    verify_chain,
)
from holdgate.bundles.errors import BundleMalformed, BundleRefused, RootRefused
from holdgate.bundles.root import Pins
from holdgate.bundles.rootfile import LOOK_AGAIN_MS, RootFile
from holdgate.kernel.canonical import canonical_bytes, parse_json
from support.trust import NOW_MS, Ceremony, SetClock, signer

OLD = ("old1", "old2", "old3")
NEW = ("new1", "new2", "new3")
FIRST = Ceremony(root_keys=OLD, root_threshold=2)
SECOND = FIRST.next(root_keys=NEW)
THIRD = SECOND.next(authors=("second",))


def code(data: bytes, pins: Pins = FIRST.pins) -> str:
    with pytest.raises(BundleRefused) as caught:
        verify_chain(data, pins, NOW_MS)
    return caught.value.code


def signed(ceremony: Ceremony, names: Iterable[str]) -> bytes:
    """The root of `ceremony` after that before it, signed by `names` alone."""
    assert ceremony.older is not None
    after = parse_chain(ceremony.older.signed_root())
    return sign_root(ceremony.root, [signer(name) for name in names], after=after)


def of(*links: chains.SignedRoot) -> bytes:
    """A file of these documents, whatever they are."""
    return RootChain(links).to_bytes()


def links(ceremony: Ceremony) -> tuple[chains.SignedRoot, ...]:
    return parse_chain(ceremony.signed_root()).links


def test_a_root_is_replaced_by_two_of_the_old_and_two_of_the_new_keys() -> None:
    data = signed(SECOND, ["old1", "old3", "new2", "new3"])
    chain = verify_chain(data, FIRST.pins, NOW_MS)
    assert chain.root == SECOND.root
    assert [link.root.version for link in chain.links] == [1, 2]
    assert [tally.missing for tally in chain.tallies()] == [0, 0]


def test_pins_of_any_root_of_the_chain_anchor_it() -> None:
    for pins in (FIRST.pins, SECOND.pins):
        assert verify_chain(THIRD.signed_root(), pins, NOW_MS).root == THIRD.root


def test_pins_of_the_newest_root_alone_need_no_older_one() -> None:
    alone = of(links(SECOND)[-1])
    assert verify_chain(alone, SECOND.pins, NOW_MS).root == SECOND.root
    assert code(alone) == "root_threshold"


def test_a_file_without_older_roots_is_a_chain_of_one() -> None:
    document = parse_json(FIRST.signed_root())
    assert isinstance(document, dict)
    assert set(document) == {"signed", "signatures"}
    assert len(verify_chain(FIRST.signed_root(), FIRST.pins, NOW_MS).links) == 1


def test_a_root_replaced_by_an_attacker_with_keys_of_their_own() -> None:
    mallory = replace(SECOND, root_keys=("m1", "m2", "m3"))
    assert code(signed(mallory, ["m1", "m2", "m3"])) == "root_threshold"
    assert code(of(unsigned(FIRST.root), *links(mallory)[1:])) == "root_threshold"
    alone = replace(mallory, older=None, root_keys=("m1",), root_threshold=1)
    assert code(alone.signed_root()) == "root_threshold"


def test_an_attackers_chain_with_the_true_root_put_before_it() -> None:
    """The true root meets the pins; what stands after it was not signed by its keys."""
    mallory = replace(SECOND, root_keys=("m1",), root_threshold=1)
    assert code(of(links(FIRST)[0], unsigned(mallory.root).signed_by(signer("m1")))) == "root_threshold"


def test_an_attackers_root_put_before_the_true_one_is_not_what_counts() -> None:
    """Signatures are not signed: anybody may add one to the true root. It stays the one that says who may do what."""
    mallory = Ceremony(root_keys=("m1",), version=1)
    third = replace(SECOND, older=None, version=2)
    data = of(*links(mallory), parse_chain(third.signed_root()).newest.signed_by(signer("m1")))
    chain = verify_chain(data, third.pins, NOW_MS)
    assert chain.root == third.root
    with pytest.raises(RootRefused) as caught:
        chain.verify_holds(1, FIRST.root.digest)
    assert caught.value.code == "root_fork"


def test_a_new_root_signed_by_the_old_keys_only() -> None:
    assert code(signed(SECOND, OLD)) == "root_threshold"


def test_a_new_root_signed_by_the_new_keys_only() -> None:
    assert code(signed(SECOND, NEW)) == "root_threshold"


def test_one_stolen_root_key_of_two_of_three_makes_no_root() -> None:
    stolen = FIRST.next(root_keys=("old1",), root_threshold=1)
    assert code(signed(stolen, ["old1"])) == "root_threshold"
    assert code(signed(FIRST.next(authors=("mallory",)), ["old1"])) == "root_threshold"


def test_one_key_that_signs_twice_is_one_of_the_old_threshold() -> None:
    first, second = links(SECOND)
    kept = tuple(item for item in second.signatures if item.key not in {signer(name).name for name in OLD})
    one = next(item for item in second.signatures if item.key == signer("old1").name)
    assert code(of(first, replace(second, signatures=(*kept, one, one)))) == "root_threshold"


@pytest.mark.parametrize("version", [1, 3, 4])
def test_a_version_that_is_skipped_or_repeated(version: int) -> None:
    skipped = replace(SECOND, version=version)
    assert code(signed(skipped, [*OLD, *NEW])) == "root_chain"


def test_a_root_left_out_of_the_middle() -> None:
    first, _, third = links(THIRD)
    assert code(of(first, third)) == "root_chain"
    assert code(of(third, first)) == "root_chain"


def test_a_chain_whose_oldest_roots_are_cut_off() -> None:
    """It may end at another anchor; a process that has seen what was cut off refuses it."""
    _, second, third = links(THIRD)
    assert code(of(second, third)) == "root_threshold"
    chain = verify_chain(of(second, third), SECOND.pins, NOW_MS)
    chain.verify_holds(2, SECOND.root.digest)
    with pytest.raises(RootRefused) as caught:
        chain.verify_holds(1, FIRST.root.digest)
    assert caught.value.code == "root_fork"


def test_replay_of_an_older_root() -> None:
    chain = verify_chain(SECOND.signed_root(), FIRST.pins, NOW_MS)
    chain.verify_holds(2, SECOND.root.digest)
    with pytest.raises(RootRefused) as caught:
        chain.verify_holds(3, THIRD.root.digest)
    assert caught.value.code == "root_version"


@pytest.mark.parametrize("length", [1, 2, 3])
def test_old_keys_fork_the_chain_after_they_were_replaced(length: int) -> None:
    """The old keys still meet the pins, and so lead from the first root to another second one, and beyond it."""
    forged = FIRST
    for _ in range(length):
        forged = forged.next(authors=("mallory",))
    chain = verify_chain(forged.signed_root(), FIRST.pins, NOW_MS)
    with pytest.raises(RootRefused) as caught:
        chain.verify_holds(2, SECOND.root.digest)
    assert caught.value.code == "root_fork"


def test_an_older_root_may_have_expired_and_the_newest_may_not() -> None:
    past = replace(FIRST, expires="2026-01-01T00:00:00Z")
    assert verify_chain(past.next(expires="2040-01-01T00:00:00Z").signed_root(), FIRST.pins, NOW_MS).root.version == 2
    assert code(FIRST.next(expires="2026-01-01T00:00:00Z").signed_root()) == "root_expired"


def test_a_chain_that_is_too_long() -> None:
    chain = parse_chain(Ceremony().signed_root())
    for version in range(2, CHAIN_MAX + 1):
        chain = chain.followed_by(Ceremony(version=version).root, keep=CHAIN_MAX).signed_by(signer("root"))
    assert len(verify_chain(chain.to_bytes(), Ceremony().pins, NOW_MS).links) == CHAIN_MAX
    longer = chain.followed_by(Ceremony(version=CHAIN_MAX + 1).root, keep=CHAIN_MAX).signed_by(signer("root"))
    assert code(longer.to_bytes(), Ceremony().pins) == "root_chain"
    shorter = chain.followed_by(Ceremony(version=CHAIN_MAX + 1).root).signed_by(signer("root"))
    assert len(verify_chain(shorter.to_bytes(), Ceremony().pins, NOW_MS).links) == CHAIN_MAX


def test_a_file_that_is_too_large() -> None:
    padded = FIRST.signed_root().ljust(CHAIN_BYTES_MAX + 1)
    assert verify_chain(padded[:-1], FIRST.pins, NOW_MS).root == FIRST.root
    assert code(padded) == "root_malformed"


MALFORMED: dict[str, Callable[[dict[str, object]], object]] = {
    "older roots that are no list": lambda document: {**document, "before": {}},
    "an older root that is none": lambda document: {**document, "before": [{}]},
    "older roots of an older root": lambda document: {**document, "before": [{**document, "before": []}]},
    "more members": lambda document: {**document, "after": []},
    "too many signatures": lambda document: {**document, "signatures": [_signature(n) for n in range(101)]},
    "a key with another kind of name": lambda document: {**document, "signatures": [{**_signature(1), "key": "x"}]},
}


def _signature(number: int) -> dict[str, str]:
    return {"key": f"ed25519:{number:032x}", "signature": "00" * 64}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_a_chain(change: Callable[[dict[str, object]], object]) -> None:
    document = parse_json(FIRST.signed_root())
    assert isinstance(document, dict)
    with pytest.raises(BundleMalformed):
        parse_chain(canonical_bytes(change(dict(document))))


def test_a_hundred_signatures_are_read() -> None:
    document = parse_json(FIRST.signed_root())
    assert isinstance(document, dict)
    filled = {**document, "signatures": [_signature(number) for number in range(100)]}
    assert len(parse_chain(canonical_bytes(filled)).newest.signatures) == 100


GOOD = signed(SECOND, ["old1", "old2", "new1", "new2"])
"""Without a signature to spare."""


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_a_chain_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    """Only what signatures do not cover could change nothing: a signature more than are needed by the one before."""
    position = data.draw(st.integers(0, len(GOOD) - 2))
    value = (GOOD[position] + data.draw(st.integers(1, 255))) % 256
    changed = GOOD[:position] + bytes([value]) + GOOD[position + 1 :]
    try:
        chain = verify_chain(changed, FIRST.pins, NOW_MS)
    except BundleRefused:
        return
    assert [link.plain for link in chain.links] == [link.plain for link in parse_chain(GOOD).links]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_in_place_of_any_other_is_refused_and_breaks_nothing(data: st.DataObject) -> None:
    """Whoever writes the file writes what they like; what is read is a chain or one kind of error."""
    document = parse_json(GOOD)
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inside = place[key]
        if isinstance(inside, dict | list) and inside and data.draw(st.booleans()):
            place = inside
            continue
        place[key] = data.draw(_JSON)
        assume(place[key] != inside)
        break
    with pytest.raises(BundleRefused):
        verify_chain(json.dumps(document).encode(), FIRST.pins, NOW_MS)


class _File:
    """A root file under a process that looks at it."""

    def __init__(self, path: Path, ceremony: Ceremony) -> None:
        self._path, self._clock = path, SetClock()
        path.write_bytes(ceremony.signed_root())
        self._file = RootFile(path, ceremony.pins, self._clock)

    def after(self, data: bytes) -> int | None:
        self._path.write_bytes(data)
        self._clock.time_ms += LOOK_AGAIN_MS
        trust = self._file()
        return None if trust is None else trust.root_version


def test_a_process_goes_through_two_rotations_at_once_and_never_back(tmp_path: Path) -> None:
    file = _File(tmp_path / "root.json", FIRST)
    assert file.after(THIRD.signed_root()) == 3
    for data in (FIRST.signed_root(), SECOND.signed_root(), b"{", Ceremony(version=9, root_keys=("m",)).signed_root()):
        assert file.after(data) == 3
    assert file.after(THIRD.next().signed_root()) == 4


def test_a_process_refuses_a_fork_of_what_it_holds(tmp_path: Path) -> None:
    file = _File(tmp_path / "root.json", FIRST)
    assert file.after(SECOND.signed_root()) == 2
    forged = FIRST.next(authors=("mallory",))
    assert file.after(forged.next().signed_root()) == 2
    assert file.after(forged.signed_root()) == 2
    assert file.after(of(links(SECOND.next())[-1])) == 2


def test_more_values_than_any_root_file_has_are_refused_before_they_are_read() -> None:
    with pytest.raises(BundleMalformed, match="more than"):
        parse_chain(b'{"a":[' + b"[]," * VALUES_MAX + b"[]]}")
