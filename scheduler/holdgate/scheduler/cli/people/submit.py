"""`holdgate jobs submit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from holdgate.client.client import JobHandle
from holdgate.client.models import Decision, JobInfo
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit, exit_of_state, exit_of_verdict
from holdgate.scheduler.cli.people.output import note
from holdgate.scheduler.cli.people.times import seconds_of

PAYLOAD_BYTES_MAX = 64 * 1024 * 1024
"""More than any system takes; the API says what it takes."""


@calls_api("agent")
def submit_command(  # noqa: PLR0913  the fields of a job, by name
    session: Session,
    topic: Annotated[str, typer.Argument(help="What kind of work: `job.deploy.apply`")],
    payload: Annotated[
        str | None, typer.Option(help="JSON; `@FILE` reads a file, `-` standard input", metavar="JSON|@FILE|-")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Words for the worker")] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be repeated")] = None,
    capability: Annotated[str | None, typer.Option(help="What it needs to be able to do: `infra.write`")] = None,
    risk_tag: Annotated[list[str] | None, typer.Option(help="May be repeated")] = None,
    requires: Annotated[list[str] | None, typer.Option(help="What the worker must be able to; may be repeated")] = None,
    pool: Annotated[str | None, typer.Option(help="Which workers")] = None,
    priority: Annotated[str | None, typer.Option(help="low, normal, high or critical")] = None,
    run_at: Annotated[str | None, typer.Option(help="Not before, RFC 3339")] = None,
    deadline: Annotated[str | None, typer.Option(help="Not after, RFC 3339")] = None,
    max_attempts: Annotated[int | None, typer.Option(min=1)] = None,
    secret: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A secret that the worker is to hand over; may be repeated")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key and job again is the same job, not another")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be decided")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; prints the job")] = False,
    timeout: Annotated[str | None, typer.Option(help="How long to wait at most, such as `30s`; else for ever")] = None,
) -> Exit:
    """Submit a job. What is printed is its id, so that a script can go on with it; `--wait` prints how it ended."""
    fields: dict[str, Any] = {
        "payload": None if payload is None else _payload(payload),
        "prompt": prompt,
        "labels": _labels(label or []),
        "capability": capability,
        "risk_tags": risk_tag or None,
        "requires": requires or None,
        "pool": pool,
        "priority": priority,
        "run_at": run_at,
        "deadline": deadline,
        "max_attempts": max_attempts,
        "secrets": secret or None,
    }
    if dry_run:
        return _print_decision(session, session.client.jobs.dry_run(topic, **fields))
    handle = session.client.submit(topic, idempotency_key=idempotency_key, **fields)
    if handle.state == "held":
        note(f"held: {handle.decision.reason}; people release it: `holdgate approvals show {handle.job_id}`")
    if wait:
        return _print_job(session, handle.wait(None if timeout is None else seconds_of(timeout)))
    return _print_id(session, handle)


def _print_id(session: Session, handle: JobHandle) -> Exit:
    if session.out.as_json:
        session.out.document(handle.submitted.as_dict())
    else:
        session.out.say(handle.job_id)
    return Exit.HELD if handle.state == "held" else Exit.DONE


def _print_decision(session: Session, decision: Decision) -> Exit:
    if session.out.as_json:
        session.out.document(decision.as_dict())
    else:
        facts = [
            ("verdict", decision.verdict),
            ("reason", decision.reason),
            ("rules", ", ".join(decision.rules) or "none"),
        ]
        facts += [("safer", f"{item.id}  {item.title}") for item in decision.remediations]
        session.out.facts(facts)
    return exit_of_verdict(decision.verdict)


def _print_job(session: Session, job: JobInfo) -> Exit:
    if session.out.as_json:
        session.out.document(job.as_dict())
    else:
        because = f"  {job.code}" if job.code else ""
        session.out.say(f"{job.job_id}  {job.state}{because}")
    return exit_of_state(job.state)


def _labels(given: list[str]) -> dict[str, str] | None:
    pairs = [item.partition("=") for item in given]
    bad = [name for name, sign, _ in pairs if not sign or not name]
    if bad:
        raise InvalidInput(f"`--label {bad[0]}` is no label; such as `--label env=prod`")
    return {name: value for name, _, value in pairs} or None


def _payload(text: str) -> Any:
    """JSON as the API takes it; duplicate keys and numbers that would not survive are refused here already."""
    return parse_json(_payload_bytes(text))


def _payload_bytes(text: str) -> bytes:
    try:
        if text == "-":
            return sys.stdin.buffer.read(PAYLOAD_BYTES_MAX)
        if text.startswith("@"):
            with Path(text[1:]).open("rb") as file:
                return file.read(PAYLOAD_BYTES_MAX)
    except OSError as error:
        raise InvalidInput(f"cannot read `{text}` of `--payload`: {(error.strerror or '').lower()}") from error
    return text.encode("utf-8", "surrogateescape")
