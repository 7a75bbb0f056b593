"""How `holdgate torture` ends, and what it leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from holdgate.scheduler.cli import torture as command
from holdgate.scheduler.cli.people.exits import Exit
from holdgate.scheduler.torture.breaking import Row
from holdgate.scheduler.torture.check import Evidence, Violation
from holdgate.scheduler.torture.run import Report, as_json, table

CLEAN = Report(
    seed=7,
    seconds=60.0,
    rows=(Row("cut", 3, (0.5, 2.0, 1.0), 0, 0, (0.2,), 2), Row("loss", 1, (), 1, 1)),
    not_run={"clock-jump": "the library is missing"},
    not_reached=("delay",),
    violations=(),
    problems=(),
    ended={"redis-1": 2},
    operations=900,
    jobs=40,
    folder=Path(),
    evidence=Evidence(()),
)
VIOLATED = replace(CLEAN, violations=(Violation("job_lost", 2, "job_1 is gone", evidence=("audit 1",)),))


def told(report: Report, folder: Path, keep: Path | None = None, *, as_json_: bool = False) -> Exit:
    folder.mkdir()
    return command._told(replace(report, folder=folder), keep, as_json_=as_json_)


def test_a_clean_run_ends_with_zero_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(CLEAN, tmp_path / "run") is Exit.DONE
    assert "2 of 4 faults" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_clean_run_that_is_to_be_kept_is_kept(tmp_path: Path) -> None:
    assert told(CLEAN, tmp_path / "run", tmp_path / "run") is Exit.DONE
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("report", [VIOLATED, replace(CLEAN, problems=("the replica does not follow",))])
def test_a_run_in_which_something_did_not_hold_ends_with_one_and_says_where_it_is(
    report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(report, tmp_path / "run") is Exit.REFUSED
    assert (tmp_path / "run").exists()
    assert f"are in {tmp_path / 'run'}; again with `--seed 7`" in capsys.readouterr().err


def test_the_table_tells_recovery_what_could_not_be_done_and_what_did_not_hold() -> None:
    shown = "\n".join(table(VIOLATED))
    assert "median 1.0, longest 2.0" in shown
    assert "median 0.2, longest 0.2, not at all: 2" in shown
    assert "not at all: 1, did nothing: 1" in shown
    assert "not run: clock-jump: the library is missing" in shown
    assert "not reached, give it more time: delay" in shown
    assert "ended by itself: redis-1, 2 ×" in shown
    assert "job_lost (invariant 2): job_1 is gone\n    audit 1" in shown


def test_the_report_for_scripts_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(VIOLATED, tmp_path / "run", as_json_=True)
    report = json.loads(capsys.readouterr().out)
    assert report == {**json.loads(json.dumps(as_json(VIOLATED))), "folder": str(tmp_path / "run")}
    assert (report["clean"], report["violations"][0]["rule"]) == (False, "job_lost")


def test_a_fault_that_there_is_not_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    code = command.run(
        minutes=1, seed=1, faults="fire", shape="single", confirmed=True, rate=1, keep=None, as_json_=False
    )
    assert code is Exit.USAGE
    assert "no such fault: `fire`" in capsys.readouterr().err
