"""One operation as an ASGI application: authenticate, check the role, read the body, call, answer.

What always holds: the order of checks is key, tenant, role, query, body, so that nobody without a right to call learns
how their body would be judged; whatever goes wrong becomes a problem of the table; nothing of a body, a query or an
exception's text is logged.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import structlog

from holdgate.kernel import tracing
from holdgate.kernel.errors import HoldgateError, KernelUnavailable
from holdgate.kernel.readiness import OK
from holdgate.scheduler.api import metrics
from holdgate.scheduler.api.admit import BodyHold, BodyRoom, InFlight
from holdgate.scheduler.api.auth import KeyRefused, authenticate
from holdgate.scheduler.api.body import Disconnected, Receive, check_declared, declared_size, parse_body, read_body
from holdgate.scheduler.api.calls import (
    Call,
    Header,
    Later,
    Operation,
    Reply,
    RequestTrace,
    query_of,
    reply_problem,
    trace_of,
)
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.api.inside import principal_inside
from holdgate.scheduler.api.problems import Problem, invalid, problem_of
from holdgate.scheduler.api.send import Send, send_reply
from holdgate.scheduler.identity.principals import Principal

log = structlog.get_logger("holdgate.api")
CLIENT_GONE = 499
"""How a request is counted whose client left before it was whole; nothing is sent."""
PARSE_INLINE_BYTES_MAX = 128 * 1024
"""A larger body is parsed in a thread, so that it does not hold up the small ones."""
NO_PATH: Mapping[str, str] = {}


class Endpoint:
    """The ASGI application of one operation."""

    def __init__(self, operation: Operation, deps: Deps, in_flight: InFlight, bodies: BodyRoom) -> None:
        self.operation = operation
        self._deps = deps
        self._in_flight = in_flight
        self._bodies = bodies
        self._bytes_max = max(deps.limits.body_bytes_max, operation.body_bytes_max)
        self._allowed = frozenset(item.name for item in operation.query)
        self._takes_body = operation.request is not None
        self._observer = metrics.Observer(operation.name)

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: list[Header] = scope["headers"]
        trace = trace_of(headers, os.urandom)
        started, status, started_ns = perf_counter(), 500, tracing.start()
        try:
            reply = await self._answered(scope, receive, headers, trace)
            status = reply.status
            await send_reply(send, reply)
        except Disconnected:
            status = CLIENT_GONE
        finally:
            self._observer.observe(status, started)
            trace.end(self.operation, status, started_ns)

    async def _answered(
        self, scope: Mapping[str, Any], receive: Receive, headers: list[Header], trace: RequestTrace
    ) -> Reply:
        trace_id = trace.parent.trace_id
        try:
            return await self._reply(scope, receive, headers, trace)
        except HoldgateError as error:
            return self._problem(error, trace_id)
        except Disconnected:
            raise
        except Exception as error:  # noqa: BLE001  the door: everything unknown is a 500 that says nothing
            self._log_failure(error, trace_id)
            return reply_problem(Problem("internal_error"), trace_id)

    async def _reply(
        self, scope: Mapping[str, Any], receive: Receive, headers: list[Header], trace: RequestTrace
    ) -> Reply:
        caller = None if self.operation.roles is None else await self._caller(scope, headers)
        tenant = caller.tenant if caller else ""
        self._in_flight.enter(tenant)
        try:
            query = query_of(scope["query_string"], self._allowed)
            call = Call(self._deps, scope, receive, trace, caller, query=query)
            call.path = scope.get("path_params", NO_PATH)
            if self._takes_body:
                self._bodies.check(tenant, declared_size(headers, self._bytes_max))
                with self._bodies.hold(tenant) as held:
                    await self._take_body(call, headers, held)
                    reply = await self.operation.handler(call)
            else:
                reply = await self.operation.handler(call)
        finally:
            self._in_flight.leave(tenant)
        return await reply.make() if isinstance(reply, Later) else reply

    async def _caller(self, scope: Mapping[str, Any], headers: list[Header]) -> Principal:
        try:
            return self._authorized(scope, headers)
        except KeyRefused:
            address = (scope.get("client") or ("",))[0]
            await self._deps.attempts.failed("api_key", address)
            raise

    def _authorized(self, scope: Mapping[str, Any], headers: list[Header]) -> Principal:
        caller = principal_inside(scope) or authenticate(headers, self._deps.keys)
        roles = self.operation.roles
        if roles and not caller.has(*roles):
            names = ", ".join(sorted(roles))
            raise Problem("forbidden", f"this call needs one of the roles: {names}")
        return caller

    async def _take_body(self, call: Call, headers: list[Header], held: BodyHold) -> None:
        limits = self._deps.limits
        bytes_max = self._bytes_max
        check_declared(headers, bytes_max=bytes_max, needs_json=self.operation.request_required)
        call.body = await read_body(call.receive, held.grow, bytes_max=bytes_max, timeout_s=limits.body_timeout_s)
        if not call.body and not self.operation.request_required:
            return
        if self.operation.request_required and not call.body:
            raise invalid("", "a JSON body is needed")
        large = len(call.body) > PARSE_INLINE_BYTES_MAX
        call.json = await asyncio.to_thread(parse_body, call.body) if large else parse_body(call.body)

    def _problem(self, error: HoldgateError, trace_id: str) -> Reply:
        problem = problem_of(error)
        if isinstance(error, KernelUnavailable) and self._deps.readiness().checks.get("nats", OK) != OK:
            problem = Problem("nats_unavailable")
        if problem.code == "internal_error":
            self._log_failure(error, trace_id)
        return reply_problem(problem, trace_id)

    def _log_failure(self, error: BaseException, trace_id: str) -> None:
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        log.error(
            "a request failed",
            action="request_failed",
            operation=self.operation.name,
            trace_id=trace_id,
            error=type(error).__name__,
            frames=frames[-12:],
        )
