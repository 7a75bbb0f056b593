"""`holdgate approvals …`: what waits for people, and their votes on it."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from holdgate.kernel.clock import SystemClock
from holdgate.kernel.records import Severity
from holdgate.scheduler.cli.people import bulk, delegations, grants, held, vote
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import help_text
from holdgate.scheduler.cli.people.look import look_at
from holdgate.scheduler.cli.people.output import STYLES
from holdgate.scheduler.cli.people.queue import pending, print_queue

app = typer.Typer(
    help="Release or reject jobs that are held.", no_args_is_help=True, add_completion=False, epilog=help_text()
)
app.command("approve")(vote.approve_command)
app.command("reject")(vote.reject_command)
app.command("defer")(vote.defer_command)
app.command("reconfirm")(vote.reconfirm_command)
app.command("bulk")(bulk.bulk_command)
app.add_typer(grants.app, name="grants")
app.add_typer(delegations.app, name="delegate")


class Order(StrEnum):
    """How the queue is sorted."""

    NEWEST = "newest"
    EXPIRING = "expiring"
    GRAVEST = "gravest"


JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id")]
OfRule = Annotated[str | None, typer.Option(help="Only those that this rule holds")]
OfTopic = Annotated[str | None, typer.Option(help="Only those of this topic")]


@app.command("list")
@calls_api("approver")
def list_command(
    session: Session,
    order: Annotated[Order | None, typer.Option(help="What comes first; newest where nothing is said")] = None,
    rule: OfRule = None,
    topic: OfTopic = None,
    severity: Annotated[Severity | None, typer.Option(help="Only those of it")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you may vote on")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most")] = 50,
) -> None:
    """List what waits for people."""
    filters = {"order": order, "rule": rule, "topic": topic, "severity": severity}
    given = {name: None if value is None else str(value) for name, value in filters.items()}
    found = pending(session.client, limit, mine=mine, **given)
    if session.out.as_json:
        for item in found:
            session.out.line(item.as_dict())
        return
    print_queue(session.out, list(found), SystemClock().now_ms())


@app.command("show")
@calls_api("approver")
def show_command(
    session: Session,
    job_id: JobId,
    reveal: Annotated[bool, typer.Option("--reveal", help="With its secrets; who looks is recorded")] = False,
) -> None:
    """Show all that a vote would be about, as the console does; secrets are masked."""
    look = look_at(session.client, job_id, reveal=reveal)
    if session.out.as_json:
        session.out.document(look.as_dict())
    else:
        held.print_look(session.out, look, SystemClock().now_ms())


@app.command("watch")
@calls_api("approver")
def watch_command(session: Session) -> None:
    """Follow what waits for people: a line for each change, until Ctrl-C."""
    asyncio.run(_follow(session))


async def _follow(session: Session) -> None:
    client = session.awaited()
    try:
        async for change in client.approvals.events():
            if session.out.as_json:
                session.out.line(change.as_dict())
            elif change.job_id:
                session.out.say(f"{change.job_id}  {change.state}", STYLES.get(change.state or "", ""))
            else:
                session.out.say("much changed: `holdgate approvals list` shows what waits")
    finally:
        await client.close()
