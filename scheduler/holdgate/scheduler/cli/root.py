"""The commands, one function each; what they do is imported when they are called."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from holdgate.scheduler.cli import GROUPS, PROCESSES

app = typer.Typer(
    name="holdgate",
    help="A job scheduler for AI agents that asks before it acts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Shell(StrEnum):
    """Shells that commands can be completed in."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class RedisTopology(StrEnum):
    """How Redis runs in a torture."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


def _process(name: str, what: str) -> None:
    @app.command(name, help=f"{what} Settings: HOLDGATE_… in the environment, see `holdgate settings`.")
    def command() -> None:
        from holdgate.scheduler.cli.processes import run_process

        raise typer.Exit(run_process(name))


for _name, _what in zip(
    PROCESSES,
    (
        "Decide, and sign permits.",
        "Serve HTTP: the submit gate and approvals.",
        "Hand jobs to workers.",
        "Scan results and decide what may be read.",
        "Archive and seal the audit log.",
    ),
    strict=True,
):
    _process(_name, _what)


def _group(name: str, what: str) -> None:
    """A line in the help; `holdgate.scheduler.cli.main` has taken the call itself."""
    group = typer.Typer(help=what)
    group.callback()(lambda: None)
    app.add_typer(group, name=name)


for _name, (_, _what) in GROUPS.items():
    _group(_name, _what)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        version(records=False)
        raise typer.Exit


@app.callback()
def holdgate(
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and end")
    ] = False,
) -> None:
    """A job scheduler for AI agents that asks before it acts."""


@app.command("up")
def up(
    directory: Annotated[Path, typer.Option("--dir", help="Data and keys")] = Path(".holdgate"),
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="API; 0: any free one [8081 if free]")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Metrics; 0: any free one [9090 if free]")
    ] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written once everything answers")] = None,
    restart: Annotated[bool, typer.Option(help="Start a process that died again")] = True,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Workers")] = 1,
    worker: Annotated[
        str, typer.Option(metavar="MODULE:NAME", help="Whose handlers they run")
    ] = "holdgate.workers.demo:worker",
    otlp_endpoint: Annotated[str | None, typer.Option(help="OpenTelemetry collector that spans go to")] = None,
) -> None:
    """Run the whole system on this machine: NATS, Redis, every process, a demo worker."""
    import asyncio

    from holdgate.scheduler.up.lean import import_structlog

    import_structlog()
    from holdgate.kernel.errors import HoldgateError
    from holdgate.scheduler import logs
    from holdgate.scheduler.up.system import Options, run_up

    logs.configure("up", level="info")
    options = Options(directory, port, metrics_port, ready_file, restart, workers, worker, otlp_endpoint=otlp_endpoint)
    try:
        code = asyncio.run(run_up(options))
    except HoldgateError as error:
        print(f"{error.code}: {error}", file=sys.stderr)  # as `refusals` has it, without what that loads
        code = 1
    raise typer.Exit(code)


@app.command("demo")
def demo(
    directory: Annotated[Path | None, typer.Option("--dir", help="Keep data and keys there [a temporary one]")] = None,
) -> None:
    """Start a system and take real jobs through every outcome; exit code 1 when one is not as expected."""
    from holdgate.bundles.cli.refusal import refusals
    from holdgate.scheduler.up.demo import run_demo

    with refusals():
        raise typer.Exit(run_demo(directory))


@app.command("drill")
def drill(
    directory: Annotated[Path, typer.Option("--dir", help="A running `holdgate up`")] = Path(".holdgate"),
    url: Annotated[str | None, typer.Option(help="Another system: its API")] = None,
    metrics: Annotated[str | None, typer.Option(help="Its metrics page")] = None,
    keys: Annotated[
        Path | None, typer.Option(help="JSON file with its API keys: `agent`, `approver`, `operator`")
    ] = None,
    stop_kernel: Annotated[str | None, typer.Option(help="Command that stops its kernels")] = None,
    start_kernel: Annotated[str | None, typer.Option(help="Command that starts them")] = None,
    wait_s: Annotated[float, typer.Option(min=0.1, help="How long a job may take to come where it should")] = 20.0,
) -> None:
    """Drill a staging system: deny, approve, allow, stop the kernel, recover; exit code 1 when anything differs."""
    import json

    from holdgate.scheduler.cli.failing import failures
    from holdgate.scheduler.errors import Misconfigured
    from holdgate.scheduler.up.drill import Target, run_drill, target_of

    with failures():
        if url is None:
            target = target_of(directory, wait_s)
        elif keys is None:
            raise typer.BadParameter("`--url` needs `--keys`")
        else:
            try:
                held = json.loads(keys.read_text())
            except ValueError as error:
                raise Misconfigured(f"`{keys}` is no JSON file with API keys") from error
            target = Target(url, metrics, held, None, stop_kernel, start_kernel, wait_s)
        raise typer.Exit(run_drill(target))


@app.command("torture")
def torture(  # noqa: PLR0913  each an option of its own
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long faults are injected")] = 10.0,
    seed: Annotated[int | None, typer.Option(min=0, help="Of load and faults; printed [a random one]")] = None,
    faults: Annotated[str | None, typer.Option(help="Names with commas [all]; `--list` shows them")] = None,
    topology: Annotated[RedisTopology, typer.Option(help="How Redis runs")] = RedisTopology.SENTINEL,
    unconfirmed: Annotated[
        bool, typer.Option(help="Under Sentinel, wait for no replica before a write is told")
    ] = False,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="Operations a second")] = 10.0,
    keep: Annotated[Path | None, typer.Option(help="Keep everything there [only of a failed run]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report, or the list, as JSON")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the faults, and end")] = False,
) -> None:
    """Break a cluster of real processes on this machine under load; exit code 1 when anything did not hold.

    Starts three NATS servers, Redis as `--topology` says, two of each process and four workers, all on loopback.
    """
    from holdgate.scheduler.cli import torture as command

    if list_:
        command.show_faults(as_json=as_json)
        return
    code = command.run(
        minutes=minutes,
        seed=seed,
        faults=faults,
        shape=topology.value,
        confirmed=not unconfirmed,
        rate=rate,
        keep=keep,
        as_json_=as_json,
    )
    raise typer.Exit(code)


@app.command("drill-closed")
def drill_closed(
    directory: Annotated[Path, typer.Option("--dir", help="A running `holdgate up`")] = Path(".holdgate"),
    record: Annotated[Path | None, typer.Option(help="A JSON file of what was seen")] = None,
    back_s_max: Annotated[float, typer.Option(min=0.1, help="Seconds until all is well again")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="An object a line")] = False,
) -> None:
    """Take each part of a `holdgate up` away in turn, and several at once; exit code 1 when one differs or is late."""
    from holdgate.scheduler.cli.failing import failures
    from holdgate.scheduler.up.closed import run_closed

    with failures(as_json):
        raise typer.Exit(run_closed(directory, record, back_s_max=back_s_max, as_json=as_json))


@app.command("provision")
def provision(
    directory: Annotated[Path, typer.Option("--dir", help="A new directory, or one made by this command")],
    for_kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Files for the Helm chart instead, and the commands that make Secrets")
    ] = False,
) -> None:
    """Make keys, passwords, a signed root and the files that compose.yaml mounts; what exists is kept."""
    from holdgate.kernel.clock import SystemClock
    from holdgate.scheduler.cli.failing import failures
    from holdgate.scheduler.up.containers import write_container_files
    from holdgate.scheduler.up.kubernetes import commands, write_secret_files
    from holdgate.scheduler.up.provision import provision as make

    with failures():
        provisioned = make(directory, SystemClock())
        if for_kubernetes:
            print(commands(provisioned, write_secret_files(provisioned)))
            return
        environment = write_container_files(provisioned)
    print(f"docker compose --env-file {environment} up")


@app.command("backup")
def backup(
    words: Annotated[list[str], typer.Argument(metavar="FILE | verify FILE", help="A new file; or one to look at")],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="A running `holdgate up` [what the settings HOLDGATE_… name]")
    ] = None,
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Keys and passwords too, sealed: asks twice")] = False,
    passphrase_file: Annotated[Path | None, typer.Option(help="File with the passphrase, mode 0600")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What is in it, as JSON")] = False,
) -> None:
    """Write everything that a running system knows into one file, or check such a file."""
    from holdgate.scheduler.cli import backups

    raise typer.Exit(backups.backup(words, directory, with_keys, passphrase_file, as_json=as_json))


@app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="What `holdgate backup` wrote")],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="For a `holdgate up`, new [servers that the settings HOLDGATE_… name]")
    ] = None,
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Its keys and passwords too: asks")] = False,
    passphrase_file: Annotated[Path | None, typer.Option(help="File with the passphrase, mode 0600")] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=5, help="Servers that each stream is on [as it was]")
    ] = None,
) -> None:
    """Make a system of a backup: into servers and directories that hold nothing."""
    from holdgate.scheduler.cli import backups

    raise typer.Exit(backups.restore(file, directory, with_keys, passphrase_file, replicas))


@app.command("setup")
def setup() -> None:
    """Create the streams, consumers and buckets in NATS, once, before the processes start. Settings: HOLDGATE_…"""
    from holdgate.scheduler.cli.processes import run_setup

    raise typer.Exit(run_setup())


@app.command("reconcile")
def reconcile(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="A running `holdgate up` [what the settings HOLDGATE_… name]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look; exit code 3 where something is apart")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False,
) -> None:
    """Look over Redis and JetStream, and make good from each other what one of them lost."""
    from holdgate.scheduler.cli import reconciling

    raise typer.Exit(reconciling.run(directory, dry_run=dry_run, as_json=as_json))


@app.command("settings")
def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="As a page of the documentation")] = False,
) -> None:
    """List every setting, its default and who reads it."""
    from holdgate.scheduler.cli import reference

    text = reference.markdown()
    print(text if markdown else text.partition("\n\n")[2].replace("`", ""), end="")


@app.command("completion")
def completion(shell: Annotated[Shell, typer.Argument(help="Yours")]) -> None:
    """Print a script that completes commands and options: `source <(holdgate completion bash)`."""
    from holdgate.scheduler.cli.completion import SCRIPTS

    print(SCRIPTS[shell.value], end="")


@app.command("version")
def version(
    records: Annotated[bool, typer.Option("--records", help="And those of what it stores and sends")] = False,
) -> None:
    """Print the version."""
    from importlib import metadata

    print(metadata.version("holdgate"))
    if records:
        from holdgate.scheduler.cli.versions import RECORDS

        for name, number in RECORDS.items():
            print(f"{name}: {number}")
