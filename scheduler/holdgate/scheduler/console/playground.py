"""The form of the playground: what somebody typed, as a job to ask about, and as an address to share. Pure.

What always holds: an address never holds the payload or the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

SHARED = (
    "topic",
    "labels",
    "capability",
    "risk_tags",
    "requires",
    "secrets",
    "actor",
    "actor_type",
    "principals",
    "now",
)
FIELDS = (*SHARED, "payload")
Wrong = tuple[str, str]
"""A field, and what is wrong with it."""
SHARED_CHARS_MAX = 3000
"""A longer address is cut by too many programs: there is none then."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields as they were typed."""

    typed: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.typed.get(name, "")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to ask about."""
        return not self["topic"].strip()

    @property
    def address(self) -> str:
        """Where the same stands again, without its payload; empty where it would be too long."""
        told = {name: self[name] for name in SHARED if self[name].strip()}
        query = urlencode(told)
        return f"/policy/playground?{query}" if len(query) <= SHARED_CHARS_MAX else ""

    def facts(self) -> tuple[dict[str, Any], list[Wrong]]:
        """For `POST /policy/explain`, and the fields that cannot be read, which are left out of it."""
        found: dict[str, Any] = {"topic": self["topic"].strip()}
        wrong: list[Wrong] = []
        labels = _labels(self["labels"])
        if labels is None:
            wrong.append(("labels", "a line is `key=value`"))
        elif labels:
            found["labels"] = labels
        for name in ("capability", "actor", "actor_type", "now"):
            if text := self[name].strip():
                found[name] = text
        for name in ("risk_tags", "requires", "secrets", "principals"):
            if items := [item.strip() for item in self[name].replace("\n", ",").split(",") if item.strip()]:
                found[name] = items
        if self["payload"].strip():
            try:
                found["payload"] = json.loads(self["payload"])
            except (ValueError, RecursionError):
                wrong.append(("payload", "is not JSON"))
        return found, wrong


def asked_of(given: Mapping[str, str], *, with_payload: bool) -> Asked:
    """The fields of a form, or of an address."""
    names = FIELDS if with_payload else SHARED
    return Asked({name: given.get(name, "") for name in names})


def _labels(text: str) -> dict[str, str] | None:
    labels = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, found, value = line.partition("=")
        if not found:
            return None
        labels[name.strip()] = value.strip()
    return labels
