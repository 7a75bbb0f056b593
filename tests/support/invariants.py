"""What must hold of everything the state keeps, whatever happened before: read raw from Redis and compared."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state.audit import AuditEvent, AuditTrail
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.transitions import DEAD, INITIAL, TERMINAL, TRANSITIONS, State

ZSETS = ("state", "backlog", "picked", "due", "parked", "leases")
READ_BY: dict[str, Callable[[str], tuple[str | int, ...]]] = {
    **dict.fromkeys(ZSETS, lambda name: ("ZRANGE", name, 0, -1)),
    **dict.fromkeys(("job", "approval", "result"), lambda name: ("HGETALL", name)),
    **dict.fromkeys(("running", "running_topic"), lambda name: ("SMEMBERS", name)),
}
READABLE = TERMINAL - {State.DENIED, State.EXPIRED}


@dataclass
class Dump:
    """Everything of one tenant. Keys are job ids unless said otherwise."""

    jobs: dict[str, dict[str, bytes]] = field(default_factory=dict)
    indexes: dict[str, list[State]] = field(default_factory=lambda: defaultdict(list))
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    leases: set[str] = field(default_factory=set)
    running_by_key: dict[str, set[str]] = field(default_factory=dict)
    running_by_topic: dict[str, set[str]] = field(default_factory=dict)
    approvals: dict[str, dict[str, bytes]] = field(default_factory=dict)
    results: set[str] = field(default_factory=set)
    events: list[AuditEvent] = field(default_factory=list)

    def state(self, job_id: str) -> State:
        """Of a job that is there."""
        return State(self.jobs[job_id]["state"].decode())


async def dump(scripts: Scripts, tenant: Tenant) -> Dump:
    """Everything of `tenant`, by walking over its keys."""
    prefix = key(tenant, "")
    names = [raw.decode().removeprefix(prefix) for raw in await scripts.command("KEYS", f"{prefix}*")]
    names = sorted(name for name in names if name.partition(":")[0] in READ_BY)
    events, *values = await asyncio.gather(
        AuditTrail(scripts).read(tenant, 0, 100_000),
        *(scripts.command(*READ_BY[name.partition(":")[0]](prefix + name)) for name in names),
    )
    found = Dump(events=events)
    for name, value in zip(names, values, strict=True):
        _take(found, name, value)
    return found


def _take(found: Dump, name: str, value: list[bytes]) -> None:
    kind, _, rest = name.partition(":")
    match kind:
        case "job":
            found.jobs[rest] = _fields(value)
        case "approval":
            found.approvals[rest] = _fields(value)
        case "state":
            for job_id in value:
                found.indexes[job_id.decode()].append(State(rest))
        case "backlog" | "picked" | "due" | "parked" if name != "parked":
            for job_id in value:
                found.places[job_id.decode()].append(kind)
        case "leases":
            found.leases = {job_id.decode() for job_id in value}
        case "running":
            found.running_by_key[rest] = {job_id.decode() for job_id in value}
        case "running_topic":
            found.running_by_topic[rest] = {job_id.decode() for job_id in value}
        case "result":
            found.results.add(rest)


def _fields(flat: list[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def verify(found: Dump) -> None:
    """AssertionError when something does not hold."""
    _verify_indexes(found)
    _verify_places(found)
    _verify_running(found)
    _verify_approvals(found)
    _verify_audit(found)
    for job_id in found.results:
        assert found.state(job_id) in READABLE, f"{job_id}: a result while `{found.state(job_id)}`"


def _verify_indexes(found: Dump) -> None:
    for job_id in found.jobs:
        assert found.indexes[job_id] == [found.state(job_id)], f"{job_id}: not in exactly the index of its state"
    assert set(found.indexes) == set(found.jobs), "an index names a job that is not there"


def _verify_places(found: Dump) -> None:
    for job_id, record in found.jobs.items():
        state, places = found.state(job_id), found.places[job_id]
        if state in (State.QUEUED, State.SCHEDULED):
            assert places == [record["at"].decode()], f"{job_id}: in {places}, says {record['at']!r}"
            assert state is State.QUEUED or places == ["due"], f"{job_id}: scheduled, but in {places}"
        else:
            assert not places, f"{job_id}: `{state}`, but in {places}"


def _verify_running(found: Dump) -> None:
    running = {job_id for job_id in found.jobs if found.state(job_id) is State.RUNNING}
    assert found.leases == running, "leases and running jobs differ"
    for ckey, holders in found.running_by_key.items():
        assert len(holders) <= 1, f"{len(holders)} run under `{ckey}`"
        expected = {job_id for job_id in running if found.jobs[job_id].get("ckey", b"").decode() == ckey}
        assert holders == expected, f"`{ckey}` is held by jobs that do not run"
    counted = set().union(*found.running_by_topic.values())
    assert counted == running, "the jobs counted by topic are not those that run"


def _verify_approvals(found: Dump) -> None:
    for job_id in found.jobs:
        status = found.approvals.get(job_id, {}).get("status", b"").decode()
        is_held = found.state(job_id) is State.HELD
        assert is_held == (status == "pending"), f"{job_id}: `{found.state(job_id)}` with a `{status}` approval"


def _verify_audit(found: Dump) -> None:
    assert [event.seq for event in found.events] == list(range(1, len(found.events) + 1)), "the audit log has a gap"
    last: dict[str, str | None] = defaultdict(lambda: None)
    credit: Counter[str] = Counter()
    for event in found.events:
        job_id = event.job_id or ""
        if event.type == "approval.consumed":
            credit[job_id] -= 1
            assert credit[job_id] == 0, f"{job_id}: an approval was used twice"
        if not event.type.startswith("job.") or event.before == event.after:
            continue
        before, after = event.before, State(event.after or "")
        assert before == last[job_id], f"{job_id}: `{after}` from `{before}`, but it was `{last[job_id]}`"
        allowed = INITIAL if before is None else TRANSITIONS[State(before)]
        assert after in allowed, f"{job_id}: `{before}` → `{after}` is not in the table"
        if before == State.HELD and after is State.QUEUED:
            credit[job_id] = 1
        last[job_id] = after
    for job_id in found.jobs:
        assert last[job_id] == found.state(job_id), f"{job_id}: the audit log ends with `{last[job_id]}`"


def is_final(state: State) -> bool:
    """Whether only a person could change it."""
    return state in TERMINAL or state in DEAD
