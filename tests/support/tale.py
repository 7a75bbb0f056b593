"""A small torture told as it should have gone, for a checker to find nothing in; tests break it in one place."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from holdgate.kernel.ids import Tenant, new_job_id, new_permit_id
from holdgate.scheduler.state.audit import AuditEvent
from holdgate.scheduler.state.transitions import TERMINAL, State
from holdgate.scheduler.torture.bends import Bends
from holdgate.scheduler.torture.check import Archive, Closed, Ending, Evidence, Leak, LoggedJob, Probed, Run
from holdgate.scheduler.torture.check.dump import Dump
from holdgate.scheduler.torture.check.rest import READABLE
from holdgate.scheduler.torture.history import Event, Kind

TENANTS = ("default", "other")
SECRET = "planted-" + "for-this-test"
HASH, SNAPSHOT = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PID = 4711
STEP_MS = 10


@dataclass
class Told:
    """One job of the tale."""

    job_id: str
    tenant: str
    owner: str
    state: State
    attempt: int = 0
    permit_id: str = ""
    topic: str = "job.torture.read.echo"


@dataclass
class Tale:
    """Everything that is evidence, as it comes about; `audit` by tenant, as archived."""

    now_ms: int = 1_800_000_000_000
    history: list[Event] = field(default_factory=list)
    audit: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    jobs: dict[str, Told] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    logged: list[LoggedJob] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)
    probed: list[Probed] = field(default_factory=list)
    bends: list[Bends] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    # What happens -----------------------------------------------------------------------------------------------------

    def submit(
        self, tenant: str = "default", who: str = "agent", *, state: State = State.ACCEPTED, **facts: Any
    ) -> Told:
        """A submit that was answered 202. `facts`: what the load says of it, such as its topic."""
        job = Told(new_job_id(self.tick(), _entropy(next(self.numbers))), tenant, who, state)
        self.jobs[job.job_id] = job
        job.topic = facts.get("topic", job.topic)
        call = self.ask(tenant, who, "submit", key=f"key-{job.job_id}", **facts)
        self.move(job, None, state)
        self.logged.append(LoggedJob(len(self.logged) + 1, tenant, job.job_id))
        self.answer(call, 202, job_id=job.job_id, state=str(state))
        return job

    def move(self, job: Told, before: State | None, after: State, **details: Any) -> None:
        """A change of state, with its audit event."""
        job.state = after
        self.event(job, f"job.{after}", before, after, **details)
        if after in TERMINAL:
            self.endings.append(Ending(len(self.audit[job.tenant]), job.tenant, job.job_id, str(after)))

    def event(self, job: Told, kind: str, before: State | None, after: State | None, **details: Any) -> None:
        """An audit event."""
        events = self.audit[job.tenant]
        moved = {"from": before and str(before), "to": after and str(after)}
        head = {"seq": len(events) + 1, "time_ms": self.tick(), "tenant": job.tenant, "type": kind}
        who = {"actor": job.owner, "principals": [], "job_hash": HASH, "topic": job.topic}
        events.append(
            {**head, "job_id": job.job_id, **{k: v for k, v in moved.items() if v is not None}, **who, **details}
        )

    def start(self, job: Told, **details: Any) -> None:
        """Out of the queue, and its handler begins."""
        job.attempt += 1
        job.permit_id = new_permit_id(self.tick(), _entropy(next(self.numbers)))
        told = {"attempt": job.attempt, "permit_id": job.permit_id, "worker": f"worker-1-{PID}-abcd", **details}
        if details.get("verdict") == "require_approval":
            self.event(job, "approval.consumed", State.QUEUED, State.RUNNING, **told)
        self.move(job, State.QUEUED, State.RUNNING, **told)
        self.runs.append(Run(job.tenant, job.job_id, job.attempt, job.topic, job.permit_id, PID, self.tick()))

    def end(self, job: Told, state: State = State.SUCCEEDED) -> None:
        """Its result comes, and the verdict."""
        at = next(i for i, run in enumerate(self.runs) if run.permit_id == job.permit_id)
        how = "raised" if state is State.FAILED else "returned"
        self.runs[at] = replace(self.runs[at], ended_ms=self.tick(), how=how)
        self.move(job, State.RUNNING, State.FINISHING)
        self.move(job, State.FINISHING, state)

    def run(self, job: Told, state: State = State.SUCCEEDED) -> None:
        """From `accepted` to its end."""
        self.move(job, State.ACCEPTED, State.QUEUED)
        self.start(job)
        self.end(job, state)

    def vote(self, job: Told, approver: str, *, releases: bool) -> None:
        """A yes that counts."""
        call = self.ask(job.tenant, approver, "vote", job_id=job.job_id, job_hash=HASH, snapshot=SNAPSHOT)
        said = {"approver": approver, "approve": True, "snapshot": SNAPSHOT, "round": 1}
        self.event(job, "approval.vote", State.HELD, State.HELD, **said)
        if releases:
            self.event(job, "approval.released", State.HELD, State.HELD, round=1)
            self.move(job, State.HELD, State.QUEUED)
        self.answer(call, 200, job_id=job.job_id, status="released" if releases else "pending", state=str(job.state))

    def look(self, job: Told, who: str = "", *, op: str = "get", state: str = "") -> None:
        """A look at a job, or at its result."""
        call = self.ask(job.tenant, who or job.owner, op, job_id=job.job_id)
        self.answer(call, 200, job_id=job.job_id, state=state or str(job.state), ids=[job.job_id])

    # How it is told ---------------------------------------------------------------------------------------------------

    def tick(self) -> int:
        """A little later."""
        self.now_ms += STEP_MS
        return self.now_ms

    def ask(self, tenant: str, who: str, op: str, **facts: Any) -> int:
        """A request; its number."""
        call = next(self.numbers)
        self.history.append(Event(self.tick(), who, Kind.REQUEST, {"call": call, "op": op, "tenant": tenant, **facts}))
        return call

    def answer(self, call: int, http: int, **told: Any) -> None:
        """A reply."""
        self.history.append(Event(self.tick(), "", Kind.REPLY, {"call": call, "http": http, **told}))

    def evidence(self) -> Evidence:
        """As it would be collected: the older half of the audit log archived, the newer in Redis, a part in both."""
        return Evidence(
            history=tuple(self.history),
            dumps={tenant: self._dump(tenant) for tenant in TENANTS},
            logged=tuple(self.logged),
            endings=tuple(self.endings),
            archives={tenant: Archive(self.audit[tenant][: self._middle(tenant) + 2], ()) for tenant in TENANTS}
            | ({"default": Archive(self.audit["default"], self.findings)} if self.findings else {}),
            runs=tuple(self.runs),
            closed=tuple(self.closed),
            probed=tuple(self.probed),
            bends=tuple(self.bends),
            leaks=tuple(self.leaks),
            secrets=(SECRET,),
        )

    def _middle(self, tenant: str) -> int:
        return len(self.audit[tenant]) // 2

    def _dump(self, tenant: str) -> Dump:
        found = Dump(events=[_audit_event(event) for event in self.audit[tenant][self._middle(tenant) :]])
        for job in self.jobs.values():
            if job.tenant == tenant:
                _put(found, job)
        return found


def _put(found: Dump, job: Told) -> None:
    marker = f'{{"marker":"key-{job.job_id}"}}'.encode()
    record = {"state": str(job.state).encode(), "admission": b"signed", "payload": marker}
    found.jobs[job.job_id] = record
    found.indexes[job.job_id] = [job.state]
    if job.state is State.HELD:
        found.approvals[job.job_id] = {"status": b"pending"}
    if job.state is State.SCHEDULED:
        record["at"] = b"due"
        found.places[job.job_id] = ["due"]
    if job.state in READABLE:
        found.results.add(job.job_id)


def _audit_event(event: dict[str, Any]) -> AuditEvent:
    head = ("seq", "time_ms", "tenant", "type", "job_id", "from", "to")
    details = {name: value for name, value in event.items() if name not in head}
    return AuditEvent(
        event["seq"], event["time_ms"], Tenant(event["tenant"]), event["type"], event.get("job_id"),
        event.get("from"), event.get("to"), {}, details,
    )  # fmt: skip


def _entropy(number: int) -> Any:
    return lambda n: number.to_bytes(n, "big")
