"""`holdgate jobs …`: submit, look at, follow, cancel and retry jobs, and read their results."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from holdgate.client import Client
from holdgate.client.errors import Conflict, Forbidden, NotFound, OutputQuarantined
from holdgate.client.models import JobInfo, Output, OutputTold
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people.connection import Session, calls_api
from holdgate.scheduler.cli.people.exits import Exit, exit_of_state, help_text
from holdgate.scheduler.cli.people.found import note_marks, print_findings
from holdgate.scheduler.cli.people.output import Out, json_text, note
from holdgate.scheduler.cli.people.submit import submit_command
from holdgate.scheduler.cli.people.times import clock_text, seconds_of
from holdgate.scheduler.cli.people.watch import watch_command
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.words.durations import time_left

app = typer.Typer(help="Submit and follow jobs.", no_args_is_help=True, add_completion=False, epilog=help_text())
app.command("submit")(submit_command)
app.command("watch")(watch_command)
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id")]
Reason = Annotated[str | None, typer.Option(help="Why")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most")]
Timeout = Annotated[str | None, typer.Option(help="How long to wait at most, such as `30s`; else for ever")]
COLUMNS = ("job", "state", "topic", "actor", "age", "why")
PAGE = 100
GLASS_BROKEN = "past its rules: two people broke the glass"


@app.command("list")
@calls_api("agent")
def list_command(
    session: Session,
    state: Annotated[State | None, typer.Option(help="Only jobs in this state")] = None,
    topic: Annotated[str | None, typer.Option(help="Only jobs of this topic")] = None,
    actor: Annotated[str | None, typer.Option(help="Only jobs that this actor submitted")] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY=VALUE", help="Only jobs with this label")] = None,
    limit: Limit = 50,
) -> None:
    """List jobs, newest first: yours, or with an operator's key all of the tenant."""
    filters = {"state": None if state is None else str(state), "topic": topic, "actor": actor, "label": label}
    found = _jobs(session.client, filters, limit)
    if session.out.as_json:
        for job in found:
            session.out.line(job.as_dict())
        return
    now_ms = SystemClock().now_ms()
    session.out.table(COLUMNS, [_row(job, now_ms) for job in found])


@app.command("show")
@calls_api("agent")
def show_command(
    session: Session,
    job_id: JobId,
    reveal: Annotated[bool, typer.Option("--reveal", help="With its secrets; who looks is recorded")] = False,
) -> None:
    """Show a job: what it asks for, where it stands, what was decided about it, and what happened to it."""
    job = session.client.jobs.get(job_id, masked=True)
    if reveal:
        whole = session.client.jobs.reveal(job_id)
        job = job.model_copy(update={"labels": whole["labels"], "prompt": whole["prompt"], "masked": 0})
    timeline, decisions = session.client.jobs.timeline(job_id), session.client.jobs.decisions(job_id)
    if session.out.as_json:
        told = {"timeline": list(timeline), "decisions": [item.as_dict() for item in decisions]}
        session.out.document({**job.as_dict(), **told})
        return
    session.out.facts(_facts(job, timeline))
    session.out.say("")
    rows = [(clock_text(item.get("time")), item.get("type"), _what(item)) for item in timeline]
    session.out.table(("time", "event", "by or because of"), rows)
    if job.output is not None:
        _print_result(session, job_id)


@app.command("cancel")
@calls_api("agent")
def cancel_command(session: Session, job_id: JobId, reason: Reason = None) -> None:
    """Cancel a job: at once where it does not run, else its worker is told."""
    done = session.client.jobs.cancel(job_id, reason=reason)
    if session.out.as_json:
        session.out.document(done.as_dict())
    else:
        asked = ", its worker is told to stop" if done.cancel_requested else ""
        session.out.say(f"{done.job_id} is {done.state}{asked}")


@app.command("retry")
@calls_api("operator")
def retry_command(session: Session, job_id: JobId, reason: Reason = None) -> None:
    """Queue a job of the dead-letter list again, as a new attempt through the dispatch gate."""
    job = session.client.jobs.retry(job_id, reason=reason)
    if session.out.as_json:
        session.out.document(job.as_dict())
    else:
        session.out.say(f"{job.job_id} is {job.state} again")


@app.command("result")
@calls_api("agent")
def result_command(
    session: Session,
    job_id: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Until the job has ended")] = False,
    timeout: Timeout = None,
) -> Exit:
    """Print what the output gate let through: the value; with `--json` logs, error and verdict, too."""
    if wait:
        job = session.client.jobs.wait(job_id, None if timeout is None else seconds_of(timeout))
        if job.state not in {"succeeded", "quarantined", "failed", "timed_out"}:
            session.out.document(job.as_dict()) if session.out.as_json else session.out.say(f"{job.job_id} {job.state}")
            return exit_of_state(job.state)
    output = session.client.jobs.output(job_id)
    print_output(session.out, output)
    return exit_of_state(output.state)


@app.command("artifact")
@calls_api("agent")
def artifact_command(
    session: Session,
    job_id: JobId,
    name: Annotated[str, typer.Argument(help="Which file; `holdgate jobs result JOB --json` lists them")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to save it; `-` is standard output")],
    force: Annotated[bool, typer.Option("--force", help="Over a file that is there")] = False,
) -> None:
    """Save a file that the run left and the output gate let through."""
    data = session.client.jobs.artifact(job_id, name)
    if str(output) == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb" if force else "xb") as file:
            file.write(data)
    except OSError as error:
        raise InvalidInput(f"cannot write `{output}`: {(error.strerror or '').lower()}") from error
    note(f"{len(data)} bytes in `{output}`")


def print_output(out: Out, output: Output) -> None:
    """The value; of a job that failed its error."""
    if out.as_json:
        out.document(output.as_dict())
    elif output.error is not None and output.state != "succeeded":
        out.say(f"{output.error.type}: {output.error.message}", style="red")
    else:
        out.lines(json_text(output.value))
    if out.as_json:
        return
    for each in output.artifacts:
        note(f"artifact {each.name}, {each.bytes} bytes: `holdgate jobs artifact {output.job_id} {each.name} -o FILE`")
    verdict = output.verdict or {}
    if verdict.get("verdict") == "redact":
        note(f"redacted: {_found_text(verdict.get('findings_total'))}; `holdgate jobs show {output.job_id}` lists it")
    note_marks(verdict)


def _print_result(session: Session, job_id: str) -> None:
    """What was found in its output and which files it has, for whoever may read the output."""
    try:
        output = session.client.jobs.output(job_id)
    except (Conflict, Forbidden, NotFound, OutputQuarantined):
        return
    print_findings(session.out, output.verdict or {})
    if output.artifacts:
        session.out.say("")
        rows = [(each.name, each.bytes, each.media_type) for each in output.artifacts]
        session.out.table(("file", "bytes", "said to be"), rows)


def _jobs(client: Client, filters: dict[str, str | None], limit: int) -> Iterator[JobInfo]:
    cursor = None
    while limit > 0:
        page = client.jobs.list(**filters, limit=min(limit, PAGE), cursor=cursor)
        yield from page.items
        limit -= len(page.items)
        if (cursor := page.next_cursor) is None:
            return


def _row(job: JobInfo, now_ms: int) -> tuple[object, ...]:
    age = None if job.created_at is None else time_left(max(1, now_ms // 1000 - int(job.created_at.timestamp())))
    return job.job_id, job.state, job.topic, job.actor, age, job.waiting_reason or job.code


def _facts(job: JobInfo, timeline: Sequence[Mapping[str, Any]]) -> list[tuple[str, object]]:
    more = job.as_dict()
    decision = job.decision
    is_held = decision is not None and decision.verdict == "require_approval"
    facts: list[tuple[str, object]] = [
        ("job", job.job_id),
        ("state", job.state),
        ("topic", job.topic),
        ("actor", " for ".join([job.actor, *reversed(more.get("principals") or [])])),
        ("labels", "\n".join(f"{name}={value}" for name, value in job.labels.items())),
        ("capability", more.get("capability")),
        ("risk tags", ", ".join(more.get("risk_tags") or [])),
        ("secrets", ", ".join(job.secrets)),
        ("prompt", job.prompt),
        ("masked", _masked_text(job)),
        ("attempt", job.attempt),
        ("waits for", job.waiting_reason),
        ("code", job.code),
        ("reason", job.reason),
        ("worker", more.get("worker")),
        ("created", clock_text(job.created_at)),
        ("ended", None if job.ended_at is None else clock_text(job.ended_at)),
        ("verdict", None if decision is None else decision.verdict),
        ("held because" if is_held else "because", None if decision is None else decision.reason),
        ("rejected by", _rejection(timeline)),
        ("released", GLASS_BROKEN if more.get("broke_glass") else None),
        ("rules", None if decision is None else ", ".join(decision.rules)),
        *_output_facts(job.output),
        ("job hash", more.get("job_hash")),
        ("snapshot", None if decision is None else decision.snapshot),
    ]
    return [(name, value) for name, value in facts if value not in (None, "")]


def _output_facts(output: OutputTold | None) -> list[tuple[str, object]]:
    """What the output gate said."""
    if output is None:
        return []
    found = f", {_found_text(output.findings_total)}" if output.findings_total else ""
    return [
        ("output", f"{output.verdict}{found}"),
        ("output because", output.reason),
        ("data class", output.data_class),
        ("marked as", ", ".join(output.marks)),
        ("in shadow", ", ".join(f"{detector} {count}" for detector, count in output.shadow.items())),
        ("let through by", ", ".join(output.allowed_by)),
    ]


def _found_text(count: object) -> str:
    return f"{count} finding{'' if count == 1 else 's'}"


def _rejection(timeline: Sequence[Mapping[str, Any]]) -> str | None:
    """Who said no, and why; None where nobody did."""
    noes = [event for event in timeline if event.get("type") == "approval.vote" and event.get("approve") is False]
    return f"{noes[-1].get('approver')}: {noes[-1].get('reason')}" if noes else None


def _what(event: dict[str, object]) -> str:
    """What an event says beside its kind, as far as it says it."""
    names = ("actor", "approver", "worker", "verdict", "code", "reason")
    return "  ".join(str(event[name]) for name in names if event.get(name) not in (None, ""))


def _masked_text(job: JobInfo) -> str | None:
    """What of labels and prompt is not as it was sent."""
    if job.masked is None:
        return "labels and prompt could not be searched for secrets; `--reveal` shows them, and that is recorded"
    count = f"{job.masked} secret{'' if job.masked == 1 else 's'}"
    return f"{count}; `--reveal` shows what was sent, and that is recorded" if job.masked else None
