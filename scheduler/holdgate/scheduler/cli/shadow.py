"""`holdgate policy shadow …`: let kernels compare a signed bundle with what they decide, without deciding by it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdgate.bundles.cli.common import BuiltFile, Json, read_file, show
from holdgate.bundles.cli.plain import plain, say
from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.format import parse_bundle
from holdgate.kernel.canonical import canonical_bytes
from holdgate.scheduler.cli.apicall import ApiKey, ApiKeyFile, ApiUrl, api_at

app = typer.Typer(help="Compare a bundle with live decisions.", no_args_is_help=True, add_completion=False)
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the bundle")]
OUTCOMES = ("same", "wider", "other", "tighter", "failed", "skipped", "dropped")


@app.command("start")
def start_command(
    context: typer.Context,
    file: BuiltFile,
    api: ApiUrl,
    api_key_file: ApiKeyFile = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Have kernels compare a signed bundle with every live decision. What they decide stays as it is."""
    with refusals(as_json):
        data = read_file(file)
        name = parse_bundle(data).manifest.name
        started = api_at(context, api, api_key_file, api_key).call("PUT", f"/policy/shadow/{name}", data)
    show(started, as_json)


@app.command("status")
def status_command(
    context: typer.Context, api: ApiUrl, api_key_file: ApiKeyFile = None, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """What is compared, how live decisions would differ, and samples of your tenant."""
    with refusals(as_json):
        found = api_at(context, api, api_key_file, api_key).call("GET", "/policy/shadow")
    if as_json:
        typer.echo(canonical_bytes(found).decode())
        return
    for item in found["items"]:
        _print(item)
    if not found["items"]:
        typer.echo("nothing is shadowed")


@app.command("stop")
def stop_command(
    context: typer.Context, name: Name, api: ApiUrl, api_key_file: ApiKeyFile = None, api_key: ApiKey = None
) -> None:
    """Have kernels compare it no more."""
    with refusals():
        api_at(context, api, api_key_file, api_key).call("DELETE", f"/policy/shadow/{name}")
    typer.echo(f"{name} is shadowed no more")


def _print(item: dict[str, Any]) -> None:
    say(item["name"])
    for replica in item["replicas"]:
        why = "" if replica["code"] is None else f"  {replica['code']}: {replica['message']}"
        version = "" if replica["version"] is None else f" version {replica['version']}"
        say(f"  {replica['replica']}: {replica['state']}{version}{why}")
    if not item["replicas"]:
        say("  no kernel has told of it yet")
    counts = Table(box=None)
    for name in ("phase", *OUTCOMES):
        counts.add_column(name)
    for phase, outcomes in item["counts"].items():
        cells = [phase, *(outcomes.get(name, 0) for name in OUTCOMES)]
        counts.add_row(*(Text(plain(cell)) for cell in cells))
    if item["counts"]:
        Console(file=sys.stdout).print(counts)
    for sample in item["samples"]:
        rules = f"{', '.join(sample['rules_before']) or '-'} → {', '.join(sample['rules_after']) or '-'}"
        change = f"{sample['outcome']}  {sample['before']} → {sample['after']}"
        say(f"  {change}  {rules}")
        say(f"      {sample['phase']} of {sample['job_id']}  {sample['topic']}")
