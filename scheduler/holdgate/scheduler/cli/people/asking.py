"""Questions to whoever sits there, and what a vote is about.

What always holds: what is returned to be voted on is what was shown to the person who answers, or what a script says
that it has seen; without a terminal nobody is asked, and nothing is taken for an answer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from holdgate.client import Client
from holdgate.client.models import Approval
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people import held
from holdgate.scheduler.cli.people.connection import Session
from holdgate.scheduler.cli.people.look import Look, look_at
from holdgate.scheduler.cli.people.output import Out, note
from holdgate.scheduler.visible import visible


def _require_way_to_ask(yes: bool, job_hash: str | None, snapshot: str | None) -> None:
    """InvalidInput where there is nobody to ask, and a script does not say what it has seen."""
    if yes and (job_hash is None or snapshot is None):
        raise InvalidInput(
            "`--yes` is for scripts that have looked: give `--job-hash` and `--snapshot` as "
            "`holdgate approvals show JOB --json` shows them"
        )
    if not yes and not sys.stdin.isatty():
        raise InvalidInput("nobody can be asked here: give `--yes` with `--job-hash`, `--snapshot` and `--reason`")


def require_digest(yes: bool, digest: str | None, shows: str) -> None:
    """The same for what is bound to one digest; `shows` is the command that prints it."""
    if yes and digest is None:
        raise InvalidInput(f"`--yes` is for scripts that have looked: give `--digest` as `{shows}` shows it")
    if not yes and not sys.stdin.isatty():
        raise InvalidInput("nobody can be asked here: give `--yes` with `--digest` and `--reason`")


def seen(
    session: Session,
    job_id: str,
    yes: bool,
    job_hash: str | None,
    snapshot: str | None,
    look_by: Callable[[Client, str], Look] = look_at,
) -> Approval:
    """What the vote is about: what is shown now, to a person, or what a script says that it has seen.

    The API refuses what is not so any more. With `--json` it is shown on standard error. InvalidInput where nobody can
    be asked, and a script does not say what it has seen.
    """
    _require_way_to_ask(yes, job_hash, snapshot)
    if yes:
        stated = {"job_hash": job_hash, "snapshot": snapshot}
        return session.client.approvals.show(job_id).model_copy(update=stated)
    look = look_by(session.client, job_id)
    for name, found, given in (
        ("job_hash", look.shown.job_hash, job_hash),
        ("snapshot", look.shown.snapshot, snapshot),
    ):
        if given not in (None, found):
            raise InvalidInput(f"the `{name}` is not any more what you gave; leave it out to see what it is now")
    out = Out(as_json=False, file=sys.stderr) if session.out.as_json else session.out
    held.print_look(out, look, SystemClock().now_ms())
    return look.shown


def typed_confirmation(requirements: Iterable[Mapping[str, Any]]) -> str | None:
    """What somebody typed where a rule wants a text typed."""
    wanted = held.confirmations(requirements)
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
