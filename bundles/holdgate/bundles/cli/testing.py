"""`holdgate bundle test`. Exit code 0 when all is well, 1 when not, 2 when something could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import Json, read_file, write_file
from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle
from holdgate.bundles.testing import (
    Coverage,
    Mutation,
    MutationReport,
    Suite,
    TestReport,
    junit_xml,
    load_suite,
    run_suite,
)
from holdgate.bundles.testing.coverage import ConditionCoverage
from holdgate.bundles.testing.mutation import Outcome
from holdgate.kernel.canonical import canonical_bytes

UNREADABLE = 2
"""Exit code."""
SHOWN_MAX = 50
"""Failed cases, and mutants that survived, that a terminal shows; `--json` and `--junit` have all."""
QUIET_S = 2
"""How long nothing is said of how far it got."""
BundlePath = Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A bundle directory, or a built bundle")]
Filter = Annotated[str | None, typer.Option("--filter", metavar="GLOB", help="Only cases of such a name")]
Junit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML")]
ShowCoverage = Annotated[bool, typer.Option("--coverage", help="Show which rules and conditions the cases saw")]
CoverMin = Annotated[
    float | None, typer.Option("--cover-min", min=0, max=100, help="Least coverage in percent, of rules and conditions")
]
Mutate = Annotated[bool, typer.Option("--mutate", help="Change each rule, and show which changes no case notices")]


@bundle_app.command("test")
def run_command(
    bundle: BundlePath,
    only: Filter = None,
    junit: Junit = None,
    coverage: ShowCoverage = False,
    cover_min: CoverMin = None,
    mutate: Mutate = False,
    as_json: Json = False,
) -> None:
    """Run the tests of a bundle. Its own rules decide every case, alone, and what no rule allows is denied."""
    if only is not None and (mutate or cover_min is not None):
        raise typer.BadParameter("`--filter` leaves out cases that `--mutate` and `--cover-min` need")
    with refusals(as_json, exit_code=UNREADABLE):
        file = load_bundle(bundle)
        with Console(stderr=True).status("running the cases"):
            suite = load_suite(file, only=only)
            report = run_suite(suite)
        mutation = _mutate(suite) if mutate and report.passed and report.results else None
        if junit is not None:
            write_file(junit, junit_xml(report, file.manifest.name))
    if as_json:
        more = {} if mutation is None else {"mutation": mutation.as_dict()}
        typer.echo(canonical_bytes({"bundle": file.manifest.name, **report.as_dict(), **more}).decode())
    else:
        _show(report, mutation, with_coverage=coverage)
    reasons = list(_reasons(report, mutation, only, cover_min))
    for reason in reasons:
        typer.echo(reason, err=True)
    raise typer.Exit(1 if reasons or not report.passed else 0)


def coverage_command(
    bundles: Annotated[list[Path], typer.Argument(metavar="DIR|FILE...", help="Bundle directories, or built bundles")],
    cover_min: CoverMin = None,
    as_json: Json = False,
) -> None:
    """Show which rules and conditions the tests of bundles saw, as `holdgate bundle test --coverage` does of one.

    Exit code 1 where a case fails, a bundle has no cases, or --cover-min is not reached; 2 where one does not load.
    """
    with refusals(as_json, exit_code=UNREADABLE):
        files = [load_bundle(path) for path in bundles]
        with Console(stderr=True).status("running the cases"):
            reports = [(file.manifest.name, run_suite(load_suite(file))) for file in files]
    if as_json:
        shown = [{"bundle": name, **report.as_dict()} for name, report in reports]
        typer.echo(canonical_bytes({"bundles": shown}).decode())
    reasons: list[str] = []
    for name, report in reports:
        if not as_json:
            Console(highlight=False, soft_wrap=True).print(Text(name, style="bold"))
            _show(report, None, with_coverage=True)
        reasons += [f"{name}: {reason}" for reason in _reasons(report, None, None, cover_min)]
    for reason in reasons:
        typer.echo(reason, err=True)
    raise typer.Exit(1 if reasons or not all(report.passed for _, report in reports) else 0)


def load_bundle(path: Path) -> BundleFile:
    """The bundle of a directory or of a built file; signatures are not looked at."""
    return parse_bundle(build_bundle(path) if path.is_dir() else read_file(path))


def _mutate(suite: Suite) -> MutationReport:
    mutation = Mutation(suite)
    return MutationReport.of(_watched(mutation))


def _watched(mutation: Mutation) -> Iterator[Outcome]:
    """The outcomes, with a bar on standard error once it takes long."""
    started = monotonic()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("mutants", total=len(mutation.mutants), visible=False)
        for outcome in mutation.outcomes():
            yield outcome
            bar.update(task, advance=1, visible=monotonic() - started > QUIET_S)


def _reasons(
    report: TestReport, mutation: MutationReport | None, only: str | None, cover_min: float | None
) -> Iterator[str]:
    """Why all is not well, beside cases that failed."""
    if not report.results:
        wanted = "the bundle has no tests; name files of them in `tests` of bundle.yaml"
        yield wanted if only is None else f"no case has a name like `{only}`"
    if cover_min is not None:
        coverage = report.coverage
        if min(coverage.rules_percent, coverage.conditions_percent) < cover_min:
            yield f"{_summary(coverage)}, below {cover_min:g} %"
    if mutation is not None and mutation.survivors:
        several = f"{len(mutation.survivors)} changes of the rules are"
        yield f"{'1 change of the rules is' if len(mutation.survivors) == 1 else several} noticed by no case"


def _show(report: TestReport, mutation: MutationReport | None, *, with_coverage: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for result in report.failed[:SHOWN_MAX]:
        console.print(Text.assemble(("FAILED ", "red"), f"{result.file}:{result.line}: {result.name}"))
        for problem in result.problems:
            console.print(Text(f"    {problem}"))
    _left_out(console, len(report.failed), "cases that failed")
    if with_coverage:
        _show_coverage(console, report.coverage)
    if mutation is not None:
        _show_mutation(console, mutation)
    passed = len(report.results) - len(report.failed)
    console.print(f"{passed} passed, {len(report.failed)} failed; {_summary(report.coverage)}")


def _summary(coverage: Coverage) -> str:
    return f"coverage: rules {coverage.rules_percent:.0f} %, conditions {coverage.conditions_percent:.0f} %"


def _show_coverage(console: Console, coverage: Coverage) -> None:
    table = Table(box=None)
    for heading in ("rule", "cases", "conditions", "not seen"):
        table.add_column(heading, overflow="fold")
    for rule in coverage.rules:
        missing = ", ".join(_unseen(item) for item in rule.conditions if not item.covered)
        covered = sum(item.covered for item in rule.conditions)
        seen = f"{covered} of {len(rule.conditions)}" if rule.conditions else "none"
        counted = Text(str(rule.counted), style="" if rule.covered else "red")
        table.add_row(Text(rule.id), counted, seen, Text(missing))
    console.print(table)


def _unseen(item: ConditionCoverage) -> str:
    if not item.held and not item.failed:
        return f"{item.name} (never looked at)"
    return f"{item.name} (always held)" if item.held else f"{item.name} (never held)"


def _show_mutation(console: Console, mutation: MutationReport) -> None:
    for mutant in mutation.survivors[:SHOWN_MAX]:
        console.print(Text.assemble(("SURVIVED ", "red"), f"{mutant.rule}: {mutant.change}"))
        console.print(Text(f"    add {mutant.hint}"))
    _left_out(console, len(mutation.survivors), "mutants that survived")
    mutants = f"{mutation.total} mutant{'' if mutation.total == 1 else 's'}"
    console.print(f"{mutants}, {len(mutation.survivors)} survived")


def _left_out(console: Console, count: int, what: str) -> None:
    if count > SHOWN_MAX:
        console.print(f"and {count - SHOWN_MAX} more {what}")
