"""A finding: what was found, where, how sure and how bad. It never holds the value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """What kind of thing was found; rules and verdicts speak of these."""

    PLATFORM_SECRET = "platform_secret"  # noqa: S105  a name of a kind, not a secret
    """A secret that the platform itself handed out or uses; matched exactly."""
    PRIVATE_KEY = "private_key"
    SECRET = "secret"  # noqa: S105  a name of a kind, not a secret
    PII = "pii"
    UNTRUSTED_INSTRUCTIONS = "untrusted_instructions"
    """What speaks to whoever reads it next as if it were its operator, or hides that it does. A mark, no leak."""


SECRETS = frozenset({Category.PLATFORM_SECRET, Category.PRIVATE_KEY, Category.SECRET})
"""Categories that count as `secrets_present`."""


class Severity(StrEnum):
    """How bad it is if it is real."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class View(StrEnum):
    """In what form of the text something was seen. `Finding.via` is these names, outermost first, joined by `>`."""

    RAW = "raw"
    """The text as given; offsets are characters of the text (of bytes: bytes)."""
    VALUE = "value"
    """A value in a JSON document; offsets are characters of the unescaped string at `path`."""
    KEY = "key"
    """A key in a JSON document; offsets are characters of the last token of `path`, unescaped."""
    FILE = "file"
    """A member of a file; offsets are those of its text."""
    JSON = "json"
    BASE64 = "base64"
    BASE32 = "base32"
    HEX = "hex"
    NUMBERS = "numbers"
    """Bytes written as numbers in decimal, octal or binary."""
    PERCENT = "percent"
    HTML = "html"
    UNICODE = "unicode"
    GZIP = "gzip"
    ZLIB = "zlib"
    UTF = "utf"
    """Bytes that are UTF-16 or UTF-32."""
    NORMAL = "normal"
    """Full-width forms and look-alikes as the letters that they look like; what cannot be seen left out."""
    NOISE = "noise"
    """What is not read left out: control sequences, control characters, marks over letters, odd blanks, markup."""
    JOINED = "joined"
    """Pieces that stand side by side, as one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One hit. `path` is a JSON pointer (RFC 6901), empty for raw text.

    `start` and `end` are offsets as the first name in `via` says; where it was found deeper, they cover the encoded
    run. `trail` is where it stands in what each decoder made of that run, outermost first: what a fingerprint of the
    decoded value is taken from.
    """

    detector: str
    category: Category
    severity: Severity
    start: int
    end: int
    path: str = ""
    via: str = View.RAW
    trail: tuple[tuple[int, int], ...] = ()

    @property
    def view(self) -> str:
        """The outermost view: what `start` and `end` are offsets of."""
        return self.via.partition(">")[0]
