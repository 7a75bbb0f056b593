"""What a comparison finds: changes, each with its direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Direction(StrEnum):
    """Where a change leads, what an author must see first at the top."""

    WIDENS = "widens"
    """Some job may do more than before: there is an example."""
    UNCLEAR = "unclear"
    """It could not be shown that no job may do more."""
    TIGHTENS = "tightens"
    """Jobs may only do less than before."""
    CHANGES = "changes"
    """What jobs may do stays as it is: a reason, a remediation, a name."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one rule. `what` says it in a line; `example` shows it: `facts`, `before`, `after`."""

    direction: Direction
    bundle: str
    rule: str
    what: str
    example: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        shown: dict[str, Any] = {
            "direction": str(self.direction),
            "bundle": self.bundle,
            "rule": self.rule,
            "what": self.what,
        }
        if self.example is not None:
            shown["example"] = dict(self.example)
        return shown


@dataclass(frozen=True, slots=True)
class Diff:
    """All changes, the widening ones first."""

    changes: tuple[Change, ...] = ()

    @property
    def widens(self) -> bool:
        """Whether someone must accept it: something widens, or it could not be shown that nothing does."""
        return any(change.direction in (Direction.WIDENS, Direction.UNCLEAR) for change in self.changes)

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"widens": self.widens, "changes": [change.as_dict() for change in self.changes]}
