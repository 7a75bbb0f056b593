"""`holdgate policy …`: rules tried out offline, by the function that the gates use.

Exit code 0 when every line was decided, 1 when the rules do not load or a line is not a job.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.simulate import load_policy, simulate
from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import PolicyInvalid
from holdgate.scan.scanner import Scanner
from holdgate.scheduler.cli import shadow
from holdgate.scheduler.cli.replay import replay_command

app = typer.Typer(help="Try rules offline.", no_args_is_help=True, add_completion=False)
RulesFiles = Annotated[list[Path], typer.Option("--rules", help="A rules file; may be given more than once")]
app.command("replay")(replay_command)
app.add_typer(shadow.app, name="shadow")
FactsFile = Annotated[Path, typer.Option("--facts", help="Jobs, one JSON object a line; `-` reads standard input")]


@app.callback()
def _commands() -> None:
    """Keeps a single command from taking the place of the group."""


@app.command("simulate")
def simulate_facts(rules: RulesFiles, facts: FactsFile) -> None:
    """Decide about each job: one JSON line in, one decision as JSON a line out. Nothing is stored or counted."""
    raise typer.Exit(_run(rules, facts, explain=False))


@app.command("explain")
def explain_facts(rules: RulesFiles, facts: FactsFile) -> None:
    """The same, and of every rule whether it matched and which field failed."""
    raise typer.Exit(_run(rules, facts, explain=True))


def _run(rules: list[Path], facts: Path, *, explain: bool) -> int:
    try:
        policy = load_policy([(str(path), _read_rules(path)) for path in rules])
        lines = sys.stdin.buffer.read() if str(facts) == "-" else facts.read_bytes()
    except (OSError, PolicyInvalid) as error:
        print(error, file=sys.stderr)
        return 1
    bad = 0
    has_secrets = Scanner().has_secrets
    for line in simulate(policy, lines, now_ms=SystemClock().now_ms(), has_secrets=has_secrets, explain=explain):
        bad += line.decision is None
        sys.stdout.buffer.write(canonical_bytes(line.as_dict()) + b"\n")
    sys.stdout.buffer.flush()
    if bad:
        print(f"{facts}: lines that are no job: {bad}", file=sys.stderr)
    return 1 if bad else 0


def _read_rules(path: Path) -> bytes:
    """At most one byte more than allowed: a file that is too large is refused by who parses it."""
    with path.open("rb") as file:
        return file.read(limits.RULES_FILE_BYTES_MAX + 1)
