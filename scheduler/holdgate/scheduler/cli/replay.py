"""`holdgate policy replay`: what a candidate would have decided about what was decided.

Exit code 0 when nothing is let through that was not, 3 when something is or may be, 1 when it could not be found out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console

from holdgate.bundles.cli.common import BuiltFile, Json, read_file
from holdgate.bundles.cli.plain import say
from holdgate.bundles.cli.refusal import refusals
from holdgate.bundles.format import parse_bundle
from holdgate.kernel.canonical import canonical_bytes
from holdgate.scheduler.cli.apicall import ApiKey, ApiKeyFile, ApiUrl, api_at

WIDENS = 3
NO_RULE = "(default)"
STOPPED = {
    "time": "the time was over; ask for fewer with `--last` or `--since`",
    "slow": "the bundle takes too long for a decision; use fewer or simpler conditions",
}


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
    with refusals(as_json):
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
    for line in [*_changes(report["groups"]), *_summary(report)]:
        say(line)


def _changes(groups: list[dict[str, Any]]) -> list[str]:
    """A line for each group, in columns, and under it a job of it."""
    rows = [_row(group) for group in groups]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for group, row in zip(groups, rows, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        lines += [f"    such as {example['job_id']}  {example['topic']}" for example in group["examples"][:1]]
    return lines


def _row(group: dict[str, Any]) -> tuple[str, ...]:
    differs = f" ({', '.join(group['differs'])})" if group["differs"] else ""
    count = group["count"]
    return (
        group["outcome"],
        f"{group['before']} → {group['after']}{differs}",
        f"{count} job{'' if count == 1 else 's'}",
        f"{group['rule_before'] or NO_RULE} → {group['rule_after'] or NO_RULE}",
    )


def _decisions(count: int) -> str:
    return f"{count} decision{'' if count == 1 else 's'}"


def _summary(report: dict[str, Any]) -> list[str]:
    candidate = report["candidate"]
    counted = ", ".join(f"{report[name]} {name}" for name in ("unchanged", "wider", "other", "tighter"))
    lines = [f"{candidate['name']} version {candidate['version']}: {_decisions(report['decisions'])}, {counted}"]
    left_out = report["not_comparable"]
    if left_out:
        lines.append("not comparable: " + ", ".join(f"{count} {reason}" for reason, count in left_out.items()))
    if report["errors"]:
        lines.append(f"a condition failed in {_decisions(report['errors'])}")
    if report["oldest"] is not None:
        lines.append(f"decided from {report['oldest']} to {report['newest']}")
    if report["stopped"] is not None:
        lines.append(f"not all that was asked for: {STOPPED[report['stopped']]}")
    return lines
