"""The history read: calls with their answers, and states as they were seen. Data of events is looked into here only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from holdgate.scheduler.torture.history import Event, Kind

PAUSED = "pause-process"
STATEFUL = frozenset({"get", "list", "submit", "cancel", "retry", "result"})
"""Calls whose replies say in which state a job is."""


@dataclass(slots=True)
class Call:
    """One request, and the reply where one came. `who`: the actor of the key. `asked`, `told`: data of the events."""

    number: int
    who: str
    tenant: str
    op: str
    asked_ms: int
    asked: Mapping[str, Any]
    replied_ms: int | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def http(self) -> int:
        """The status of the reply; 0 where none came."""
        return int(self.told.get("http", 0))

    @property
    def job_id(self) -> str:
        """The job that the call was about, or that it made; '' for none."""
        return str(self.asked.get("job_id") or self.told.get("job_id") or "")

    def __str__(self) -> str:
        shown = ("key", "job_kind", "job_id", "act")
        asked = " ".join(f"{name}={self.asked[name]}" for name in shown if name in self.asked)
        answer = f"{self.http} {self.told.get('code') or self.told.get('status') or self.told.get('state') or ''}"
        replied = f"answered {answer.strip()} at {self.replied_ms}" if self.http else "not answered"
        return f"call {self.number} at {self.asked_ms}: {self.who} {self.op} {asked}, {replied}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A state that somebody saw: it was so at some moment from `since_ms` to `until_ms`."""

    job_id: str
    state: str
    since_ms: int
    until_ms: int
    source: str


def calls_of(history: Iterable[Event]) -> list[Call]:
    """Every call in the order in which they were made."""
    found: dict[int, Call] = {}
    for event in history:
        data = event.data
        if event.kind is Kind.REQUEST:
            number = data["call"]
            found[number] = Call(number, event.who, data["tenant"], data["op"], event.at_ms, data)
        elif event.kind is Kind.REPLY and data["call"] in found:
            call = found[data["call"]]
            call.replied_ms, call.told = event.at_ms, data
    return list(found.values())


def seen_in(calls: Iterable[Call]) -> Iterator[Seen]:
    """What replies say of states."""
    for call in calls:
        if call.op not in STATEFUL or not 200 <= call.http < 300 or call.replied_ms is None:
            continue
        for item in (call.told, *call.told.get("items", ())):
            if "job_id" in item and "state" in item:
                yield Seen(item["job_id"], item["state"], call.asked_ms, call.replied_ms, str(call))


def seen_in_streams(history: Iterable[Event]) -> dict[int, list[Seen]]:
    """What each event stream told, in order. A stream may tell late, so it is compared with itself alone."""
    found: dict[int, list[Seen]] = {}
    for event in history:
        if event.kind is Kind.SEEN:
            data = event.data
            source = f"stream {data['stream']} at {event.at_ms}: {event.who} was told `{data['state']}`"
            told = found.setdefault(data["stream"], [])
            told.append(Seen(data["job_id"], data["state"], event.at_ms, event.at_ms, source))
    return found


def worker_pauses_of(history: Iterable[Event]) -> list[tuple[int, int]]:
    """From when to when a worker was stopped in the middle of what it did."""
    found: dict[int, tuple[int, int]] = {}
    for event in history:
        number = event.data.get("fault", 0)
        if event.kind is Kind.FAULT and event.data["name"] == PAUSED and str(event.data["target"]).startswith("worker"):
            found[number] = (event.at_ms, sys.maxsize)
        elif event.kind is Kind.HEALED and number in found:
            found[number] = (found[number][0], event.at_ms)
    return list(found.values())
