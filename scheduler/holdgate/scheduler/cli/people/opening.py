"""`holdgate quarantine export` and `open`: a sealed output is taken to where the key is, and opened there, offline.

What always holds: the key is read by `open` alone, which calls nobody; what was opened is shown on a terminal or goes
to files of its owner only, in a directory that is new.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from holdgate.bundles.keys import load_quarantine
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people.connection import AsJson, Session, calls_api
from holdgate.scheduler.cli.people.output import Out, json_text, note
from holdgate.scheduler.cli.people.refusal import told
from holdgate.scheduler.cli.people.sealedfiles import Opened, open_export, replacement_of, write_new, write_opened
from holdgate.scheduler.cli.people.vote import JobId


@calls_api("approver")
def export_command(
    session: Session,
    job_id: JobId,
    file: Annotated[Path, typer.Option("--output", "-o", help="A new file, for the machine where the key is")],
) -> None:
    """Take the sealed bytes of an output, to open them where the key is. Who took them is in the audit trail."""
    export = session.client.quarantine.export(job_id)
    try:
        write_new(file, export.model_dump_json(exclude_unset=True).encode())
    except OSError as error:
        raise InvalidInput(f"`{file}`: {(error.strerror or str(error)).lower()}; name a new file") from error
    if session.out.as_json:
        session.out.document({"job_id": export.job_id, "digest": export.digest, "file": str(file)})
    else:
        session.out.say(f"{file}: {export.digest}")
        note(f"next: where the key is, `holdgate quarantine open {file} --key KEYFILE -o DIR`")


def open_command(
    file: Annotated[Path, typer.Argument(help="What `holdgate quarantine export` wrote")],
    key: Annotated[Path, typer.Option("--key", help="The private quarantine key, mode 0600")],
    directory: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new directory for all of it [shown here instead]")
    ] = None,
    digest: Annotated[
        str | None, typer.Option("--digest", help="As `holdgate quarantine show` has it, to open nothing else")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open an exported output. Needs the key and nothing else: no server, no API, no network."""
    out = Out(as_json)
    with told(out):
        opened = open_export(file, load_quarantine(key))
        if digest not in (None, opened.digest):
            raise InvalidInput(f"`{file}` holds {opened.digest}, not what `--digest` names")
        if directory is None:
            _show(out, opened)
        else:
            _tell_written(out, opened, directory, [str(each) for each in write_opened(opened, directory)])


def _show(out: Out, opened: Opened) -> None:
    content = {
        **_head(opened),
        **replacement_of(opened.output),
        "artifacts": [
            {"name": each.name, "media_type": each.media_type, "bytes": len(each.data)}
            for each in opened.output.artifacts
        ],
    }
    if out.as_json:
        out.document(content)
        return
    out.facts([(name, value) for name, value in _head(opened).items() if value is not None])
    for name in ("value", "error"):
        if content.get(name) is not None:
            out.say("")
            out.say(name, style="bold")
            out.lines(json_text(content[name]))
    if opened.output.logs:
        out.say("")
        out.say("logs", style="bold")
        out.lines("\n".join(opened.output.logs))
    for each in opened.output.artifacts:
        out.say(f"file {each.name}: {len(each.data)} bytes; `-o DIR` writes it")


def _tell_written(out: Out, opened: Opened, directory: Path, files: list[str]) -> None:
    if out.as_json:
        out.document({**_head(opened), "files": files})
        return
    for file in files:
        out.say(file)
    note(f"next: `holdgate quarantine release {opened.job_id} --opened {directory}`, or take out of")
    note(f"{directory}/replacement.json what nobody may read, and `… release {opened.job_id} --redacted` that file")


def _head(opened: Opened) -> dict[str, Any]:
    return {
        "job_id": opened.job_id,
        "attempt": opened.attempt,
        "digest": opened.digest,
        "commitment": opened.commitment,
    }
