"""Attacks on the trust root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from holdgate.bundles.chain import verify_root
from holdgate.bundles.errors import BundleRefused, RootRefused
from holdgate.bundles.manifest import BundleSource
from holdgate.bundles.root import Fail, Pins, Root
from holdgate.bundles.rootfile import RootFile, load_root
from holdgate.kernel.canonical import digest
from holdgate.kernel.clock import rfc3339
from holdgate.kernel.permits import fingerprint
from support.trust import NOW_MS, Ceremony, SetClock, signer

THREE = ("r1", "r2", "r3")


def code(data: bytes, pins: Pins, now_ms: int = NOW_MS) -> str:
    with pytest.raises(BundleRefused) as caught:
        verify_root(data, pins, now_ms)
    return caught.value.code


def test_a_root_says_who_may_sign_what() -> None:
    ceremony = Ceremony(approvers={"dana": ("release-manager",)}, fail_modes=Fail(submit="open"))
    trust = verify_root(ceremony.signed_root(), ceremony.pins, NOW_MS).trust()
    assert signer("api").name in trust.api
    assert signer("kernel").name in trust.kernel
    assert signer("api").name not in trust.kernel
    assert trust.approvers[signer("dana").name].roles == ("release-manager",)
    assert (trust.fail_modes.submit_open, trust.fail_modes.dispatch_open) == (True, False)


def test_an_attackers_root_that_names_and_signs_itself() -> None:
    mallory = Ceremony(root_keys=("mallory",))
    assert code(mallory.signed_root(), Ceremony().pins) == "root_threshold"


def test_one_stolen_key_cannot_lower_the_threshold() -> None:
    real = Ceremony(root_keys=THREE, root_threshold=2)
    stolen = Ceremony(root_keys=("r1",), root_threshold=1)
    assert code(stolen.signed_root(), real.pins) == "root_threshold"


def test_two_of_three_are_enough() -> None:
    real = Ceremony(root_keys=THREE, root_threshold=2)
    document = json.loads(real.signed_root())
    document["signatures"].pop()
    assert verify_root(json.dumps(document).encode(), real.pins, NOW_MS) == real.root
    document["signatures"].pop()
    assert code(json.dumps(document).encode(), real.pins) == "root_threshold"


def test_one_signature_twice_is_one() -> None:
    real = Ceremony(root_keys=THREE, root_threshold=2)
    document = json.loads(real.signed_root())
    document["signatures"] = [document["signatures"][0]] * 2
    assert code(json.dumps(document).encode(), real.pins) == "root_threshold"


def test_an_expired_root() -> None:
    ceremony = Ceremony(expires="2026-01-01T00:00:00Z")
    assert code(ceremony.signed_root(), ceremony.pins) == "root_expired"


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_changed_byte_of_what_is_signed_is_refused(data: st.DataObject) -> None:
    ceremony = Ceremony()
    good = ceremony.signed_root()
    start = good.index(b'"signed"')
    position = data.draw(st.integers(start, len(good) - 3))
    value = (good[position] + data.draw(st.integers(1, 255))) % 256
    with pytest.raises(BundleRefused):
        verify_root(good[:position] + bytes([value]) + good[position + 1 :], ceremony.pins, NOW_MS)


MALFORMED = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "another key": b'{"signed": {}, "signatures": [], "more": 1}',
    "no keys": b'{"signed": {}, "signatures": []}',
    "keys of another type": b'{"signed": {"root": {"keys": [1]}}, "signatures": []}',
    "a signature of another type": b'{"signed": {"root": {"keys": []}}, "signatures": [1]}',
    "a short signature": b'{"signed": {"root": {"keys": []}}, "signatures": [{"key": "x", "signature": "00"}]}',
    "too large": b" " * (1024 * 1024 + 1),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_a_root(data: bytes) -> None:
    assert code(data, Ceremony().pins) == "root_malformed"


WRONG: dict[str, dict[str, Any]] = {
    "a threshold above the number of authors": {"threshold": 2},
    "a threshold of nobody": {"threshold": 0},
    "a root threshold above the number of root keys": {"root_threshold": 2},
    "no authors": {"authors": ()},
    "an expiry that is no time": {"expires": "soon"},
    "an expiry without an offset": {"expires": "2030-01-01T00:00:00"},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_a_root_that_makes_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        _ = Ceremony(**changes).root


def test_one_key_has_one_purpose() -> None:
    """A kernel's key that may also admit would let a kernel invent jobs."""
    key = signer("api").public_key.hex()
    root = Ceremony().root.model_dump()
    with pytest.raises(ValidationError, match="more than one purpose"):
        type(Ceremony().root).model_validate({**root, "kernel_keys": [key]})


def test_a_key_of_a_person_is_no_key_of_a_process() -> None:
    """Whoever takes over the api must not vote, author or make roots with what it finds there."""
    api = signer("api").public_key.hex()
    plain = Ceremony().root.model_dump()
    people: dict[str, dict[str, Any]] = {
        "an author": {"authors": [{"name": "author", "public_key": api}]},
        "the root": {"root": {"keys": [api], "threshold": 1}},
        "an approver": {"approvers": [{"actor": "dana", "public_key": api}]},
    }
    for who, changes in people.items():
        with pytest.raises(ValidationError, match=f"a key of {who} is also that of a process"):
            Root.model_validate({**plain, **changes})


def test_a_key_stands_once_and_an_author_with_two_keys_is_one_author() -> None:
    """Else one person would be two for the threshold."""
    old, new = ({"name": "dana", "public_key": signer(name).public_key.hex()} for name in ("old", "new"))
    plain = Ceremony().root.model_dump()
    assert len(Root.model_validate({**plain, "authors": [old, new]}).authors) == 2
    with pytest.raises(ValidationError, match="more than there are authors"):
        Root.model_validate({**plain, "authors": [old, new], "threshold": 2})
    with pytest.raises(ValidationError, match="stands twice in `authors`"):
        Root.model_validate({**plain, "authors": [old, {**old, "name": "erin"}], "threshold": 2})
    with pytest.raises(ValidationError, match=r"stands twice in `root.keys`"):
        Root.model_validate({**plain, "root": {"keys": [signer("root").public_key.hex()] * 2, "threshold": 1}})


def test_approver_roles_stand_once_and_a_root_without_any_is_called_as_before() -> None:
    """A kernel remembers the digest of the root that it saw, also from a release that had no such member."""
    root = Ceremony().root
    plain = root.model_dump(mode="json")
    assert "approver_roles" not in plain
    assert root.trust().root_digest == digest(plain)
    role = {"name": "release-manager", "scope": {"tenants": ["acme"]}, "quorum_min": 2}
    made = Root.model_validate({**plain, "approver_roles": [role]})
    assert (made.approver_roles[0].quorum_min, made.approver_roles[0].scope.topics) == (2, [">"])
    assert Root.model_validate(made.model_dump(mode="json")) == made
    with pytest.raises(ValidationError, match="stands twice in `approver_roles`"):
        Root.model_validate({**plain, "approver_roles": [role, role]})


TIMES = ["9999-12-31T23:59:59-23:59", "9999-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z"]


@pytest.mark.parametrize("text", TIMES)
def test_a_time_that_could_not_be_shown_again_is_refused(text: str) -> None:
    """The status of every kernel would break where it is shown."""
    source = {"name": "house", "version": 1, "expires": "9998-12-31T23:59:59Z", "grace": "90d", "rules": ["a.yaml"]}
    assert rfc3339(BundleSource.model_validate(source).ends_ms)
    for changes in ({"expires": text}, {"valid_from": text}):
        with pytest.raises(ValidationError):
            BundleSource.model_validate({**source, **changes})
    with pytest.raises(ValidationError, match="from 1970 to 9998"):
        Root.model_validate({**Ceremony().root.model_dump(), "expires": text})


@pytest.mark.parametrize("decision", ["throttle", "require_approval", "", None, "Allow"])
def test_a_default_decision_is_deny_or_allow(decision: str | None) -> None:
    plain = Ceremony().root.model_dump()
    assert Root.model_validate({**plain, "default_decision": "allow"}).trust().default_decision == "allow"
    with pytest.raises(ValidationError):
        Root.model_validate({**plain, "default_decision": decision})


@pytest.mark.parametrize("text", ["", "x", "2/", "0/{a}", "3/{a},{b}", "two/{a}", "{a},", "{a},{a}x", "-1/{a}"])
def test_pins_that_are_none(text: str) -> None:
    names = {"a": fingerprint(b"a" * 32), "b": fingerprint(b"b" * 32)}
    if text == "{a},":
        assert Pins.parse(text.format(**names)).threshold == 1
        return
    with pytest.raises(RootRefused):
        Pins.parse(text.format(**names))


def test_pins_that_cannot_be_met_say_so() -> None:
    with pytest.raises(RootRefused, match="want 2 to have signed, and name 1;"):
        Pins.parse(f"2/{fingerprint(b'a' * 32)}")


def test_pins_without_a_number_mean_all_of_them() -> None:
    names = [fingerprint(bytes([number]) * 32) for number in range(3)]
    assert Pins.parse(",".join(names)).threshold == 3
    assert Pins.parse(str(Pins(frozenset(names), 2))) == Pins(frozenset(names), 2)


def test_an_expired_root_file_gives_no_trust(tmp_path: Path) -> None:
    clock, ceremony, path = SetClock(), Ceremony(expires="2027-06-01T00:00:00Z"), tmp_path / "root.json"
    path.write_bytes(ceremony.signed_root())
    file = RootFile(path, ceremony.pins, clock)
    assert file() is not None
    clock.advance(365 * 86_400)
    assert file() is None


def test_a_root_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RootRefused, match="cannot read"):
        load_root(tmp_path / "none", Ceremony().pins, NOW_MS)
