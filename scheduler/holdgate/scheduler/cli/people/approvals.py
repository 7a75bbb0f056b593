"""`holdgate approvals …`: what waits for people, and their votes on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from holdgate.client.models import Approval
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.records import Severity
from holdgate.scheduler.cli.people import held, vote
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import help_text
from holdgate.scheduler.cli.people.times import in_words, left_s

app = typer.Typer(
    help="Release or reject jobs that are held.", no_args_is_help=True, add_completion=False, epilog=help_text()
)
app.command("approve")(vote.approve_command)
app.command("reject")(vote.reject_command)
app.command("defer")(vote.defer_command)
app.command("reconfirm")(vote.reconfirm_command)


class Order(StrEnum):
    """How the queue is sorted."""

    NEWEST = "newest"
    EXPIRING = "expiring"


JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id")]
OfRule = Annotated[str | None, typer.Option(help="Only those that this rule holds")]
OfTopic = Annotated[str | None, typer.Option(help="Only those of this topic")]
COLUMNS = ("job", "severity", "topic", "actor", "time left", "votes", "held because")
PAGE = 100


@app.command("list")
@calls_api("approver")
def list_command(
    session: Session,
    order: Annotated[Order | None, typer.Option(help="What comes first; newest where nothing is said")] = None,
    rule: OfRule = None,
    topic: OfTopic = None,
    severity: Annotated[Severity | None, typer.Option(help="Only those of it")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most")] = 50,
) -> None:
    """List what waits for people."""
    filters = {"order": order, "rule": rule, "topic": topic, "severity": severity}
    found = pending(session, limit, **{name: None if value is None else str(value) for name, value in filters.items()})
    if session.out.as_json:
        for item in found:
            session.out.line(item.as_dict())
        return
    print_table(session, list(found))


@app.command("show")
@calls_api("approver")
def show_command(session: Session, job_id: JobId) -> None:
    """Show all that a vote would be about, as the console does."""
    shown = session.client.approvals.show(job_id)
    if session.out.as_json:
        session.out.document(shown.as_dict())
    else:
        held.print_held(session.client, session.out, shown)


@app.command("watch")
@calls_api("approver")
def watch_command(session: Session) -> None:
    """Follow what waits for people: a line for each change, until Ctrl-C."""
    asyncio.run(_follow(session))


def pending(session: Session, limit: int, **filters: str | None) -> Iterator[Approval]:
    """Held jobs that wait, page by page."""
    cursor = None
    while limit > 0:
        page = session.client.approvals.list(limit=min(limit, PAGE), cursor=cursor, **filters)
        yield from page.items
        limit -= len(page.items)
        if (cursor := page.next_cursor) is None:
            return


def print_table(session: Session, found: list[Approval]) -> None:
    """The queue."""
    now_ms = SystemClock().now_ms()
    session.out.table(COLUMNS, [_row(item, now_ms) for item in found])


async def _follow(session: Session) -> None:
    client = session.awaited()
    try:
        async for change in client.approvals.events():
            if session.out.as_json:
                session.out.line(change.as_dict())
            else:
                session.out.say(f"{change.job_id}  {change.state or 'changed'}")
    finally:
        await client.close()


def _row(item: Approval, now_ms: int) -> tuple[object, ...]:
    left = item.remaining_s if item.remaining_s is not None else left_s(item.expires_at, now_ms)
    quorum = max((requirement.get("quorum", 1) for requirement in item.requirements), default=1)
    yes = sum(1 for cast in item.votes if cast.get("approve"))
    left_text = None if left is None else in_words(left) + (" escalated" if item.escalated else "")
    return item.job_id, item.severity, item.topic, item.actor, left_text, f"{yes}/{quorum}", held.reason_of(item)
