"""`holdgate approvals delegate …`: let a named person vote for you, for a time."""

from __future__ import annotations

from typing import Annotated

import typer

from holdgate.client.models import Delegation
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.cli.people.times import clock_text, until_of

app = typer.Typer(help="Let a named person vote for you, for a time.", no_args_is_help=True, add_completion=False)
COLUMNS = ("delegation", "status", "from", "to", "roles", "until", "reason")


@app.command("list")
@calls_api("approver")
def list_command(session: Session) -> None:
    """List those that you gave or were given; with an operator's key all of the tenant."""
    cursor: str | None = None
    found: list[Delegation] = []
    while True:
        page = session.client.delegations.list(cursor=cursor, limit=100)
        found += page.items
        if (cursor := page.next_cursor) is None:
            break
    if session.out.as_json:
        for item in found:
            session.out.line(item.as_dict())
        return
    session.out.table(COLUMNS, [_row(item) for item in found])


@app.command("give")
@calls_api("approver")
def give_command(
    session: Session,
    person: Annotated[str, typer.Argument(help="Who is to vote for you")],
    role: Annotated[list[str], typer.Option(help="In which of your roles; may be repeated")],
    reason: Annotated[str, typer.Option(help="Why")],
    duration: Annotated[str | None, typer.Option("--for", help="How long, such as `5d`; at most 30 days")] = None,
    until: Annotated[str | None, typer.Option(help="Or until then, RFC 3339")] = None,
) -> None:
    """Let somebody vote for you. They cannot pass it on, and you may revoke it at any time."""
    then = until_of(duration, until, SystemClock().now_ms(), "5d")
    _print(session.out, session.client.delegations.give(person, roles=role, until=then, reason=reason))


@app.command("revoke")
@calls_api("approver")
def revoke_command(session: Session, delegation: Annotated[str, typer.Argument(help="Its id")]) -> None:
    """End a delegation at once."""
    _print(session.out, session.client.delegations.revoke(delegation))


def _row(item: Delegation) -> tuple[object, ...]:
    until = clock_text(item.expires_at)
    return item.delegation_id, item.status, item.delegator, item.delegate, ", ".join(item.roles), until, item.reason


def _print(out: Out, item: Delegation) -> None:
    if out.as_json:
        out.document(item.as_dict())
    else:
        out.table(COLUMNS, [_row(item)])
