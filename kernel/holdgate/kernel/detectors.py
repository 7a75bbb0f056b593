"""Detectors of bundles: patterns beside the built-in ones, for some tenants and topics.

The kernel verifies and hands them out, the output gate looks with them, and decides nothing: see `kernel.output`.

What always holds: an id begins with `custom.`, which no built-in one does; a category is one of `CATEGORIES`, so that
no bundle makes a finding of the floor. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import Digest
from holdgate.kernel.records import Severity
from holdgate.kernel.topics import matches

__all__ = ["CATEGORIES", "DETECTOR_ID", "KEYWORD_CHARS_MAX", "PREFIX", "Detector", "DetectorSet"]

PREFIX = "custom."
"""Of the ids of all detectors of bundles, and of no other."""
DETECTOR_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
KEYWORD_CHARS_MAX = 64
CATEGORIES = ("secret", "pii", "untrusted_instructions")


@dataclass(frozen=True, slots=True)
class Detector:
    """One pattern and what its matches are. The fields mean what they mean in the scanner's own rules.

    `tenants` and `topics` say whose outputs it is for; empty: everybody's.
    """

    id: str
    category: str
    severity: Severity
    regex: str
    max_len: int
    anchor: str | None = None
    before: int = 0
    group: int | None = None
    keywords: tuple[str, ...] = ()
    context: str | None = None
    near: int = 64
    entropy: float = 0.0
    stop: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    bundle: str = ""
    examples: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """(texts that it must find, texts that it must leave alone), as templates; only whoever lints it needs them."""

    def looks_at(self, tenant: str, topic: str) -> bool:
        """Whether outputs of `tenant` on `topic` are looked at with it."""
        if self.tenants and tenant not in self.tenants:
            return False
        return not self.topics or any(matches(pattern, topic) for pattern in self.topics)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the examples."""
        shown: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            shown[item.name] = list(value) if isinstance(value, tuple) else value
        del shown["examples"]
        return {**shown, "severity": str(self.severity)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The detector of `as_dict`; InvalidInput when it is not one."""
        try:
            known: dict[str, Any] = {
                key: tuple(item) if isinstance(item, list) else item for key, item in value.items()
            }
            return cls(**{**known, "severity": Severity(known["severity"])})
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("not a detector") from error


@dataclass(frozen=True, slots=True)
class DetectorSet:
    """The detectors of all bundles under one snapshot.

    `fingerprints`: those that some `allow_findings` names; about findings with one of them the kernel is asked value by
    value (`OutputFacts.fingerprints`).
    """

    snapshot: Digest
    detectors: tuple[Detector, ...] = ()
    fingerprints: frozenset[str] = frozenset()

    def of(self, tenant: str, topic: str) -> tuple[Detector, ...]:
        """Those with which outputs of `tenant` on `topic` are looked at, by id."""
        return tuple(detector for detector in self.detectors if detector.looks_at(tenant, topic))

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "snapshot": self.snapshot,
            "detectors": [detector.as_dict() for detector in self.detectors],
            "fingerprints": sorted(self.fingerprints),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """The set of `as_dict`; InvalidInput when it is not one."""
        try:
            return cls(
                snapshot=Digest(str(value["snapshot"])),
                detectors=tuple(map(Detector.from_dict, value["detectors"])),
                fingerprints=frozenset(map(str, value["fingerprints"])),
            )
        except (KeyError, TypeError) as error:
            raise InvalidInput("not a set of detectors") from error
