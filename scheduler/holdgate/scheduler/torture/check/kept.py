"""Invariant 2: what was answered 202 is there, once, and ended or waits for people or its time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

from holdgate.scheduler.state.transitions import TERMINAL, State
from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.evidence import Run
from holdgate.scheduler.torture.check.reading import Call, Seen
from holdgate.scheduler.torture.check.trail import is_move, told
from holdgate.scheduler.torture.check.violation import Violation

RETURNED = "returned"
ENDS = frozenset(map(str, TERMINAL))
MAY_REST = TERMINAL | {State.HELD, State.SCHEDULED}


def collected(case: Case) -> Iterator[Violation]:
    """Whoever asked for anything has a dump and an archive to look it up in: without them nothing is missed."""
    for tenant in sorted({call.tenant for call in case.calls}):
        for what, found in (("dump", case.evidence.dumps), ("archive", case.evidence.archives)):
            if tenant not in found:
                yield Violation(
                    "not_collected", 2, f"there is no {what} of `{tenant}`, and it was under load", "", tenant
                )


def kept(case: Case) -> Iterator[Violation]:
    """No bend excuses a job that is lost."""
    seen: set[str] = set()
    for call in case.accepted():
        job_id, tenant = call.job_id, call.tenant
        found = case.evidence.dumps.get(tenant)
        if job_id in seen or found is None:
            continue
        seen.add(job_id)
        if job_id not in found.jobs:
            message = f"{job_id} was answered 202 and is not there"
            yield Violation("lost_job", 2, message, job_id, tenant, _about(case, tenant, job_id))
        elif case.evidence.settled and found.state(job_id) not in MAY_REST and not _has_lost_result(case, call):
            message = f"{job_id} is still `{found.state(job_id)}` when nothing is under way any more"
            yield Violation("not_ended", 2, message, job_id, tenant, _about(case, tenant, job_id))


def _has_lost_result(case: Case, call: Call) -> bool:
    moves = case.trails[call.tenant].moves(call.job_id)
    return bool(moves) and moves[-1]["to"] == State.FINISHING and case.excuses.lost_result(moves[-1]["time_ms"])


def ran(case: Case) -> Iterator[Violation]:
    """What succeeded was run to its end by a worker that wrote it down."""
    for tenant, found in case.evidence.dumps.items():
        for job_id in found.jobs:
            runs = case.runs.get(job_id, ())
            if found.state(job_id) is State.SUCCEEDED and not any(run.how == RETURNED for run in runs):
                message = f"{job_id} succeeded, and no handler of it returned in {len(runs)} runs"
                yield Violation("succeeded_unrun", 2, message, job_id, tenant, _about(case, tenant, job_id))


def stayed(case: Case) -> Iterator[Violation]:
    """Nothing of a job is handed over once its end was told: no loss excuses that, where the log of ends had it."""
    told_of: dict[str, Seen] = {}
    for seen in case.seen():
        is_lost = case.excuses.lost_end(seen.since_ms) or case.excuses.lost_end(seen.until_ms)
        if seen.state in ENDS and not is_lost and seen.until_ms < told_of.get(seen.job_id, seen).until_ms + 1:
            told_of[seen.job_id] = seen
    for job_id, seen in told_of.items():
        for run in case.runs.get(job_id, ()):
            if _was_handed_over_after(case, run, seen.until_ms):
                message = f"{job_id} was told to be `{seen.state}` at {seen.until_ms}, and ran at {run.started_ms}"
                evidence = (seen.source, *_about(case, run.tenant, job_id))
                yield Violation("ran_after_end", 2, message, job_id, run.tenant, evidence)


def _was_handed_over_after(case: Case, run: Run, at_ms: int) -> bool:
    """And nobody had asked for it to be tried again."""
    moves = [event for event in case.events_of(run.tenant, run.job_id) if is_move(event)]
    handed_ms = [event["time_ms"] for event in moves if event.get("permit_id") == run.permit_id]
    is_retried = any(event.get("from") in ENDS and event["type"] == "job.queued" for event in moves)
    is_wrong = case.excuses.wrong_clock(at_ms, run.started_ms, "worker", "dispatcher")
    return at_ms < min((run.started_ms, *handed_ms[:1])) and not is_retried and not is_wrong


def once(case: Case) -> Iterator[Violation]:
    """One idempotency key is one job, whatever was sent how often; replies and the store agree on it."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    asked: dict[tuple[str, str], list[str]] = defaultdict(list)
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    for call in case.calls:
        if call.op == "submit" and "key" in call.asked:
            key = (call.tenant, str(call.asked["key"]))
            asked[key].append(str(call))
            times[key] += [call.asked_ms, call.replied_ms or call.asked_ms]
            if call.http == 202:
                ids[key].add(call.job_id)
    for tenant, found in case.evidence.dumps.items():
        for job_id, record in found.jobs.items():
            if (marker := _marker(record.get("payload"))) is not None and (tenant, marker) in asked:
                ids[tenant, marker].add(job_id)
    for key, made in ids.items():
        if len(made) > 1 and not case.excuses.lost(min(times[key]), max(times[key])):
            message = f"the key `{key[1]}` made {len(made)} jobs: {', '.join(sorted(made))}"
            yield Violation("key_made_two", 3, message, min(made), key[0], tuple(asked[key]))


def logged(case: Case) -> Iterator[Violation]:
    """A 202 says that the job is in JetStream, too; and every end of such a job is told to ENDED as it is."""
    evidence = case.evidence
    if evidence.logged is not None:
        there = {(item.tenant, item.job_id) for item in evidence.logged}
        for call in case.accepted():
            if (call.tenant, call.job_id) not in there:
                message = f"{call.job_id} was answered 202 and is not in the log"
                yield Violation("not_logged", 2, message, call.job_id, call.tenant, case.calls_about(call.job_id))
    if evidence.endings is None or not evidence.settled:
        return
    newest = {(item.tenant, item.job_id): item for item in sorted(evidence.endings, key=lambda item: item.seq)}
    for tenant, found in evidence.dumps.items():
        for job_id, record in found.jobs.items():
            state = found.state(job_id)
            # What was refused at the door never was in the log.
            if state not in TERMINAL or not record.get("admission"):
                continue
            ending = newest.get((tenant, job_id))
            if ending is None or ending.state != state:
                message = f"{job_id} ended `{state}`; the log of ends says {ending.state if ending else 'nothing'}"
                events = tuple(map(told, case.events_of(tenant, job_id)))
                yield Violation("ending_differs", 2, message, job_id, tenant, events)


def _about(case: Case, tenant: str, job_id: str) -> tuple[str, ...]:
    return (*case.calls_about(job_id), *map(told, case.events_of(tenant, job_id)))


def _marker(payload: bytes | None) -> str | None:
    """What the load writes into each payload: its idempotency key."""
    if not payload:
        return None
    value = json.loads(payload)
    marker = value.get("marker") if isinstance(value, dict) else None
    return marker if isinstance(marker, str) else None
