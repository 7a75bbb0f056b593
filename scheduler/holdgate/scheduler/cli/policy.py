"""`holdgate policy`: what rules decide, tried offline with the function that the gates use."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.simulate import load_policy
from holdgate.bundles.simulate import simulate as decide
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import HoldgateError
from holdgate.scan import ScanError, Scanner

app = typer.Typer(help="Try rules offline.", no_args_is_help=True)
REFUSED = 1


@app.callback()
def main() -> None:
    """Try rules offline."""


@app.command()
def simulate(
    rules: Annotated[list[Path], typer.Option(exists=True, dir_okay=False, help="A rules file; may be repeated")],
    facts: Annotated[
        Path,
        typer.Option(
            exists=True, dir_okay=False, allow_dash=True, help="One job a line, as for POST /jobs; `-`: stdin"
        ),
    ],
    explain: Annotated[bool, typer.Option(help="Say for each rule whether it matched, and if not, why")] = False,
) -> None:
    """Decide about each job of FACTS, one decision a line; exit code 1 when a line or the rules cannot be read."""
    try:
        policy = load_policy([(str(file), file.read_bytes()) for file in rules])
    except (HoldgateError, OSError) as error:
        print(f"holdgate policy simulate: {error}", file=sys.stderr)
        raise typer.Exit(REFUSED) from error
    scanner = Scanner()

    def has_secrets(prompt: str | None, payload: bytes) -> bool:
        try:
            return scanner.has_secrets(prompt, payload)
        except ScanError:
            return True  # as at the gate: what could not be searched counts as one with secrets

    data = sys.stdin.buffer.read() if str(facts) == "-" else facts.read_bytes()
    is_whole = True
    for line in decide(policy, data, now_ms=SystemClock().now_ms(), has_secrets=has_secrets, explain=explain):
        is_whole = is_whole and line.error is None
        print(json.dumps(line.as_dict(), ensure_ascii=False))  # noqa: TID251  shown to people and scripts; not hashed
    if not is_whole:
        raise typer.Exit(REFUSED)
