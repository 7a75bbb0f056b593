"""The audit trail of a tenant: what was archived and what is still in Redis, as one, and what must hold of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdgate.scheduler.state.transitions import INITIAL, TRANSITIONS, State
from holdgate.scheduler.torture.check.violation import Violation

RESUMED, RESTORED = "audit.resumed", "job.restored"
"""What a recovery says of itself: where numbers go on, and which job it brought back."""
Fact = Mapping[str, Any]
"""One event as archived: `AuditEvent.as_dict()`."""


@dataclass
class Trail:
    """Events of one tenant by seq, and by job."""

    tenant: str
    events: list[Fact] = field(default_factory=list)
    by_job: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))

    def of(self, job_id: str) -> Sequence[Fact]:
        """Events of a job, in order; empty for an unknown one."""
        return self.by_job.get(job_id, ())

    def moves(self, job_id: str) -> list[Fact]:
        """Those that changed its state."""
        return [event for event in self.of(job_id) if is_move(event)]


def is_move(event: Fact) -> bool:
    """Whether a job's state changed."""
    return str(event["type"]).startswith("job.") and event.get("to") != event.get("from") and "to" in event


def told(event: Fact) -> str:
    """An event for a person."""
    shown = ("from", "to", "attempt", "permit_id", "worker", "approver", "approvers", "code", "round")
    facts = " ".join(f"{name}={event[name]}" for name in shown if event.get(name) is not None)
    return f"audit {event['seq']} at {event['time_ms']}: {event['type']} {facts}".rstrip()


def join(tenant: str, archived: Sequence[Fact], live: Sequence[Fact]) -> tuple[Trail, list[Violation]]:
    """The two as one, and where they contradict each other."""
    found: list[Violation] = []
    by_seq: dict[int, Fact] = {}
    for event in (*archived, *live):
        before = by_seq.setdefault(event["seq"], event)
        if before is not event and _differs(before, event):
            message = f"event {event['seq']} of `{tenant}` is two events"
            found.append(Violation("audit_rewritten", 8, message, "", tenant, (told(before), told(event))))
    trail = Trail(tenant, [by_seq[seq] for seq in sorted(by_seq)])
    for event in trail.events:
        if event.get("job_id"):
            trail.by_job[event["job_id"]].append(event)
    return trail, found


def _differs(one: Fact, other: Fact) -> bool:
    names = ("type", "time_ms", "job_id", "from", "to")
    return any(one.get(name) != other.get(name) for name in names)


def gaps(trail: Trail) -> Iterator[Violation]:
    """Numbers begin at 1 and none is left out, but for those that the event behind them says are missing."""
    expected = 1
    for event in trail.events:
        is_declared = event["type"] == RESUMED and event.get("after") == event["seq"] - 1
        if event["seq"] != expected and not is_declared:
            message = f"events {expected} to {event['seq'] - 1} of `{trail.tenant}` are missing"
            yield Violation("audit_gap", 8, message, "", trail.tenant, (told(event),))
        expected = event["seq"] + 1


def chains(trail: Trail) -> Iterator[tuple[Violation, int, int]]:
    """Each job enters once, each change follows from the one before it, and the table allows it; and between which
    times it does not."""
    for job_id, events in trail.by_job.items():
        for rule, message, since_ms, until_ms in _breaks(events):
            evidence = tuple(told(item) for item in events if is_move(item))
            invariant = 3 if rule == "transition_twice" else 2
            found = Violation(rule, invariant, f"{job_id} {message}", job_id, trail.tenant, evidence)
            yield found, since_ms, until_ms


def _breaks(events: Sequence[Fact]) -> Iterator[tuple[str, str, int, int]]:
    """Where the changes of one job do not follow from each other: the rule, how, and between which times."""
    last: str | None = None
    last_ms: int | None = None
    for event in filter(is_move, events):
        before, after = event.get("from"), State(event["to"])
        allowed = INITIAL if before is None else TRANSITIONS[State(before)]
        # After a loss: whatever it was here, it is what the log says.
        is_restored = event["type"] == RESTORED and last not in _FINAL
        if not is_restored and not (before == last and after in allowed):
            rule = "ended_twice" if last in _FINAL else "state_went_back"
            rule = "transition_twice" if after == last and before != last else rule
            times = sorted((event["time_ms"] if last_ms is None else last_ms, event["time_ms"]))
            yield rule, f"went from `{before}` to `{after}` when it was `{last}`", times[0], times[1]
        last, last_ms = after, event["time_ms"]


_FINAL = frozenset(str(state) for state, after in TRANSITIONS.items() if not after) | {"quarantined"}
