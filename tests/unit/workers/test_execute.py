"""Running one handler: limits, logs, errors, being stopped. No server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from holdgate.kernel import limits
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.records import Constraints
from holdgate.kernel.records import Job as JobRecord
from holdgate.workers import BadArtifact, Job, PermanentFailure
from holdgate.workers.artifacts import ArtifactBox
from holdgate.workers.cancellation import StopReason
from holdgate.workers.door import Door
from holdgate.workers.execute import Execution, Executors, RunLimits
from holdgate.workers.handlers import describe
from holdgate.workers.results import RunOutcome, RunResult
from holdgate.workers.runlog import RunLog, install
from holdgate.workers.secrets import SecretRefused, SecretSource, SecretSources
from support.handover import make_job
from support.process_handlers import burn, crash, double, say_hello, tell, wait_for_flag
from support.secrets import Secrets
from support.waiting import eventually

SECRET = Secrets(5).chars("abcdefghijklmnopqrstuvwxyz0123456789", 24)


@pytest.fixture
async def executors() -> AsyncIterator[Executors]:
    install()
    made = Executors(
        clock=SystemClock(), threads_max=4, grace_s=0.3, secrets=SecretSources(), door=Door((), os.urandom)
    )
    yield made
    made.close()


def execution(function: Callable[..., Any], job: Job | None = None, **options: Any) -> Execution:
    runtime_s, output_max = options.pop("runtime_s", 10.0), options.pop("output_bytes_max", 10_000)
    log = RunLog()
    given = job or Job(job_id="job_1", topic="job.test.x", tenant="acme", _on_log=log.add)
    return Execution(given, describe("job.test.x", function, **options), RunLimits(runtime_s, output_max), log)


async def run(executors: Executors, function: Callable[..., Any], job: Job | None = None, **options: Any) -> RunResult:
    return await executors.run(execution(function, job, **options))


class Point(BaseModel):
    x: int
    y: int = 0


async def test_a_coroutine_runs_and_its_value_is_canonical_json(executors: Executors) -> None:
    async def handler(job: Job) -> dict[str, Any]:
        return {"b": 1, "a": [True, None]}

    result = await run(executors, handler)
    assert (result.outcome, result.value) == (RunOutcome.SUCCEEDED, b'{"a":[true,null],"b":1}')
    assert result.started_ms <= result.ended_ms


async def test_a_plain_function_runs_in_a_thread(executors: Executors) -> None:
    def handler(job: Job) -> str:
        return threading.current_thread().name

    assert b"holdgate-handler" in ((await run(executors, handler)).value or b"")


async def test_a_process_handler_runs_in_another_process_and_is_used_again(executors: Executors) -> None:
    first = await run(executors, double, Job(job_id="j", topic="t", tenant="a", payload={"n": 2}), executor="process")
    second = await run(executors, double, Job(job_id="j", topic="t", tenant="a", payload={"n": 3}), executor="process")
    one, two = json.loads(first.value or b""), json.loads(second.value or b"")
    assert (one["twice"], two["twice"]) == (4, 6)
    assert one["pid"] == two["pid"] != os.getpid()


async def test_a_typed_payload_is_parsed(executors: Executors) -> None:
    async def handler(job: Job, payload: Point) -> Point:
        return Point(x=payload.x + 1)

    job = Job(job_id="j", topic="t", tenant="a", payload={"x": 1})
    assert (await run(executors, handler, job)).value == b'{"x":2,"y":0}'


async def test_a_payload_of_another_type_fails_for_good_and_does_not_repeat_the_payload(executors: Executors) -> None:
    ran = []

    async def handler(job: Job, payload: Point) -> None:
        ran.append(payload)

    job = Job(job_id="j", topic="t", tenant="a", payload={"x": "hunter2"})
    result = await run(executors, handler, job)
    assert (result.outcome, result.code, result.retryable, ran) == (RunOutcome.FAILED, "payload_invalid", False, [])
    assert result.error is not None
    assert "x: " in result.error.message
    assert "hunter2" not in result.error.message + result.error.trace


class Fussy(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def look_up(cls, value: int) -> int:
        return {1: 1}[value]


async def test_a_validator_that_raises_whatever_it_likes_fails_the_run(executors: Executors) -> None:
    async def handler(job: Job, payload: Fussy) -> None:
        raise AssertionError

    result = await run(executors, handler, Job(job_id="j", topic="t", tenant="a", payload={"x": 2}))
    assert (result.outcome, result.code) == (RunOutcome.FAILED, "handler_error")
    assert result.error is not None
    assert result.error.type == "KeyError"


class Unspeakable(HoldgateError):
    code = 5  # type: ignore[assignment]  what a careless author writes

    def __str__(self) -> str:
        raise OSError


async def test_an_exception_that_cannot_be_shown_fails_the_run(executors: Executors) -> None:
    def handler(job: Job) -> None:
        raise Unspeakable

    result = await run(executors, handler)
    assert (result.outcome, result.code) == (RunOutcome.FAILED, "handler_error")
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("Unspeakable", "<cannot be shown: OSError>")


@pytest.mark.parametrize("error", [SystemExit, StopIteration])
async def test_what_a_loop_cannot_carry_fails_the_run_and_not_the_worker(
    executors: Executors, error: type[BaseException]
) -> None:
    def plain(job: Job) -> None:
        raise error

    async def coroutine(job: Job) -> None:
        raise error

    for handler in (plain, coroutine):
        result = await run(executors, handler, runtime_s=2.0)
        assert (result.outcome, result.code) == (RunOutcome.FAILED, "handler_error")
        assert result.error is not None
        assert result.error.type in {error.__name__, "RuntimeError"}  # a coroutine's StopIteration becomes the latter


async def test_an_exception_is_output_and_may_be_retried(executors: Executors) -> None:
    def handler(job: Job) -> None:
        raise RuntimeError("the disk is full")

    result = await run(executors, handler)
    assert (result.outcome, result.code, result.retryable) == (RunOutcome.FAILED, "handler_error", True)
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("RuntimeError", "the disk is full")
    assert "in handler" in result.error.trace


async def test_a_permanent_failure_is_not_retried(executors: Executors) -> None:
    def handler(job: Job) -> None:
        raise PermanentFailure("no such customer")

    result = await run(executors, handler)
    assert (result.outcome, result.code, result.retryable) == (RunOutcome.FAILED, "permanent_failure", False)


@pytest.mark.parametrize(
    "value",
    [object(), {1: "x"}, b"bytes", float("nan"), 2**60, {"x": {1, 2}}, "\ud800"],
    ids=lambda value: type(value).__name__,
)
async def test_a_value_that_is_not_json_fails_with_a_code(executors: Executors, value: Any) -> None:
    def handler(job: Job) -> Any:
        return value

    result = await run(executors, handler)
    assert (result.outcome, result.code, result.retryable) == (RunOutcome.FAILED, "output_not_json", False)


async def test_output_over_its_limit_is_dropped(executors: Executors) -> None:
    def handler(job: Job) -> str:
        return "x" * 100

    result = await run(executors, handler, output_bytes_max=101)
    assert (result.outcome, result.code, result.value) == (RunOutcome.OVERSIZE, "output_too_large", None)
    assert (await run(executors, handler, output_bytes_max=102)).outcome is RunOutcome.SUCCEEDED


async def test_logs_are_output_and_stay_off_the_workers_own_log(
    executors: Executors, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("somebody.elses.library")

    async def handler(job: Job) -> None:
        job.log("one")
        logger.warning("two %s", "args")
        await asyncio.create_task(nested())

    async def nested() -> None:
        logger.error("three")

    result = await run(executors, handler)
    logger.warning("outside")
    assert result.logs == ("one", "WARNING somebody.elses.library: two args", "ERROR somebody.elses.library: three")


async def test_logs_of_concurrent_runs_do_not_mix(executors: Executors) -> None:
    barrier = threading.Barrier(2, timeout=5)

    def handler(job: Job) -> None:
        barrier.wait()
        logging.getLogger("x").warning(job.payload)
        barrier.wait()

    jobs = [Job(job_id=str(n), topic="t", tenant="a", payload=f"line-{n}") for n in range(2)]
    results = await asyncio.gather(*(run(executors, handler, job) for job in jobs))
    assert [result.logs for result in results] == [(f"WARNING x: line-{n}",) for n in range(2)]


async def test_the_log_is_bounded_and_says_what_is_missing(executors: Executors) -> None:
    async def handler(job: Job) -> None:
        for number in range(1005):
            job.log(f"{number} \ud800" + "x" * 5000)

    logs = (await run(executors, handler)).logs
    assert sum(map(len, logs)) < 300_000
    assert logs[-1].endswith("more lines did not fit")
    "\n".join(logs).encode()


async def test_a_coroutine_is_cancelled_at_its_time_limit(executors: Executors) -> None:
    ended = []

    async def handler(job: Job) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(bool(job.cancelled))

    result = await run(executors, handler, runtime_s=0.05)
    assert (result.outcome, result.code, result.retryable, ended) == (RunOutcome.TIMED_OUT, "max_runtime", True, [True])


async def test_a_thread_that_takes_no_notice_is_reported_without_and_keeps_its_slot(executors: Executors) -> None:
    release = threading.Event()

    def handler(job: Job) -> str:
        release.wait(20)
        return "late"

    given = execution(handler, runtime_s=0.05)
    result = await executors.run(given)
    assert (result.outcome, result.value) == (RunOutcome.TIMED_OUT, None)
    assert given.still_running is not None
    assert not given.still_running.done()
    release.set()
    async with asyncio.timeout(5):
        await given.still_running


async def test_a_thread_that_looks_is_stopped_by_its_flag(executors: Executors) -> None:
    def handler(job: Job) -> str:
        assert job.cancelled.wait(20)
        return "stopped"

    given = execution(handler, runtime_s=0.05)
    assert (await executors.run(given)).outcome is RunOutcome.TIMED_OUT
    assert given.still_running is None


@pytest.mark.parametrize(
    ("reason", "outcome", "code", "retryable"),
    [
        (StopReason.CANCELLED, RunOutcome.CANCELLED, "cancelled", False),
        (StopReason.SHUTDOWN, RunOutcome.FAILED, "worker_stopped", True),
        (StopReason.LEASE_LOST, RunOutcome.CANCELLED, "lease_lost", False),
    ],
)
async def test_why_a_run_was_stopped_decides_its_outcome(
    executors: Executors, reason: StopReason, outcome: RunOutcome, code: str, retryable: bool
) -> None:
    async def handler(job: Job) -> None:
        asyncio.get_running_loop().call_soon(job.cancelled.set, reason)
        await job.cancelled.wait_async()
        await asyncio.Event().wait()

    result = await run(executors, handler)
    assert (result.outcome, result.code, result.retryable) == (outcome, code, retryable)


async def test_a_process_that_computes_is_killed_at_its_time_limit(executors: Executors) -> None:
    given = execution(burn, Job(job_id="j", topic="t", tenant="a"), executor="process", runtime_s=1.5)
    began = time.monotonic()
    result = await executors.run(given)
    assert (result.outcome, result.code) == (RunOutcome.TIMED_OUT, "max_runtime")
    assert given.still_running is None
    assert time.monotonic() - began < 6
    again = await run(executors, double, Job(job_id="j", topic="t", tenant="a", payload={"n": 1}), executor="process")
    assert again.outcome is RunOutcome.SUCCEEDED


async def test_a_cancelled_process_handler_may_clean_up(executors: Executors, tmp_path: Any) -> None:
    job = Job(job_id="j", topic="t", tenant="a", payload=str(tmp_path))
    running = asyncio.create_task(run(executors, wait_for_flag, job, executor="process"))
    await eventually((tmp_path / "started").exists)
    job.cancelled.set(StopReason.CANCELLED)
    assert (await running).outcome is RunOutcome.CANCELLED
    assert (tmp_path / "cleaned-up").exists()


async def test_a_process_that_dies_is_a_failed_run_that_may_be_retried(executors: Executors) -> None:
    result = await run(executors, crash, Job(job_id="j", topic="t", tenant="a"), executor="process")
    assert (result.outcome, result.code, result.retryable) == (RunOutcome.FAILED, "process_died", True)
    assert str(int(signal.SIGKILL)) in (result.error.message if result.error else "")


async def test_logs_progress_and_errors_come_out_of_a_process(executors: Executors) -> None:
    seen: list[float] = []
    log = RunLog()
    job = Job(job_id="j", topic="t", tenant="a", _on_progress=seen.append, _on_log=log.add)
    result = await executors.run(Execution(job, describe("t", say_hello, executor="process"), RunLimits(10, 1000), log))
    assert result.outcome is RunOutcome.FAILED
    assert (result.code, result.retryable) == ("permanent_failure", False)
    assert result.logs == ("hello", "INFO hello: from logging")
    assert seen == [0.5]


async def test_the_environment_of_a_process_has_no_credentials(
    executors: Executors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDGATE_NATS_URL", "nats://user:secret@host")
    job = Job(job_id="j", topic="t", tenant="a", payload={"n": 1})
    result = await run(executors, double, job, executor="process")
    assert json.loads(result.value or b"")["holdgate_variables"] == []


@pytest.mark.parametrize(
    ("constraints", "own_s", "worker_s", "runtime_s", "output_max"),
    [
        (Constraints(), None, 60, 60, limits.BODY_BYTES_DEFAULT),
        (Constraints(max_runtime_s=5), None, 60, 5, limits.BODY_BYTES_DEFAULT),
        (Constraints(max_runtime_s=500), None, 60, 60, limits.BODY_BYTES_DEFAULT),
        (Constraints(max_runtime_s=5), 2, 60, 2, limits.BODY_BYTES_DEFAULT),
        (Constraints(max_runtime_s=5), 9, 60, 5, limits.BODY_BYTES_DEFAULT),
        (Constraints(max_output_bytes=10), None, 60, 60, 10),
        (Constraints(max_output_bytes=10**12), None, 60, 60, limits.BODY_BYTES_DEFAULT),
    ],
)
def test_the_tightest_limit_holds(
    constraints: Constraints, own_s: float | None, worker_s: float, runtime_s: float, output_max: int
) -> None:
    handler = describe("job.x", double, max_runtime_s=own_s)
    assert RunLimits.tightest(constraints, handler, runtime_s=worker_s) == RunLimits(runtime_s, output_max)


def asking() -> JobRecord:
    return make_job("job.test.x", secrets=("db",))


@pytest.fixture
async def trusted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Executors]:
    """Executors of a worker that holds a secret in its environment."""
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    sources = SecretSources({"db": SecretSource(("job.test.>",), env="DB_PASSWORD")})
    made = Executors(clock=SystemClock(), threads_max=4, grace_s=0.3, secrets=sources, door=Door((), os.urandom))
    yield made
    made.close()


@pytest.mark.parametrize("executor", ["thread", "process"])
async def test_a_handler_gets_its_secret_and_cannot_return_it(trusted: Executors, executor: str) -> None:
    made = execution(tell, executor=executor)
    made.record = asking()
    result = await trusted.run(made)
    told = json.loads(result.value or b"")
    assert told["length"] == len(SECRET)
    assert told["inherited"] is (executor == "thread")
    assert told["value"].startswith("[redacted:platform_secret:")
    assert [each.name for each in result.artifacts] == ["told.txt"]
    assert SECRET not in str(result)
    assert result.reported


async def test_a_job_without_its_secret_does_not_run(executors: Executors) -> None:
    ran: list[str] = []
    made = execution(lambda job: ran.append(job.job_id), executor="thread")
    made.record = asking()
    with pytest.raises(SecretRefused):
        await executors.run(made)
    assert not ran


@pytest.mark.parametrize(
    ("name", "data", "media_type", "why"),
    [
        ("../x", b"", None, "the name"),
        (".profile", b"", None, "the name"),
        ("a b", b"", None, "the name"),
        ("", b"", None, "the name"),
        ("x" * 129, b"", None, "the name"),
        ("a", b"", "html", "media type"),
        ("a", b"", "text/html\r\nX: y", "media type"),
        ("a", b"x" * 11, None, "at most 10 bytes"),
    ],
)
def test_an_artifact_that_may_not_be_is_refused(name: str, data: bytes, media_type: str | None, why: str) -> None:
    box = ArtifactBox(10)
    with pytest.raises(BadArtifact, match=why):
        box.add(name, data, media_type)
    assert box.all() == ()


def test_artifacts_are_bounded_together_and_have_different_names(tmp_path: Path) -> None:
    box = ArtifactBox(100)
    (tmp_path / "file").write_bytes(b"from a file")
    box.add("a", "a text", "text/plain")
    box.add("b", tmp_path / "file")
    assert [each.data for each in box.all()] == [b"a text", b"from a file"]
    with pytest.raises(BadArtifact, match="already"):
        box.add("a", b"")
    with pytest.raises(BadArtifact, match="together"):
        box.add("c", b"x" * 90)
    for number in range(limits.ARTIFACTS_MAX - 2):
        box.add(f"n{number}", b"")
    with pytest.raises(BadArtifact, match="at most"):
        box.add("one-more", b"")


async def test_files_count_as_output_and_those_of_a_failed_run_are_not_sent(executors: Executors) -> None:
    async def leave(job: Job) -> str:
        job.artifact("a.txt", "x" * 60)
        return "y" * 60

    async def fail(job: Job) -> None:
        job.artifact("a.txt", "x")
        raise ValueError

    def job() -> Job:
        return Job(job_id="j", topic="t", tenant="a", _artifacts=ArtifactBox(100))

    assert (await run(executors, leave, job(), output_bytes_max=100)).outcome is RunOutcome.OVERSIZE
    assert len((await run(executors, leave, job(), output_bytes_max=200)).artifacts) == 1
    assert (await run(executors, fail, job())).artifacts == ()
