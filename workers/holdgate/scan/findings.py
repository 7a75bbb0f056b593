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
    """What speaks to whoever reads it next as if it were its operator. A mark, no leak."""


SECRETS = frozenset({Category.PLATFORM_SECRET, Category.PRIVATE_KEY, Category.SECRET})
"""Categories that count as `secrets_present`."""


class Severity(StrEnum):
    """How bad it is if it is real."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Via(StrEnum):
    """In which view of the text it was found."""

    RAW = "raw"
    """The text as given; offsets are characters of the text (of bytes: bytes)."""
    VALUE = "value"
    """A value in a JSON document; offsets are characters of the unescaped string at `path`."""
    KEY = "key"
    """A key in a JSON document; offsets are characters of the last token of `path`, unescaped."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One hit. `path` is a JSON pointer (RFC 6901), empty for raw text; `start` and `end` are offsets as `via` says."""

    detector: str
    category: Category
    severity: Severity
    start: int
    end: int
    path: str = ""
    via: Via = Via.RAW
