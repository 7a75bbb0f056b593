"""A person who calls the API, every exchange of whom is in the history before it counts.

What is sent, and when it is sent again, is the client's own (`holdgate.client`): a torture tries what users have.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from random import Random  # noqa: TID251  a seeded one comes in as an argument
from typing import Any, TypeVar

import httpx

from holdgate.client.exchange import Lost, Operation, Pause, Reply, Request, Retries
from holdgate.client.models import JobInfo
from holdgate.client.operations import Operations, events_request
from holdgate.client.sse import EventReader
from holdgate.kernel.clock import Clock
from holdgate.scheduler.torture.history import Event, History, Kind
from holdgate.scheduler.torture.planted import Planted

Value = TypeVar("Value")
JOB_IDS = re.compile(rb"job_[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TOLD = ("job_id", "state", "code", "status", "attempt", "job_hash", "snapshot", "verdict", "error", "tenant", "version")
"""What is kept of a reply's body; of lists, of each item."""
REPLY_S_MAX = 12.0
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass
class Line:
    """What all voices share: connections to each API, the history, the numbers of calls."""

    api_urls: Sequence[str]
    history: History
    clock: Clock
    planted: Planted
    chance: Random
    now_s: Callable[[], float]
    calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=5.0)
        self.http = httpx.AsyncClient(limits=limits, trust_env=False, follow_redirects=False)

    def record(self, who: str, kind: Kind, data: Mapping[str, Any]) -> None:
        """Into the history, with the time of now."""
        self.history.record(Event(self.clock.now_ms(), who, kind, data))

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()


class Voice:
    """One API key. `retry_s`: how long the client goes on trying."""

    def __init__(self, line: Line, name: str, tenant: str, key: str, *, retry_s: float) -> None:
        self.name = name
        self.tenant = tenant
        self._line = line
        self._headers = {"X-API-Key": key, "Accept": "application/json, application/problem+json"}
        retries = Retries(for_s=retry_s, now_s=line.now_s, fraction=line.chance.random)
        self.operations = Operations(retries, new_key=lambda: f"key-{line.chance.getrandbits(64):016x}")

    async def say(self, op: str, operation: Operation[Value], **facts: Any) -> Value:
        """The value of `operation`, or what it raises; each request that it takes is recorded under `op`."""
        answer: Reply | Lost | None = None
        try:
            while True:
                step = operation.send(answer)
                answer = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    answer = await self._exchange(op, step, facts)
        except StopIteration as end:
            value: Value = end.value
            return value

    async def request(self, op: str, request: Request, **facts: Any) -> Reply | Lost:
        """One exchange as it is."""
        return await self._exchange(op, request, facts)

    async def listen(self, job_id: str, seconds: float) -> None:
        """Record the states that the job's event stream tells, for so long at most."""
        stream = next(self._line.calls)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), aclosing(self._told(job_id)) as told:
                async for job in told:
                    seen = {"stream": stream, "job_id": job.job_id, "state": job.state, "attempt": job.attempt}
                    self._line.record(self.name, Kind.SEEN, {"tenant": self.tenant, **seen})
                    if job.has_ended:
                        return

    async def _told(self, job_id: str) -> AsyncGenerator[JobInfo, None]:
        request, reader = events_request(job_id), EventReader("state", JobInfo)
        headers = {**self._headers, **request.headers}
        url = self._line.chance.choice(self._line.api_urls) + request.path
        try:
            async with self._line.http.stream("GET", url, headers=headers, timeout=REPLY_S_MAX) as response:
                if response.status_code != httpx.codes.OK:
                    return
                async for line in response.aiter_lines():
                    if (job := reader.feed(line)) is not None:
                        yield job
        except httpx.HTTPError:
            return

    async def _exchange(self, op: str, request: Request, facts: Mapping[str, Any]) -> Reply | Lost:
        line, call = self._line, next(self._line.calls)
        api = line.chance.randrange(len(line.api_urls))
        line.record(self.name, Kind.REQUEST, {"call": call, "op": op, "tenant": self.tenant, "api": api, **facts})
        headers = {**self._headers, **request.headers}
        if request.body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            response = await line.http.request(
                request.method,
                line.api_urls[api] + request.path,
                params=dict(request.query),
                headers=headers,
                content=request.body,
                timeout=min(request.timeout_s, REPLY_S_MAX),
            )
        except httpx.HTTPError as error:
            lost = Lost(type(error).__name__, was_sent=not isinstance(error, NOT_SENT))
            line.record(self.name, Kind.UNKNOWN, {"call": call, "reason": lost.reason, "sent": lost.was_sent})
            return lost
        line.record(self.name, Kind.REPLY, {"call": call, **told_of(response, line.planted)})
        return Reply(response.status_code, response.headers, response.content)


def told_of(response: httpx.Response, planted: Planted) -> dict[str, Any]:
    """What the history keeps of a reply: enough for every rule, and bounded."""
    body = response.content
    told: dict[str, Any] = {"http": response.status_code}
    if retry_after := response.headers.get("retry-after"):
        told["retry_after"] = retry_after
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if isinstance(value, dict):
        told |= _kept(value)
        if isinstance(items := value.get("items"), list):
            told["items"] = [_kept(item) for item in items if isinstance(item, dict)]
        if "value" in value:
            told["has_value"] = value.get("value") is not None
            if isinstance(value["value"], dict) and "job_id" in value["value"]:
                told["value_of"] = value["value"]["job_id"]
    if ids := sorted({found.decode() for found in JOB_IDS.findall(body)}):
        told["ids"] = ids
    if planted.found_in(body):
        told["leaked"] = True
    return told


def _kept(value: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value[name] for name in TOLD if value.get(name) is not None}
    if isinstance(verdict := kept.get("verdict"), dict):
        kept["verdict"] = verdict.get("verdict")
    if isinstance(kept.get("error"), dict):
        kept["error"] = True
    return kept
