"""The API as one ASGI application: routes from the table of operations, errors as problems.

Submitting is looked up before any routing, because it is the call that comes by the thousand.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from pydantic_core import to_json
from starlette.routing import Match, Route

from holdgate.scheduler.api.admit import BodyRoom, InFlight
from holdgate.scheduler.api.body import Receive
from holdgate.scheduler.api.calls import reply_problem
from holdgate.scheduler.api.deps import Deps
from holdgate.scheduler.api.endpoint import Endpoint
from holdgate.scheduler.api.openapi import openapi
from holdgate.scheduler.api.operations import OPERATIONS
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.api.send import Send, send_reply

AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def create_app(deps: Deps) -> AsgiApp:
    """The ASGI application over `deps`. Starting and stopping what is in `deps` is the caller's part."""
    deps = replace(deps, description=to_json(openapi(OPERATIONS, deps.version)))
    return Api(deps)


class Api:
    """Finds the operation of a request."""

    def __init__(self, deps: Deps) -> None:
        most = deps.limits.requests_max
        in_flight = InFlight(total_max=most, share=2, code="overloaded")
        room = deps.limits.bodies_bytes_max
        bodies = BodyRoom(total_max=room, share=2, code="overloaded")
        endpoints = [Endpoint(operation, deps, in_flight, bodies) for operation in OPERATIONS]
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._routes: list[tuple[Route, Endpoint]] = []
        for endpoint in endpoints:
            operation = endpoint.operation
            if "{" in operation.path:
                route = Route(operation.path, endpoint, methods=[operation.method], name=operation.name)
                self._routes.append((route, endpoint))
            else:
                self._exact[operation.method, operation.path] = endpoint

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; anything but HTTP is refused."""
        if scope["type"] != "http":
            await _refuse_other(scope, receive, send)
            return
        endpoint = self._exact.get((scope["method"], scope["path"])) or self._routed(scope)
        if isinstance(endpoint, Problem):
            await send_reply(send, reply_problem(endpoint, None))
            return
        await endpoint(scope, receive, send)

    def _routed(self, scope: MutableMapping[str, Any]) -> Endpoint | Problem:
        allowed = {method for method, path in self._exact if path == scope["path"]}
        for route, endpoint in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL and scope["method"] == endpoint.operation.method:
                scope.update(_parameters(found))
                return endpoint
            if match is not Match.NONE:
                allowed.add(endpoint.operation.method)
        if allowed:
            return Problem("method_not_allowed", allow=sorted(allowed))
        return Problem("not_found")


def _parameters(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"path_params": found.get("path_params", {})}


async def _refuse_other(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
