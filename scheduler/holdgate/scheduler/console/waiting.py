"""The queue as a page shows it: rows out of what the API lists, and the filters of the address.

What always holds: rows keep the order of the API, but for those that somebody deferred, which stand at the end; what
a filter takes goes to the API as it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from holdgate.scheduler.words.durations import is_urgent, time_left
from holdgate.scheduler.words.needs import Need, needs_of

ORDERS: Mapping[str, str] = {"expiring": "least time left", "gravest": "gravest first", "newest": "newest"}
"""Each with its words; the first where nothing is said."""
FIRST = "expiring"
SEVERITIES = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Filters:
    """What of the queue is looked at. Empty text: everything."""

    order: str = FIRST
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


DEFAULT_ORDER = ("order", FIRST)


def filters_of(query: Mapping[str, str]) -> Filters:
    """The filters of an address; an order or severity that does not exist is none."""
    order, severity = query.get("order", ""), query.get("severity", "")
    return Filters(
        order=order if order in ORDERS else FIRST,
        rule=query.get("rule", "").strip(),
        topic=query.get("topic", "").strip(),
        severity=severity if severity in SEVERITIES else "",
        mine=query.get("mine", "") == "true",
        cursor=query.get("cursor", ""),
    )


@dataclass(frozen=True)
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
    def short_id(self) -> str:
        """As much of its id as tells it from others that look the same: the end, where ids made together differ."""
        return f"…{self.job_id[-8:]}"

    @cached_property
    def need(self) -> Need:
        """Of the rule that misses most votes, counted as its page counts them."""
        needs = needs_of(self.facts)
        return max(needs, key=lambda need: need.missing, default=Need({"quorum": 1}, 0))

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
