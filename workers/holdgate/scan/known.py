"""Exact match of secrets that the platform itself handed out or uses, in the forms in which they leave a program.

Plain, base64 and base64url in all three alignments, hex, percent-encoded, JSON-escaped. The secrets are held in memory
only. One automaton finds all of them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote

import re2

from holdgate.scan.errors import EngineFailed, ScanIncomplete
from holdgate.scan.ruleset import latin1_options

SECRET_BYTES_MIN = 6
SECRET_BYTES_MAX = 16 * 1024
_FOUND_MAX = 20_000


class KnownSecrets:
    """The secrets to look for. Does not print them."""

    __slots__ = ("_longest", "_names", "_pattern", "_wide")

    def __init__(self, secrets: Iterable[bytes]) -> None:
        forms: dict[bytes, str] = {}
        self._wide: list[str] = []
        for secret in secrets:
            if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
                raise ValueError(f"a known secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
            for name, form in _forms(secret):
                forms.setdefault(form, name)
            if not secret.isascii():
                self._wide.extend(_texts(secret))
        self._names = forms
        self._longest = max(map(len, forms), default=0)
        self._pattern = None
        if forms:
            # Longer forms first: RE2 takes the first alternative that matches, and the longest covers most.
            literals = sorted(forms, key=len, reverse=True)
            self._pattern = re2.compile(b"|".join(map(re2.escape, literals)), latin1_options())

    def __bool__(self) -> bool:
        return self._pattern is not None

    def __repr__(self) -> str:
        return "KnownSecrets(...)"

    def spans(self, data: bytes, text: str | None) -> Iterator[tuple[str, int, int]]:
        """`(form, start, end)` of each occurrence in `data` (latin-1); `text` where latin-1 lost something."""
        if self._pattern is None:
            return
        for number, match in enumerate(self._pattern.finditer(data)):
            if number >= _FOUND_MAX:
                raise ScanIncomplete("the text has more known secrets than the budget")
            form = self._names.get(match.group())
            if form is None:
                raise EngineFailed("a known secret was found and cannot be named")
            yield form, match.start(), match.end()
        if text is not None:
            yield from self._wide_spans(text)

    def _wide_spans(self, text: str) -> Iterator[tuple[str, int, int]]:
        for secret in self._wide:
            start = text.find(secret)
            while start >= 0:
                yield "plain", start, start + len(secret)
                start = text.find(secret, start + 1)


def _texts(secret: bytes) -> list[str]:
    try:
        return [secret.decode("utf-8")]
    except UnicodeDecodeError:
        return []


def _forms(secret: bytes) -> Iterator[tuple[str, bytes]]:
    yield "plain", secret
    yield "hex", secret.hex().encode()
    yield "hex", secret.hex().upper().encode()
    for offset in range(3):
        yield "base64", _aligned(base64.b64encode(b"\0" * offset + secret), offset, len(secret))
        yield "base64url", _aligned(base64.urlsafe_b64encode(b"\0" * offset + secret), offset, len(secret))
    yield "percent", quote(secret, safe="").encode()
    lower = "".join(f"%{byte:02x}" for byte in secret)
    yield "percent", lower.encode()
    yield "percent", lower.upper().encode()
    for text in _texts(secret):
        yield "json", json.dumps(text)[1:-1].encode()  # noqa: TID251  an escaped form to look for; nothing is hashed
        yield "json", json.dumps(text).replace("/", "\\/")[1:-1].encode()  # noqa: TID251  likewise
        yield "json", "".join(f"\\u{ord(c):04x}" for c in text if ord(c) < 0x10000).encode()


def _aligned(encoded: bytes, offset: int, size: int) -> bytes:
    """The characters of `encoded` that depend on the secret alone: not on what stood before or behind it."""
    first = (offset * 8 + 5) // 6
    return encoded[first : (offset + size) * 8 // 6]
