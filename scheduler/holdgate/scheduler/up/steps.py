"""Steps of a demo or a drill: each says what is expected, does something, and says what was seen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from holdgate.kernel.errors import HoldgateError

SHOWN_CHARS_MAX = 200


@dataclass(frozen=True, slots=True)
class Step:
    """`see` gives what was seen, in the words of `expected` when all is well."""

    title: str
    expected: str
    see: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step."""

    step: Step
    seen: str
    seconds: float

    @property
    def is_as_expected(self) -> bool:
        """Whether it was."""
        return self.seen == self.step.expected


class Skipped(Exception):
    """A step cannot be done here; says why."""


def run_steps(steps: Sequence[Step], title: str) -> list[Outcome]:
    """Do them in order, show each as it is done. All are done even after one that differs."""
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 132)
    outcomes: list[Outcome] = []
    live: AbstractContextManager[Live | None] = (
        Live(console=console, refresh_per_second=8) if console.is_terminal else nullcontext()
    )
    with live as shown:
        for step in steps:
            outcomes.append(_done(step))
            if shown is not None:
                shown.update(_table(title, outcomes))
            else:
                _print_line(outcomes[-1])
    if not console.is_terminal:
        console.print(_table(title, outcomes))
    return outcomes


def _done(step: Step) -> Outcome:
    started_s = time.monotonic()
    try:
        seen = step.see()
    except Skipped as reason:
        seen = f"skipped: {reason}"
    except (HoldgateError, httpx.HTTPError, KeyError, TypeError, ValueError, TimeoutError, OSError) as error:
        # Whatever went wrong in looking is not what was expected; the other steps still tell something.
        seen = f"{type(error).__name__}: {error}"[:SHOWN_CHARS_MAX]
    return Outcome(step, seen, time.monotonic() - started_s)


def _print_line(outcome: Outcome) -> None:
    mark = "ok  " if outcome.is_as_expected else "DIFF"
    print(f"{mark} {outcome.step.title} ({outcome.seconds:.1f} s)", flush=True)


def _table(title: str, outcomes: Sequence[Outcome]) -> Table:
    table = Table(title=title, title_justify="left", show_lines=False)
    for name in ("", "what", "expected", "seen", "s"):
        table.add_column(name, justify="right" if name == "s" else "left")
    for outcome in outcomes:
        good = outcome.is_as_expected
        table.add_row(
            "[green]✓[/green]" if good else "[red]✗[/red]",
            outcome.step.title,
            _plain(outcome.step.expected),
            _plain(outcome.seen) if good else f"[red]{_plain(outcome.seen)}[/red]",
            f"{outcome.seconds:.1f}",
        )
    return table


def _plain(text: str) -> str:
    """Square brackets are text here, not styles."""
    return text.replace("[", r"\[")
