"""Commands of whoever runs the servers: JSON for programs, one form of refusals, and what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import CliRunner as ClickRunner
from click.testing import Result
from typer.testing import CliRunner

from holdgate.bundles.cli.refusal import refusals
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.backup.archive import Manifest
from holdgate.scheduler.backup.run import KEYS
from holdgate.scheduler.cli import load_group
from holdgate.scheduler.cli.backups import as_dict
from holdgate.scheduler.cli.failing import failures
from holdgate.scheduler.cli.root import app
from holdgate.scheduler.cli.tree import is_group
from holdgate.scheduler.cli.users import app as users_app
from holdgate.scheduler.torture.faults import CATALOG
from holdgate.scheduler.up.provision import provision

RUNNER = CliRunner()


def holdgate(*words: str) -> Result:
    """`holdgate` with these; its groups are loaded as the command does."""
    group, *more = words
    loaded = typer.main.get_command(load_group(group)) if is_group(group) else None
    return RUNNER.invoke(app, words) if loaded is None else ClickRunner().invoke(loaded, more)


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "x.backup", "--dir", "nowhere"),
        ("reconcile", "--dir", "nowhere"),
        ("pools", "list", "--dir", "nowhere"),
        ("pools", "pause", "gpu", "--reason", "x", "--dir", "nowhere"),
        ("workers", "list", "--dir", "nowhere"),
        ("users", "list", "--dir", "nowhere"),
        ("drill", "--dir", "nowhere"),
        ("drill-closed", "--dir", "nowhere"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_refuses_with_the_code_first(words: tuple[str, ...], tmp_path: Path) -> None:
    words = tuple(str(tmp_path / word) if word in ("nowhere", "x.backup") else word for word in words)
    result = holdgate(*words)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[0].startswith("misconfigured: ")


@pytest.mark.parametrize("command", ["pools list", "workers list", "users list", "reconcile", "drill-closed"])
def test_with_json_a_refusal_is_an_object(command: str, tmp_path: Path) -> None:
    result = holdgate(*command.split(), "--dir", str(tmp_path), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "misconfigured"


def test_what_the_machine_refuses_is_told_in_the_same_form(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(typer.Exit), failures():
        (tmp_path / "missing").read_bytes()
    assert capsys.readouterr().err == f"machine_refused: `{tmp_path / 'missing'}`: No such file or directory\n"
    with pytest.raises(FileNotFoundError), refusals():
        (tmp_path / "missing").read_bytes()


def test_faults_are_listed_for_programs() -> None:
    shown = RUNNER.invoke(app, ["torture", "--list", "--json"]).stdout.splitlines()
    assert [json.loads(line)["name"] for line in shown] == list(CATALOG)


def test_users_are_listed_for_programs_and_a_change_says_what_to_do_next(tmp_path: Path) -> None:
    provision(tmp_path, SystemClock())
    added = RUNNER.invoke(users_app, ["add-pool", "gpu", "--dir", str(tmp_path)])
    assert "HOLDGATE_POOL=gpu" in added.stderr
    shown = RUNNER.invoke(users_app, ["list", "--dir", str(tmp_path), "--json"]).stdout.splitlines()
    users = {row["user"]: row for row in map(json.loads, shown)}
    assert users["worker-gpu"]["credentials"] == 1
    assert users["worker-gpu"]["public_key"].startswith("U")
    removed = RUNNER.invoke(users_app, ["remove-pool", "gpu", "--dir", str(tmp_path)])
    assert "stop its workers" in removed.stderr


def test_what_is_in_a_backup_for_programs() -> None:
    facts = {"keys": 3, "streams": {"JOBS": {"state": {"messages": 5}}}}
    told = as_dict(
        Manifest(created_ms=0, holdgate="1.2", facts=facts, parts=(("state", 10, "d"), (f"{KEYS}@1", 2, "d")))
    )
    assert told == {
        "created": "1970-01-01T00:00:00.000Z",
        "holdgate": "1.2",
        "bytes": 12,
        "state_keys": 3,
        "messages": {"JOBS": 5},
        "segments": None,
        "has_keys": True,
    }
