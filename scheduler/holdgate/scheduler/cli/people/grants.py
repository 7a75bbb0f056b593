"""`holdgate approvals grants …`: jobs of a kind that people release before they come.

What always holds: a request is about the held job that was shown, and an approval about the terms that were shown.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from holdgate.client.models import Grant
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.cli.people.asking import (
    agrees,
    reason_of,
    require_digest,
    seen,
    typed_confirmation,
)
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit
from holdgate.scheduler.cli.people.held import requirement_text
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.cli.people.times import clock_text, until_of
from holdgate.scheduler.cli.people.vote import Confirm, JobHash, JobId, Reason, Snapshot, Yes

app = typer.Typer(help="Jobs of a kind, released before they come.", no_args_is_help=True, add_completion=False)
COLUMNS = ("grant", "status", "agent", "topic", "labels", "uses", "until", "asked for by")
GrantId = Annotated[str, typer.Argument(metavar="GRANT", help="Its id")]


@app.command("list")
@calls_api("approver")
def list_command(
    session: Session, limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most")] = 50
) -> None:
    """List standing grants, newest first."""
    found = session.client.grants.list(limit=limit).items
    if session.out.as_json:
        for item in found:
            session.out.line(item.as_dict())
    else:
        session.out.table(COLUMNS, [_row(item) for item in found])


@app.command("show")
@calls_api("approver")
def show_command(session: Session, grant: GrantId) -> None:
    """Show a standing grant: its terms, who gave their part, and the jobs that it released."""
    _print(session.out, session.client.grants.show(grant))


@app.command("request")
@calls_api("approver")
def request_command(  # noqa: PLR0913  options by name
    session: Session,
    job_id: JobId,
    uses: Annotated[int, typer.Option(min=1, help="How many jobs at most")],
    label: Annotated[
        list[str] | None, typer.Option(help="A label that must be the same as of this job; may be repeated")
    ] = None,
    duration: Annotated[str | None, typer.Option("--for", help="How long, such as `5d`")] = None,
    until: Annotated[str | None, typer.Option(help="Or until then, RFC 3339")] = None,
    reason: Reason = None,
    confirm: Confirm = None,
    yes: Yes = False,
    job_hash: JobHash = None,
    snapshot: Snapshot = None,
) -> Exit:
    """Ask that jobs like a held one be released before they come: same agent, topic, capability and rules.

    It is active once as many approvers gave their part as the rules ask for. A change of policy ends it.
    """
    expires_at = until_of(duration, until, SystemClock().now_ms(), "5d")
    shown = seen(session, job_id, yes, job_hash, snapshot)
    if not yes:
        confirm = confirm or typed_confirmation(shown.requirements)
        if not agrees(f"release {uses} jobs like it before they come"):
            return Exit.REFUSED
    made = session.client.grants.request(
        shown,
        uses_max=uses,
        expires_at=expires_at,
        reason=reason or reason_of(yes),
        labels=label or (),
        confirm=confirm,
    )
    _print(session.out, made)
    return Exit.DONE


@app.command("approve")
@calls_api("approver")
def approve_command(
    session: Session,
    grant: GrantId,
    reason: Reason = None,
    confirm: Confirm = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needs --digest as it was shown")] = False,
    digest: Annotated[str | None, typer.Option(help="`grant_digest` of `show --json`")] = None,
) -> Exit:
    """Give your part of a grant that others asked for: shows its terms and asks."""
    require_digest(yes, digest, "holdgate approvals grants show GRANT --json")
    shown = session.client.grants.show(grant)
    if yes:
        shown = shown.model_copy(update={"grant_digest": digest})
    else:
        _print(Out(as_json=False, file=sys.stderr) if session.out.as_json else session.out, shown)
        confirm = confirm or typed_confirmation(shown.requirements)
        if not agrees("give your part"):
            return Exit.REFUSED
    _print(session.out, session.client.grants.approve(shown, reason=reason or reason_of(yes), confirm=confirm))
    return Exit.DONE


@app.command("revoke")
@calls_api("approver")
def revoke_command(session: Session, grant: GrantId, reason: Reason = None) -> None:
    """End a grant at once, or refuse one that is pending."""
    _print(session.out, session.client.grants.revoke(grant, reason=reason or reason_of(is_script=False)))


def _row(item: Grant) -> tuple[object, ...]:
    labels = ",".join(f"{name}={value}" for name, value in item.labels.items())
    used, until = f"{item.uses}/{item.uses_max}", clock_text(item.expires_at)
    return item.grant_id, item.status, item.actor, item.topic, labels, used, until, item.requested_by


def _print(out: Out, item: Grant) -> None:
    if out.as_json:
        out.document(item.as_dict())
        return
    given = [
        f"{part.get('approver')}  {clock_text(part.get('given_at'))}  {part.get('reason')}" for part in item.approvals
    ]
    found: list[tuple[str, object]] = [
        ("grant", item.grant_id),
        ("status", item.status),
        ("agent", " for ".join([item.actor, *reversed(item.principals)])),
        ("topic", item.topic),
        ("labels", "\n".join(f"{name}={value}" for name, value in item.labels.items())),
        ("capability", item.capability),
        ("rules", "\n".join(item.rules)),
        ("uses", f"{item.uses} of {item.uses_max}, until {clock_text(item.expires_at)}"),
        ("asked for by", f"{item.requested_by}: {item.reason}"),
        ("from job", item.job_id),
        ("needs", "\n".join(requirement_text(need) for need in item.requirements)),
        ("given by", "\n".join(given)),
        ("missing", item.approvals_missing or None),
        ("ended by", item.ended_by),
        ("released", "\n".join(str(use.get("job_id")) for use in item.used_by)),
        ("snapshot", item.snapshot),
        ("digest", item.grant_digest),
    ]
    out.facts([(name, value) for name, value in found if value not in (None, "")])
