"""Invariant 6: no output is read before its verdict, and what was planted is read nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

from holdgate.scheduler.torture.check.case import Case
from holdgate.scheduler.torture.check.trail import is_move, told
from holdgate.scheduler.torture.check.violation import Violation

SEALED, RELEASED = frozenset({"quarantined", "released"}), "quarantine.released"
"""Kinds of jobs that return a private key, and what lets it out."""
READABLE = frozenset({"succeeded", "failed", "timed_out", "cancelled"})


def judged_first(case: Case) -> Iterator[Violation]:
    """Whoever was given a result asked for it when, or before, a verdict was there."""
    for call in case.calls:
        if call.op != "result" or call.http != 200 or call.replied_ms is None:
            continue
        if case.excuses.lost(call.asked_ms, call.replied_ms):
            continue
        if case.excuses.wrong_clock(call.asked_ms, call.replied_ms, "output-gate", "api", "dispatcher"):
            continue
        moves = [event for event in case.events_of(call.tenant, call.job_id) if is_move(event)]
        before = [event["to"] for event in moves if event["time_ms"] <= call.asked_ms][-1:]
        during = [event["to"] for event in moves if call.asked_ms < event["time_ms"] <= call.replied_ms]
        if not READABLE & {*before, *during}:
            message = f"{call.job_id}: its result was read while it was `{(before or ['unknown'])[-1]}`"
            evidence = (*map(told, moves), str(call))
            yield Violation("early_read", 6, message, call.job_id, call.tenant, evidence)


def own(case: Case) -> Iterator[Violation]:
    """Whoever asked for a job's result was given that of this job: each says whose it is."""
    for call in case.calls:
        if call.op == "result" and call.told.get("value_of", call.job_id) != call.job_id:
            message = f"asked for the result of {call.job_id}, and was given that of {call.told['value_of']}"
            yield Violation("wrong_result", 6, message, call.job_id, call.tenant, (str(call),))


def sealed(case: Case) -> Iterator[Violation]:
    """What holds a private key is nobody's to read, and no success, before people released it."""
    kinds = {call.job_id: call.tenant for call in case.accepted() if call.asked.get("job_kind") in SEALED}
    for job_id, tenant in kinds.items():
        events = case.events_of(tenant, job_id)
        is_released = False
        for event in events:
            is_released |= event["type"] == RELEASED
            succeeds = not is_released and is_move(event) and event["to"] == "succeeded"
            if succeeds and not case.excuses.lost(event["time_ms"]):
                message = f"{job_id} holds a private key, and succeeded without a release"
                yield Violation("unsealed", 6, message, job_id, tenant, tuple(map(told, events)))
    for call in case.calls:
        if call.op == "result" and call.told.get("has_value") and call.job_id in kinds:
            events = case.events_of(call.tenant, call.job_id)
            is_released = any(event["type"] == RELEASED for event in events)
            if not is_released and not case.excuses.lost(call.asked_ms, call.replied_ms):
                message = f"{call.job_id} holds a private key, and was read without a release"
                yield Violation("unsealed", 6, message, call.job_id, call.tenant, (*map(told, events), str(call)))


def unseen(case: Case) -> Iterator[Violation]:
    """Replies, logs, metrics, audit events and records hold nothing of what was planted."""
    for call in case.calls:
        text = json.dumps(call.told) if case.evidence.secrets else ""  # noqa: TID251  only searched
        if call.told.get("leaked") or any(secret in text for secret in case.evidence.secrets):
            message = f"the reply to call {call.number} holds a planted secret"
            yield Violation("secret_leaked", 6, message, call.job_id, call.tenant, (str(call),))
    for leak in case.evidence.leaks:
        yield Violation("secret_leaked", 6, f"{leak.where} holds {leak.what}", evidence=(leak.where,))
