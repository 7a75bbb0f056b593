"""The queue as a page shows it: rows out of what the API lists, and the filters of the address.

What always holds: rows keep the order of the API, but for those that somebody deferred, which stand at the end; what
a filter takes goes to the API as it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from holdgate.scheduler.words.durations import is_urgent, time_left

ORDERS = ("expiring", "newest")
SEVERITIES = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the queue is looked at. Empty text: everything."""

    order: str = ORDERS[0]
    rule: str = ""
    topic: str = ""
    severity: str = ""
    mine: bool = False
    cursor: str = ""

    @property
    def any(self) -> bool:
        """Whether something is left out."""
        return bool(self.rule or self.topic or self.severity or self.mine)

    def query(self) -> dict[str, str | None]:
        """For the API: what is empty is not asked for."""
        mine = "true" if self.mine else None
        asked = {"order": self.order, "rule": self.rule, "topic": self.topic, "severity": self.severity}
        return {**{name: value or None for name, value in asked.items()}, "mine": mine, "cursor": self.cursor or None}

    def link(self, path: str, **changes: Any) -> str:
        """`path` with these filters, and `changes`."""
        changed = replace(self, **changes)
        shown = {name: value for name, value in changed.query().items() if value and (name, value) != DEFAULT_ORDER}
        return f"{path}?{urlencode(shown)}" if shown else path


DEFAULT_ORDER = ("order", ORDERS[0])


def filters_of(query: Mapping[str, str]) -> Filters:
    """The filters of an address; an order or severity that does not exist is none."""
    order, severity = query.get("order", ""), query.get("severity", "")
    return Filters(
        order=order if order in ORDERS else ORDERS[0],
        rule=query.get("rule", "").strip(),
        topic=query.get("topic", "").strip(),
        severity=severity if severity in SEVERITIES else "",
        mine=query.get("mine", "") == "true",
        cursor=query.get("cursor", ""),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A held job in the queue. `next`: which one comes after it."""

    facts: Mapping[str, Any]
    next: str = ""

    @property
    def job_id(self) -> str:
        """Which job."""
        return str(self.facts["job_id"])

    @property
    def left(self) -> str:
        """How long approvers have."""
        return time_left(self.facts.get("remaining_s"))

    @property
    def urgent(self) -> bool:
        """Whether it ends soon."""
        return is_urgent(self.facts.get("remaining_s"))

    @property
    def deferred(self) -> bool:
        """Whether somebody put it off, until a time that has not come."""
        return bool(self.facts.get("deferred_until"))

    @property
    def yes(self) -> int:
        """Votes for it."""
        return sum(1 for vote in self.facts["votes"] if vote["approve"])

    @property
    def quorum(self) -> int:
        """Votes that it needs, by the most demanding of its rules."""
        return max((int(item["quorum"]) for item in self.facts["requirements"]), default=1)

    @property
    def bulk(self) -> bool:
        """Whether its rules let it be decided together with others."""
        return all(item["bulk"] and not item["signed"] for item in self.facts["requirements"])

    @property
    def kind(self) -> str:
        """What it has in common with those that it may be decided together with."""
        return str(self.facts.get("shape") or "")


def rows_of(items: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows in the order of the API, deferred ones last."""
    ordered = sorted(items, key=lambda item: bool(item.get("deferred_until")))
    following = [*(str(item["job_id"]) for item in ordered[1:]), ""]
    return [Row(item, after) for item, after in zip(ordered, following, strict=False)]
