"""`holdgate bundle init`, `lint`, `schema`.

Exit code of lint: 0 when all is well, 1 when not, 2 when something could not be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import Json, load_trust, read_file, show
from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.cli.scanner import scanner
from holdgate.bundles.draft import copied, drafted, write_draft
from holdgate.bundles.errors import BundleMalformed
from holdgate.bundles.format import SOURCE_FILE, build_bundle, parse_bundle
from holdgate.bundles.lint.catalog import BY_CODE
from holdgate.bundles.lint.files import Source, lint_sources, source_of_bundle, source_of_rules
from holdgate.bundles.lint.findings import Finding, LintContext, Severity
from holdgate.bundles.lint.formats import github_lines, sarif
from holdgate.bundles.schema import schema_text
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.trust import ApproverKey

FAILED, UNREADABLE = 1, 2
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


class Format(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"


class Kind(StrEnum):
    """Files that have a schema."""

    BUNDLE = "bundle"
    RULES = "rules"
    TESTS = "tests"
    ROOT = "root"


Paths = Annotated[
    list[Path], typer.Argument(metavar="DIR|FILE...", help="Bundle directories, built bundles, or rules files")
]
With = Annotated[list[Path] | None, typer.Option("--with", help="A bundle that is in force beside these; repeatable")]
Root = Annotated[Path | None, typer.Option("--root", envvar="HOLDGATE_ROOT_FILE", help="Names the approver roles")]
Pins = Annotated[str, typer.Option("--pins", envvar="HOLDGATE_ROOT_PINS", help="Root keys that must have signed it")]
Roles = Annotated[str | None, typer.Option("--roles", help="Approver roles that somebody has: `a,b`")]
Strict = Annotated[bool, typer.Option("--strict", help="Warnings fail, too")]
Ignore = Annotated[list[str] | None, typer.Option("--ignore", metavar="CODE", help="Leave this out; repeatable")]
As = Annotated[Format, typer.Option("--format", help="How to print what was found")]


@bundle_app.command("init")
def init_command(
    name: Annotated[str, typer.Argument(help="Name of the bundle")],
    starter: Annotated[str | None, typer.Option("--from", metavar="STARTER", help="Copy a starter bundle")] = None,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where to write it [NAME]")] = None,
    as_json: Json = False,
) -> None:
    """Write the first draft of a bundle, with rules and tests to change. Nothing is overwritten."""
    with refusals(as_json):
        place = Path(name) if directory is None else directory
        now_ms = SystemClock().now_ms()
        files = drafted(name, now_ms) if starter is None else copied(starter, name, now_ms)
        write_draft(place, files)
    shown: dict[str, Any] = {"name": name, "directory": str(place), "files": list(files)}
    if starter is not None and starter != name:
        shown["note"] = f"its rule ids are those of `{starter}`: rename them before you publish both"
    commands = ("lint", "test", "build")
    show({**shown, "next": [f"holdgate bundle {command} {place}" for command in commands]}, as_json)


@bundle_app.command("lint")
def lint_command(  # noqa: PLR0913  each is an option
    paths: Paths,
    beside: With = None,
    root: Root = None,
    pins: Pins = "",
    roles: Roles = None,
    ignore: Ignore = None,
    strict: Strict = False,
    form: As = Format.TEXT,
    as_json: Json = False,
) -> None:
    """Look for rules that do not do what their author meant. The codes are in docs/reference/lint.md."""
    unknown = sorted(set(ignore or ()) - set(BY_CODE))
    if unknown:
        raise typer.BadParameter(f"there is no check `{unknown[0]}`; there are {', '.join(sorted(BY_CODE))}")
    form = Format.JSON if as_json else form
    with refusals(form is Format.JSON, exit_code=UNREADABLE):
        sources = _distinct([_read(path) for path in paths], [_read(path) for path in beside or ()])
        people = replace(_people(root, pins, roles), scanner=scanner(), now_ms=SystemClock().now_ms())
        found = [item for item in lint_sources(*sources, people) if item.code not in (ignore or ())]
    _print(found, form)
    fatal = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    raise typer.Exit(FAILED if any(item.severity in fatal for item in found) else 0)


@bundle_app.command("schema")
def schema_command(kind: Annotated[Kind, typer.Argument(help="The kind of file")]) -> None:
    """Print the JSON Schema of a kind of file, for editors."""
    typer.echo(schema_text(kind), nl=False)


def _read(path: Path) -> Source:
    directory = path.parent if path.name == SOURCE_FILE else path
    if directory.is_dir():
        return source_of_bundle(parse_bundle(build_bundle(directory)), f"{directory.as_posix()}/")
    data = read_file(path)
    if path.suffix in (".yaml", ".yml"):
        return source_of_rules(path.stem, path.as_posix(), data)
    return source_of_bundle(parse_bundle(data))


def _distinct(own: list[Source], beside: list[Source]) -> tuple[list[Source], list[Source]]:
    """The bundles, no two of one name; one that is looked at takes the place of one in force."""
    names = [source.name for source in own]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise BundleMalformed(f"two bundles are called `{twice}`; look at one of them at a time")
    others = {source.name: source for source in beside if source.name not in names}
    return own, list(others.values())


def _people(root: Path | None, pins: str, roles: str | None) -> LintContext:
    """The approver roles that somebody has, and approvers' own keys, where that is known."""
    known: set[str] = set() if roles is None else {role.strip() for role in roles.split(",") if role.strip()}
    own_keys: tuple[ApproverKey, ...] | None = None
    if root is not None:
        trusted = load_trust(root, pins, SystemClock())
        known.update(role.name for role in trusted.approver_roles)
        own_keys = tuple(trusted.trust().approvers.values())
    return LintContext(roles=frozenset(known) if known or roles is not None else None, own_keys=own_keys)


def _print(found: Sequence[Finding], form: Format) -> None:
    counts = Counter(item.severity for item in found)
    match form:
        case Format.JSON:
            totals = {f"{severity}s": counts[severity] for severity in Severity}
            typer.echo(canonical_bytes({"findings": [item.as_dict() for item in found], **totals}).decode())
        case Format.SARIF:
            typer.echo(canonical_bytes(sarif(found)).decode())
        case Format.GITHUB:
            for line in github_lines(found):
                typer.echo(line)
        case Format.TEXT:
            _print_text(found, counts)


def _print_text(found: Sequence[Finding], counts: Counter[Severity]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for item in found:
        severity = (f"{item.severity:<8}", _COLOURS[item.severity])
        about = item.rule or f"bundle {item.bundle}"
        console.print(Text.assemble(severity, (item.code, "bold"), f"  {about}  {item.file}:{item.line}"))
        console.print(Text(f"        {item.message}"))
    console.print(", ".join(_count(counts[severity], str(severity)) for severity in Severity))


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
