"""What a command says when it does not go as asked: the code, why, what to do next; and the exit code.

What always holds: it is told on standard error; with `--json` the API's problem (RFC 9457) is on standard output, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from holdgate.client.errors import ApiError, Denied, Invalid
from holdgate.kernel.errors import HoldgateError
from holdgate.scheduler.cli.people.exits import Exit, exit_of_error
from holdgate.scheduler.cli.people.output import Out, note
from holdgate.scheduler.words.durations import time_left

NEXT: dict[str, str] = {
    "approval_altered": "tell an operator: what is stored was altered; `holdgate jobs cancel JOB` ends the job",
    "approval_stale_job": "look again: `holdgate approvals show JOB`",
    "approval_stale_policy": "look again: `holdgate approvals show JOB`; where nothing that decided it changed, "
    "`holdgate approvals reconfirm JOB`",
    "approval_self": "ask somebody who neither submitted it nor has it done for them",
    "approval_forbidden": "ask one of those that `holdgate approvals show JOB` names",
    "approval_reason_required": "give `--reason`",
    "approval_confirmation_required": "give `--confirm` with the text that `holdgate approvals show JOB` asks for",
    "approval_signature_required": "vote with your own key: `holdgate approvals approve JOB --sign KEYFILE`",
    "approval_too_soon": "read what you release, and approve once the reading time is over",
    "approval_resolved": "nothing is left to do; `holdgate jobs show JOB` says what became of it",
    "approval_expired": "submit the job again",
    "forbidden": "use the API key of somebody who may; with `holdgate up`, `--as NAME`",
    "approval_not_reconfirmable": "look at it anew and vote: `holdgate approvals approve JOB`",
    "approval_signature_invalid": "vote with the key that the trust root has under your name",
    "bulk_mixed": "take those of one rule, one topic and one shape: `holdgate approvals list --rule R --topic T`",
    "bulk_forbidden": "vote on each: `holdgate approvals approve JOB`",
    "output_quarantined": "nobody reads it until approvers release it: `holdgate quarantine show JOB` takes that role",
    "quarantine_stale": "look again: `holdgate quarantine show JOB`",
    "quarantine_sealed_elsewhere": "`holdgate quarantine export JOB -o FILE`, `open` it where the key is, and "
    "`release JOB --opened`; or destroy it: `holdgate quarantine destroy JOB`",
    "quarantine_replacement_refused": "take that out of the file, too, and propose it again",
    "quarantine_too_many_votes": "`holdgate quarantine destroy JOB`",
    "quarantine_unopenable": "restore the key or the bytes, or destroy it: `holdgate quarantine destroy JOB`",
    "unauthenticated": "use a key that is valid: --api-key-file FILE, or HOLDGATE_API_KEY",
    "unreachable": "start the system, or check --api or --dir",
    "result_not_ready": "wait for it: `holdgate jobs result JOB --wait`",
    "wait_timeout": "the job goes on: `holdgate jobs watch JOB`",
}
"""What to do next, by code."""


@contextmanager
def told(out: Out) -> Iterator[None]:
    """For the block: errors become lines and exit codes, as the table of `exits` has them."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(Exit.INTERRUPTED) from None
    except HoldgateError as error:
        if out.as_json:
            out.document(problem_of(error))
        tell(error)
        raise typer.Exit(exit_of_error(error)) from error


def problem_of(error: HoldgateError) -> dict[str, Any]:
    """The refusal as a program reads it."""
    if isinstance(error, ApiError):
        return {"status": error.status, **error.problem, "code": error.code}
    return {"code": error.code, "detail": str(error)}


def tell(error: HoldgateError) -> None:
    """The refusal for a person."""
    note(f"{error.code}: {_lower(str(error))}")
    if isinstance(error, Invalid):
        for item in error.errors:
            note(f"  {item.get('field')}  {item.get('detail')}")
    if isinstance(error, Denied):
        _tell_denial(error)
    if isinstance(error, ApiError) and error.retry_after_s:
        note(f"next: try again in {time_left(math.ceil(error.retry_after_s))}")
    elif error.code in NEXT:
        note(f"next: {NEXT[error.code]}")


def _lower(text: str) -> str:
    """A title of the API as the middle of a line; `API`, `HTTP` and what is quoted stay."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _tell_denial(error: Denied) -> None:
    note(f"  rule    {error.rule or 'none allows it'}")
    note(f"  reason  {error.reason}")
    for item in error.remediations:
        note(f"  safer   {item.id}  {item.title}")
