"""`Client` and `AsyncClient`: the same calls, plain or awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self

from holdgate.client.calls import AwaitedCall, AwaitedJobCall, PlainCall, PlainJobCall
from holdgate.client.exchange import Operation
from holdgate.client.models import Decision, JobInfo, Submitted
from holdgate.client.operations import Operations
from holdgate.client.people import (
    Approvals,
    AsyncApprovals,
    AsyncDelegations,
    AsyncGrants,
    AsyncQuarantine,
    AwaitedPart,
    Delegations,
    Grants,
    PlainPart,
    Quarantine,
)
from holdgate.client.settings import ClientSettings
from holdgate.client.transport import AwaitedTransport, PlainTransport

P = ParamSpec("P")


class _Handle:
    """A submitted job: `job_id`, `state` and `decision` as they were in the reply to the submit."""

    def __init__(self, submitted: Submitted) -> None:
        self.submitted = submitted

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.submitted.job_id

    @property
    def state(self) -> str:
        """State right after the submit: `accepted`, `queued`, `scheduled` or `held`."""
        return self.submitted.state

    @property
    def decision(self) -> Decision:
        """What the kernel decided at submit."""
        return self.submitted.decision

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.job_id} {self.state}>"


class JobHandle(_Handle):
    """A submitted job of a `Client`."""

    def __init__(self, driver: PlainTransport, submitted: Submitted) -> None:
        super().__init__(submitted)
        self.driver = driver

    info = PlainJobCall(Operations.get_job)
    wait = PlainJobCall(Operations.wait)
    result = PlainJobCall(Operations.result)
    output = PlainJobCall(Operations.get_output)
    artifact = PlainJobCall(Operations.artifact)
    cancel = PlainJobCall(Operations.cancel)
    decisions = PlainJobCall(Operations.decisions)
    timeline = PlainJobCall(Operations.timeline)

    def events(self) -> Iterator[JobInfo]:
        """The job at each change until it has ended."""
        return self.driver.events(self.job_id)


class AsyncJobHandle(_Handle):
    """A submitted job of an `AsyncClient`."""

    def __init__(self, driver: AwaitedTransport, submitted: Submitted) -> None:
        super().__init__(submitted)
        self.driver = driver

    info = AwaitedJobCall(Operations.get_job)
    wait = AwaitedJobCall(Operations.wait)
    result = AwaitedJobCall(Operations.result)
    output = AwaitedJobCall(Operations.get_output)
    artifact = AwaitedJobCall(Operations.artifact)
    cancel = AwaitedJobCall(Operations.cancel)
    decisions = AwaitedJobCall(Operations.decisions)
    timeline = AwaitedJobCall(Operations.timeline)

    def events(self) -> AsyncIterator[JobInfo]:
        """The job at each change until it has ended."""
        return self.driver.events(self.job_id)


class PlainSubmit(Generic[P]):
    """A method that submits and returns a handle."""

    def __init__(self, operation: Callable[Concatenate[Operations, P], Operation[Submitted]]) -> None:
        self._operation = operation

    def __get__(self, owner: Client | Jobs, _kind: type[Any] | None = None) -> Callable[P, JobHandle]:
        driver, operation = owner.driver, self._operation

        @wraps(operation)
        def call(*args: P.args, **kwargs: P.kwargs) -> JobHandle:
            return JobHandle(driver, driver.drive(operation(driver.operations, *args, **kwargs)))

        return call


class AwaitedSubmit(Generic[P]):
    """A coroutine method that submits and returns a handle."""

    def __init__(self, operation: Callable[Concatenate[Operations, P], Operation[Submitted]]) -> None:
        self._operation = operation

    def __get__(
        self, owner: AsyncClient | AsyncJobs, _kind: type[Any] | None = None
    ) -> Callable[P, Coroutine[Any, Any, AsyncJobHandle]]:
        driver, operation = owner.driver, self._operation

        @wraps(operation)
        async def call(*args: P.args, **kwargs: P.kwargs) -> AsyncJobHandle:
            return AsyncJobHandle(driver, await driver.drive(operation(driver.operations, *args, **kwargs)))

        return call


class Jobs(PlainPart):
    """Jobs by id."""

    submit = PlainSubmit(Operations.submit)
    dry_run = PlainCall(Operations.dry_run)
    remediate = PlainSubmit(Operations.remediate)
    get = PlainCall(Operations.get_job)
    reveal = PlainCall(Operations.reveal_job)
    list = PlainCall(Operations.list_jobs)
    wait = PlainCall(Operations.wait)
    result = PlainCall(Operations.result)
    output = PlainCall(Operations.get_output)
    artifact = PlainCall(Operations.artifact)
    cancel = PlainCall(Operations.cancel)
    retry = PlainCall(Operations.retry)
    decisions = PlainCall(Operations.decisions)
    timeline = PlainCall(Operations.timeline)

    def events(self, job_id: str) -> Iterator[JobInfo]:
        """The job at each change until it has ended."""
        return self.driver.events(job_id)


class AsyncJobs(AwaitedPart):
    """Jobs by id."""

    submit = AwaitedSubmit(Operations.submit)
    dry_run = AwaitedCall(Operations.dry_run)
    remediate = AwaitedSubmit(Operations.remediate)
    get = AwaitedCall(Operations.get_job)
    reveal = AwaitedCall(Operations.reveal_job)
    list = AwaitedCall(Operations.list_jobs)
    wait = AwaitedCall(Operations.wait)
    result = AwaitedCall(Operations.result)
    output = AwaitedCall(Operations.get_output)
    artifact = AwaitedCall(Operations.artifact)
    cancel = AwaitedCall(Operations.cancel)
    retry = AwaitedCall(Operations.retry)
    decisions = AwaitedCall(Operations.decisions)
    timeline = AwaitedCall(Operations.timeline)

    def events(self, job_id: str) -> AsyncIterator[JobInfo]:
        """The job at each change until it has ended."""
        return self.driver.events(job_id)


class Policy(PlainPart):
    """What would be decided."""

    simulate = PlainCall(Operations.simulate)
    explain = PlainCall(Operations.explain)


class AsyncPolicy(AwaitedPart):
    """What would be decided."""

    simulate = AwaitedCall(Operations.simulate)
    explain = AwaitedCall(Operations.explain)


class Client:
    """Submits jobs and looks after them. A context manager; safe to share between threads.

        with Client(api_key=key) as client:
            print(client.submit("job.demo.read", prompt="status").result(timeout_s=30).value)

    `url` may list several, comma separated: when one goes away, the next one is asked. What is not given is read from
    `HOLDGATE_API_URL`, `HOLDGATE_API_KEY`, `HOLDGATE_API_TENANT`.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        url: str | None = None,
        tenant: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        self.driver = PlainTransport(_settings(api_key, url, tenant, retry_s))
        self.jobs = Jobs(self.driver)
        self.approvals = Approvals(self.driver)
        self.delegations = Delegations(self.driver)
        self.grants = Grants(self.driver)
        self.quarantine = Quarantine(self.driver)
        self.policy = Policy(self.driver)

    submit = PlainSubmit(Operations.submit)
    status = PlainCall(Operations.status)

    def close(self) -> None:
        """Close the connections."""
        self.driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """The same for an event loop: every call is awaited, `events()` is an async iterator."""

    def __init__(
        self,
        api_key: str | None = None,
        *,
        url: str | None = None,
        tenant: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        self.driver = AwaitedTransport(_settings(api_key, url, tenant, retry_s))
        self.jobs = AsyncJobs(self.driver)
        self.approvals = AsyncApprovals(self.driver)
        self.delegations = AsyncDelegations(self.driver)
        self.grants = AsyncGrants(self.driver)
        self.quarantine = AsyncQuarantine(self.driver)
        self.policy = AsyncPolicy(self.driver)

    submit = AwaitedSubmit(Operations.submit)
    status = AwaitedCall(Operations.status)

    async def close(self) -> None:
        """Close the connections."""
        await self.driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _settings(api_key: str | None, url: str | None, tenant: str | None, retry_s: float | None) -> ClientSettings:
    given: dict[str, Any] = {"api_key": api_key, "api_url": url, "api_tenant": tenant, "api_retry_s": retry_s}
    return ClientSettings(**{name: value for name, value in given.items() if value is not None})
