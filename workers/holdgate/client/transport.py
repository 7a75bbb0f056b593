"""The two ways to drive an operation over httpx. All that is decided is decided in `exchange` and `operations`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from holdgate.client.addresses import Addresses
from holdgate.client.errors import Unavailable
from holdgate.client.exchange import Lost, Operation, Pause, Reply, Request, Retries, refusal_of
from holdgate.client.models import ApprovalChange, JobInfo
from holdgate.client.operations import Operations, approval_events_request, events_request
from holdgate.client.settings import ClientSettings
from holdgate.client.sse import EventReader
from holdgate.kernel.ids import new_token

Value = TypeVar("Value")
Told = TypeVar("Told", bound=BaseModel)
OpenStream = Callable[[str | None], Request]
"""The request that opens a stream after the event of that id; None: from now on."""
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
REOPEN_S = 0.5
STREAM_QUIET_S = 45.0
"""The API says something at least every 15 s; after this long without, the stream is opened again."""


class PlainTransport:
    """Blocks the calling thread. Safe to share between threads."""

    def __init__(self, settings: ClientSettings) -> None:
        self.operations = _operations(settings)
        self._addresses = Addresses(settings.api_url, settings.plaintext)
        self._http = httpx.Client(**_options(settings))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def drive(self, operation: Operation[Value]) -> Value:
        """The value of `operation`, or what it raises."""
        answer: Reply | Lost | None = None
        try:
            while True:
                step = operation.send(answer)
                answer = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    answer = self._send(step)
        except StopIteration as end:
            value: Value = end.value
            return value

    def _send(self, request: Request) -> Reply | Lost:
        url = self._addresses.now
        try:
            reply = _reply(self._http.request(**_arguments(request, url)))
        except httpx.TransportError as error:
            self._addresses.leave(url)
            return _lost(error)
        _look(reply, url, self._addresses)
        return reply

    def events(self, job_id: str) -> Iterator[JobInfo]:
        """The job at each change until it has ended; opens the stream again when it breaks."""
        look = partial(self.operations.get_job, job_id)
        for job in self._stream(partial(events_request, job_id), "state", JobInfo, look):
            yield job
            if job.has_ended:
                return

    def approval_events(self) -> Iterator[ApprovalChange]:
        """Each change of a held job, without end; opens the stream again when it breaks."""
        look = partial(self.operations.list_approvals, limit=1)
        return self._stream(approval_events_request, "changed", ApprovalChange, look)

    def _stream(
        self, request: OpenStream, event: str, kind: type[Told], look: Callable[[], Operation[Any]]
    ) -> Iterator[Told]:
        """What the events tell. When it breaks, `look` tries for as long as is allowed, then says what is wrong."""
        told_last = None
        while True:
            reader, url = EventReader(event, kind), self._addresses.now
            try:
                with self._http.stream(**_arguments(request(told_last), url), timeout=STREAM_QUIET_S) as response:
                    if response.status_code != httpx.codes.OK:
                        response.read()
                        raise refusal_of(_reply(response))
                    for line in response.iter_lines():
                        if (told := reader.feed(line)) is not None:
                            told_last = reader.last_id
                            yield told
            except (httpx.TransportError, Unavailable):
                self._addresses.leave(url)
                self.drive(look())
            else:
                self._addresses.leave(url)  # it let go of us, perhaps because it ends
            time.sleep(REOPEN_S)


class AwaitedTransport:
    """Runs on the caller's event loop."""

    def __init__(self, settings: ClientSettings) -> None:
        self.operations = _operations(settings)
        self._addresses = Addresses(settings.api_url, settings.plaintext)
        self._http = httpx.AsyncClient(**_options(settings))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def drive(self, operation: Operation[Value]) -> Value:
        """The value of `operation`, or what it raises."""
        answer: Reply | Lost | None = None
        try:
            while True:
                step = operation.send(answer)
                answer = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    answer = await self._send(step)
        except StopIteration as end:
            value: Value = end.value
            return value

    async def _send(self, request: Request) -> Reply | Lost:
        url = self._addresses.now
        try:
            reply = _reply(await self._http.request(**_arguments(request, url)))
        except httpx.TransportError as error:
            self._addresses.leave(url)
            return _lost(error)
        _look(reply, url, self._addresses)
        return reply

    async def events(self, job_id: str) -> AsyncIterator[JobInfo]:
        """The job at each change until it has ended; opens the stream again when it breaks."""
        look = partial(self.operations.get_job, job_id)
        async with aclosing(self._stream(partial(events_request, job_id), "state", JobInfo, look)) as told:
            async for job in told:
                yield job
                if job.has_ended:
                    return

    def approval_events(self) -> AsyncIterator[ApprovalChange]:
        """Each change of a held job, without end; opens the stream again when it breaks."""
        look = partial(self.operations.list_approvals, limit=1)
        return self._stream(approval_events_request, "changed", ApprovalChange, look)

    async def _stream(
        self, request: OpenStream, event: str, kind: type[Told], look: Callable[[], Operation[Any]]
    ) -> AsyncGenerator[Told, None]:
        """What the events tell. When it breaks, `look` tries for as long as is allowed, then says what is wrong."""
        told_last = None
        while True:
            reader, url = EventReader(event, kind), self._addresses.now
            try:
                async with self._http.stream(**_arguments(request(told_last), url), timeout=STREAM_QUIET_S) as response:
                    if response.status_code != httpx.codes.OK:
                        await response.aread()
                        raise refusal_of(_reply(response))
                    async for line in response.aiter_lines():
                        if (told := reader.feed(line)) is not None:
                            told_last = reader.last_id
                            yield told
            except (httpx.TransportError, Unavailable):
                self._addresses.leave(url)
                await self.drive(look())
            else:
                self._addresses.leave(url)  # it let go of us, perhaps because it ends
            await asyncio.sleep(REOPEN_S)


def _operations(settings: ClientSettings) -> Operations:
    retries = Retries(for_s=settings.api_retry_s, now_s=time.monotonic, fraction=_fraction)
    return Operations(retries, new_key=new_token)


def _options(settings: ClientSettings) -> dict[str, Any]:
    headers = {"X-API-Key": settings.api_key.get_secret_value(), "Accept": "application/json, application/problem+json"}
    if settings.api_tenant is not None:
        headers["X-Tenant-ID"] = settings.api_tenant
    # Redirects are not followed: they would carry the key to another host.
    return {"headers": headers, "follow_redirects": False}


def _arguments(request: Request, url: str) -> dict[str, Any]:
    headers = dict(request.headers)
    arguments: dict[str, Any] = {
        "method": request.method,
        "url": url + request.path,
        "params": dict(request.query),
        "headers": headers,
    }
    if request.body is not None:
        headers["Content-Type"] = "application/json"
        arguments["content"] = request.body
    if request.headers.get("Accept") != "text/event-stream":
        arguments["timeout"] = request.timeout_s
    return arguments


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.headers, response.content)


def _look(reply: Reply, url: str, addresses: Addresses) -> None:
    """An API that says it is not able goes to the end of the line."""
    if reply.status == httpx.codes.SERVICE_UNAVAILABLE:
        addresses.leave(url)


def _lost(error: httpx.TransportError) -> Lost:
    return Lost(type(error).__name__, was_sent=not isinstance(error, NOT_SENT))


def _fraction() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32
