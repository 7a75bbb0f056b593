"""`holdgate bundle diff`. Exit code 0 when nothing widens, 3 when something does or may, 1 when it cannot be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import Json
from holdgate.bundles.cli.plain import plain
from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.cli.testing import load_bundle
from holdgate.bundles.diff import Change, Diff, Direction, compare, samples_of
from holdgate.bundles.diff.samples import PII, SECRETS
from holdgate.bundles.format import BundleFile
from holdgate.bundles.trusted import parse_bundle_rules
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.records import Verdict

WIDENED = 3
"""Exit code: something is allowed that was not, or may be."""
CHANGES_MAX = 100
"""Changes of each kind that a terminal shows; `--json` has all."""
_ABOUT = ("scope", "valid_from", "expires", "grace")
_TITLES = {
    Direction.WIDENS: ("What becomes allowed that was not", "bold red"),
    Direction.UNCLEAR: ("What could not be shown to allow nothing more", "bold yellow"),
    Direction.TIGHTENS: ("What becomes stricter", "bold green"),
    Direction.CHANGES: ("What does the same as before", "bold"),
}


class Default(StrEnum):
    """The default decision of the root."""

    DENY = "deny"
    ALLOW = "allow"


Old = Annotated[Path, typer.Argument(metavar="OLD", help="The bundle before: built, or a directory")]
New = Annotated[Path, typer.Argument(metavar="NEW", help="The bundle after: built, or a directory")]
With = Annotated[
    list[Path] | None, typer.Option("--with", help="Another bundle in force, before and after; repeatable")
]
DefaultOption = Annotated[Default, typer.Option("--default", help="The default decision of the root")]


@bundle_app.command("diff")
def diff_command(
    old: Old, new: New, beside: With = None, default: DefaultOption = Default.DENY, as_json: Json = False
) -> None:
    """Say what a bundle allows that the one before it did not, with a job as an example.

    Exit code 0: nothing. 3: something, or it could not be shown that nothing. 1: a bundle does not load.
    """
    with refusals(as_json):
        before, after = load_bundle(old), load_bundle(new)
        files = [load_bundle(path) for path in beside or ()]
        others = [parse_bundle_rules(file) for file in files]
        diff = compare(
            [parse_bundle_rules(before), *others],
            [parse_bundle_rules(after), *others],
            default=Verdict(default),
            samples=samples_of([before, after, *files]),
        )
    about = _about(before, after)
    if as_json:
        typer.echo(canonical_bytes({**diff.as_dict(), "bundle": about}).decode())
    else:
        _show(diff, about)
    raise typer.Exit(WIDENED if diff.widens else 0)


def _about(before: BundleFile, after: BundleFile) -> dict[str, Any]:
    """What the bundles say of themselves, where it differs: `[before, after]`."""
    was, now = (file.manifest.model_dump(mode="json") for file in (before, after))
    return {name: [was[name], now[name]] for name in ("name", "version", *_ABOUT) if was[name] != now[name]}


def _show(diff: Diff, about: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for direction, (title, style) in _TITLES.items():
        changes = [change for change in diff.changes if change.direction is direction]
        if changes:
            _print(console, f"{title}: {len(changes)}", style)
            _show_changes(console, changes)
    if about:
        _print(console, "bundle.yaml", "bold")
    for name, (was, now) in about.items():
        _print(console, f"  {name}  {_plain(was)} → {_plain(now)}")
    if not diff.changes:
        _print(console, "No rule differs.")


def _show_changes(console: Console, changes: Sequence[Change]) -> None:
    for change in changes[:CHANGES_MAX]:
        _print(console, f"  {change.rule}  ({change.bundle})  {change.what}")
        if change.example is not None:
            _show_example(console, change.example)
    if len(changes) > CHANGES_MAX:
        _print(console, f"  and {len(changes) - CHANGES_MAX} more; `--json` shows all")


_MEASURED = {SECRETS: "a secret", PII: "personal data"}


def _show_example(console: Console, example: Mapping[str, Any]) -> None:
    facts = example.get("facts", example.get("output", {}))
    inside = [text for name, text in _MEASURED.items() if example.get(name)]
    secret = f"  with {' and '.join(inside)} in its prompt" if inside else ""
    kind = "job" if "facts" in example else "output"
    _print(console, f"    {kind}     {canonical_bytes(facts).decode()}{secret}", "cyan")
    for name in ("before", "after"):
        decided = example[name]
        by = f" by {', '.join(decided['rules'])}" if decided["rules"] else f": {decided['reason']}"
        _print(console, f"    {name:<6}  {decided['verdict']}{by}")
    _print(console, f"    so      {example['how']}")


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(plain(text), style=style))


def _plain(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else canonical_bytes(value).decode()
