"""Refusals, for people and for programs.

What always holds: a refusal is told on standard error, a line that begins with its code; with `--json` it is one JSON
object on standard output, too. The exit code is the same for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from holdgate.bundles.cli.plain import plain_lines, say
from holdgate.bundles.errors import BundleFaulty, DocumentInvalid
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.errors import HoldgateError, PolicyInvalid

REFUSED = 1
RAISE_VERSION = "raise `version` in bundle.yaml above those in `holdgate bundle log`, build and sign again"
NEXT: dict[str, str] = {
    "bundle_widening": "look at each with `holdgate bundle check`; where all of it is meant, add --accept-widening",
    "bundle_tests": "run `holdgate bundle test`, mend rules or tests, build and sign again",
    "bundle_lint": "run `holdgate bundle lint`, mend the rules, build and sign again",
    "bundle_conflict": "look at `holdgate bundle log` and at what differs now, then publish again",
    "bundle_threshold": "let another author sign: `holdgate bundle sign FILE --key …`",
    "bundle_version": RAISE_VERSION,
    "bundle_version_reused": RAISE_VERSION,
    "forbidden": "use the API key of an author",
}
"""What to run after a refusal."""


class ProblemReply(HoldgateError):
    """a refusal by the API; `problems` as `(where, why)`"""

    def __init__(self, code: str, detail: str, problems: tuple[tuple[str, str], ...]) -> None:
        super().__init__(detail)
        self.code = code
        self.problems = problems


@contextmanager
def refusals(as_json: bool = False, *, exit_code: int = REFUSED) -> Iterator[None]:
    """Errors of ours as lines, with each problem and what to do next, and `exit_code`."""
    try:
        yield
    except HoldgateError as error:
        if as_json:
            typer.echo(canonical_bytes(as_dict(error)).decode())
        tell(error)
        raise typer.Exit(exit_code) from error


def as_dict(error: HoldgateError) -> dict[str, Any]:
    """The refusal as a program reads it."""
    return {"error": error.code, "detail": str(error), "problems": _problems(error)}


def tell(error: HoldgateError) -> None:
    """The refusal on standard error."""
    problems = error.problems if isinstance(error, BundleFaulty | ProblemReply) else ()
    detail = str(error).partition(": ")[0] if problems else str(error)
    typer.echo(plain_lines(f"{error.code}: {detail}"), err=True)
    for where, why in problems:
        say(f"  {where}  {why}", err=True)
    if error.code in NEXT:
        typer.echo(f"next: {NEXT[error.code]}", err=True)


def _problems(error: HoldgateError) -> list[dict[str, Any]]:
    """Each with the `field` that is wrong, and of a file that does not load with its `file` and `line`."""
    if isinstance(error, DocumentInvalid):
        return [
            {"file": error.file, "line": line, "field": _field(place), "detail": why}
            for line, place, why in error.found
        ]
    if isinstance(error, PolicyInvalid):
        return [{"field": _field(place), "detail": why} for place, why in error.problems]
    if isinstance(error, BundleFaulty | ProblemReply):
        return [{"field": where, "detail": why} for where, why in error.problems]
    return []


def _field(place: tuple[str | int, ...]) -> str:
    return ".".join(map(str, place))
