"""`holdgate jobs watch`: a job's states as they happen, until it has ended."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from holdgate.client import WaitTimeout
from holdgate.client.models import JobInfo
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit, exit_of_state
from holdgate.scheduler.cli.people.output import STYLES, Out
from holdgate.scheduler.cli.people.times import clock_text, seconds_of


@calls_api("agent")
def watch_command(
    session: Session,
    job_id: Annotated[str, typer.Argument(metavar="JOB", help="Its id")],
    timeout: Annotated[str | None, typer.Option(help="How long at most, such as `30s`; else until it ends")] = None,
) -> Exit:
    """Follow a job: a line for each change, until it has ended. How it ended is the exit code."""
    limit_s = None if timeout is None else seconds_of(timeout)
    return exit_of_state(asyncio.run(_follow(session, job_id, limit_s)).state)


async def _follow(session: Session, job_id: str, limit_s: float | None) -> JobInfo:
    client = session.awaited()
    job = None
    try:
        async with asyncio.timeout(limit_s):
            job = await client.jobs.get(job_id)
            async for job in client.jobs.events(job_id):
                _print(session.out, job)
    except TimeoutError as error:
        if job is None:
            raise
        raise WaitTimeout(job) from error
    finally:
        await client.close()
    return job


def _print(out: Out, job: JobInfo) -> None:
    if out.as_json:
        out.line(job.as_dict())
        return
    parts = [clock_text(job.as_dict().get("updated_at")), job.state.ljust(11), f"attempt {job.attempt}"]
    if job.progress is not None:
        parts.append(f"{job.progress:.0%}")
    parts += [text for text in (job.waiting_reason, job.code) if text]
    out.say("  ".join(parts), STYLES.get(job.state, ""))
