"""Handlers: functions that do jobs, with the topics they serve and how they are to be run.

A handler takes the job, and where it wants its payload parsed, the payload as second argument with the type to parse it
to (anything pydantic knows):

    async def read(job: Job) -> dict: ...
    async def read(job: Job, payload: ReadPayload) -> dict: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, get_type_hints

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from holdgate.kernel.topics import is_pattern, matches
from holdgate.workers.errors import BadHandler, PermanentFailure
from holdgate.workers.job import Job


class Executor(StrEnum):
    """Where a handler runs."""

    AUTO = "auto"
    """`async def` on the loop, plain functions in threads."""
    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"
    """A process of its own, killed when it is over its time: for what computes, or cannot be trusted to stop."""


class PayloadInvalid(PermanentFailure):
    """the payload is not of the handler's type"""

    code = "payload_invalid"


@dataclass(frozen=True, slots=True)
class Handler:
    """One registered function. `max_runtime_s` is the author's own limit; the permit's is never exceeded."""

    pattern: str
    function: Callable[..., Any]
    executor: Executor
    capabilities: frozenset[str] = frozenset()
    payload_type: TypeAdapter[Any] | None = None
    max_runtime_s: float | None = None

    def arguments(self, job: Job) -> tuple[Any, ...]:
        """What to call the function with; PayloadInvalid when the payload is not of its type."""
        if self.payload_type is None:
            return (job,)
        try:
            return (job, self.payload_type.validate_python(job.payload))
        except ValidationError as error:
            problems = error.errors(include_input=False, include_url=False, include_context=False)
            shown = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'payload'}: {item['msg']}" for item in problems[:8])
            raise PayloadInvalid(f"the payload is not of the handler's type: {shown}") from None


def describe(
    pattern: str,
    function: Callable[..., Any],
    *,
    executor: Executor | str = Executor.AUTO,
    capabilities: tuple[str, ...] = (),
    max_runtime_s: float | None = None,
) -> Handler:
    """The handler that `function` makes for `pattern`; BadHandler when it cannot serve as one."""
    name = getattr(function, "__qualname__", repr(function))
    if not is_pattern(pattern):
        raise BadHandler(f"`{pattern}` is not a topic or a pattern of one")
    if max_runtime_s is not None and max_runtime_s <= 0:
        raise BadHandler(f"`max_runtime_s` of `{name}` must be positive")
    try:
        chosen = _executor(function, Executor(executor))
    except ValueError as error:
        raise BadHandler(f"`{name}`: {error}") from error
    if chosen is Executor.PROCESS:
        _refuse_unimportable(function)
    return Handler(
        pattern=pattern,
        function=function,
        executor=chosen,
        capabilities=frozenset(capabilities),
        payload_type=_payload_type(function, name),
        max_runtime_s=max_runtime_s,
    )


class Handlers:
    """The registered handlers of one worker; the most specific pattern serves a topic."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def __len__(self) -> int:
        return len(self._handlers)

    def add(self, handler: Handler) -> None:
        """Register `handler`; BadHandler when its pattern is taken."""
        if handler.pattern in self._handlers:
            raise BadHandler(f"`{handler.pattern}` has a handler already")
        self._handlers[handler.pattern] = handler

    def get_for(self, topic: str) -> Handler | None:
        """The handler of `topic`: an exact name before `*`, `*` before `>`, longer before shorter."""
        exact = self._handlers.get(topic)
        if exact is not None:
            return exact
        fitting = [pattern for pattern in self._handlers if matches(pattern, topic)]
        return self._handlers[min(fitting, key=_generality)] if fitting else None

    @property
    def patterns(self) -> list[str]:
        """Topics served, sorted."""
        return sorted(self._handlers)

    @property
    def capabilities(self) -> list[str]:
        """Capabilities of all handlers, sorted."""
        return sorted(frozenset().union(*(handler.capabilities for handler in self._handlers.values())))


def _generality(pattern: str) -> tuple[tuple[int, ...], int]:
    tokens = pattern.split(".")
    return tuple({"*": 1, ">": 2}.get(token, 0) for token in tokens), -len(tokens)


def _executor(function: Callable[..., Any], wanted: Executor) -> Executor:
    is_async = inspect.iscoroutinefunction(inspect.unwrap(_plain(function)))
    if wanted is Executor.AUTO:
        return Executor.ASYNC if is_async else Executor.THREAD
    if (wanted is Executor.ASYNC) is not is_async:
        msg = "an `async def` runs with executor `async`, a plain function with `thread` or `process`"
        raise ValueError(msg)
    return wanted


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function.func if isinstance(function, functools.partial) else function


def _refuse_unimportable(function: Callable[..., Any]) -> None:
    name = getattr(function, "__qualname__", "")
    if not name or "<" in name:
        raise BadHandler(f"`{name or function!r}` must be a function of a module, so that a process can import it")


def _payload_type(function: Callable[..., Any], name: str) -> TypeAdapter[Any] | None:
    try:
        parameters = list(inspect.signature(function).parameters.values())
        hints = get_type_hints(_plain(function), include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise BadHandler(f"the signature of `{name}` cannot be read: {error}") from error
    positional = [p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}]
    required = [p for p in parameters if p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]
    if not 1 <= len(positional) <= 2 or any(p not in positional for p in required):
        raise BadHandler(f"`{name}` must take `(job: Job)` or `(job: Job, payload: SomeType)`")
    if hints.get(positional[0].name, Job) is not Job:
        raise BadHandler(f"the first argument of `{name}` is the `Job`")
    if len(positional) == 1:
        return None
    try:
        return TypeAdapter(hints[positional[1].name])
    except KeyError as error:
        raise BadHandler(f"the payload of `{name}` needs a type annotation") from error
    except PydanticUserError as error:
        raise BadHandler(f"the payload of `{name}` has a type that cannot be checked: {error.message}") from error
