"""Exact match of secrets that the platform itself handed out or uses, in the forms in which they leave a program.

`KnownSecrets`: held in memory only; plain, base64 and base64url in all three alignments, hex, percent-encoded, escaped
as in JSON and as in HTML; one automaton finds all of them. `KnownDigests`: secrets that nobody here holds, such as API
keys; what has their form is looked up by its digest. Neither prints what it looks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import re2

from holdgate.scan.engine import Hit
from holdgate.scan.errors import EngineFailed, ScanIncomplete
from holdgate.scan.findings import Category, Severity
from holdgate.scan.forms import FORMS, PLAIN, SECRET_BYTES_MAX, SECRET_BYTES_MIN, forms_of
from holdgate.scan.ruleset import latin1_options

DETECTOR = "platform-secret-"
DETECTORS = tuple(DETECTOR + form for form in FORMS)
"""Ids of what `KnownSecrets` finds."""
__all__ = ["DETECTORS", "SECRET_BYTES_MAX", "SECRET_BYTES_MIN", "KnownDigests", "KnownSecrets", "made_by_us"]

_FOUND_MAX = 20_000


class KnownSecrets:
    """The secrets to look for. Does not print them."""

    __slots__ = ("_names", "_pattern", "_secrets")

    def __init__(self, secrets: Iterable[bytes]) -> None:
        forms: dict[bytes, str] = {}
        self._secrets: dict[bytes, bytes] = {}
        for secret in secrets:
            if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
                raise ValueError(f"a known secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
            for name, form in forms_of(secret):
                forms.setdefault(form, name)
                self._secrets.setdefault(form, secret)
        self._names = forms
        self._pattern = None
        if forms:
            # Longer forms first: RE2 takes the first alternative that matches, and the longest covers most.
            literals = sorted(forms, key=len, reverse=True)
            self._pattern = re2.compile(b"|".join(map(re2.escape, literals)), latin1_options())

    def __bool__(self) -> bool:
        return self._pattern is not None

    def __repr__(self) -> str:
        return "KnownSecrets(...)"

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Each occurrence in `data`, in whatever form; a text is looked at as its UTF-8."""
        if self._pattern is None:
            return
        for number, match in enumerate(self._pattern.finditer(data)):
            if number >= _FOUND_MAX:
                raise ScanIncomplete("the text has more known secrets than the budget")
            form = self._names.get(match.group())
            if form is None:
                raise EngineFailed("a known secret was found and cannot be named")
            yield _hit(form, *match.span())

    def plain(self) -> Iterator[bytes]:
        """The secrets."""
        return (form for form, name in self._names.items() if name == PLAIN)

    def secret_of(self, form: bytes) -> bytes | None:
        """The secret that is written as `form`; None where it is none of theirs."""
        return self._secrets.get(form)

    def spans(self, data: bytes, text: str | None = None) -> Iterator[tuple[str, int, int]]:
        """`(form, start, end)` of each occurrence in `data`, or in `text` where there is one: then in characters."""
        wide = text is not None and not text.isascii()
        searched = text.encode("utf-8", "surrogatepass") if text is not None and wide else data
        for hit in self.hits(searched):
            start, end = hit.start, hit.end
            if wide:
                start = len(searched[:start].decode("utf-8", "surrogatepass"))
                end = start + len(searched[hit.start : end].decode("utf-8", "surrogatepass"))
            yield hit.detector.removeprefix(DETECTOR), start, end


@dataclass(frozen=True, slots=True)
class KnownDigests:
    """Secrets of one form, known by their digests. `is_known`: whether `digest` of a token is one of them.

    `prefix`: what each begins with; `pattern` (RE2, bytes): the rest of the form. `name` ends the detector's id.
    """

    name: str
    prefix: bytes
    pattern: bytes
    digest: Callable[[bytes], str]
    is_known: Callable[[str], bool]

    def __repr__(self) -> str:
        return f"KnownDigests({self.name!r}, ...)"

    def plain(self) -> tuple[bytes, ...]:
        """What each begins with, where all begin with the same."""
        return (self.prefix,) if self.prefix else ()

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Each token in `data` that is known."""
        if self.prefix not in data:
            return
        for number, match in enumerate(_form(re2.escape(self.prefix) + self.pattern).finditer(data)):
            if number >= _FOUND_MAX:
                raise ScanIncomplete("the text has more tokens of a known form than the budget")
            if self.is_known(self.digest(match.group())):
                yield _hit(self.name, *match.span())


MADE_FORMS = (
    ("nkey", b"SU", rb"[A-Z2-7]{56}\b"),
    ("password", b"", rb"\b[0-9a-f]{48}\b"),
    ("api-key", b"hgk_", rb"[A-Za-z0-9_-]{43}"),
)
"""Name, beginning and the rest of what `holdgate provision` makes: each of 24 random bytes at least, so that nobody
finds what a digest is of."""


def made_by_us(digests: Collection[str]) -> tuple[KnownDigests, ...]:
    """Generated secrets of which `digests` are the SHA-256: who looks for them need not have them."""
    if not digests:
        return ()
    known = frozenset(digests)
    return tuple(KnownDigests(name, begin, rest, _sha256, known.__contains__) for name, begin, rest in MADE_FORMS)


def _sha256(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()


def _hit(form: str, start: int, end: int) -> Hit:
    return Hit(DETECTOR + form, Category.PLATFORM_SECRET, Severity.CRITICAL, start, end)


@cache
def _form(pattern: bytes) -> Any:
    return re2.compile(pattern, latin1_options())
