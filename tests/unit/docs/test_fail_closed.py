"""The page of what happens while a part is away tells of every row of the table, as it was seen to hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdgate.scheduler.up.closed import ROWS, Row

ROOT = Path(__file__).parents[3]
RECORDED: dict[str, dict[str, Any]] = {
    record["name"]: record for record in json.loads((ROOT / "docs/reference/fail-closed.json").read_text())
}


def test_every_row_was_tried() -> None:
    """`holdgate drill-closed --record`, on small disks of their own."""
    assert list(RECORDED) == [row.name for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_what_was_seen_is_what_the_table_says(row: Row) -> None:
    """And the system was back within five seconds."""
    seen = RECORDED[row.name]
    assert (seen["post"], seen["get"], seen["vote"]) == (row.post, row.get, row.vote)
    assert (seen["standing"], set(seen["wrong"])) == (row.standing, set(row.wrong))
    assert (seen["runs"], seen["later"]) == (row.runs, "succeeded")
    assert seen["failing"] is bool(row.failing)
    assert (seen["ran"], seen["attempts"]) == ("succeeded", row.attempts)
    assert all(any(name.startswith(kind) for name in seen["others"]) for kind in row.others)
    assert 0 < seen["back_ms"] <= 5_000


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_row_has_an_alert_with_a_runbook(row: Row) -> None:
    """By the same name."""
    assert f"alert: {row.alert}\n" in (ROOT / "deploy/prometheus/alerts.yaml").read_text()
    assert (ROOT / "docs/runbooks" / f"{row.alert}.md").exists()
