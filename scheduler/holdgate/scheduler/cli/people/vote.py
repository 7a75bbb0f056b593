"""`holdgate approvals approve`, `reject`, `defer`, `reconfirm`.

What always holds: a vote carries the job hash and the snapshot of what was shown, to the person who answered the
question or to the script that gives both back with `--job-hash` and `--snapshot`; a script that has looked at nothing
cannot vote; what is signed is the same as what was shown.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.signing import PassphraseFd, PassphraseFile, PassphraseFrom
from holdgate.client.models import Approval, VoteResult
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people import held
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit
from holdgate.scheduler.cli.people.look import look_at
from holdgate.scheduler.cli.people.output import Out, note
from holdgate.scheduler.cli.people.times import rfc3339_after, seconds_of
from holdgate.scheduler.cli.people.visible import visible

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id")]
Reason = Annotated[str | None, typer.Option(help="Why; asked for on a terminal")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needs --job-hash and --snapshot as they were shown")]
JobHash = Annotated[str | None, typer.Option(help="`job_hash` of `holdgate approvals show --json`")]
Snapshot = Annotated[str | None, typer.Option(help="`snapshot` of the same")]
OnBehalfOf = Annotated[str | None, typer.Option(help="Who delegated it to you")]
Confirm = Annotated[str | None, typer.Option(help="The text that the rule wants typed")]
BreakGlass = Annotated[bool, typer.Option("--break-glass", help="Past the quorum; two people, and everybody hears")]
Sign = Annotated[Path | None, typer.Option(help="Sign with your own key, in this file; its public half is in the root")]


@calls_api("approver")
def approve_command(  # noqa: PLR0913  options by name
    session: Session,
    job_id: JobId,
    reason: Reason = None,
    confirm: Confirm = None,
    on_behalf_of: OnBehalfOf = None,
    break_glass: BreakGlass = False,
    sign: Sign = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseFd = None,
    yes: Yes = False,
    job_hash: JobHash = None,
    snapshot: Snapshot = None,
) -> Exit:
    """Release a held job: shows it and asks, then votes on exactly that. `--json` prints what the vote did."""
    _require_way_to_ask(yes, job_hash, snapshot)
    shown = _seen(session, job_id, yes, job_hash, snapshot)
    if not yes:
        if break_glass:
            note("BREAKING GLASS: past the quorum of the rule; everybody who answers for the system is told")
        confirm = confirm or _typed_confirmation(shown, break_glass=break_glass)
        if not agrees("release it"):
            return Exit.REFUSED
    reason = reason or reason_of(yes)
    vote = None
    if sign is not None:
        from holdgate.scheduler.cli.people.signing import signed_with

        vote = signed_with(sign, PassphraseFrom(passphrase_file, passphrase_fd), shown, reason)
    result = session.client.approvals.approve(
        shown, reason=reason, confirm=confirm, on_behalf_of=on_behalf_of, break_glass=break_glass, vote=vote
    )
    return _print_vote(session, result)


@calls_api("approver")
def reject_command(
    session: Session,
    job_id: JobId,
    reason: Reason = None,
    on_behalf_of: OnBehalfOf = None,
    yes: Yes = False,
    job_hash: JobHash = None,
    snapshot: Snapshot = None,
) -> Exit:
    """Reject a held job; one rejection ends it."""
    _require_way_to_ask(yes, job_hash, snapshot)
    shown = _seen(session, job_id, yes, job_hash, snapshot)
    if not yes and not agrees("reject it"):
        return Exit.REFUSED
    result = session.client.approvals.reject(shown, reason=reason or reason_of(yes), on_behalf_of=on_behalf_of)
    return _print_vote(session, result)


@calls_api("approver")
def reconfirm_command(
    session: Session, job_id: JobId, yes: Yes = False, job_hash: JobHash = None, snapshot: Snapshot = None
) -> Exit:
    """Vote yes again, with your earlier reason, where a change of policy left what decided this job as it was."""
    _require_way_to_ask(yes, job_hash, snapshot)
    shown = _seen(session, job_id, yes, job_hash, snapshot)
    if not yes and not agrees("confirm your vote"):
        return Exit.REFUSED
    return _print_vote(session, session.client.approvals.reconfirm(shown))


@calls_api("approver")
def defer_command(
    session: Session,
    job_id: JobId,
    duration: Annotated[str | None, typer.Option("--for", help="How long, such as `2h`")] = None,
    until: Annotated[str | None, typer.Option(help="Or until then, RFC 3339")] = None,
    reason: Reason = None,
) -> None:
    """Put a held job off: it is marked as looked at. Nothing is decided, and its time runs on."""
    if (duration is None) == (until is None):
        raise InvalidInput("say for how long: `--for 2h`, or `--until 2026-01-02T03:04:05Z`")
    then = until if duration is None else rfc3339_after(SystemClock().now_ms(), seconds_of(duration))
    row = session.client.approvals.defer(job_id, until=then or "", reason=reason or reason_of(is_script=False))
    if session.out.as_json:
        session.out.document(row.as_dict())
    else:
        session.out.say(f"{row.job_id} is put off until {then}")


def _require_way_to_ask(yes: bool, job_hash: str | None, snapshot: str | None) -> None:
    if yes and (job_hash is None or snapshot is None):
        raise InvalidInput(
            "`--yes` is for scripts that have looked: give `--job-hash` and `--snapshot` as "
            "`holdgate approvals show JOB --json` shows them"
        )
    if not yes and not sys.stdin.isatty():
        raise InvalidInput("nobody can be asked here: give `--yes` with `--job-hash`, `--snapshot` and `--reason`")


def _seen(session: Session, job_id: str, yes: bool, job_hash: str | None, snapshot: str | None) -> Approval:
    """What the vote is about: what is shown now, to a person, or what a script says that it has seen.

    The API refuses what is not so any more. With `--json` it is shown on standard error.
    """
    if yes:
        seen = {"job_hash": job_hash, "snapshot": snapshot}
        return session.client.approvals.show(job_id).model_copy(update=seen)
    look = look_at(session.client, job_id)
    for name, found, given in (
        ("job_hash", look.shown.job_hash, job_hash),
        ("snapshot", look.shown.snapshot, snapshot),
    ):
        if given not in (None, found):
            raise InvalidInput(f"the `{name}` is not any more what you gave; leave it out to see what it is now")
    out = Out(as_json=False, file=sys.stderr) if session.out.as_json else session.out
    held.print_look(out, look, SystemClock().now_ms())
    return look.shown


def _typed_confirmation(shown: Approval, *, break_glass: bool) -> str | None:
    wanted = [] if break_glass else held.confirmations(shown)
    return _ask(f"type `{visible(wanted[0])}` to go on: ") if wanted else None


def agrees(act: str) -> bool:
    """Whether somebody at the terminal says yes."""
    if _ask(f"{act}? type yes: ").strip().lower() == "yes":
        return True
    note("nothing is done")
    return False


def reason_of(is_script: bool) -> str:
    """Asked for; empty in a script, and then the API refuses."""
    return "" if is_script or not sys.stdin.isatty() else _ask("reason: ").strip()


def _ask(question: str) -> str:
    """A line typed at the terminal; empty at its end."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().rstrip("\n")


def _print_vote(session: Session, result: VoteResult) -> Exit:
    if session.out.as_json:
        session.out.document(result.as_dict())
    elif result.status == "pending":
        session.out.say(f"{result.job_id}: your vote counts; {result.votes_missing} more needed")
    else:
        session.out.say(f"{result.job_id} is {result.status}, the job is {result.state}")
    return Exit.DONE
