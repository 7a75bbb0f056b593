"""`holdgate policy …`: rules tried out offline, by the function that the gates use.

Exit code 0 when every line was decided, 1 when the rules do not load or a line is not a job.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.cli.testing import coverage_command, load_bundle
from holdgate.bundles.explain import Line as ShownLine
from holdgate.bundles.explain import explain_lines
from holdgate.bundles.simulate import Line, load_policy, simulate
from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.policy import Policy
from holdgate.scan.scanner import Scanner
from holdgate.scheduler.cli import shadow
from holdgate.scheduler.cli.replay import replay_command

app = typer.Typer(help="Try rules, offline or on what was and is decided.", no_args_is_help=True, add_completion=False)
app.command("replay")(replay_command)
app.command("coverage")(coverage_command)
app.add_typer(shadow.app, name="shadow")
RulesFiles = Annotated[list[Path] | None, typer.Option("--rules", help="A rules file; may be given more than once")]
Bundles = Annotated[
    list[Path] | None, typer.Option("--bundle", help="A bundle, built or a directory; may be given more than once")
]
FactsFile = Annotated[Path, typer.Option("--facts", help="Jobs, one JSON object a line; `-` reads standard input")]
AsText = Annotated[
    bool | None,
    typer.Option("--text/--json", help="For people, or as JSON lines  [default: for people on a terminal, else JSON]"),
]


@app.callback()
def _commands() -> None:
    """Keeps a single command from taking the place of the group."""


@app.command("simulate")
def simulate_facts(facts: FactsFile, rules: RulesFiles = None, bundles: Bundles = None) -> None:
    """Decide about each job: one JSON line in, one decision as JSON a line out. Nothing is stored or counted."""
    decided = _decided(rules, bundles, facts, explain=False, as_json=False)
    raise typer.Exit(_print_json(decided, facts))


@app.command("explain")
def explain_facts(facts: FactsFile, rules: RulesFiles = None, bundles: Bundles = None, as_text: AsText = None) -> None:
    """The same, and of every rule whether it matched, which field failed, and which rules won."""
    for_people = sys.stdout.isatty() if as_text is None else as_text
    decided = _decided(rules, bundles, facts, explain=True, as_json=not for_people)
    raise typer.Exit(_print_text(decided, facts) if for_people else _print_json(decided, facts))


def _decided(
    rules: list[Path] | None, bundles: list[Path] | None, facts: Path, *, explain: bool, as_json: bool
) -> Iterator[Line]:
    """What came of each line; ends the command where there is nothing to decide by or about."""
    if not rules and not bundles:
        raise typer.BadParameter("give `--rules FILE` or `--bundle FILE|DIR`")
    with refusals(as_json):
        policy = _policy(rules or [], bundles or [])
        lines = _read_facts(facts)
    measure = Scanner().present
    return simulate(policy, lines, now_ms=SystemClock().now_ms(), measure=measure, explain=explain)


def _policy(rules: list[Path], bundles: list[Path]) -> Policy:
    return load_policy([(str(path), _read_rules(path)) for path in rules], [load_bundle(path) for path in bundles])


def _print_json(lines: Iterator[Line], facts: Path) -> int:
    bad = 0
    for line in lines:
        bad += line.decision is None
        sys.stdout.buffer.write(canonical_bytes(line.as_dict()) + b"\n")
    sys.stdout.buffer.flush()
    return _finish(bad, facts)


def _print_text(lines: Iterator[Line], facts: Path) -> int:
    console = Console(highlight=False, soft_wrap=True)
    bad = 0
    for line in lines:
        bad += line.decision is None
        if line.number > 1:
            console.print()
        for shown in _shown(line):
            console.print(Text(shown.text, style=shown.style))
    return _finish(bad, facts)


def _shown(line: Line) -> list[ShownLine]:
    if line.decision is None:
        error = line.as_dict()
        return [ShownLine(f"line {line.number}: {error['error']}: {error['detail']}", "bold red")]
    return [ShownLine(f"{line.job_id}", "dim"), *explain_lines(line.decision)]


def _finish(bad: int, facts: Path) -> int:
    if bad:
        print(f"{facts}: lines that are no job: {bad}", file=sys.stderr)
    return 1 if bad else 0


def _read_rules(path: Path) -> bytes:
    """At most one byte more than allowed: a file that is too large is refused by who parses it."""
    with _readable(path, "--rules"), path.open("rb") as file:
        return file.read(limits.RULES_FILE_BYTES_MAX + 1)


def _read_facts(path: Path) -> bytes:
    with _readable(path, "--facts"):
        found = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    if not found.strip():
        raise InvalidInput(f"there is no job in `{path}`: one JSON object a line is expected, as in `POST /jobs`")
    return found


@contextmanager
def _readable(path: Path, option: str) -> Iterator[None]:
    try:
        yield
    except IsADirectoryError as error:
        hint = "; a bundle is given with `--bundle`" if option == "--rules" else ""
        raise InvalidInput(f"cannot read `{path}` of `{option}`: it is a directory{hint}") from error
    except OSError as error:
        raise InvalidInput(f"cannot read `{path}` of `{option}`: {(error.strerror or '').lower()}") from error
