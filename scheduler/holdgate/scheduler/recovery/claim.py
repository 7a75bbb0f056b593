"""One dispatcher at a time looks over everything: several would do no harm, only the same work."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog

from holdgate.kernel.errors import Unavailable
from holdgate.kernel.tasks import TaskSet
from holdgate.scheduler.state.connection import INDEX, Scripts

log = structlog.get_logger(__name__)

CLAIM = f"{INDEX}:reconciling"
CLAIM_MS = 15_000
CLAIM_RENEW_S = 5.0


@contextlib.asynccontextmanager
async def claimed(scripts: Scripts, owner: str) -> AsyncIterator[bool]:
    """Whether `owner` has it, as long as the block lasts. StateUnavailable."""
    taken = await scripts.command("SET", CLAIM, owner, "PX", CLAIM_MS, "NX")
    if taken is None:
        yield False
        return
    renewing = TaskSet(_renewal_failed)
    renewing.start(_renew(scripts, owner), "reconcile-claim")
    try:
        yield True
    finally:
        await renewing.close()
        with contextlib.suppress(Unavailable):  # it ends by itself
            if await _has_claim(scripts, owner):
                await scripts.command("DEL", CLAIM)


async def _renew(scripts: Scripts, owner: str) -> None:
    while True:
        await asyncio.sleep(CLAIM_RENEW_S)
        with contextlib.suppress(Unavailable):  # the next time
            if await _has_claim(scripts, owner):
                await scripts.command("SET", CLAIM, owner, "PX", CLAIM_MS)


async def _has_claim(scripts: Scripts, owner: str) -> bool:
    """Whether it is theirs still: whoever was stopped for long must not take another's."""
    return bool(await scripts.command("GET", CLAIM) == owner.encode())


def _renewal_failed(name: str, error: BaseException) -> None:
    log.critical("a claim is not renewed", action="duty_ended", duty=name, error=repr(error))
