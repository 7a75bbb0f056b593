"""What a worker's own log shows, and what it never shows."""

from __future__ import annotations

import json
import subprocess
import sys

SCRIPT = """
import logging
from holdgate.workers import runlog
from holdgate.workers.cli import _set_up_logs
from holdgate.workers.settings import WorkerSettings
import structlog
_set_up_logs(WorkerSettings(log_level="{level}", log_format="json"))
runlog.install()
log = runlog.RunLog()
with runlog.collecting(log):
    logging.getLogger("handler").info("inside %s", "hunter2")
    logging.getLogger("handler").error("also inside")
try:
    raise ValueError("hunter2")
except ValueError:
    logging.getLogger("lib").exception("outside")
structlog.get_logger("holdgate.worker").info("own", action="own_info")
structlog.get_logger("holdgate.worker").warning("own", action="own_warning")
assert log.lines() == ("INFO handler: inside hunter2", "ERROR handler: also inside"), log.lines()
"""


def shown(level: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(level=level)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_records_of_handlers_and_texts_of_exceptions_stay_off_the_workers_log() -> None:
    records = shown("info")
    assert [record["event"] for record in records] == ["outside", "own", "own"]
    assert records[0]["error"] == "ValueError"


def test_the_level_is_of_the_workers_log_and_not_of_the_handlers() -> None:
    assert [record.get("action") for record in shown("warning")] == [None, "own_warning"]
