"""`holdgate pools` and `holdgate workers`: who gets work. For whoever runs the servers: pools are of all tenants."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.ids import NAME
from holdgate.scheduler import logs
from holdgate.scheduler.cli.backup import operator_settings
from holdgate.scheduler.cli.processes import redis_connection
from holdgate.scheduler.errors import Misconfigured, NotFound
from holdgate.scheduler.state.pauses import Pause, Paused, Pauses
from holdgate.scheduler.state.workers import Workers

pools_app = typer.Typer(
    no_args_is_help=True, help="Keep a pool from getting work, and let it again.", add_completion=False
)
workers_app = typer.Typer(no_args_is_help=True, help="Let a worker run empty.", add_completion=False)
Directory = Annotated[
    Path | None, typer.Option("--dir", help="A running `holdgate up` [what the settings HOLDGATE_… name]")
]
Reason = Annotated[str, typer.Option(help="Why; it is in the audit trail")]
Work = Callable[[Pauses, Workers], Awaitable[list[str]]]


@pools_app.command("list")
def list_pools(directory: Directory = None) -> None:
    """Pools with workers, and those that are paused."""

    async def work(pauses: Pauses, workers: Workers) -> list[str]:
        paused = {pause.name: pause for pause in await pauses.list_pauses() if pause.kind is Paused.POOL}
        found = await workers.list_pools(SystemClock().now_ms())
        lines = [f"{pool.pool}  {pool.workers} workers, {pool.busy} of {pool.capacity} busy" for pool in found]
        names = [pool.pool for pool in found]
        lines += [f"{name}  no workers" for name in paused if name not in names]
        return [line + _told(paused.get(line.split("  ")[0])) for line in lines]

    _run(directory, work)


@pools_app.command("pause")
def pause_pool(name: str, reason: Reason, directory: Directory = None) -> None:
    """Hand its workers nothing more; what runs goes on, what comes waits."""
    _run(directory, lambda pauses, workers: begin(pauses, workers, Paused.POOL, name, reason))


@pools_app.command("resume")
def resume_pool(name: str, directory: Directory = None) -> None:
    """Hand its workers jobs again."""
    _run(directory, lambda pauses, _: _end(pauses, Paused.POOL, name))


@workers_app.command("list")
def list_workers(directory: Directory = None) -> None:
    """Workers, what they do, and those that run empty."""

    async def work(pauses: Pauses, workers: Workers) -> list[str]:
        paused = {pause.name: pause for pause in await pauses.list_pauses() if pause.kind is Paused.WORKER}
        found = await workers.list_workers(SystemClock().now_ms())
        return [
            f"{one.worker}  pool {one.pool}, {one.busy} of {one.capacity} busy{_told(paused.get(one.worker))}"
            for one in found
        ]

    _run(directory, work)


@workers_app.command("drain")
def drain_worker(name: str, reason: Reason, directory: Directory = None) -> None:
    """Hand it nothing more; stop it once it runs nothing. Its name is that of `holdgate workers list`."""
    _run(directory, lambda pauses, workers: begin(pauses, workers, Paused.WORKER, name, reason))


@workers_app.command("resume")
def resume_worker(name: str, directory: Directory = None) -> None:
    """Hand it jobs again."""
    _run(directory, lambda pauses, _: _end(pauses, Paused.WORKER, name))


async def begin(pauses: Pauses, workers: Workers, kind: Paused, name: str, reason: str) -> list[str]:
    """What is said of it. One that nobody knows is paused, too, for it may yet come; and that is said."""
    if NAME.match(name) is None or not reason.strip():
        raise Misconfigured(f"a {kind} has a name of small letters, digits and dashes, and a pause has a reason")
    now_ms = SystemClock().now_ms()
    await pauses.begin(Pause(kind, name, getpass.getuser(), reason.strip()[:200], now_ms))
    alive = await workers.list_workers(now_ms)
    if name not in {one.pool if kind is Paused.POOL else one.worker for one in alive}:
        return [
            f"{kind} {name} will get nothing, but no worker of that name is there now: is it spelled so?",
            f"`holdgate {kind}s list` shows those that are there, `holdgate {kind}s resume {name}` takes this back",
        ]
    return [f"{kind} {name} gets nothing more, within a second or two; what runs goes on"]


async def _end(pauses: Pauses, kind: Paused, name: str) -> list[str]:
    if not await pauses.end(kind, name, by=getpass.getuser(), now_ms=SystemClock().now_ms()):
        raise NotFound(f"{kind} `{name}` is not paused")
    return [f"{kind} {name} gets jobs again"]


def _told(pause: Pause | None) -> str:
    return "" if pause is None else f"  PAUSED since {rfc3339(pause.since_ms)} by {pause.by}: {pause.reason}"


def _run(directory: Path | None, work: Work) -> None:
    async def connected() -> list[str]:
        async with redis_connection(operator_settings(directory)) as scripts:
            return await work(Pauses(scripts), Workers(scripts))

    logs.configure("pauses", level="warning", form="auto")
    try:
        lines = asyncio.run(connected())
    except HoldgateError as error:
        print(f"holdgate: {error.code}: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    for line in lines:
        print(line)
