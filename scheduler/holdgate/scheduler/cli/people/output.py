"""Output of commands for people: tables and facts on a terminal, lines without colour in a pipe, JSON for programs.

What always holds: cells are made visible here, so that no command can forget it; in a pipe a row is one line, however
long, its columns at least two blanks apart and none of them empty; with JSON nothing else goes to standard output, and
every character beyond ASCII is an escape. One object is one document; a list or a stream is an object a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from holdgate.scheduler.visible import visible, visible_lines

NOTHING = "-"
LAST_COLUMN_MIN = 20
STYLES = {
    "critical": "bold red",
    "high": "red",
    "denied": "red",
    "failed": "red",
    "timed_out": "red",
    "expired": "yellow",
    "quarantined": "magenta",
    "held": "yellow",
    "pending": "yellow",
    "succeeded": "green",
    "released": "green",
}


class Out:
    """Where a command prints. `as_json`: for programs."""

    def __init__(self, as_json: bool, file: TextIO | None = None) -> None:
        self.as_json = as_json
        self._file = sys.stdout if file is None else file
        self.is_terminal = self._file.isatty()

    def document(self, value: Any) -> None:
        """One JSON document."""
        print(_json(value, indent=2), file=self._file)

    def line(self, value: Any) -> None:
        """One JSON object of a list or a stream; written at once."""
        print(_json(value, indent=None), file=self._file, flush=True)

    def say(self, text: object, style: str = "") -> None:
        """One line of text."""
        if self.is_terminal:
            self._console(soft_wrap=True).print(Text(visible(text), style=style))
        else:
            print(visible(text), file=self._file, flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table; on a terminal it is folded to its width, and where that is too narrow each row has two lines."""
        cells = [[NOTHING if value in (None, "", ()) else visible(value) for value in row] for row in rows]
        if self.is_terminal:
            console = self._console(soft_wrap=False)
            made = rich_table if needed_width([columns, *cells]) <= console.width else stacked_table
            console.print(made(columns, cells))
            return
        for line in aligned([columns, *cells]):
            print(line, file=self._file)

    def facts(self, facts: Iterable[tuple[str, object]]) -> None:
        """Names and values; a value may have lines, which stand below each other."""
        listed = [(name, visible_lines(value)) for name, value in facts]
        width = max((len(name) for name, _ in listed), default=0)
        console = self._console(soft_wrap=True)
        for name, value in listed:
            for number, line in enumerate(value.split("\n")):
                label = (name if number == 0 else "").ljust(width)
                if self.is_terminal:
                    console.print(Text(f"{label}  ", style="bold"), Text(line, style=STYLES.get(line, "")), sep="")
                else:
                    print(f"{label}  {line}".rstrip(), file=self._file)

    def lines(self, text: str) -> None:
        """Text of several lines, as it is but for what a terminal would obey."""
        print(visible_lines(text), file=self._file)

    def _console(self, *, soft_wrap: bool) -> Console:
        return Console(file=self._file, highlight=False, soft_wrap=soft_wrap)


def note(text: object) -> None:
    """A line for whoever sits there, on standard error."""
    print(visible(text), file=sys.stderr, flush=True)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell, the last one as it is."""
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell if column == len(row) - 1 else cell + " " * (widths[column] - cell_len(cell))
            for column, cell in enumerate(row)
        )
        for row in rows
    ]


def rich_table(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> Table:
    """A table of cells that are visible already; ids are never cut."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(
            column, overflow="fold", no_wrap=column in ("job", "delegation", "grant"), min_width=len(column)
        )
    for row in cells:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table


def needed_width(rows: Sequence[Sequence[str]]) -> int:
    """Below it a table is not read well: only its last column may be folded, to no less than LAST_COLUMN_MIN."""
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return sum(widths[:-1]) + 2 * len(widths[:-1]) + min(widths[-1], LAST_COLUMN_MIN)


def stacked_table(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> Table:
    """The same for a narrow terminal: the id of each row on a line of its own, and below it the rest."""
    first, *others = columns
    table = Table(box=None, header_style="bold", padding=0)
    table.add_column(Text(f"{first}\n  {'  '.join(others)}"), overflow="fold")
    for name, *row in cells:
        rest = Text("  ").join(Text(cell, style=STYLES.get(cell, "")) for cell in row)
        table.add_row(Text(name, style="bold"))
        table.add_row(Padding(rest, (0, 0, 0, 2)))
    return table


def json_text(value: Any) -> str:
    """A value for people: a text as it is, all else as indented JSON; lines, to be made visible."""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, ensure_ascii=False)  # noqa: TID251  for eyes; nothing of it is hashed


def _json(value: Any, indent: int | None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=True)  # noqa: TID251  the API's object, shown; never hashed
