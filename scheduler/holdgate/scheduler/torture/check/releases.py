"""Invariant 5: an approval releases one job, once, as shown, by others than its author."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from holdgate.kernel.ids import is_same
from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.reading import Call
from holdgate.scheduler.torture.check.trail import Fact, told
from holdgate.scheduler.torture.check.violation import Violation

BEGINS = frozenset({"job.held", "approval.requested", "approval.stale"})
"""Events with which a round of votes begins."""


@dataclass
class _Round:
    """What was said since the job was held, or held again."""

    voters: list[str] = field(default_factory=list)
    approved: int = 0
    released: bool = False
    consumed: str = ""

    def vote(self, event: Fact) -> Iterator[tuple[str, str]]:
        approver = str(event.get("approver"))
        if any(is_same(approver, name) for name in (str(event.get("actor")), *event.get("principals", ()))):
            yield "self_approval", f"`{approver}` voted on a job of their own"
        if approver in self.voters and not event.get("break_glass"):
            yield "voted_twice", f"`{approver}` voted twice in a round"
        self.voters.append(approver)
        self.approved += event.get("approve") is True

    def release(self) -> Iterator[tuple[str, str]]:
        if self.released:
            yield "released_twice", "released twice in a round"
        if not self.approved:
            yield "released_without_vote", "released, and nobody voted for it"
        self.released = True

    def consume(self, event: Fact) -> Iterator[tuple[str, str]]:
        if not self.released:
            yield "consumed_twice", "started by an approval that was used up, or never given"
        self.released, self.consumed = False, str(event.get("permit_id"))

    def start(self, event: Fact) -> Iterator[tuple[str, str]]:
        if event.get("verdict") == "require_approval" and self.consumed != str(event.get("permit_id")):
            yield "ran_unreleased", "started without an approval, which its decision asks for"


def recorded(case: Case) -> Iterator[Violation]:
    """As the audit log has it."""
    for tenant, trail in case.trails.items():
        for job_id, events in trail.by_job.items():
            for rule, message, since_ms, until_ms in _walk(events):
                if not case.excuses.lost(since_ms, until_ms):
                    text = f"{job_id}: {message}"
                    yield Violation(rule, 5, text, job_id, tenant, tuple(map(told, events)))


def _walk(events: Sequence[Fact]) -> Iterator[tuple[str, str, int, int]]:
    """What is wrong, and from the begin of its round to when."""
    round_, since_ms = _Round(), events[0]["time_ms"]
    for event in events:
        if event["type"] in BEGINS:
            round_, since_ms = _Round(), event["time_ms"]
        for rule, message in _heard(round_, event):
            yield rule, message, min(since_ms, event["time_ms"]), max(since_ms, event["time_ms"])


def _heard(round_: _Round, event: Fact) -> Iterator[tuple[str, str]]:
    match event["type"]:
        case "approval.vote":
            yield from round_.vote(event)
        case "approval.released":
            yield from round_.release()
        case "approval.consumed":
            yield from round_.consume(event)
        case "job.running":
            yield from round_.start(event)
        case _:
            pass


def answered(case: Case) -> Iterator[Violation]:
    """As approvers were told."""
    released: dict[str, list[Call]] = {}
    for call in case.calls:
        if call.op != "vote" or call.http != 200 or call.replied_ms is None:
            continue
        if case.excuses.lost(call.asked_ms, call.replied_ms):
            continue
        yield from _vote(case, call)
        if call.told.get("status") == "released":
            released.setdefault(call.job_id, []).append(call)
    for job_id, calls in released.items():
        tenant = calls[0].tenant
        events = case.events_of(tenant, job_id)
        recorded_times = sum(event["type"] == "approval.released" for event in events)
        if len(calls) > recorded_times:
            message = f"{job_id}: {len(calls)} votes were told to release it, {recorded_times} did"
            evidence = (*map(str, calls), *map(told, events))
            yield Violation("released_twice", 5, message, job_id, tenant, evidence)


def _vote(case: Case, call: Call) -> Iterator[Violation]:
    events = case.events_of(call.tenant, call.job_id)
    evidence = (str(call), *map(told, events))
    mine = [event for event in events if event["type"] == "approval.vote" and is_same(event["approver"], call.who)]
    if not mine:
        message = f"{call.job_id}: the vote of `{call.who}` counted and is not in the audit log"
        yield Violation("vote_unrecorded", 8, message, call.job_id, call.tenant, evidence)
        return
    if is_same(str(mine[0].get("actor")), call.who):
        message = f"{call.job_id}: the vote of its author counted"
        yield Violation("self_approval", 5, message, call.job_id, call.tenant, evidence)
    shown = (call.asked.get("job_hash"), call.asked.get("snapshot"))
    if shown not in {(event.get("job_hash"), event.get("snapshot")) for event in mine}:
        message = f"{call.job_id}: `{call.who}` voted on something else than what was recorded"
        yield Violation("approved_other", 5, message, call.job_id, call.tenant, evidence)
