"""What must hold of a dump of the state at any moment: indexes, places, leases and approvals agree with the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from holdgate.scheduler.state.transitions import TERMINAL, State
from holdgate.scheduler.torture.check.dump import Dump
from holdgate.scheduler.torture.check.violation import Violation

READABLE = TERMINAL - {State.DENIED, State.EXPIRED}


def at_rest(found: Dump, tenant: str) -> list[Violation]:
    """Where the records of `tenant` contradict each other."""
    rules = (_indexes, _places, _running, _approvals, _results)
    return list(chain.from_iterable(rule(found, tenant) for rule in rules))


def _indexes(found: Dump, tenant: str) -> Iterator[Violation]:
    for job_id in found.jobs:
        state, listed = found.state(job_id), found.indexes.get(job_id, [])
        if listed != [state]:
            message = f"{job_id} is `{state}`, but listed as {[str(item) for item in listed]}"
            yield Violation("index_differs", 2, message, job_id, tenant)
    for job_id in set(found.indexes) - set(found.jobs):
        yield Violation("index_of_nothing", 2, f"an index names {job_id}, which is not there", job_id, tenant)


def _places(found: Dump, tenant: str) -> Iterator[Violation]:
    for job_id, record in found.jobs.items():
        state, places = found.state(job_id), found.places.get(job_id, [])
        expected: list[str] = []
        if state in (State.QUEUED, State.SCHEDULED):
            expected = ["due"] if state is State.SCHEDULED else [record.get("at", b"backlog").decode()]
        if places != expected:
            message = f"{job_id} is `{state}` and lies in {places}, not in {expected}: it is stranded or taken twice"
            yield Violation("place_differs", 2, message, job_id, tenant)


def _running(found: Dump, tenant: str) -> Iterator[Violation]:
    running = {job_id for job_id in found.jobs if found.state(job_id) is State.RUNNING}
    for job_id in found.leases ^ running:
        yield Violation("lease_differs", 2, f"{job_id}: a lease without a run, or the other way", job_id, tenant)
    for ckey, holders in found.running_by_key.items():
        if len(holders) > 1:
            yield Violation("key_held_twice", 3, f"{len(holders)} run under the concurrency key `{ckey}`", "", tenant)
        expected = {job_id for job_id in running if found.jobs[job_id].get("ckey", b"").decode() == ckey}
        for job_id in holders ^ expected:
            yield Violation("key_differs", 2, f"{job_id}: holds `{ckey}` without running, or not", job_id, tenant)
    for job_id in set().union(*found.running_by_topic.values()) ^ running:
        yield Violation("topic_differs", 2, f"{job_id}: counted as running on its topic, or not", job_id, tenant)


def _approvals(found: Dump, tenant: str) -> Iterator[Violation]:
    for job_id in found.jobs:
        status = found.approvals.get(job_id, {}).get("status", b"").decode()
        if (found.state(job_id) is State.HELD) != (status == "pending"):
            message = f"{job_id} is `{found.state(job_id)}` with a `{status}` approval"
            yield Violation("approval_differs", 5, message, job_id, tenant)


def _results(found: Dump, tenant: str) -> Iterator[Violation]:
    for job_id in found.results:
        if job_id not in found.jobs or found.state(job_id) not in READABLE:
            state = found.state(job_id) if job_id in found.jobs else "not there"
            yield Violation("early_result", 6, f"{job_id} is `{state}` and has a result", job_id, tenant)
