"""`holdgate audit verify`: checks an archive offline, with public keys only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from holdgate.bundles.keys import load_public
from holdgate.kernel.errors import HoldgateError
from holdgate.kernel.permits import Keyring, fingerprint
from holdgate.scheduler.audit.verify import TenantReport, is_intact, verify_archive

app = typer.Typer(help="The archive of the audit log.", no_args_is_help=True, add_completion=False)
BROKEN = 1


@app.callback()
def main() -> None:
    """The archive of the audit log."""


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="the archive: a folder per tenant")],
    key: Annotated[list[Path], typer.Option(exists=True, dir_okay=False, help="an auditor's public key file")],
    head: Annotated[list[str] | None, typer.Option(help="`tenant=sha256:…`: a seal that must be in there")] = None,
) -> None:
    """Verify every seal, chain and event below DIRECTORY; exit code 1 when anything does not hold."""
    keys = [_public_key(path) for path in key]
    reports = verify_archive(directory, Keyring(keys), _heads(head or []))
    console = Console()
    console.print(f"keys: {', '.join(map(fingerprint, keys))}")
    console.print(_table(reports))
    for report in reports:
        for finding in report.findings:
            console.print(f"[red]{finding.tenant}/{finding.where}: {finding.code}: {finding.message}[/red]")
        for first, last in report.declared_gaps:
            console.print(
                f"[yellow]{report.tenant}: events {first} to {last} are missing, as event {last + 1} declares: "
                "the state store was lost[/yellow]"
            )
    if not is_intact(reports):
        raise typer.Exit(BROKEN)
    declared = sum(len(report.declared_gaps) for report in reports)
    console.print(f"intact, but for {declared} declared gaps" if declared else "intact")


def _public_key(path: Path) -> bytes:
    try:
        return load_public(path).raw
    except HoldgateError as error:
        raise typer.BadParameter(str(error)) from error


def _heads(texts: list[str]) -> dict[str, str]:
    heads: dict[str, str] = {}
    for text in texts:
        tenant, is_given, digest = text.partition("=")
        if not is_given or not digest.startswith("sha256:"):
            raise typer.BadParameter(f"`{text}` is not `tenant=sha256:…`")
        heads[tenant] = digest
    return heads


def _table(reports: list[TenantReport]) -> Table:
    table = Table("tenant", "segments", "sealed events", "not sealed yet", "head", "findings")
    for report in reports:
        counts = (report.segments, report.sealed_events, report.unsealed_events)
        table.add_row(report.tenant, *map(str, counts), report.head or "-", str(len(report.findings)))
    return table
