"""`holdgate bundle test`. Exit code 0 when all passed, 1 when not, 2 when something could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import Json, read_file
from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle
from holdgate.bundles.testing import TestReport, load_suite, run_suite
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import HoldgateError

FAILED_SHOWN_MAX = 50
"""Failed cases that are told in full on a terminal; `--json` and `--junit` have all."""
BundlePath = Annotated[Path, typer.Argument(metavar="DIR|FILE", help="A bundle directory, or a built bundle")]


@bundle_app.command("test")
def run_command(
    bundle: BundlePath,
    only: Annotated[str | None, typer.Option("--filter", metavar="GLOB", help="Only cases of such a name")] = None,
    as_json: Json = False,
) -> None:
    """Run the tests of a bundle: its own rules decide every case."""
    with unreadable():
        suite = load_suite(load_bundle(bundle), only=only)
        report = run_suite(suite)
    if as_json:
        typer.echo(canonical_bytes(report.as_dict()).decode())
    else:
        show_results(report)
    raise typer.Exit(0 if report.passed and report.results else 1)


def load_bundle(path: Path) -> BundleFile:
    """The bundle of a directory or of a built file; signatures are not looked at."""
    return parse_bundle(build_bundle(path) if path.is_dir() else read_file(path))


def show_results(report: TestReport) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for result in report.failed[:FAILED_SHOWN_MAX]:
        console.print(Text.assemble(("FAILED ", "red"), f"{result.file}:{result.line}: {result.name}"))
        for problem in result.problems:
            console.print(Text(f"    {problem}"))
    left_out = len(report.failed) - FAILED_SHOWN_MAX
    if left_out > 0:
        console.print(f"and {left_out} more that failed")
    passed = len(report.results) - len(report.failed)
    console.print(f"{passed} passed, {len(report.failed)} failed")


@contextmanager
def unreadable() -> Iterator[None]:
    """Errors of ours as a line and exit code 2."""
    try:
        yield
    except HoldgateError as error:
        typer.echo(f"{error.code}: {error}", err=True)
        raise typer.Exit(2) from error
