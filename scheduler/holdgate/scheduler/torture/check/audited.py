"""Invariant 8: the audit log is complete, and what was seen in the history is in it."""

from __future__ import annotations

from collections.abc import Iterator

from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.reading import Call
from holdgate.scheduler.torture.check.trail import RESTORED, RESUMED, Fact, gaps, told
from holdgate.scheduler.torture.check.violation import Violation

ENTERED = frozenset({"job.accepted", "job.held", "job.scheduled"})


def complete(case: Case) -> Iterator[Violation]:
    """Numbers without a gap, no event twice, and an archive that proves it."""
    yield from case.contradictions
    for trail in case.trails.values():
        yield from gaps(trail)
    for tenant, archive in case.evidence.archives.items():
        for finding in archive.findings:
            yield Violation("audit_broken", 8, f"the archive of `{tenant}`: {finding}", "", tenant)


def losses(case: Case) -> Iterator[Violation]:
    """What a recovery brought back, or found missing, was lost by a fault that said so before."""
    for tenant, trail in case.trails.items():
        for event in trail.events:
            if event["type"] in (RESUMED, RESTORED) and not case.excuses.found_lost(event["time_ms"]):
                job_id = event.get("job_id", "")
                message = f"`{event['type']}` of {job_id or f'`{tenant}`'}, and no fault had lost anything"
                yield Violation("loss_undeclared", 2, message, job_id, tenant, tuple(map(told, trail.of(job_id))))


def told_of(case: Case) -> Iterator[Violation]:
    """Every decision that a caller was told has its event, and every publish."""
    for call in case.calls:
        if call.replied_ms is None or case.excuses.lost(call.asked_ms, call.replied_ms):
            continue
        expected = _expected(call)
        if expected is None or call.tenant not in case.trails:
            continue
        events = case.events_of(call.tenant, call.job_id) if call.job_id else case.trails[call.tenant].events
        if not any(_is(event, expected) for event in events):
            message = f"what call {call.number} was told is not in the audit log ({'/'.join(sorted(expected))})"
            evidence = (str(call), *map(told, events if call.job_id else ()))
            yield Violation("decision_unrecorded", 8, message, call.job_id, call.tenant, evidence)


def _expected(call: Call) -> frozenset[str] | None:
    match call.op, call.http, call.told.get("code"):
        case "submit", 202, _:
            return ENTERED
        case "submit", 403, "denied":
            return frozenset({"job.denied"})
        case "cancel", 200, _:
            return frozenset({"job.cancelled"})
        case "cancel", 202, _:
            return frozenset({"job.cancel_requested"})
        case "publish", 200, _:
            return frozenset({f"bundle.published {call.asked.get('version')}"})
        case "unseal", 200, _:
            return frozenset({"quarantine.vote", "quarantine.destroyed"})
        case _:
            return None


def _is(event: Fact, expected: frozenset[str]) -> bool:
    kind = event["type"]
    return kind in expected or (kind == "bundle.published" and f"{kind} {event.get('version')}" in expected)
