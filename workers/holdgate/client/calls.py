"""Operations as methods: written once, called plainly or awaited.

`PlainCall(Operations.get_job)` in a class body is a method with the signature of the operation that returns its value;
`AwaitedCall` is the same as a coroutine function. The `…JobCall`s fill in the id of the owner's job.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from holdgate.client.exchange import Operation
from holdgate.client.operations import Operations

P = ParamSpec("P")
Value = TypeVar("Value")
Driven = TypeVar("Driven")


class PlainDriver(Protocol):
    """Drives operations in the calling thread."""

    operations: Operations

    def drive(self, operation: Operation[Driven]) -> Driven:
        """The value of `operation`."""
        ...


class AwaitedDriver(Protocol):
    """Drives operations on the running loop."""

    operations: Operations

    async def drive(self, operation: Operation[Driven]) -> Driven:
        """The value of `operation`."""
        ...


class PlainOwner(Protocol):
    """What has methods made by `PlainCall`."""

    @property
    def driver(self) -> PlainDriver:
        """What drives them."""
        ...


class AwaitedOwner(Protocol):
    """What has methods made by `AwaitedCall`."""

    @property
    def driver(self) -> AwaitedDriver:
        """What drives them."""
        ...


class PlainJob(PlainOwner, Protocol):
    """The same for one job."""

    @property
    def job_id(self) -> str:
        """Which one."""
        ...


class AwaitedJob(AwaitedOwner, Protocol):
    """The same for one job."""

    @property
    def job_id(self) -> str:
        """Which one."""
        ...


class PlainCall(Generic[P, Value]):
    """A method that performs an operation."""

    def __init__(self, operation: Callable[Concatenate[Operations, P], Operation[Value]]) -> None:
        self._operation = operation

    def __get__(self, owner: PlainOwner, _kind: type[Any] | None = None) -> Callable[P, Value]:
        driver, operation = owner.driver, self._operation

        @wraps(operation)
        def call(*args: P.args, **kwargs: P.kwargs) -> Value:
            return driver.drive(operation(driver.operations, *args, **kwargs))

        return call


class AwaitedCall(Generic[P, Value]):
    """A coroutine method that performs an operation."""

    def __init__(self, operation: Callable[Concatenate[Operations, P], Operation[Value]]) -> None:
        self._operation = operation

    def __get__(self, owner: AwaitedOwner, _kind: type[Any] | None = None) -> Callable[P, Coroutine[Any, Any, Value]]:
        driver, operation = owner.driver, self._operation

        @wraps(operation)
        async def call(*args: P.args, **kwargs: P.kwargs) -> Value:
            return await driver.drive(operation(driver.operations, *args, **kwargs))

        return call


class PlainJobCall(Generic[P, Value]):
    """A method that performs an operation on the owner's job."""

    def __init__(self, operation: Callable[Concatenate[Operations, str, P], Operation[Value]]) -> None:
        self._operation = operation

    def __get__(self, owner: PlainJob, _kind: type[Any] | None = None) -> Callable[P, Value]:
        driver, operation = owner.driver, self._operation

        @wraps(operation)
        def call(*args: P.args, **kwargs: P.kwargs) -> Value:
            return driver.drive(operation(driver.operations, owner.job_id, *args, **kwargs))

        return call


class AwaitedJobCall(Generic[P, Value]):
    """A coroutine method that performs an operation on the owner's job."""

    def __init__(self, operation: Callable[Concatenate[Operations, str, P], Operation[Value]]) -> None:
        self._operation = operation

    def __get__(self, owner: AwaitedJob, _kind: type[Any] | None = None) -> Callable[P, Coroutine[Any, Any, Value]]:
        driver, operation = owner.driver, self._operation

        @wraps(operation)
        async def call(*args: P.args, **kwargs: P.kwargs) -> Value:
            return await driver.drive(operation(driver.operations, owner.job_id, *args, **kwargs))

        return call
