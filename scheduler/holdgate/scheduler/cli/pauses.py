"""`holdgate pools` and `holdgate workers`: who gets work. For whoever runs the servers: pools are of all tenants."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from holdgate.kernel.clock import SystemClock, rfc3339
from holdgate.kernel.ids import NAME
from holdgate.scheduler import logs
from holdgate.scheduler.cli.backup import operator_settings
from holdgate.scheduler.cli.failing import failures
from holdgate.scheduler.cli.people.connection import AsJson
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.cli.processes import redis_connection
from holdgate.scheduler.errors import Misconfigured, NotFound
from holdgate.scheduler.state.pauses import Pause, Paused, Pauses
from holdgate.scheduler.state.workers import Workers

T = TypeVar("T")

pools_app = typer.Typer(
    no_args_is_help=True, help="Keep a pool from getting work, and let it again.", add_completion=False
)
workers_app = typer.Typer(no_args_is_help=True, help="Let a worker run empty.", add_completion=False)
Directory = Annotated[
    Path | None, typer.Option("--dir", help="A running `holdgate up` [what the settings HOLDGATE_… name]")
]
Reason = Annotated[str, typer.Option(help="Why; it is in the audit trail")]
Work = Callable[[Pauses, Workers], Awaitable[list[str]]]
Row = dict[str, Any]
POOL_COLUMNS = ("pool", "workers", "busy", "capacity", "paused")
WORKER_COLUMNS = ("worker", "pool", "busy", "capacity", "paused")


@pools_app.command("list")
def list_pools(directory: Directory = None, as_json: AsJson = False) -> None:
    """Pools with workers, and those that are paused."""
    _show(directory, POOL_COLUMNS, pool_rows, as_json=as_json)


async def pool_rows(pauses: Pauses, workers: Workers) -> list[Row]:
    """By name; a paused one without workers, too."""
    paused = await _paused(pauses, Paused.POOL)
    found = {pool.pool: pool for pool in await workers.list_pools(SystemClock().now_ms())}
    rows = [
        {"pool": pool.pool, "workers": pool.workers, "busy": pool.busy, "capacity": pool.capacity}
        for pool in found.values()
    ]
    rows += [{"pool": name, "workers": 0, "busy": 0, "capacity": 0} for name in paused if name not in found]
    return [{**row, "paused": paused.get(str(row["pool"]))} for row in rows]


@pools_app.command("pause")
def pause_pool(name: str, reason: Reason, directory: Directory = None) -> None:
    """Hand its workers nothing more; what runs goes on, what comes waits."""
    _run(directory, lambda pauses, workers: begin(pauses, workers, Paused.POOL, name, reason))


@pools_app.command("resume")
def resume_pool(name: str, directory: Directory = None) -> None:
    """Hand its workers jobs again."""
    _run(directory, lambda pauses, _: _end(pauses, Paused.POOL, name))


@workers_app.command("list")
def list_workers(directory: Directory = None, as_json: AsJson = False) -> None:
    """Workers, what they do, and those that run empty."""
    _show(directory, WORKER_COLUMNS, worker_rows, as_json=as_json)


async def worker_rows(pauses: Pauses, workers: Workers) -> list[Row]:
    """Those that asked of late."""
    paused = await _paused(pauses, Paused.WORKER)
    return [
        {
            "worker": one.worker,
            "pool": one.pool,
            "busy": one.busy,
            "capacity": one.capacity,
            "paused": paused.get(one.worker),
        }
        for one in await workers.list_workers(SystemClock().now_ms())
    ]


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


async def _paused(pauses: Pauses, kind: Paused) -> dict[str, Row]:
    """By name, who paused it, since when and why."""
    return {
        pause.name: {"since": rfc3339(pause.since_ms), "by": pause.by, "reason": pause.reason}
        for pause in await pauses.list_pauses()
        if pause.kind is kind
    }


def _show(
    directory: Path | None,
    columns: tuple[str, ...],
    look: Callable[[Pauses, Workers], Awaitable[list[Row]]],
    *,
    as_json: bool,
) -> None:
    with failures(as_json):
        rows = asyncio.run(_connected(directory, look))
    out = Out(as_json)
    if as_json:
        for row in rows:
            out.line(row)
        return
    out.table(columns, [[*list(row.values())[:-1], _told(row["paused"])] for row in rows])


def _told(pause: Row | None) -> str:
    return "" if pause is None else f"since {pause['since']} by {pause['by']}: {pause['reason']}"


def _run(directory: Path | None, work: Work) -> None:
    with failures():
        lines = asyncio.run(_connected(directory, work))
    for line in lines:
        print(line)


async def _connected(directory: Path | None, work: Callable[[Pauses, Workers], Awaitable[T]]) -> T:
    logs.configure("pauses", level="warning", form="auto")
    async with redis_connection(operator_settings(directory)) as scripts:
        return await work(Pauses(scripts), Workers(scripts))
