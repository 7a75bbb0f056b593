"""The canonical encoding: what enters, what is refused, and that the fast path writes what RFC 8785 demands."""

from __future__ import annotations

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from holdgate.kernel import canonical
from holdgate.kernel.canonical import canonical_bytes, check_json, digest_bytes, parse_json, signing_input
from holdgate.kernel.errors import MalformedJson

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SAFE_INTEGERS = st.integers(-canonical.SAFE_INTEGER_MAX, canonical.SAFE_INTEGER_MAX)
VALUES = st.recursive(
    st.none() | st.booleans() | SAFE_INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(VALUES)
def test_every_value_has_the_bytes_of_rfc_8785(value: object) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)  # type: ignore[arg-type]  # the strategy makes JSON values


@given(VALUES)
def test_what_was_canonical_stays_canonical_when_parsed_again(value: object) -> None:
    once = canonical_bytes(value)
    try:
        parsed = parse_json(json.dumps(value))
    except MalformedJson as error:
        assert "2^53" in str(error)  # noqa: PT017  refusing is one of the two right answers
    else:
        assert canonical_bytes(parse_json(once)) == canonical_bytes(parsed) == once


@given(st.text())
def test_control_characters_and_surrogates_never_make_two_spellings(text: str) -> None:
    try:
        encoded = canonical_bytes({"k": text})
    except MalformedJson:
        assert any("\ud800" <= character <= "\udfff" for character in text)
    else:
        assert encoded == rfc8785.dumps({"k": text})


@pytest.mark.parametrize(
    ("body", "part_of_the_reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"a":1,"a":1}', "duplicate key `a`"),
        (b'{"x":{"a":1,"\\u0061":2}}', "duplicate key `a`"),
        (b"[NaN]", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "-Infinity"),
        (b"[1e999]", "too large"),
        (b"[1e16]", "2^53"),
        (b"[-9.1e15]", "2^53"),
        (b"[9007199254740992]", "2^53"),
        (b"[-9007199254740992]", "2^53"),
        (b"[" + b"9" * 5000 + b"]", "2^53"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b"[" * 65 + b"]" * 65, "deeper"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":1} x', "not JSON"),
    ],
)
def test_what_cannot_be_hashed_does_not_enter(body: bytes, part_of_the_reason: str) -> None:
    with pytest.raises(MalformedJson, match=part_of_the_reason.replace("^", r"\^")):
        parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"a":[{"b":1,"b":2}]}',
        b"[NaN]",
        b'["\\ud800"]',
        b'{"\\uDfff":1}',
        b"[" * 65 + b"]" * 65,
        b'["[","]",' + b'{"":' * 64 + b"1" + b"}" * 64 + b"]",
        b"[1] [",
    ],
)
def test_what_is_no_json_is_refused_without_its_value(body: bytes) -> None:
    for read in (check_json, parse_json):
        with pytest.raises(MalformedJson):
            read(body)


def test_numbers_of_any_size_are_json() -> None:
    check_json(b'{"a":[' + b"9" * 5000 + b',1e999,9007199254740993],"b":"\\ud83d\\ude00 [[","c":"]"}')


@pytest.mark.parametrize("key", ["\\ud800", "\\udfff", "\\u0000", "\\u202e"])
def test_a_key_that_is_there_twice_is_named_in_characters_that_can_be_shown(key: str) -> None:
    with pytest.raises(MalformedJson, match="duplicate key") as caught:
        parse_json(f'{{"{key}":1,"{key}":2}}')
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    "body", [b"[9007199254740991]", b"[" * 64 + b"]" * 64, b'["[[[{{{\\"[[["]', b'["\\ud83d\\ude00"]']
)
def test_what_is_just_inside_the_limits_enters(body: bytes) -> None:
    assert canonical_bytes(parse_json(body)) == canonical_bytes(json.loads(body))


def test_many_brackets_inside_strings_are_not_nesting() -> None:
    assert parse_json(json.dumps(["[{" * 500]).encode()) == ["[{" * 500]


def test_values_that_json_has_not_are_refused() -> None:
    for value in ({1: "a"}, {"a": {1, 2}}, [2**53], float("nan"), [b"bytes"]):
        with pytest.raises(MalformedJson):
            canonical_bytes(value)


def test_a_signature_for_one_purpose_covers_other_bytes_than_for_another() -> None:
    assert signing_input("vote", {"a": 1}) != signing_input("permit", {"a": 1})


def test_a_digest_says_its_algorithm() -> None:
    assert digest_bytes(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
