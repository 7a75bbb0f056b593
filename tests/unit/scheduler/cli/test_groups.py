"""What every group of commands has in common."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from holdgate.scheduler.cli.pauses import pools_app, workers_app
from holdgate.scheduler.cli.users import app as users_app
from holdgate.scheduler.cli.webhooks import app as webhooks_app


@pytest.mark.parametrize("app", [pools_app, workers_app, users_app, webhooks_app])
def test_a_group_installs_nothing_in_a_shell(app: typer.Typer) -> None:
    """`holdgate completion` prints a script, and changes no file."""
    assert "--install-completion" not in CliRunner().invoke(app, ["--help"]).stdout
