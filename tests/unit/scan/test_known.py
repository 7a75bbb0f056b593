"""Known secrets: found in every form, in every view, and held without being shown."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import html

import pytest

from holdgate.scan import Category, Scanner
from holdgate.scan.forms import forms_of
from holdgate.scan.known import DETECTOR, DETECTORS, KnownDigests, KnownSecrets
from support.secrets import ALNUM, URLSAFE, Secrets

MADE = Secrets(31)
SECRET = f'p&{MADE.chars(ALNUM, 12)}<{MADE.chars(ALNUM, 8)}>"/é'
KEY = b"k" * 32
API_KEY = "hgk" + "_" + MADE.chars(URLSAFE, 43)


def b64(data: bytes) -> str:
    """Base64 of bytes."""
    return base64.b64encode(data).decode()


FORMS = {
    "html": html.escape(SECRET),
    "html without quotes": html.escape(SECRET, quote=False),
    "html, by number": "".join(f"&#{ord(c)};" for c in SECRET),
    "gzip in base64": b64(gzip.compress(SECRET.encode(), mtime=0)),
    "base64 twice": b64(b64(SECRET.encode()).encode()),
    "hex of base64": b64(SECRET.encode()).encode().hex(),
    "base64 in lines": "\n".join(b64(b"a note ahead: " + SECRET.encode())[at : at + 24] for at in range(0, 96, 24)),
    "zero-width": "\u200b".join(SECRET),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_known_secret_is_found_in_decoded_views_too(name: str) -> None:
    """Without any rule that knows its form."""
    scanner = Scanner([SECRET.encode()], rules=())
    for text in (FORMS[name], f"x {FORMS[name]} y"):
        assert {finding.category for finding in scanner.scan(text)} == {Category.PLATFORM_SECRET}
        assert {finding.category for finding in scanner.scan_value({"a": [text]})} == {Category.PLATFORM_SECRET}


def test_every_form_has_a_name_that_others_know() -> None:
    """A name that is missing there would be hidden when a worker reports it."""
    assert {DETECTOR + name for name, _ in forms_of(SECRET.encode())} == set(DETECTORS)


def test_a_known_secret_is_found_where_it_is_split() -> None:
    """Over the fields of a document, wherever it is cut."""
    plain = "db-" + MADE.chars(ALNUM, 21)
    scanner = Scanner([plain.encode()], rules=())
    for cut in range(1, len(plain)):
        found = scanner.scan_value({"a": plain[:cut], "b": plain[cut:], "c": "other"})
        assert [finding.path for finding in found] == ["/a", "/b"]
        assert {finding.via for finding in found} == {"value>joined"}


def keyed(token: bytes) -> str:
    """A digest that says nothing without its key."""
    return hmac.new(KEY, token, hashlib.sha256).hexdigest()


def test_a_secret_that_nobody_holds_is_known_by_its_digest() -> None:
    """Such as an API key, of which only the digest is kept; one of the same form that is not known is not found."""
    store = {keyed(API_KEY.encode())}
    digests = KnownDigests("api-key", b"hgk_", rb"[A-Za-z0-9_-]{43}", keyed, store.__contains__)
    scanner = Scanner(known_digests=[digests], rules=())
    other = API_KEY[:-1] + ("a" if API_KEY[-1] != "a" else "b")
    for text in (API_KEY, f"key={API_KEY}", b64(f"the key is {API_KEY}".encode()), f"{other} {API_KEY}"):
        assert [finding.detector for finding in scanner.scan(text)] == ["platform-secret-api-key"]
    assert scanner.scan(other) == []
    assert scanner.scan_value([API_KEY[:20], API_KEY[20:]]) != []
    assert scanner.present("clean", API_KEY.encode()).platform
    assert API_KEY not in repr(digests)


def test_spans_are_offsets_in_the_text_that_was_given() -> None:
    """In characters for a text, in bytes for bytes."""
    known = KnownSecrets([SECRET.encode()])
    text = f"日本 {SECRET} 語"
    [(form, start, end)] = known.spans(b"", text)
    assert (form, text[start:end]) == ("plain", SECRET)
    [(_, start, end)] = known.spans(text.encode())
    assert text.encode()[start:end] == SECRET.encode()
