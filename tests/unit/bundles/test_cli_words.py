"""How commands say things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.keys import keys_app
from holdgate.bundles.cli.publish import _next, _place
from holdgate.bundles.cli.root import root_app
from holdgate.scheduler.audit.cli import app as audit_app
from holdgate.scheduler.cli.replay import _summary
from holdgate.workers.cli import app as worker_app


def report(**changes: Any) -> dict[str, Any]:
    return {
        "candidate": {"name": "house", "version": 2},
        "decisions": 1,
        "unchanged": 1,
        "wider": 0,
        "other": 0,
        "tighter": 0,
        "not_comparable": {},
        "errors": 0,
        "oldest": None,
        "newest": None,
        "stopped": None,
        **changes,
    }


@pytest.mark.parametrize("app", [bundle_app, keys_app, root_app, audit_app, worker_app])
def test_no_group_offers_to_change_the_shell(app: Any) -> None:
    assert CliRunner().invoke(app, ["--install-completion"]).exit_code == 2
    assert "completion" not in CliRunner().invoke(app, ["--help"]).stdout


def test_one_is_not_several() -> None:
    assert _summary(report(errors=1)) == [
        "house version 2: 1 decision, 1 unchanged, 0 wider, 0 other, 0 tighter",
        "a condition failed in 1 decision",
    ]
    assert _summary(report(decisions=2))[0].startswith("house version 2: 2 decisions, ")


def test_the_name_of_a_bundle_is_not_said_twice() -> None:
    assert _place("refunds", "refunds.allow-small") == "refunds.allow-small"
    assert _place("refunds", "allow-small") == "refunds: allow-small"
    assert _place("refunds", "") == "refunds"


def test_after_a_check_the_command_that_publishes_is_told() -> None:
    checked = {"publishable": True, "widens": False}
    assert _next(checked, Path("b.json")) == {"next": "holdgate bundle publish b.json"}
    assert _next({**checked, "widens": True}, Path("b.json"))["next"].endswith("b.json --accept-widening")
    assert _next({**checked, "publishable": False}, Path("b.json")) == {}
