"""Hostile bytes in place of bundles: any changed byte is refused, and whatever comes, only declared errors go out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from holdgate.bundles.documents import CODES, Document, load_rules_file, parse_document
from holdgate.bundles.errors import BundleRefused, DocumentInvalid, StampRefused
from holdgate.bundles.format import BundleFile, parse_bundle
from holdgate.bundles.stamp import Stamp, StampedBundle, make_stamp, verify_stamp
from holdgate.bundles.trusted import TrustedSet
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import PolicyInvalid
from support.trust import ALLOW_READS, HOLD_WRITES, NOW_MS, Ceremony, bundle, signer

BYTES_MAX = 4000
FUZZ = settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return bundle(tmp_path_factory.mktemp("good"), ALLOW_READS)


@pytest.fixture(scope="module")
def two_signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return bundle(tmp_path_factory.mktemp("two"), HOLD_WRITES, signers=["a", "b"])


@pytest.fixture(scope="module")
def stamp() -> bytes:
    bundles = {"house": StampedBundle(version=1, digest="sha256:" + "0" * 64)}
    return make_stamp(Stamp(time_ms=NOW_MS, bundles=bundles), signer("api"))


def changed(data: bytes, position: int, value: int) -> bytes:
    return data[:position] + bytes([value]) + data[position + 1 :]


# Any single byte ------------------------------------------------------------------------------------------------------


def test_every_position_of_a_signed_bundle_changed_is_refused(good: bytes) -> None:
    """All positions: the next value, one bit at a time at the top and bottom, and the other case of a letter."""
    trusted = TrustedSet.under(Ceremony().root)
    for position, value in enumerate(good):
        for other in {(value + 1) % 256, value ^ 1, value ^ 0x20, value ^ 0x80}:
            with pytest.raises(BundleRefused):
                trusted.accept(changed(good, position, other), NOW_MS)


@settings(deadline=None, max_examples=500)
@given(data=st.data())
def test_any_byte_of_a_bundle_that_two_signed_changed_to_any_other_is_refused(
    two_signed: bytes, data: st.DataObject
) -> None:
    trusted = TrustedSet.under(Ceremony(authors=("a", "b", "c"), threshold=2).root)
    position = data.draw(st.integers(0, len(two_signed) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != two_signed[position]))
    with pytest.raises(BundleRefused):
        trusted.accept(changed(two_signed, position, value), NOW_MS)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_byte_cut_out_or_put_in_is_refused(good: bytes, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 8))
    put = data.draw(st.binary(max_size=8))
    altered = good[:position] + put + good[position + cut :]
    if altered != good:
        with pytest.raises(BundleRefused):
            TrustedSet.under(Ceremony().root).accept(altered, NOW_MS)


def test_every_position_of_a_stamp_changed_is_refused(stamp: bytes) -> None:
    api = Ceremony().root.trust().api
    verify_stamp(stamp, api, NOW_MS)
    for position, value in enumerate(stamp):
        other = changed(stamp, position, value ^ 1)
        if other != stamp:
            with pytest.raises(StampRefused):
                verify_stamp(other, api, NOW_MS)


# The loader of YAML ---------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *("a: ", "- ", "? ", ": ", "[", "]", "{", "}", ", ", "&x ", "*x", "!!str ", "!x ", "|", ">", "\n", "\n  ", "#"),
        *("'", '"', "\\", "---\n", "...\n", "%YAML 1.2\n", "<<: ", ".nan", "yes", "0x1F", "1:30", "1e9", "~", "\t"),
        *("rules:", "id: ", "decision: deny", "reason: x", "match:", "when: ", "\u00e9", "\ufeff", "\u2028", "\x00"),
    ]
)
YAMLISH = st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=60).map(
    lambda parts: "".join(parts).encode("utf-8", "surrogatepass")
)


def refusal(read: Callable[[], object]) -> PolicyInvalid | None:
    """The declared error that `read` ends in, if it does; any other goes through."""
    try:
        read()
    except PolicyInvalid as error:
        return error
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


@FUZZ
@given(data=st.one_of(YAMLISH, st.binary(max_size=BYTES_MAX)))
@example(data=b"\xef\xbb\xbf\xef\xbb\xbfa")
@example(data=b"? ? ? ?")
@example(data=b'"\\ud800"')
@example(data=b"a: !<tag:yaml.org,2002:int> x")
@example(data=b"- - - - - -\n" * 300)
def test_whatever_bytes_come_as_yaml_are_plain_data_or_a_declared_error(data: bytes) -> None:
    found: list[Document] = []
    error = refusal(lambda: found.append(parse_document("fuzz.yaml", data)))
    if error is not None:
        assert isinstance(error, DocumentInvalid)
        assert error.code in CODES
        assert all(line >= 1 for line, _, _ in error.found)
        return
    (document,) = found
    assert _is_plain(document.data)
    canonical_bytes(document.data)  # what is loaded can be hashed


@FUZZ
@given(data=st.one_of(YAMLISH, st.binary(max_size=BYTES_MAX)))
def test_whatever_bytes_come_as_rules_are_rules_or_a_declared_error(data: bytes) -> None:
    error = refusal(lambda: load_rules_file("fuzz.yaml", data, "fuzz"))
    assert error is None or (error.code in (*CODES, "policy_invalid") and str(error))


@FUZZ
@given(mutations=st.lists(st.tuples(st.floats(0, 1), PIECES), min_size=1, max_size=4))
def test_rules_with_pieces_put_in_are_rules_or_a_declared_error(mutations: list[tuple[float, str]]) -> None:
    text = HOLD_WRITES
    for where, piece in mutations:
        position = int(where * len(text))
        text = text[:position] + piece + text[position:]
    error = refusal(lambda: load_rules_file("fuzz.yaml", text.encode(), "fuzz"))
    assert error is None or error.code in (*CODES, "policy_invalid")


# The bundle file ------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(), st.text(max_size=20)),
    lambda children: st.one_of(
        st.lists(children, max_size=4), st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)
MEMBERS = ("format", "manifest", "files", "signatures")
PLACES: list[tuple[str | int, ...]] = [
    *((name,) for name in MEMBERS),
    *(("manifest", name) for name in ("name", "version", "scope", "expires", "valid_from", "grace", "rules", "tests")),
    ("manifest", "files"),
    ("manifest", "vocabulary"),
    ("manifest", "description"),
    ("manifest", "files", 0),
    *(("manifest", "files", 0, name) for name in ("path", "sha256", "bytes")),
    ("manifest", "scope", "tenants"),
    ("manifest", "scope", "topics"),
    ("files", "rules.yaml"),
    ("signatures", 0),
    ("signatures", 0, "key"),
    ("signatures", 0, "signature"),
]


@FUZZ
@given(data=st.one_of(st.binary(max_size=BYTES_MAX), JSON.map(lambda value: json.dumps(value).encode())))
@example(data=b"\xff")
@example(data=b"NaN")
@example(data=b"1e999")
@example(data=b'{"files":{},"format":"holdgate-bundle/1","manifest":{},"signatures":[]}')
def test_whatever_bytes_come_as_a_bundle_are_refused_with_a_declared_error(data: bytes) -> None:
    with pytest.raises(BundleRefused):
        parse_bundle(data)


@FUZZ
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_value_in_any_place_of_a_bundle_is_the_bundle_or_a_declared_error(
    good: bytes, place: tuple[str | int, ...], value: Any
) -> None:
    document = json.loads(good)
    at = document
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    try:
        altered = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    if altered == good:
        return
    try:
        assert isinstance(parse_bundle(altered), BundleFile)
    except BundleRefused:
        return
    with pytest.raises((BundleRefused, PolicyInvalid)):
        TrustedSet.under(Ceremony().root).accept(altered, NOW_MS)
