"""What bundles say of outputs, frozen: rules about findings, findings to let through, destinations, detectors' modes.

`outputform` makes them from a document, `output.decide_output` decides by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from holdgate.kernel.dataclass import DataClass
from holdgate.kernel.topics import matches

_NONE: frozenset[str] = frozenset()
Labels = tuple[tuple[str, frozenset[str]], ...]


class OutputVerdict(StrEnum):
    """What happens to a result, strictest first."""

    QUARANTINE = "quarantine"
    REDACT = "redact"
    ALLOW = "allow"


class Mode(StrEnum):
    """What becomes of what a detector finds, strictest first."""

    ENFORCE = "enforce"
    """It is decided about."""
    SHADOW = "shadow"
    """It is counted and shown, and changes no verdict."""
    IGNORE = "ignore"
    """As if there were no such detector."""


STRICTNESS = {OutputVerdict.QUARANTINE: 2, OutputVerdict.REDACT: 1, OutputVerdict.ALLOW: 0}
FLOOR = frozenset({"private_key", "platform_secret", "platform_credential", "unscannable", "oversize"})
"""Categories that are always quarantined."""
MARKED = frozenset({"untrusted_instructions"})
"""Categories that a result which is let through is marked with."""
DEFAULTS: Mapping[tuple[str, str | None], OutputVerdict] = {
    ("secret", None): OutputVerdict.REDACT,
    ("pii", "email"): OutputVerdict.ALLOW,
    ("pii", "ip-address"): OutputVerdict.ALLOW,
    ("pii", "ip-address-v6"): OutputVerdict.ALLOW,
    ("pii", None): OutputVerdict.REDACT,
    ("untrusted_instructions", None): OutputVerdict.ALLOW,
}
"""By category and detector; None is any other detector of the category."""
DEFAULT_UNKNOWN = OutputVerdict.REDACT
"""For a category that nobody thought of."""


def default_of(category: str, detector: str) -> OutputVerdict:
    """The verdict about a finding of which no rule speaks."""
    return DEFAULTS.get((category, detector), DEFAULTS.get((category, None), DEFAULT_UNKNOWN))


@dataclass(frozen=True, slots=True)
class OutputRule:
    """What to do with findings of these kinds. All fields must hold; an empty one is not looked at."""

    id: str
    bundle: str
    verdict: OutputVerdict
    reason: str
    categories: frozenset[str] = _NONE
    detectors: frozenset[str] = _NONE
    severities: frozenset[str] = _NONE
    topics: tuple[str, ...] = ()
    labels: Labels = ()
    classifications: frozenset[str] = _NONE
    tenants: frozenset[str] = _NONE
    destinations: frozenset[str] = _NONE
    """Names; one that ends in `*` is every name that begins so."""
    data_classes: frozenset[str] = _NONE

    @property
    def keeps_whole(self) -> bool:
        """Whether it keeps outputs back whatever was found in them, also where nothing was."""
        names_findings = self.categories or self.detectors or self.severities
        speaks_of_outputs = bool(self.destinations or self.data_classes) and not names_findings
        return speaks_of_outputs and self.verdict is OutputVerdict.QUARANTINE


@dataclass(frozen=True, slots=True)
class AllowFinding:
    """Findings to let through until `expires_ms`, whatever rules of the same bundle say. Never of the floor.

    `fingerprints`: only values with one of them.
    """

    id: str
    bundle: str
    reason: str
    expires_ms: int
    detectors: frozenset[str] = _NONE
    categories: frozenset[str] = _NONE
    topics: tuple[str, ...] = ()
    labels: Labels = ()
    tenants: frozenset[str] = _NONE
    fingerprints: frozenset[str] = _NONE


@dataclass(frozen=True, slots=True)
class Destination:
    """The class of what may go to a destination, or to all whose names begin as `name` does where that ends in `*`."""

    name: str
    bundle: str
    data_class: DataClass
    tenants: frozenset[str] = _NONE
    topics: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """As messages name it."""
        return f"destination {self.name}"


@dataclass(frozen=True, slots=True)
class DetectorMode:
    """What becomes of what `detector` finds, until `expires_ms` where it has an end."""

    detector: str
    bundle: str
    mode: Mode
    reason: str = ""
    expires_ms: int | None = None
    tenants: frozenset[str] = _NONE
    topics: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """As messages name it."""
        return f"mode of {self.detector}"


def is_within(tenants: frozenset[str], topics: tuple[str, ...], tenant: str, topic: str) -> bool:
    """Whether a tenant's topic is among these, of which empty ones are all."""
    return (not tenants or tenant in tenants) and (not topics or any(matches(pattern, topic) for pattern in topics))


def has_labels(wanted: Labels, labels: Mapping[str, str]) -> bool:
    """Whether each of the wanted labels has one of its values."""
    return all(labels.get(key) in values for key, values in wanted)


def names(pattern: str, name: str) -> bool:
    """Whether the `pattern` of a destination is of `name`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
