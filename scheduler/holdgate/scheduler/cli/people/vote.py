"""`holdgate approvals approve`, `reject`, `defer`, `reconfirm`.

What always holds: a vote carries the job hash and the snapshot of what was shown, to the person who answered the
question or to the script that gives both back with `--job-hash` and `--snapshot`; a script that has looked at nothing
cannot vote; what is signed is what was shown, and its hash is computed from that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdgate.client.models import Approval, VoteResult
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people.asking import agrees, reason_of, seen, typed_confirmation
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit
from holdgate.scheduler.cli.people.look import look_at, proved_look
from holdgate.scheduler.cli.people.output import note
from holdgate.scheduler.cli.people.times import until_of
from holdgate.scheduler.words.votes import or_glass

SIGNATURE_REQUIRED = "approval_signature_required"

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id")]
Reason = Annotated[str | None, typer.Option(help="Why; asked for on a terminal")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needs --job-hash and --snapshot as they were shown")]
JobHash = Annotated[str | None, typer.Option(help="`job_hash` of `holdgate approvals show --json`")]
Snapshot = Annotated[str | None, typer.Option(help="`snapshot` of the same")]
OnBehalfOf = Annotated[str | None, typer.Option(help="Who delegated it to you")]
Confirm = Annotated[str | None, typer.Option(help="The text that the rule wants typed")]
BreakGlass = Annotated[bool, typer.Option("--break-glass", help="Past the quorum; two people, and everybody hears")]
PassphraseFile = Annotated[Path | None, typer.Option(help="File with the key's passphrase, mode 0600")]
PassphraseFd = Annotated[int | None, typer.Option(min=0, help="Read the passphrase from this descriptor")]
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
    look_by = look_at if sign is None else proved_look
    shown = seen(session, job_id, yes, job_hash, snapshot, look_by)
    if not yes:
        if break_glass:
            require_glass(shown)
            note("BREAKING GLASS: past the quorum of the rule; everybody who answers for the system is told")
        confirm = confirm or (None if break_glass else typed_confirmation(shown.requirements))
        if not agrees("release it"):
            return Exit.REFUSED
    reason = reason or reason_of(yes)
    vote = None
    if sign is not None:
        from holdgate.bundles.cli.signing import PassphraseFrom
        from holdgate.scheduler.cli.people.signing import signed_with

        passphrase = PassphraseFrom(passphrase_file, passphrase_fd)
        vote = signed_with(sign, passphrase, shown, reason, break_glass=break_glass)
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
    shown = seen(session, job_id, yes, job_hash, snapshot)
    if not yes and not agrees("reject it"):
        return Exit.REFUSED
    result = session.client.approvals.reject(shown, reason=reason or reason_of(yes), on_behalf_of=on_behalf_of)
    return _print_vote(session, result)


@calls_api("approver")
def reconfirm_command(
    session: Session,
    job_id: JobId,
    confirm: Confirm = None,
    yes: Yes = False,
    job_hash: JobHash = None,
    snapshot: Snapshot = None,
) -> Exit:
    """Vote yes again, with your earlier reason, where a change of policy left what decided this job as it was."""
    shown = seen(session, job_id, yes, job_hash, snapshot)
    if not yes:
        confirm = confirm or typed_confirmation(shown.requirements)
        if not agrees("confirm your vote"):
            return Exit.REFUSED
    return _print_vote(session, session.client.approvals.reconfirm(shown, confirm=confirm))


@calls_api("approver")
def defer_command(
    session: Session,
    job_id: JobId,
    duration: Annotated[str | None, typer.Option("--for", help="How long, such as `2h`")] = None,
    until: Annotated[str | None, typer.Option(help="Or until then, RFC 3339")] = None,
    reason: Reason = None,
) -> None:
    """Put a held job off: it is marked as looked at. Nothing is decided, and its time runs on."""
    then = until_of(duration, until, SystemClock().now_ms(), "2h")
    row = session.client.approvals.defer(job_id, until=then, reason=reason or reason_of(is_script=False))
    if session.out.as_json:
        session.out.document(row.as_dict())
    else:
        session.out.say(f"{row.job_id} is put off until {then}")


def require_glass(shown: Approval) -> None:
    """InvalidInput where the API says that the caller cannot break the glass over it."""
    if shown.may_break_glass is not False:
        return
    why = shown.break_glass_refused_for
    then = "; its rule wants it signed, and the root lists no key of yours" if why == SIGNATURE_REQUIRED else ""
    raise InvalidInput(f"you cannot break the glass over this job: `{why}`{then}")


def _print_vote(session: Session, result: VoteResult) -> Exit:
    if session.out.as_json:
        session.out.document(result.as_dict())
    elif result.status == "pending":
        glass = or_glass(result.as_dict())
        session.out.say(f"{result.job_id}: your vote counts; {result.votes_missing} more needed{glass}")
    else:
        session.out.say(f"{result.job_id} is {result.status}, the job is {result.state}")
    return Exit.DONE
