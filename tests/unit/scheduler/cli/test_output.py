"""Tables on terminals of different widths: ids and topics stay whole, nothing is cut."""

from __future__ import annotations

import io

import pytest
from rich.text import Text

from holdgate.scheduler.cli.people.output import Out

JOB = "job_01a1ff4e-22a8-7f4a-b23e-83b70315c19f"
COLUMNS = ("job", "severity", "topic", "actor", "time left", "votes", "held because")
ROW = (JOB, "high", "job.deploy.apply", "agent", "3 h 59 min", "0/1", "people look at what is written to production")


class Terminal(io.StringIO):
    """What a command prints there; `COLUMNS` says how wide it is."""

    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, width: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    Out(as_json=False, file=terminal).table(COLUMNS, [ROW])
    return [line.rstrip() for line in Text.from_ansi(terminal.getvalue()).plain.splitlines()]


def test_a_wide_terminal_has_a_row_a_line_and_folds_its_last_column(monkeypatch: pytest.MonkeyPatch) -> None:
    head, first, *_ = printed(monkeypatch, 120)
    assert head.split("  ")[0].rstrip() == "job"
    assert first.startswith(f"{JOB}  high      job.deploy.apply  agent  3 h 59 min  0/1")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_has_the_id_on_a_line_of_its_own_and_everything_below_it(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    lines = printed(monkeypatch, width)
    place = lines.index(JOB)
    assert " ".join(" ".join(lines[:place]).split()) == " ".join(COLUMNS)
    below = " ".join(" ".join(lines[place + 1 :]).split())
    assert below == "high job.deploy.apply agent 3 h 59 min 0/1 people look at what is written to production"
