"""Runs one handler: where it belongs, under its limits, with everything it says caught as output.

What always holds: a run ends with exactly one `RunResult`, whatever the handler does; its time limit is the smallest of
permit, handler and worker; what a handler raised, logged or returned is in the result and nowhere else.

A coroutine is cancelled and a process killed when it must stop. A thread cannot be stopped from outside: it is told
(`job.cancelled`), and when it does not end within the grace its result is reported without it, while its slot stays
taken (`still_running`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from holdgate.kernel import limits
from holdgate.kernel.clock import Clock
from holdgate.kernel.records import Constraints
from holdgate.kernel.records import Job as JobRecord
from holdgate.workers.cancellation import StopReason
from holdgate.workers.door import Door
from holdgate.workers.errors import PermanentFailure, Stopped
from holdgate.workers.handlers import Executor, Handler
from holdgate.workers.job import Job
from holdgate.workers.processes import ProcessFailure, ProcessPool
from holdgate.workers.results import RunError, RunOutcome, RunResult, code_of, describe_error, encode_value
from holdgate.workers.runlog import RunLog, collecting
from holdgate.workers.secrets import SecretSources

STOP_GRACE_S = 2.0
"""How long a handler that was told to stop has to end by itself."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run is held to by this worker."""

    runtime_s: float
    output_bytes_max: int

    @classmethod
    def tightest(cls, permitted: Constraints, handler: Handler, *, runtime_s: float) -> RunLimits:
        """The smallest of the permit's, the handler's and the worker's limits."""
        asked = (permitted.max_runtime_s, handler.max_runtime_s, runtime_s)
        output = permitted.max_output_bytes
        return cls(
            runtime_s=min(item for item in asked if item is not None),
            output_bytes_max=min(limits.BODY_BYTES_DEFAULT, limits.BODY_BYTES_DEFAULT if output is None else output),
        )


@dataclass(slots=True)
class Execution:
    """One run while it lasts. `record`: the job as it was handed over, where it may ask for secrets.

    `still_running` is a handler that outlived its result; it keeps its slot.
    """

    job: Job
    handler: Handler
    limits: RunLimits
    log: RunLog
    record: JobRecord | None = None
    still_running: asyncio.Future[bytes] | None = None


class Executors:
    """The places where handlers run: this loop, a thread pool of `threads_max`, child processes.

    `secrets`: what jobs may ask for; `door`: what every result passes.
    """

    def __init__(self, *, clock: Clock, threads_max: int, grace_s: float, secrets: SecretSources, door: Door) -> None:
        self._clock = clock
        self._grace_s = grace_s
        self._threads = ThreadPoolExecutor(max_workers=threads_max, thread_name_prefix="holdgate-handler")
        self._processes = ProcessPool(grace_s=grace_s, without=secrets.variables)
        self._secrets = secrets
        self._door = door

    @property
    def stop_s(self) -> float:
        """The longest that a handler which was told to stop delays its result."""
        return self._grace_s * 2

    async def run(self, execution: Execution) -> RunResult:
        """Run the handler to its end; what it left, as it may leave this worker.

        Raises SecretRefused when the job does not get a secret that it asks for, and nothing else but when this task
        itself is cancelled.
        """
        if execution.record is None or not execution.record.secrets:
            return await self._door.let_out(await self._ran(execution))
        secrets = await self._secrets.resolve(execution.record)
        execution.job = replace(execution.job, _secrets=secrets)
        with self._door.handing_out(secrets):
            return await self._door.let_out(await self._ran(execution))

    async def _ran(self, execution: Execution) -> RunResult:
        started_ms = self._clock.now_ms()
        ending = _within_size(await self._ending(execution), execution)
        return RunResult(
            outcome=ending.outcome,
            started_ms=started_ms,
            ended_ms=self._clock.now_ms(),
            value=ending.value,
            logs=execution.log.lines(),
            error=ending.error,
            code=ending.code,
            retryable=ending.retryable,
            artifacts=execution.job._artifacts.all() if ending.outcome is RunOutcome.SUCCEEDED else (),
        )

    def close(self) -> None:
        """Kill the child processes; threads that still run are left to the end of this process."""
        self._processes.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ending(self, execution: Execution) -> _Ending:
        try:
            work = self._start(execution)
        except Exception as error:  # noqa: BLE001  a handler's own validators may raise anything
            return _failed(error, retryable=not isinstance(error, PermanentFailure))
        task: asyncio.Future[bytes] = asyncio.ensure_future(work)  # noqa: TID251  ends below, or is handed on
        try:
            await _first(task, execution)
        except asyncio.CancelledError:
            execution.job.cancelled.set(StopReason.SHUTDOWN)
            task.cancel()
            raise
        if not task.done():
            await self._stop(execution, task)
        return _end_of(execution, task)

    def _start(self, execution: Execution) -> Coroutine[Any, Any, bytes]:
        match execution.handler.executor:
            case Executor.PROCESS:
                return self._in_thread(self._run_process, execution)
            case Executor.THREAD:
                arguments = execution.handler.arguments(execution.job)
                return self._in_thread(_call_sync, execution, arguments)
            case Executor.ASYNC | Executor.AUTO:
                return _call_async(execution, execution.handler.arguments(execution.job))

    async def _stop(self, execution: Execution, task: asyncio.Future[bytes]) -> None:
        """Give the handler that was told to stop its grace; hand on the one that takes no notice."""
        grace_s = self._grace_s
        if execution.handler.executor is Executor.PROCESS:
            grace_s *= 2  # it is killed at the end of the first one
        elif execution.handler.executor is Executor.ASYNC:
            task.cancel()
        await asyncio.wait({task}, timeout=grace_s)
        if not task.done():
            execution.still_running = task

    async def _in_thread(self, call: Callable[..., bytes], *arguments: Any) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    def _run_process(self, execution: Execution) -> bytes:
        return self._processes.run(execution.handler, execution.job, execution.log)


@dataclass(frozen=True, slots=True)
class _Ending:
    outcome: RunOutcome
    value: bytes | None = None
    error: RunError | None = None
    code: str | None = None
    retryable: bool = False


def _within_size(ending: _Ending, execution: Execution) -> _Ending:
    bytes_max = execution.limits.output_bytes_max
    if ending.value is None:
        return ending
    size = len(ending.value) + sum(len(each.data) for each in execution.job._artifacts.all())
    if size <= bytes_max:
        return ending
    problem = RunError("OutputTooLarge", f"{size} bytes of output, at most {bytes_max} may be")
    return _Ending(RunOutcome.OVERSIZE, error=problem, code="output_too_large")


async def _first(task: asyncio.Future[bytes], execution: Execution) -> None:
    """Return when `task` is done, or when the handler is to stop; at its time limit it is."""
    loop = asyncio.get_running_loop()
    settled: asyncio.Future[None] = loop.create_future()

    def settle(_task: object = None) -> None:
        if not settled.done():
            settled.set_result(None)

    def settle_from_any_thread() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle)

    stop = execution.job.cancelled
    task.add_done_callback(settle)
    stop.on_set(settle_from_any_thread)
    timer = loop.call_later(execution.limits.runtime_s, stop.set, StopReason.TIMED_OUT)
    try:
        await settled
    finally:
        timer.cancel()


def _call_sync(execution: Execution, arguments: tuple[Any, ...]) -> bytes:
    with collecting(execution.log):
        try:
            return encode_value(execution.handler.function(*arguments))
        except _NOT_FOR_THE_LOOP as error:
            raise _Raised(error) from error


async def _call_async(execution: Execution, arguments: tuple[Any, ...]) -> bytes:
    with collecting(execution.log):
        try:
            return encode_value(await execution.handler.function(*arguments))
        except _NOT_FOR_THE_LOOP as error:
            raise _Raised(error) from error


_NOT_FOR_THE_LOOP = (SystemExit, StopIteration)
"""The first would end the worker, the second never arrives in a future: its run would seem to go on for ever."""


class _Raised(Exception):
    """Carries what a handler raised and the loop cannot."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__()


def _end_of(execution: Execution, task: asyncio.Future[bytes]) -> _Ending:
    """How the run ended. One that was told to stop has not succeeded, unless only the worker's end was the reason."""
    reason = execution.job.cancelled.reason
    if not task.done():
        task.add_done_callback(_retrieve)
        return _stopped(reason)
    _retrieve(task)
    if reason is None or (reason is StopReason.SHUTDOWN and not task.cancelled()):
        return _judge(task)
    return _stopped(reason)


def _judge(task: asyncio.Future[bytes]) -> _Ending:
    if task.cancelled():
        return _failed(Stopped("the handler cancelled itself"), retryable=True)
    error = task.exception()
    if error is None:
        return _Ending(RunOutcome.SUCCEEDED, value=task.result())
    if isinstance(error, ProcessFailure):
        return _Ending(RunOutcome.FAILED, error=error.error, code=error.code, retryable=error.retryable)
    if isinstance(error, _Raised):
        error = error.error
    return _failed(error, retryable=not isinstance(error, PermanentFailure))


def _failed(error: BaseException, *, retryable: bool = False) -> _Ending:
    return _Ending(RunOutcome.FAILED, error=describe_error(error), code=code_of(error), retryable=retryable)


def _stopped(reason: StopReason | None) -> _Ending:
    match reason:
        case StopReason.TIMED_OUT:
            return _Ending(RunOutcome.TIMED_OUT, code="max_runtime", retryable=True)
        case StopReason.CANCELLED:
            return _Ending(RunOutcome.CANCELLED, code="cancelled")
        case StopReason.LEASE_LOST:
            return _Ending(RunOutcome.CANCELLED, code="lease_lost")
        case StopReason.SHUTDOWN | None:
            return _Ending(RunOutcome.FAILED, code="worker_stopped", retryable=True)


def _retrieve(task: asyncio.Future[bytes]) -> None:
    """Look at the end of a handler that no longer counts, so that its exception is not reported as never seen."""
    if not task.cancelled():
        task.exception()
