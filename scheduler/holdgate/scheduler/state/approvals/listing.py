"""The held jobs of a tenant in pages: by age, by what expires first or the gravest first, filtered; those that were put
off come last.

What always holds: a page reads a bounded part of what is held, and gives a mark to go on from where it did not reach
the end; what is filtered by is read from one record a tenant (`held`), so that a page out of ten thousand takes a few
calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgpack

from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import ActorId, JobId, Tenant, people_of, person_of
from holdgate.kernel.records import ApprovalRequirement, Severity
from holdgate.kernel.standing import Ballot, is_useful
from holdgate.scheduler.errors import StateBroken
from holdgate.scheduler.state import encoding
from holdgate.scheduler.state.approvals.demands import rules_of, severity_of
from holdgate.scheduler.state.approvals.gravest import MARKS, Window, read_window
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.transitions import State

SCAN_PAGE = 1000
SCAN_PAGES_MAX = 12
"""How much a page looks through before it gives what it has and a mark to go on."""
MARK = re.compile(r"[ned0-3]\d{1,16}\.(?:job_[0-9a-f-]{36})?\Z", re.ASCII)
"""A place in a list: `n` by age, `e` by what expires first, `0` to `3` by severity, `d` among those put off; its time
there; the last id."""
PUT_OFF = "d"


class Order(StrEnum):
    """How held jobs are listed."""

    NEWEST = "newest"
    EXPIRING = "expiring"
    GRAVEST = "gravest"


_BY_SEVERITY = frozenset(MARKS.values())
_PHASES = {Order.NEWEST: "n", Order.EXPIRING: "e", Order.GRAVEST: min(_BY_SEVERITY)}
_ALL_PHASES = {
    Order.NEWEST: frozenset({_PHASES[Order.NEWEST], PUT_OFF}),
    Order.EXPIRING: frozenset({_PHASES[Order.EXPIRING], PUT_OFF}),
    Order.GRAVEST: frozenset({*_BY_SEVERITY, _PHASES[Order.EXPIRING], PUT_OFF}),
}


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who asks for what they may vote on. `counting` gives those of their roles that count for a topic."""

    actor: ActorId
    counting: Callable[[str], frozenset[str]]


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """Which held jobs to list; None means any. `voter`: only those on which this person may vote now."""

    rule: str | None = None
    topic: str | None = None
    severity: Severity | None = None
    voter: Viewer | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether held jobs have to be read to know which ones fit."""
        return any(item is not None for item in (self.rule, self.topic, self.severity, self.voter))


@dataclass(frozen=True, slots=True)
class HeldIds:
    """Ids of a page in order, and the mark of where the next begins; None at the end."""

    job_ids: tuple[JobId, ...]
    mark: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a walk stands: `job_id` is the last one seen, '' before the first; `score` its place by time."""

    phase: str
    score: int = 0
    job_id: str = ""

    def mark(self) -> str:
        return f"{self.phase}{self.score}.{self.job_id}"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a job's rules ask, and whether that fits. Many jobs are held by the same rules."""

    requirements: tuple[ApprovalRequirement, ...]
    fits: bool

    @classmethod
    def of(cls, requirements: tuple[ApprovalRequirement, ...], wanted: ApprovalFilter) -> _Asked:
        fits = (wanted.rule is None or wanted.rule in rules_of(requirements)) and (
            wanted.severity is None or wanted.severity is severity_of(requirements)
        )
        return cls(requirements, fits)


class HeldList:
    """Finds one page of what is held; what many jobs share is read once for it."""

    def __init__(self, scripts: Scripts, tenant: Tenant, wanted: ApprovalFilter, now_ms: int) -> None:
        self._scripts = scripts
        self._tenant = tenant
        self._wanted = wanted
        self._now_ms = now_ms
        self._asked: dict[bytes, _Asked] = {}
        self._window: Window | None = None

    async def page(self, order: Order, limit: int, mark: str | None) -> HeldIds:
        """The next `limit` that fit after `mark`, or fewer where too much had to be looked through."""
        found: list[JobId] = []
        place = _place_of(mark, order)
        size = SCAN_PAGE if self._wanted.looks_inside else limit + 1
        for _ in range(SCAN_PAGES_MAX):
            batch, at_end = await self._read(place, size)
            fitting = await self._fitting(place.phase, [spot.job_id for spot in batch])
            for spot in batch:
                if spot.job_id in fitting:
                    if len(found) == limit:
                        return HeldIds(tuple(found), place.mark())
                    found.append(JobId(spot.job_id))
                place = spot
            if at_end and place.phase == PUT_OFF:
                return HeldIds(tuple(found), None)
            if at_end:
                place = self._next_part(place)
        return HeldIds(tuple(found), place.mark())

    def _next_part(self, place: _Place) -> _Place:
        """Where the list goes on after the end of one part of it."""
        beyond = self._window.last if self._window is not None and place.phase in _BY_SEVERITY else None
        return _Place(PUT_OFF) if beyond is None else _Place(_PHASES[Order.EXPIRING], *beyond)

    async def _read(self, place: _Place, size: int) -> tuple[list[_Place], bool]:
        """Those after `place`, and whether there are no more in this part."""
        if place.phase in _BY_SEVERITY:
            if self._window is None:
                self._window = await read_window(self._scripts, self._tenant)
            spots, at_end = self._window.after((place.phase, place.score, place.job_id), size)
            return [_Place(*spot) for spot in spots], at_end
        pairs, at_end = await self._read_part(place, size)
        return [_Place(place.phase, score, job_id) for job_id, score in pairs], at_end

    async def _read_part(self, place: _Place, size: int) -> tuple[list[tuple[str, int]], bool]:
        if place.phase == _PHASES[Order.NEWEST]:
            start = f"({place.job_id}" if place.job_id else "+"
            held = key(self._tenant, "state", State.HELD)
            ids = await self._scripts.command("ZREVRANGEBYLEX", held, start, "-", "LIMIT", 0, size)
            return [(job_id.decode(), 0) for job_id in ids], len(ids) < size
        if place.phase == PUT_OFF:
            return await self._by_score("deferred", max(place.score, self._now_ms + 1), place, size)
        return await self._by_score("approvals_due", place.score, place, size)

    async def _by_score(self, name: str, low: int, place: _Place, size: int) -> tuple[list[tuple[str, int]], bool]:
        for offset in range(0, SCAN_PAGES_MAX * SCAN_PAGE, size):
            rows = await self._scripts.command(
                "ZRANGEBYSCORE", key(self._tenant, name), low, "+inf", "WITHSCORES", "LIMIT", offset, size
            )
            pairs = [(job_id.decode(), int(float(score))) for job_id, score in zip(rows[::2], rows[1::2], strict=True)]
            # Those of the very millisecond of the last one were partly seen.
            unseen = [pair for pair in pairs if (pair[1], pair[0]) > (place.score, place.job_id)]
            if unseen or len(pairs) < size:
                return unseen, len(pairs) < size
        return [], True

    async def _fitting(self, phase: str, job_ids: Sequence[str]) -> set[str]:
        """Those that fit, without the ones put off where these come in their own part."""
        if not job_ids:
            return set()
        calls = [("ZMSCORE", key(self._tenant, "deferred"), *job_ids)]
        if self._wanted.looks_inside:
            calls.append(("HMGET", key(self._tenant, "held"), *job_ids))
        put_off, *kept = await self._scripts.commands(calls)
        here = [phase == PUT_OFF or until is None or int(float(until)) <= self._now_ms for until in put_off]
        fits = [self._fits(data) for data in kept[0]] if kept else [True] * len(job_ids)
        return {job_id for job_id, is_here, fit in zip(job_ids, here, fits, strict=True) if is_here and fit}

    def _fits(self, data: bytes | None) -> bool:
        if data is None:
            return True  # what cannot be told is shown rather than hidden
        try:
            who, packed, held_ms = msgpack.unpackb(data, raw=True)
            asked = self._asked.get(packed)
            if asked is None:
                asked = self._asked[packed] = _Asked.of(encoding.unpack_requirements(packed), self._wanted)
            if not asked.fits or (self._wanted.topic is None and self._wanted.voter is None):
                return asked.fits
            return self._fits_who(encoding.unpack_stored(who), asked.requirements, int(held_ms))
        except (StateBroken, ValueError, TypeError, KeyError):
            return True

    def _fits_who(self, who: dict[str, Any], requirements: Sequence[ApprovalRequirement], held_ms: int) -> bool:
        wanted = self._wanted
        if wanted.topic not in (None, who["topic"]):
            return False
        return wanted.voter is None or self._may_vote(wanted.voter, who, requirements, held_ms)

    def _may_vote(
        self, voter: Viewer, who: dict[str, Any], requirements: Sequence[ApprovalRequirement], held_ms: int
    ) -> bool:
        if person_of(voter.actor) in people_of((who["actor"], *who["principals"])):
            return False
        roles = voter.counting(who["topic"])
        ballot = Ballot(voter.actor, voter.actor, roles, self._now_ms, own_key=True)
        return is_useful(requirements, ballot, held_ms)


def is_mark(mark: str, order: Order) -> bool:
    """Whether a list in this order can have given `mark`."""
    return MARK.match(mark) is not None and mark[0] in _ALL_PHASES[order]


def _place_of(mark: str | None, order: Order) -> _Place:
    if mark is None:
        return _Place(_PHASES[order])
    if not is_mark(mark, order):
        raise InvalidInput("`cursor` is not one that this list gave")
    score, _, job_id = mark[1:].partition(".")
    return _Place(mark[0], int(score), job_id)
