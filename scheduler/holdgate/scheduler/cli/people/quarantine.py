"""`holdgate quarantine …`: sealed outputs, and people's votes on them.

What always holds: what was found is shown, never what is sealed; a vote is about the digest that was shown, to the
person who answered the question or to the script that gives it back with `--digest`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from holdgate.client import Client
from holdgate.client.models import Quarantined, VoteResult
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people.asking import agrees, reason_of, require_digest
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit, help_text
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.cli.people.times import clock_text
from holdgate.scheduler.cli.people.vote import JobId, Reason

app = typer.Typer(
    help="Release or destroy outputs that are sealed.", no_args_is_help=True, add_completion=False, epilog=help_text()
)
COLUMNS = ("job", "severity", "topic", "actor", "status", "sealed since")
FINDINGS = ("detector", "kind", "severity", "where", "characters", "fingerprint")
PAGE = 100
Cast = Callable[..., VoteResult]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needs --digest as it was shown")]
DigestSeen = Annotated[str | None, typer.Option("--digest", help="`digest` of `holdgate quarantine show --json`")]


@app.command("list")
@calls_api("approver")
def list_command(session: Session, limit: Annotated[int, typer.Option(min=1, help="How many at most")] = 50) -> None:
    """List outputs that were sealed, newest first: what was found, never what is in them."""
    found = _sealed(session.client, limit)
    if session.out.as_json:
        for item in found:
            session.out.line(item.as_dict())
        return
    session.out.table(COLUMNS, [_row(item) for item in found])


@app.command("show")
@calls_api("approver")
def show_command(session: Session, job_id: JobId) -> None:
    """Show what was found in a sealed output, the votes so far, and the digest that a vote is bound to."""
    item = session.client.quarantine.show(job_id)
    if session.out.as_json:
        session.out.document(item.as_dict())
    else:
        print_sealed(session.out, item)


@app.command("release")
@calls_api("approver")
def release_command(
    session: Session, job_id: JobId, reason: Reason = None, yes: Yes = False, digest: DigestSeen = None
) -> Exit:
    """Vote to let its submitter read exactly what was sealed: shows what was found and asks. Nothing runs again."""
    act = "let it be read, with all that is in it"
    return _vote(session, job_id, session.client.quarantine.release, act, reason, yes, digest)


@app.command("destroy")
@calls_api("approver")
def destroy_command(
    session: Session, job_id: JobId, reason: Reason = None, yes: Yes = False, digest: DigestSeen = None
) -> Exit:
    """Delete what is sealed, for good; the record of what was found stays. One approver is enough."""
    return _vote(session, job_id, session.client.quarantine.destroy, "destroy it for good", reason, yes, digest)


def _vote(
    session: Session, job_id: str, cast: Cast, act: str, reason: str | None, yes: bool, digest: str | None
) -> Exit:
    require_digest(yes, digest, "holdgate quarantine show JOB --json")
    shown = session.client.quarantine.show(job_id)
    if yes:
        shown = shown.model_copy(update={"digest": digest})
    else:
        if digest not in (None, shown.digest):
            raise InvalidInput("the `digest` is not any more what you gave; leave it out to see what it is now")
        print_sealed(Out(as_json=False, file=sys.stderr) if session.out.as_json else session.out, shown)
        if not agrees(act):
            return Exit.REFUSED
    _print_vote(session.out, cast(shown, reason=reason or reason_of(yes)))
    return Exit.DONE


def _sealed(client: Client, limit: int) -> Iterator[Quarantined]:
    cursor = None
    while limit > 0:
        page = client.quarantine.list(limit=min(limit, PAGE), cursor=cursor)
        yield from page.items
        limit -= len(page.items)
        if (cursor := page.next_cursor) is None:
            return


def print_sealed(out: Out, item: Quarantined) -> None:
    """One sealed output, whole."""
    out.facts([(name, value) for name, value in _facts(item) if value not in (None, "")])
    findings = item.verdict.get("findings") or ()
    if findings:
        out.say("")
        out.table(FINDINGS, [_finding(found) for found in findings])


def _row(item: Quarantined) -> tuple[object, ...]:
    return item.job_id, item.severity, item.topic, item.actor, item.status, clock_text(item.quarantined_at)


def _facts(item: Quarantined) -> list[tuple[str, object]]:
    more = item.as_dict()
    resolved = f"{clock_text(more.get('resolved_at'))} by {more.get('resolved_by')}" if more.get("resolved_by") else ""
    return [
        ("job", item.job_id),
        ("status", item.status),
        ("severity", item.severity),
        ("topic", item.topic),
        ("actor", " for ".join([item.actor, *reversed(more.get("principals") or [])])),
        ("attempt", item.attempt),
        ("sealed since", clock_text(item.quarantined_at)),
        ("because", item.verdict.get("reason")),
        ("ended", resolved),
        ("votes", "\n".join(_vote_text(vote) for vote in item.votes)),
        ("missing", f"{item.votes_missing} of {item.quorum} to release it" if item.status == "sealed" else None),
        ("not here", None if _opens(more) else "this API does not hold the key that opens it; it can be destroyed"),
        ("digest", item.digest),
    ]


def _opens(more: Mapping[str, Any]) -> bool:
    return bool(more.get("can_open")) or more.get("status") != "sealed"


def _vote_text(vote: Mapping[str, Any]) -> str:
    return f"{vote.get('act')}  {vote.get('approver')}  {clock_text(vote.get('cast_at'))}  {vote.get('reason', '')}"


def _finding(found: Mapping[str, Any]) -> tuple[object, ...]:
    kind = str(found.get("category") or "").replace("_", " ")
    where = str(found.get("path") or "/") + (" (in the name)" if found.get("via") == "key" else "")
    characters = f"{found.get('start')}-{found['end']}" if found.get("end") is not None else "all of it"
    return found.get("detector"), kind, found.get("severity"), where, characters, found.get("fingerprint")


def _print_vote(out: Out, result: VoteResult) -> None:
    if out.as_json:
        out.document(result.as_dict())
    elif result.status == "sealed":
        out.say(f"{result.job_id}: your vote counts; {result.votes_missing} more needed")
    else:
        out.say(f"{result.job_id}: the output is {result.status}, the job is {result.state}")
