"""`holdgate policy replay`: what a candidate would have decided about what was decided.

Exit code 0 when nothing is let through that was not, 3 when something is or may be, 1 when it could not be found out.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdgate.bundles.cli.common import BuiltFile, Json, read_file
from holdgate.bundles.cli.stores import told_refusals
from holdgate.bundles.format import parse_bundle
from holdgate.kernel.canonical import canonical_bytes
from holdgate.scheduler.cli.apicall import ApiKey, ApiKeyFile, ApiUrl, api_at

WIDENS = 3
NO_RULE = "(default)"


class Baseline(StrEnum):
    """What the candidate's decisions are compared with."""

    RECORDED = "recorded"
    ACTIVE = "active"


def replay_command(  # noqa: PLR0913  options of a command
    context: typer.Context,
    file: BuiltFile,
    api: ApiUrl,
    api_key_file: ApiKeyFile = None,
    api_key: ApiKey = None,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000_000, help="The newest so many decisions")] = 10_000,
    since: Annotated[str | None, typer.Option("--since", help="Only decisions since, `2026-01-02T03:04:05Z`")] = None,
    baseline: Annotated[
        Baseline, typer.Option("--baseline", help="Compare with what was decided, or with what would be now")
    ] = Baseline.RECORDED,
    as_json: Json = False,
) -> None:
    """Decide again about jobs of your tenant, by a built bundle that need not be signed; nothing is changed."""
    with told_refusals():
        data = read_file(file)
        parse_bundle(data)
        asked: dict[str, Any] = {"last": last, "baseline": str(baseline)}
        if since is not None:
            asked["since"] = since
        # The file is in the one form of its value, and so is what it is put into.
        body = canonical_bytes(asked)[:-1] + b',"bundle":' + data + b"}"
        with Console(stderr=True).status("deciding again"):
            report = api_at(context, api, api_key_file, api_key).call("POST", "/policy/replay", body)
    if as_json:
        typer.echo(canonical_bytes(report).decode())
    else:
        _print(report)
    if report["widens"]:
        raise typer.Exit(WIDENS)


def _print(report: dict[str, Any]) -> None:
    console = Console(file=sys.stdout)
    if report["groups"]:
        console.print(_table(report["groups"]))
    for line in _summary(report):
        console.print(line, markup=False, highlight=False)


def _table(groups: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("", "decided", "would be", "jobs", "rule then", "rule now", "for example"):
        table.add_column(name, overflow="fold")
    for group in groups:
        after = group["after"] + (f" ({', '.join(group['differs'])})" if group["differs"] else "")
        rules = (group["rule_before"] or NO_RULE, group["rule_after"] or NO_RULE)
        examples = "\n".join(f"{example['topic']} {example['job_id']}" for example in group["examples"][:1])
        row = (group["outcome"], group["before"], after, str(group["count"]), *rules, examples)
        # Text, since a string would be read as Rich's markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


def _summary(report: dict[str, Any]) -> list[str]:
    candidate = report["candidate"]
    counted = ", ".join(f"{report[name]} {name}" for name in ("decisions", "unchanged", "wider", "other", "tighter"))
    lines = [f"{candidate['name']} version {candidate['version']}: {counted}"]
    left_out = report["not_comparable"]
    if left_out:
        lines.append("not comparable: " + ", ".join(f"{count} {reason}" for reason, count in left_out.items()))
    if report["errors"]:
        lines.append(f"a condition failed in {report['errors']} decisions")
    if report["oldest"] is not None:
        lines.append(f"decided from {report['oldest']} to {report['newest']}")
    if not report["complete"]:
        lines.append("not all that was asked for: the time was over; ask for fewer with `--last` or `--since`")
    return lines
