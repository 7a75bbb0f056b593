"""One row tried on a running system: what everybody is told while parts are away, and how it goes on after."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from holdgate.kernel.clock import Clock, rfc3339
from holdgate.scheduler.up.caller import until
from holdgate.scheduler.up.closed.rows import Row
from holdgate.scheduler.up.closed.running import PATIENCE_S, Running

NOTICED_S_MAX = 12.0
BACK_S_MAX = 30.0
RERUN_S_MAX = 90.0
"""Until a job whose worker died has run again: its lease has to end first."""
RUN_S = 2.0
SHOWN_S_MAX = 3.0
"""Each process looks once a second, and a disk that fills up has room for a little now and then."""
KNOCK_MS = 500
MOVING = ("accepted", "scheduled", "queued", "running", "finishing")
ENVIRONMENTS = ("staging", "dev", "test")


@dataclass
class Observation:
    """What was seen. `noticed_ms`, `back_ms`: until `/readyz` said so, and from its end until a new job succeeded.

    `others`: what `/readyz` of each other process said. `ran`, `attempts`: of the job that ran when they went away.
    """

    name: str
    post: str = ""
    retry_after_s: int | None = None
    get: str = ""
    vote: str = ""
    standing: str = ""
    wrong: dict[str, str] = field(default_factory=dict)
    failing: bool = False
    runs: bool = False
    stored: bool = False
    later: str = ""
    vote_after: str = ""
    noticed_ms: int = 0
    slowest_ms: int = 0
    back_ms: int = 0
    others: dict[str, str] = field(default_factory=dict)
    ran: str = ""
    attempts: int = 0

    def differences(self, row: Row) -> list[str]:
        """What is not as `row` says, as sentences."""
        expected: dict[str, Any] = {
            "post": row.post, "get": row.get, "vote": row.vote, "standing": row.standing, "runs": row.runs,
            "later": "succeeded", "ran": "succeeded", "attempts": row.attempts,
            "vote_after": "200" if row.vote != "200" else "409 approval_resolved",
        }  # fmt: skip
        if row.stored is not None:
            expected["stored"] = row.stored
        found = [
            f"{name}: {getattr(self, name)!r}, not {value!r}"
            for name, value in expected.items()
            if getattr(self, name) != value
        ]
        found += [f"`{name}` of /readyz is ok" for name in row.wrong if name not in self.wrong]
        found += [
            f"/readyz of {name} is ready"
            for name in row.others
            if not any(said != "ready" for other, said in self.others.items() if other.startswith(name))
        ]
        if row.failing and not self.failing:
            found.append(f"holdgate_check_failing of {row.failing} is not 1")
        if self.post.startswith("503") and not self.retry_after_s:
            found.append("no Retry-After")
        if not self.back_ms:
            found.append(f"not back after {BACK_S_MAX:g} s")
        return found


def observe(system: Running, row: Row, number: int, clock: Clock) -> Observation:
    """Take the parts of `row` away and bring them back. NotHere; the system is as before in any case."""
    seen = Observation(row.name)
    held, running = _held(system), _begun(system)
    with contextlib.ExitStack() as gone:
        _, later = system.people.agent.submit("job.demo.read", run_at=rfc3339(clock.now_ms() + row.due_ms))
        due_s = time.monotonic() + row.due_ms / 1000
        for part in row.away:
            gone.enter_context(part.gone(system))
        runs, started_s = _runs(system), time.monotonic()
        _look(system, row, seen, held, later["job_id"], number, started_s)
        if time.monotonic() < due_s:
            runs = _runs(system)  # what was taken while nothing had failed yet may have run
        until(
            lambda: time.monotonic() > due_s + 0.5 and (not row.runs or _runs(system) > runs), 3.0 + row.due_ms / 1000
        )
        seen.runs = _runs(system) > runs
        seen.others = system.others()
    _back(system, seen, held, later["job_id"])
    job = system.people.agent.ended(running, RERUN_S_MAX)
    seen.ran, seen.attempts = str(job["state"]), int(job["attempt"])
    return seen


def _look(
    system: Running, row: Row, seen: Observation, held: dict[str, Any], later: str, number: int, started_s: float
) -> None:
    """What everybody is told meanwhile. Submits first: some parts are missed only by who needs them."""
    form = {
        "topic": "job.deploy.apply",
        "labels": {"env": ENVIRONMENTS[number % len(ENVIRONMENTS)]},  # not a decision that is still in the cache
        "capability": "infra.write",
    }
    with ThreadPoolExecutor(4) as pool:

        def submit() -> Future[_Answer]:
            return pool.submit(_asked, system, "POST", "/jobs", form)

        first = [submit()]

        def is_noticed() -> bool:
            if _as_expected(system, row, seen):
                return True
            if first[-1].done() and _since_ms(started_s) > len(first) * KNOCK_MS:
                first.append(submit())  # a full disk may have had room for the one before
            return False

        until(is_noticed, NOTICED_S_MAX)
        seen.noticed_ms = _since_ms(started_s)
        # Again: those may have met what was on the way.
        post = submit()
        get = pool.submit(_asked, system, "GET", f"/jobs/{later}", None)
        path = f"/approvals/{held['job_id']}/approve"
        vote = pool.submit(_asked, system, "POST", path, held["vote"], who="approver")
        answers = [asked.result() for asked in (post, get, vote)]
        slowest = max((*answers, *(asked.result() for asked in first)), key=lambda answer: answer.taken_ms)
    seen.post, seen.get, seen.vote = (answer.said for answer in answers)
    seen.retry_after_s = answers[0].retry_after_s
    seen.slowest_ms = slowest.taken_ms
    process, _, check = row.failing.partition("/")
    shown = f'holdgate_check_failing{{check="{check}",process="{process}"}} 1.0'
    seen.failing = bool(row.failing) and until(lambda: shown in system.metrics(), SHOWN_S_MAX)


def _as_expected(system: Running, row: Row, seen: Observation) -> bool:
    seen.standing, seen.wrong = system.ready()
    return seen.standing == row.standing and set(row.wrong) <= set(seen.wrong)


def _back(system: Running, seen: Observation, held: dict[str, Any], later: str) -> None:
    started_s = time.monotonic()
    until(lambda: system.ready()[0] != "not_ready" and _newest(system) is not None, BACK_S_MAX)
    seen.stored = any(job > later for job in _newest(system) or [])
    if until(lambda: _succeeds(system) and system.ready()[0] == "ready", BACK_S_MAX):
        seen.back_ms = _since_ms(started_s)
    seen.later = str(system.people.agent.ended(later, BACK_S_MAX)["state"])
    path = f"/approvals/{held['job_id']}/approve"
    seen.vote_after = _asked(system, "POST", path, held["vote"], who="approver").said
    until(lambda: _is_quiet(system), BACK_S_MAX)  # what still runs would be counted in the next row


def _held(system: Running) -> dict[str, Any]:
    """A job that waits for people, and the vote that would release it."""
    _, job = system.people.agent.post(
        "/jobs", {"topic": "job.demo.write", "labels": {"size": "large"}, "capability": "demo.write"}
    )
    _, shown = system.people.approver.get(f"/approvals/{job['job_id']}")
    vote = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], "reason": "a row of the table"}
    return {"job_id": job["job_id"], "vote": vote}


def _begun(system: Running) -> str:
    """A job whose handler runs now, and for as long as it takes to take parts away."""
    _, job = system.people.agent.post(
        "/jobs", {"topic": "job.demo.slow", "capability": "demo.read", "payload": {"seconds": RUN_S}}
    )
    until(lambda: system.people.agent.get(f"/jobs/{job['job_id']}")[1].get("state") == "running", RUN_S)
    return str(job["job_id"])


@dataclass(frozen=True, slots=True)
class _Answer:
    """`said`: status and code."""

    said: str
    retry_after_s: int | None
    taken_ms: int


def _asked(system: Running, method: str, path: str, body: Any, who: str = "agent") -> _Answer:
    state, started_s = system.state, time.monotonic()
    headers = {"X-API-Key": state["keys"][who]}
    try:
        reply = httpx.request(
            method, f"{state['api']}/api/v1{path}", json=body, headers=headers, timeout=PATIENCE_S, trust_env=False
        )
    except httpx.HTTPError as error:
        return _Answer(type(error).__name__, None, _since_ms(started_s))
    code = reply.json().get("code") if reply.status_code >= 400 else None
    after = reply.headers.get("retry-after")
    shown = str(reply.status_code) if code is None else f"{reply.status_code} {code}"
    return _Answer(shown, None if after is None else int(after), _since_ms(started_s))


def _succeeds(system: Running) -> bool:
    try:
        status, job = system.people.agent.submit("job.demo.read", prompt="again")
        return status == 202 and system.people.agent.ended(job["job_id"], BACK_S_MAX)["state"] == "succeeded"
    except (httpx.HTTPError, KeyError):
        return False


def _is_quiet(system: Running) -> bool:
    """Whether none of the newest jobs is on its way."""
    try:
        status, page = system.people.agent.get("/jobs?limit=20")
    except httpx.HTTPError:
        return False
    return status == 200 and not any(item["state"] in MOVING for item in page["items"])


def _newest(system: Running) -> list[str] | None:
    """Ids of the newest jobs; None while they cannot be listed."""
    try:
        status, page = system.people.agent.get("/jobs?limit=10")
    except httpx.HTTPError:
        return None
    return [item["job_id"] for item in page["items"]] if status == 200 else None


def _runs(system: Running) -> int:
    try:
        return system.runs()
    except httpx.HTTPError:
        return 0


def _since_ms(started_s: float) -> int:
    return round((time.monotonic() - started_s) * 1000)
