"""`holdgate bundle list`, `log`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from holdgate.bundles.cli.apps import bundle_app
from holdgate.bundles.cli.common import Json, show
from holdgate.bundles.cli.plain import plain
from holdgate.bundles.cli.stores import Published, at_store

WIDE = 150
"""Columns of a terminal that shows all there is to say of a version on one line."""
NARROW_TITLES = ("name", "version", "published (UTC)", "by", "signed by", "expires")
USUAL_TENANT = "default/"
BundleName = Annotated[str, typer.Argument(metavar="NAME", help="As `holdgate bundle list` shows it")]


@bundle_app.command("list")
@at_store
def list_command(bundles: Published, as_json: Json = False) -> None:
    """List the newest published bundle of each name."""
    _show(bundles.bundles(), as_json)


@bundle_app.command("log")
@at_store
def log_command(bundles: Published, name: BundleName, as_json: Json = False) -> None:
    """Show who published what of a bundle, when, signed by whom; newest first."""
    _show(bundles.log(name), as_json)


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        show({"items": rows}, as_json)
        return
    console = Console()
    if console.is_terminal and console.width < WIDE:
        for line in narrow_lines(rows):
            console.print(Text(line), soft_wrap=True, highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for title in ("name", "version", "published", "by", "signed by", "expires", "digest", "remarks"):
        table.add_column(title, overflow="fold")
    for row in rows:
        # Text, since a string would be read as Rich's markup.
        table.add_row(*(Text(plain(cell)) for cell in _cells(row)))
    Console(width=None if console.is_terminal else 200).print(table)


def narrow_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Lines that fit a terminal of 80 columns where names are of usual length: dates for times, no digests.

    Remarks stand on a line of their own, under what they are about.
    """
    cells = [NARROW_TITLES, *map(_narrow_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines: list[str] = []
    for row, shown in zip((None, *rows), cells, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(shown, widths, strict=True)).rstrip())
        lines += [] if row is None else [f"    {plain(remark)}" for remark in _remarks(row)]
    return lines


def _narrow_cells(row: dict[str, Any]) -> tuple[str, ...]:
    name, version, published, by, signed_by, expires, *_ = map(plain, _cells(row))
    day, _, time = published.partition("T")
    return name, version, f"{day} {time[:8]}", by.removeprefix(USUAL_TENANT), signed_by, expires[: len("2026-01-02")]


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["name"],
        str(row["version"] or "-"),
        row["published_at"],
        row["publisher"] or "-",
        ", ".join(signer["author"] for signer in row["signers"]) or "-",
        row["expires"] or "-",
        (row["digest"] or "-")[:19],
        "; ".join(_remarks(row)),
    ]


def _remarks(row: dict[str, Any]) -> list[str]:
    found = ["widening accepted"] if row["accepted_widening"] else []
    if row["restores"] is not None:
        found.append(f"brings back {row['restores']}")
    if row.get("renews") is not None:  # an older API does not say
        found.append(f"the same as {row['renews']}")
    if row["problem"] is not None:
        found.append(f"does not count: {row['problem']}")
    return found
