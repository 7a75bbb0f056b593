"""`holdgate scan FILE…|-`, `holdgate scan lint FILE` and `holdgate scan rules`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from holdgate.scan import Category, Redactor, ScanError, Scanner, Severity
from holdgate.scan.engine import Budget
from holdgate.scan.errors import RedactionIncomplete, RulesInvalid
from holdgate.scan.ruleset import Rule
from holdgate.scheduler.cli.scan import report
from holdgate.scheduler.cli.scan.look import Looked, Wanted, findings_of, look_at
from holdgate.scheduler.cli.scan.progress import Progress
from holdgate.scheduler.cli.scan.rulesfile import problems_of, rules_of, rules_with
from holdgate.scheduler.cli.scan.sources import STDIN, Unread, read_source, sources_of
from holdgate.scheduler.visible import visible

SECONDS = 60.0
"""For one file: nobody else waits for it."""
DEFAULT = "files"
AMBIGUOUS = (DEFAULT, "rules")
"""Commands that would end well, though they were meant as the name of what is to be scanned."""


class ScanExit(IntEnum):
    """How a scan ends."""

    CLEAN = 0
    FINDINGS = 1
    USAGE = 2
    NOT_SCANNED = 3


EXITS = (
    "Exit codes: 0 nothing was found; 1 something was; 2 the command line or a rules file is wrong; 3 something could "
    "not be scanned, whatever was found in the rest."
)


LINT_EXITS = "Exit codes: 0 no error; 1 the linter found one; 2 the file does not load."


class FilesByDefault(TyperGroup):
    """Takes `holdgate scan FILE…` for `holdgate scan files FILE…`; a file named as a command is written `./lint`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """With the name of the command that is left out."""
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = [DEFAULT, *args]
        elif args and args[0] in AMBIGUOUS and "--help" not in args and Path(args[0]).exists():
            raise typer.BadParameter(
                f"`{args[0]}` is a command, and the name of something here, too: write `./{args[0]}` to scan that; the "
                "command is given where nothing has its name"
            )
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=FilesByDefault,
    help="Find secrets and personal data: `holdgate scan FILE…`, or `-` for standard input. See `files --help`.",
    no_args_is_help=True,
    add_completion=False,
    epilog=EXITS,
)
Rules = Annotated[Path | None, typer.Option("--rules", help="Rules of your own beside those of Holdgate")]
AsJson = Annotated[bool, typer.Option("--json", help="An object a line")]


@app.command(DEFAULT, epilog=EXITS)
def files_command(  # noqa: PLR0913  a command has the options that it has
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Files, directories, or `-` for standard input")],
    as_json: AsJson = False,
    as_sarif: Annotated[bool, typer.Option("--sarif", help="One SARIF 2.1.0 document, for code scanning")] = False,
    redact: Annotated[
        bool, typer.Option("--redact", help="Write the text of the one file without what was found")
    ] = False,
    min_severity: Annotated[Severity, typer.Option(help="Tell no less grave ones")] = Severity.LOW,
    category: Annotated[list[Category] | None, typer.Option(help="Tell these alone; may be repeated")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Look at the text as it is, decode nothing")] = False,
    rules: Rules = None,
    fast: Annotated[bool, typer.Option("--fast", help="With hyperscan, where the extra `fast` is installed")] = False,
    max_bytes: Annotated[int, typer.Option(min=1, help="Of one file; a larger one is not scanned")] = 32 * 1024 * 1024,
) -> None:
    """Find secrets and personal data in files; of what is found the place and the kind are told, never the value."""
    if as_json + as_sarif + redact > 1:
        raise typer.BadParameter("give one of `--json`, `--sarif` and `--redact`")
    _require_there(files)
    wanted = Wanted(min_severity, frozenset(category or ()), raw, max_bytes)
    scanner = Scanner(rules=_loaded(rules), budget=_budget(max_bytes), fast=fast)
    if redact:
        raise typer.Exit(_redact(scanner, files, wanted))
    looked = _looked(scanner, files, wanted)
    if as_json:
        report.print_lines(looked)
    elif as_sarif:
        _print_sarif(looked, rules)
    else:
        report.print_table(looked)
    report.print_problems(looked)
    raise typer.Exit(_exit_of(looked))


@app.command("lint", epilog=LINT_EXITS)
def lint_command(
    file: Annotated[Path, typer.Argument(help="A rules file")],
) -> None:
    """Check a file of rules of your own: form, bounds, patterns, and that each finds its own examples."""
    try:
        rules = rules_of(file)
    except RulesInvalid as error:
        raise _refused(error) from error
    problems = problems_of(rules)
    report.print_lint(len(rules), problems)
    raise typer.Exit(ScanExit.FINDINGS if any(is_error for _, is_error in problems) else ScanExit.CLEAN)


@app.command("rules")
def rules_command(as_json: AsJson = False, rules: Rules = None) -> None:
    """List the detectors: what each finds and how grave that is."""
    shown = [
        {"id": rule.id, "category": str(rule.category), "severity": str(rule.severity), "docs": rule.docs}
        for rule in _loaded(rules)
    ]
    report.print_rules(sorted(shown, key=lambda rule: rule["id"]), as_json=as_json)


def _budget(bytes_max: int) -> Budget:
    usual = Budget()
    return replace(usual, seconds=SECONDS, text_chars_max=max(usual.text_chars_max, bytes_max))


def _looked(scanner: Scanner, files: list[str], wanted: Wanted) -> list[Looked]:
    looked: list[Looked] = []
    progress, bytes_read = Progress(), 0
    try:
        for source in sources_of(files):
            looked.append(look_at(scanner, source, wanted))
            bytes_read += looked[-1].bytes_read
            progress.note(len(looked), bytes_read)
    finally:
        progress.end()
    return looked


def _exit_of(looked: list[Looked]) -> ScanExit:
    if any(each.problem is not None and not each.is_skipped for each in looked):
        return ScanExit.NOT_SCANNED
    return ScanExit.FINDINGS if any(each.found for each in looked) else ScanExit.CLEAN


def _redact(scanner: Scanner, files: list[str], wanted: Wanted) -> ScanExit:
    """The text on standard output, whole and clean, or nothing."""
    sources = list(sources_of(files))
    if len(sources) != 1:
        raise typer.BadParameter("`--redact` takes one file, or `-`")
    redactor = Redactor(os.urandom(32))
    try:
        text = read_source(sources[0], wanted.bytes_max).decode("utf-8")
        redacted = redactor.redact_text(text, findings_of(scanner, text, wanted))
        if left := findings_of(scanner, redacted, wanted):
            raise RedactionIncomplete(f"{len(left)} findings are left after redaction")
    except UnicodeDecodeError:
        report.tell(f"{sources[0].name}: not redacted: not UTF-8, so it cannot be written again without what was found")
        return ScanExit.NOT_SCANNED
    except (ScanError, Unread) as error:
        report.tell(f"{sources[0].name}: not redacted: {error}")
        return ScanExit.NOT_SCANNED
    sys.stdout.buffer.write(redacted.encode("utf-8"))
    return ScanExit.CLEAN


def _print_sarif(looked: list[Looked], rules: Path | None) -> None:
    from importlib import metadata

    from holdgate.scheduler.cli.scan.sarif import sarif

    docs = {rule.id: rule.docs for rule in _loaded(rules)}
    report.print_document(sarif(looked, metadata.version("holdgate"), docs))


def _loaded(file: Path | None) -> tuple[Rule, ...]:
    try:
        return rules_with(file)
    except RulesInvalid as error:
        raise _refused(error) from error


def _refused(error: RulesInvalid) -> typer.Exit:
    report.tell(str(error))
    return typer.Exit(ScanExit.USAGE)


def _require_there(files: list[str]) -> None:
    """A name that leads nowhere is a slip of the command line, not a file that is clean."""
    for name in files:
        if name != STDIN and not Path(name).exists():
            raise typer.BadParameter(f"there is no file `{visible(name)}`")
