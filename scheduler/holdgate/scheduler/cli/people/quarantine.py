"""`holdgate quarantine …`: sealed outputs, and people's votes on them.

What always holds: what was found is shown, never what is sealed; a vote is about the digest that was shown, and about
the replacement that was shown where it is for one, to the person who answered the question or to the script that gives
them back with `--digest` and `--replacement`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from holdgate.client import Client
from holdgate.client.models import Quarantined, SealedReplacement, VoteResult
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people.asking import agrees, reason_of, require_digest
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit, help_text
from holdgate.scheduler.cli.people.found import print_findings
from holdgate.scheduler.cli.people.opening import export_command, open_command
from holdgate.scheduler.cli.people.output import Out, json_text
from holdgate.scheduler.cli.people.sealedfiles import opened_text, read_object
from holdgate.scheduler.cli.people.times import clock_text, left_s
from holdgate.scheduler.cli.people.vote import JobId, Reason
from holdgate.scheduler.words.durations import time_left

app = typer.Typer(
    help="Release or destroy outputs that are sealed.", no_args_is_help=True, add_completion=False, epilog=help_text()
)
COLUMNS = ("job", "severity", "topic", "actor", "status", "sealed since", "time left")
PAGE = 100
Cast = Callable[..., VoteResult]
NO_KEY = "this API does not hold the key that opens it; export it to where the key is, or destroy it"
LITTLE_LEFT_S = 3 * 24 * 3600
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
def release_command(  # noqa: PLR0913  options by name
    session: Session,
    job_id: JobId,
    reason: Reason = None,
    yes: Yes = False,
    digest: DigestSeen = None,
    opened: Annotated[
        Path | None, typer.Option(help="What was opened where the key is: the directory of `open`, or its opened.json")
    ] = None,
    redacted: Annotated[
        Path | None, typer.Option(help="JSON to be read instead: `value`, `logs`, `error`; others vote on it")
    ] = None,
    proposed: Annotated[bool, typer.Option("--proposed", help="For what somebody proposed to be read instead")] = False,
    replacement: Annotated[
        str | None, typer.Option(help="With `--proposed --yes`: the digest of what was proposed, as it was shown")
    ] = None,
) -> Exit:
    """Vote to let its submitter read what was sealed, or what is proposed instead: shows it and asks. Nothing runs."""
    if (opened is not None) + (redacted is not None) + proposed > 1:
        raise InvalidInput("say one thing that is to be read: `--opened`, `--redacted` or `--proposed`")
    release = session.client.quarantine.release
    if opened is not None:
        shown = session.client.quarantine.show(job_id)
        release = partial(release, opened=opened_text(opened, job_id, shown.digest))
    act = "let it be read, with all that is in it"
    if redacted is not None:
        release = partial(release, replacement=read_object(redacted))
        act = f"let what is in `{redacted}` be read instead of it"
    if proposed:
        chosen = _proposed(session, job_id, yes, replacement)
        release = partial(release, replacement_digest=chosen)
        act = "let what is proposed be read instead of it"
    return _vote(session, job_id, release, act, reason, yes, digest)


@app.command("destroy")
@calls_api("approver")
def destroy_command(
    session: Session, job_id: JobId, reason: Reason = None, yes: Yes = False, digest: DigestSeen = None
) -> Exit:
    """Delete what is sealed, for good; the record of what was found stays. One approver is enough."""
    return _vote(session, job_id, session.client.quarantine.destroy, "destroy it for good", reason, yes, digest)


app.command("export")(export_command)
app.command("open")(open_command)


@app.command("proposed")
@calls_api("approver")
def proposed_command(session: Session, job_id: JobId) -> None:
    """Show what somebody proposed to be read instead of a sealed output."""
    found = session.client.quarantine.show_replacement(job_id)
    if session.out.as_json:
        session.out.document(found.as_dict())
    else:
        _print_replacement(session.out, found)


def _proposed(session: Session, job_id: str, yes: bool, digest: str | None) -> str:
    """The digest of what is proposed, shown to whoever is asked next."""
    if yes:
        if digest is None:
            raise InvalidInput("give `--replacement` as `holdgate quarantine proposed JOB --json` shows its `digest`")
        return digest
    found = session.client.quarantine.show_replacement(job_id)
    _print_replacement(_for_eyes(session.out), found)
    return found.digest


def _print_replacement(out: Out, found: SealedReplacement) -> None:
    out.facts([("proposed by", found.proposed_by), ("digest", found.digest), ("missing", found.votes_missing)])
    parts = {"value": found.as_dict().get("value"), "error": found.error}
    for name, part in parts.items():
        if part is not None:
            out.say(f"{name}", style="bold")
            out.lines(json_text(part))
    if found.logs:
        out.say("logs", style="bold")
        out.lines("\n".join(found.logs))
    out.say("")


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
        print_sealed(_for_eyes(session.out), shown)
        if not agrees(act):
            return Exit.REFUSED
    _print_vote(session.out, cast(shown, reason=reason or reason_of(yes)))
    return Exit.DONE


def _for_eyes(out: Out) -> Out:
    return Out(as_json=False, file=sys.stderr) if out.as_json else out


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
    print_findings(out, item.verdict)


def _row(item: Quarantined) -> tuple[object, ...]:
    since = clock_text(item.quarantined_at)
    return item.job_id, item.severity, item.topic, item.actor, item.status, since, _left(item)


def _left(item: Quarantined) -> str | None:
    """Until it is destroyed; with a mark where that is soon."""
    left = left_s(item.expires_at, SystemClock().now_ms())
    return None if left is None else time_left(left) + (" (!)" if left < LITTLE_LEFT_S else "")


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
        ("destroyed in", _left(item)),
        ("data class", item.verdict.get("data_class")),
        ("marks", ", ".join(item.verdict.get("marks") or ())),
        ("because", item.verdict.get("reason")),
        ("ended", resolved),
        ("votes", "\n".join(_vote_text(vote) for vote in item.votes)),
        ("missing", f"{item.votes_missing} of {item.quorum} to release it" if item.status == "sealed" else None),
        ("proposed", _proposed_text(item)),
        ("not here", None if _opens(more) else NO_KEY),
        ("digest", item.digest),
    ]


def _opens(more: Mapping[str, Any]) -> bool:
    return bool(more.get("can_open")) or more.get("status") != "sealed"


def _proposed_text(item: Quarantined) -> str | None:
    found = item.replacement
    if found is None or item.status != "sealed":
        return None
    missing = f"{found.get('votes_missing')} of {item.quorum} missing"
    return f"{found.get('digest')}  by {found.get('proposed_by')}, {missing}; `holdgate quarantine proposed` shows it"


def _vote_text(vote: Mapping[str, Any]) -> str:
    instead = f" with {vote['replacement']} instead" if vote.get("replacement") else ""
    when = clock_text(vote.get("cast_at"))
    return f"{vote.get('act')}{instead}  {vote.get('approver')}  {when}  {vote.get('reason', '')}"


def _print_vote(out: Out, result: VoteResult) -> None:
    if out.as_json:
        out.document(result.as_dict())
    elif result.status == "sealed" and result.as_dict().get("replacement"):
        out.say(f"{result.job_id}: your vote for what is to be read instead counts; {result.votes_missing} more needed")
    elif result.status == "sealed":
        out.say(f"{result.job_id}: your vote counts; {result.votes_missing} more needed")
    else:
        out.say(f"{result.job_id}: the output is {result.status}, the job is {result.state}")
