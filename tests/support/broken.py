"""True evidence with one thing cut out of it or put into it: a checker must go red, however much else is true."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

from holdgate.scheduler.torture.check import Archive, Evidence
from holdgate.scheduler.torture.history import Event, Kind


def lose_a_job(evidence: Evidence) -> Evidence:
    """One that was answered 202 is not in the state any more."""
    tenant, job_id = next(_accepted(evidence))
    found = deepcopy(evidence.dumps[tenant])
    for records in (found.jobs, found.indexes, found.places, found.approvals):
        records.pop(job_id, None)
    found.results.discard(job_id)
    return replace(evidence, dumps={**evidence.dumps, tenant: found})


def release_twice(evidence: Evidence) -> Evidence:
    """The audit log of a job says so twice: of one whose release was in no moment that a fault took back."""
    tenant, at = next(
        (tenant, at)
        for tenant, archive in evidence.archives.items()
        for at, event in enumerate(archive.events)
        if event["type"] == "approval.released"
        and not any(bend.since_ms - 1_000 <= int(event["time_ms"]) <= bend.until_ms + 1_000 for bend in evidence.bends)
    )
    events = [dict(event) for event in evidence.archives[tenant].events]
    again = [*events[: at + 1], dict(events[at]), *events[at + 1 :]]
    numbered = [{**event, "seq": seq} for seq, event in enumerate(again, start=1)]
    dumps = {**evidence.dumps, tenant: replace(evidence.dumps[tenant], events=[])}
    return replace(evidence, archives={**evidence.archives, tenant: Archive(numbered)}, dumps=dumps)


def read_early(evidence: Evidence) -> Evidence:
    """A result that was read was read before its job had even started."""
    events = list(evidence.history)
    calls = {event.data["call"]: at for at, event in enumerate(events) if event.kind is Kind.REQUEST}
    for at, event in enumerate(events):
        asked = calls.get(event.data.get("call", 0), -1)
        if event.kind is Kind.REPLY and event.data.get("http") == 200 and events[asked].data["op"] == "result":
            entered_ms = _entered_ms(evidence, events[asked].data["job_id"])
            events[asked] = replace(events[asked], at_ms=entered_ms - 1)
            events[at] = replace(event, at_ms=entered_ms)
            return replace(evidence, history=events)
    raise LookupError("nobody read a result")


def lose_an_event(evidence: Evidence) -> Evidence:
    """One audit event is missing in the middle."""
    tenant, archive = next((name, found) for name, found in evidence.archives.items() if len(found.events) > 20)
    events = [event for event in archive.events if event["seq"] != 10]
    found = evidence.dumps[tenant]
    live = [event for event in found.events if event.seq != 10]
    return replace(
        evidence,
        archives={**evidence.archives, tenant: Archive(events)},
        dumps={**evidence.dumps, tenant: replace(found, events=live)},
    )


def run_unpermitted(evidence: Evidence) -> Evidence:
    """A handler ran under a permit that nobody made."""
    run = replace(evidence.runs[0], permit_id="permit_" + evidence.runs[0].job_id.removeprefix("job_"))
    return replace(evidence, runs=[*evidence.runs, run])


def show_anothers_job(evidence: Evidence) -> Evidence:
    """A list that was answered names a job of the other tenant."""
    events = list(evidence.history)
    calls: dict[Any, Event] = {event.data["call"]: event for event in events if event.kind is Kind.REQUEST}
    owned = list(_accepted(evidence))
    for at, event in enumerate(events):
        asked = calls.get(event.data.get("call", 0))
        if event.kind is Kind.REPLY and event.data.get("http") == 200 and asked and asked.data["op"] == "list":
            job_id = next(job_id for tenant, job_id in owned if tenant != asked.data["tenant"])
            events[at] = replace(event, data={**event.data, "ids": [job_id]})
            return replace(evidence, history=events)
    raise LookupError("nobody asked for a list")


BREAKS: tuple[tuple[Callable[[Evidence], Evidence], str], ...] = (
    (lose_a_job, "lost_job"),
    (release_twice, "released_twice"),
    (read_early, "early_read"),
    (lose_an_event, "audit_gap"),
    (run_unpermitted, "run_without_permit"),
    (show_anothers_job, "foreign_job"),
)


def _accepted(evidence: Evidence) -> Iterator[tuple[str, str]]:
    calls = {event.data["call"]: event for event in evidence.history if event.kind is Kind.REQUEST}
    for event in evidence.history:
        asked = calls.get(event.data.get("call", 0))
        if event.kind is Kind.REPLY and event.data["http"] == 202 and asked and asked.data["op"] == "submit":
            yield asked.data["tenant"], event.data["job_id"]


def _entered_ms(evidence: Evidence, job_id: str) -> int:
    return min(
        int(event["time_ms"])
        for archive in evidence.archives.values()
        for event in archive.events
        if event.get("job_id") == job_id
    )
