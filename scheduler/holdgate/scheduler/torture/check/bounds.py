"""Invariant 4: what the policy of the load, or a job itself, bounds stayed within its bounds, also while it ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from holdgate.kernel import limits
from holdgate.scheduler.state.transitions import TERMINAL
from holdgate.scheduler.torture.check.audited import ENTERED
from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.trail import RESTORED, Fact, Trail, is_move, told
from holdgate.scheduler.torture.check.violation import Violation

BOUNDED, THROTTLED = "job.torture.bounded", "job.torture.throttled"
RUNTIME_MS, TOGETHER, ATTEMPTS, EVERY_MS = 1_000, 2, 2, 5_000
"""As the rules beside `torture.policy` have it: how long, how many at once, how often a job; how often a caller."""
RUNTIME_GRACE_MS = 2_000
"""A worker that waits for its turn on a busy machine cuts off so much later at most."""
ROUNDING_MS = 20
FAR_MS = 600_000
RUNNING = "running"


def timely(case: Case) -> Iterator[Violation]:
    """No handler goes on for longer than its permit says."""
    for job_id, runs in case.runs.items():
        for run in runs:
            if run.topic != BOUNDED or run.ended_ms is None:
                continue
            took_ms = run.ended_ms - run.started_ms - case.paused_ms(run.started_ms, run.ended_ms)
            if took_ms > RUNTIME_MS + RUNTIME_GRACE_MS and not case.excuses.wrong_clock(
                run.started_ms, run.ended_ms, "worker"
            ):
                message = f"{job_id}, attempt {run.attempt}, ran for {took_ms} ms, of {RUNTIME_MS} ms that it may"
                yield _violation(case, "ran_too_long", run.tenant, job_id, message)


def tried(case: Case) -> Iterator[Violation]:
    """No job is tried more often than it may be, each time that somebody says so."""
    for call in case.accepted():
        moves = [event for event in case.events_of(call.tenant, call.job_id) if is_move(event)]
        starts = [event for event in moves if event["to"] == RUNNING]
        if not starts or case.excuses.lost(starts[0]["time_ms"], starts[-1]["time_ms"]):
            continue
        allowed = int(call.asked.get("max_attempts") or limits.ATTEMPTS_DEFAULT)
        if call.asked.get("topic") == BOUNDED:
            allowed = min(allowed, ATTEMPTS)
        times = 1 + sum(event.get("from") in TERMINAL and event["to"] == "queued" for event in moves)
        attempts = {event.get("attempt") for event in starts}
        if len(attempts) > allowed * times:
            message = f"{call.job_id} was tried {len(attempts)} times, of {allowed * times}"
            yield _violation(case, "tried_too_often", call.tenant, call.job_id, message)


def together(case: Case) -> Iterator[Violation]:
    """Never do more run at once under a concurrency key, or on a topic, than may: as the audit log has their order."""
    keys = {call.job_id: call.asked["concurrency_key"] for call in case.accepted() if "concurrency_key" in call.asked}
    for tenant, trail in case.trails.items():
        running: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for event in trail.events:
            for group, rule, limit in _groups(event, keys):
                if event["to"] != RUNNING or event["type"] == RESTORED:
                    running[group].pop(event["job_id"], None)
                    continue
                running[group][event["job_id"]] = event["time_ms"]
                # Of those that a loss made forgotten, the end may be forgotten, too.
                certain = [job for job, at_ms in running[group].items() if not case.excuses.lost(at_ms)]
                if len(certain) > limit:
                    message = f"{len(certain)} ran at once under `{group}`, of {limit}: {', '.join(certain)}"
                    yield _violation(case, rule, tenant, event["job_id"], message)


def _groups(event: Fact, keys: Mapping[str, str]) -> Iterator[tuple[str, str, int]]:
    """Under what a job runs with others: its name, what it is to be too many, and from how many on."""
    if not (is_move(event) or event["type"] == RESTORED):
        return
    if (key := keys.get(event["job_id"])) is not None:
        yield f"key {key}", "key_held_twice", 1
    if event.get("topic") == BOUNDED:
        yield f"topic {BOUNDED}", "topic_crowded", TOGETHER


def throttled(case: Case) -> Iterator[Violation]:
    """What a caller sends faster than the policy lets it waits for its turn."""
    for tenant, trail in case.trails.items():
        turns: dict[str, tuple[int, int]] = {}
        for event in trail.events:
            if event["type"] not in ENTERED or event.get("topic") != THROTTLED:
                continue
            entered_ms, caller = event["time_ms"], str(event.get("actor"))
            turn_ms = entered_ms
            before_ms, before_turn_ms = turns.get(caller, (entered_ms, 0))
            # Whoever is wrong by an hour tells of no turn of others: turns are forgotten by a clock that is right.
            is_near = abs(entered_ms - before_ms) < FAR_MS
            if is_near and not case.excuses.lost(min(before_ms, entered_ms), entered_ms):
                turn_ms = max(entered_ms, before_turn_ms + EVERY_MS) if before_turn_ms else entered_ms
            turns[caller] = entered_ms, turn_ms
            started_ms = _first_start(case, trail, event["job_id"])
            if started_ms is not None and started_ms < turn_ms - ROUNDING_MS:
                message = f"{event['job_id']} began at {started_ms}, {turn_ms - started_ms} ms before its turn"
                yield _violation(case, "throttle_passed", tenant, event["job_id"], message)


def _first_start(case: Case, trail: Trail, job_id: str) -> int | None:
    """By the clock of whoever says that it was later: one of them may be wrong. None where it did not start."""
    recorded = [event["time_ms"] for event in trail.moves(job_id) if event["to"] == RUNNING]
    runs = case.runs.get(job_id, ())
    return max(recorded[0], runs[0].started_ms) if recorded and runs else None


def _violation(case: Case, rule: str, tenant: str, job_id: str, message: str) -> Violation:
    evidence = (*case.calls_about(job_id), *map(told, case.events_of(tenant, job_id)))
    return Violation(rule, 3 if rule == "key_held_twice" else 4, message, job_id, tenant, evidence)
