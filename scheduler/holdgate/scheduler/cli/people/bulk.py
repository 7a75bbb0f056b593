"""`holdgate approvals bulk`: one answer to many held jobs of one rule and topic.

What always holds: each vote is bound to the hash and snapshot of a row that was shown, to a person in the table above
the question or to a script in the lines that it gives back; each job is told of on its own.
"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from holdgate.client.models import Approval, BulkResult
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people.asking import agrees, reason_of
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit
from holdgate.scheduler.cli.people.output import Out, note
from holdgate.scheduler.cli.people.queue import pending, print_queue
from holdgate.scheduler.cli.people.vote import Confirm, Reason

AT_ONCE = 100
COLUMNS = ("job", "status", "why not")


class Answer(StrEnum):
    """What is voted."""

    APPROVE = "approve"
    REJECT = "reject"


@calls_api("approver")
def bulk_command(  # noqa: PLR0913  options by name
    session: Session,
    answer: Annotated[Answer, typer.Argument(help="What to vote on all of them")],
    rule: Annotated[str | None, typer.Option(help="Those that this rule holds")] = None,
    topic: Annotated[str | None, typer.Option(help="Those of this topic")] = None,
    items: Annotated[
        str | None, typer.Option(help="Or those of `holdgate approvals list --json` in FILE; `-`: standard input")
    ] = None,
    reason: Reason = None,
    confirm: Confirm = None,
    limit: Annotated[int, typer.Option(min=1, max=AT_ONCE, help="How many at most")] = AT_ONCE,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needs --items")] = False,
) -> Exit:
    """Approve or reject up to 100 held jobs of one rule, topic and shape. Exit code 0 where every vote counted."""
    chosen = _chosen(session, rule, topic, items, limit)
    if not chosen:
        note("none of that kind waits")
        return Exit.DONE
    if not yes:
        _require_person(items)
        print_queue(Out(as_json=False, file=sys.stderr), chosen, SystemClock().now_ms())
        if not agrees(f"{answer} {len(chosen)} jobs"):
            return Exit.REFUSED
    elif items is None:
        raise InvalidInput(
            "`--yes` is for scripts that have looked: give `--items` of `holdgate approvals list --json`"
        )
    result = session.client.approvals.bulk(chosen, str(answer), reason=reason or reason_of(yes), confirm=confirm)
    return _print(session.out, result)


def _chosen(session: Session, rule: str | None, topic: str | None, items: str | None, limit: int) -> list[Approval]:
    if items is not None:
        if rule is not None or topic is not None:
            raise InvalidInput("say which jobs once: `--items`, or `--rule` and `--topic`")
        return _listed(items)
    if rule is None or topic is None:
        raise InvalidInput("say which jobs: `--rule RULE --topic TOPIC`, or `--items FILE`")
    return list(pending(session.client, limit, rule=rule, topic=topic))


def _listed(source: str) -> list[Approval]:
    """The lines of a file, each an object with at least `job_id`, `job_hash` and `snapshot`."""
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read `{source}` of `--items`") from error
    try:
        found = [
            Approval.model_validate({"status": "pending", **json.loads(line)}) for line in text.splitlines() if line
        ]
    except (TypeError, ValueError, ValidationError) as error:
        raise InvalidInput(
            f"a line of `{source}` is no held job; lines of `holdgate approvals list --json` are expected"
        ) from error
    if len(found) > AT_ONCE:
        raise InvalidInput(f"`{source}` has {len(found)} jobs; at most {AT_ONCE} go at once")
    return found


def _require_person(items: str | None) -> None:
    if items == "-" or not sys.stdin.isatty():
        raise InvalidInput("nobody can be asked here: give `--yes` with `--items` and `--reason`")


def _print(out: Out, result: BulkResult) -> Exit:
    if out.as_json:
        out.document(result.as_dict())
    else:
        rows = [(item.job_id, item.status or item.code, item.detail) for item in result.items]
        out.table(COLUMNS, rows)
    refused = sum(item.code is not None for item in result.items)
    if refused:
        note(f"{refused} of {len(result.items)} were refused")
    return Exit.REFUSED if refused else Exit.DONE
