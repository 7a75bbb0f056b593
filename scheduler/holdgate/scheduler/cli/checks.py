"""What each process looks at for its `/readyz`, and how it says that it is there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from holdgate.kernel.breaker import BreakerState
from holdgate.kernel.clock import Clock
from holdgate.kernel.clockguard import WENT_BACK
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import new_token
from holdgate.kernel.readiness import OK, Check, Readiness

if TYPE_CHECKING:
    from holdgate.kernel.client import KernelClient
    from holdgate.kernel.service import KernelService
    from holdgate.kernel.trust import PolicySource
    from holdgate.scheduler.recovery.service import Recovery
    from holdgate.scheduler.settings import Stateful
    from holdgate.scheduler.state.connection import Scripts
    from holdgate.scheduler.state.monitoring import Monitoring
    from holdgate.scheduler.state.presence import Presences

ANSWER_S = 0.8
PROBE_BYTES = 4096
"""A block: what a full disk has no room for."""
SAY_S = 0.9
"""Once a second, however often checks are looked at."""
JETSTREAM_INFO = "$JS.API.INFO"


def redis_check(scripts: Scripts) -> Check:
    """Whether Redis answers."""

    async def look() -> str | None:
        await scripts.command("PING")
        return None

    return Check("redis", look)


def nats_check(nc: Nats) -> Check:
    """Whether NATS answers: a connection may stand for half a minute after the server hung."""

    async def look() -> str | None:
        if not nc.is_connected:
            return "not connected"
        try:
            await nc.request(JETSTREAM_INFO, timeout=ANSWER_S)
        except NoRespondersError:
            return None  # the server itself says that JetStream is off
        except NatsError as error:
            return _unless_late(error)
        return None

    return Check("nats", look)


def _unless_late(error: Exception) -> str:
    """What is said of `error`; TimeoutError where it is just that."""
    if isinstance(error, TimeoutError):
        raise TimeoutError from error
    return f"no answer: {type(error).__name__}"


def jetstream_check(nc: Nats, monitoring: Monitoring) -> Check:
    """Whether JetStream is there and its streams take what is published."""

    async def look() -> str | None:
        if not nc.is_connected:
            return "not connected"
        if said := await monitoring.failure():
            return said
        try:
            reply = await nc.request(JETSTREAM_INFO, timeout=ANSWER_S)
            error = json.loads(reply.data).get("error")
        except NoRespondersError:
            return "JetStream is off"
        except (NatsError, ValueError, AttributeError) as failure:
            return _unless_late(failure)
        return None if error is None else f"JetStream error {error.get('err_code') or error.get('code')}"

    return Check("jetstream", look, is_needed=False)


def kernel_check(kernel: KernelClient) -> Check:
    """Whether a kernel decides for this process."""

    async def look() -> str | None:
        return kernel_says(kernel)

    return Check("kernel", look, is_needed=False)


def kernel_says(kernel: KernelClient) -> str | None:
    """What is wrong with the kernel, as its client knows."""
    if kernel.snapshot is None:
        return "no kernel was heard yet"
    if kernel.breaker_state is not BreakerState.CLOSED or kernel.is_silent or not kernel.is_answering:
        return "no kernel answers"
    return None if kernel.snapshot.policy else "no valid policy: every decision is deny"


def serving_checks(settings: Stateful, nc: Nats, scripts: Scripts, kernel: KernelClient) -> tuple[Check, ...]:
    """Of whoever works with all three: NATS, Redis, a kernel."""
    from holdgate.scheduler.state.monitoring import Monitoring

    monitoring = Monitoring(settings.nats_monitor_url, settings.monitor_tls())
    return redis_check(scripts), nats_check(nc), jetstream_check(nc, monitoring), kernel_check(kernel)


def state_check(recovery: Recovery) -> Check:
    """Whether Redis has all that was told: a dispatcher hands nothing over while it may not."""

    async def look() -> str | None:
        return None if recovery.is_open() else "may be older than the log: nothing is handed over"

    return Check("state", look, is_needed=False)


def heard_check(kernel: KernelClient) -> Check:
    """Whether a kernel was heard at all: before that it is not known what is in force."""

    async def look() -> str | None:
        return "no kernel was heard yet" if kernel.snapshot is None else None

    return Check("snapshot", look)


def clock_check(service: KernelService) -> Check:
    """Of a kernel: whether its clock may be decided by."""

    async def look() -> str | None:
        return f"{WENT_BACK}; other kernels are left to decide" if service.is_aside else None

    return Check("clock", look)


def policy_checks(source: PolicySource, clock: Clock) -> tuple[Check, ...]:
    """Of a kernel: whether it has a policy to decide by, and a root that has not ended."""

    async def policy() -> str | None:
        active = source.current()
        if active is None:
            return "no valid policy: every decision is deny"
        return "the policy has expired: every decision is deny" if clock.now_ms() >= active.expires_ms else None

    async def root() -> str | None:
        trust = source.trust
        if trust is None:
            return "no valid root: every decision is deny"
        return "the root has expired: every decision is deny" if clock.now_ms() >= trust.expires_ms else None

    return Check("policy", policy), Check("root", root)


def disk_check(directory: Path, *, is_needed: bool) -> Check:
    """Whether a block can be written to `directory` and is on disk then. One try at a time, however long it takes."""
    trying: list[asyncio.Future[None]] = []

    async def look() -> str | None:
        if trying and not trying[0].done():
            return "a write does not come to its end"
        trying[:] = [asyncio.ensure_future(asyncio.to_thread(_write, directory))]  # noqa: TID251  awaited below
        try:
            await asyncio.shield(trying[0])
        except OSError as error:
            return f"cannot be written: {error.strerror}"
        return None

    return Check("disk", look, is_needed=is_needed)


def _write(directory: Path) -> None:
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"\0" * PROBE_BYTES)
        file.flush()
        os.fsync(file.fileno())


def neighbour_check(presences: Presences, kind: str) -> Check:
    """Whether there is a process of `kind` that can do its work."""

    async def look() -> str | None:
        found = await presences.there(kind)
        if not found:
            return "none is there"
        if any(each.standing != "not_ready" for each in found):
            return None
        return f"not ready: {', '.join(sorted({name for each in found for name in each.wrong}))}"

    return Check(kind.replace("-", "_"), look, is_needed=False)


@contextlib.asynccontextmanager
async def present(readiness: Readiness, presences: Presences) -> AsyncIterator[None]:
    """For the block the process says that it is there with every look at its checks. Whether that could be written is
    a check of its own: a Redis that is full, or has no disk, answers and takes nothing."""
    instance, loop = f"{os.getpid()}-{new_token()[:8]}", asyncio.get_running_loop()
    said_last: list[Any] = [None, 0.0]

    async def look() -> str | None:
        report = readiness.report()
        wrong = [name for name, said in report.checks.items() if said != OK and name != "redis_writes"]
        news = (report.standing, *wrong)
        if news != said_last[0] or loop.time() - said_last[1] > SAY_S:
            await presences.say(readiness.name, instance, report.standing, wrong)
            said_last[:] = [news, loop.time()]
        return None

    readiness.add(Check("redis_writes", look, is_needed=False))
    try:
        yield
    finally:
        await readiness.stop()
        with contextlib.suppress(HoldgateError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await presences.leave(readiness.name, instance)
