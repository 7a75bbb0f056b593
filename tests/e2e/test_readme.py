"""The README, as a reader would follow it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from holdgate.scheduler.up.caller import Caller
from holdgate.workers import Worker
from support.blocks import ROOT, blocks, tools_path
from support.whole import Whole

README = ROOT / "README.md"


def test_the_walk_with_curl_works_as_written(whole: Whole) -> None:
    """Ports are those of the running system; everything else is the text of the page."""
    (walk,) = blocks(README, "bash", marked=True)
    assert "http://127.0.0.1:8081" in walk
    script = walk.replace("http://127.0.0.1:8081", whole.api)
    script = script.replace("http://127.0.0.1:9090/metrics", whole.ready["metrics"])
    script += '\nprintf "ALLOWED %s\\nDENIED %s\\n" "$ALLOW_JOB" "$DENY_JOB"\n'
    environment = {"PATH": tools_path(os.environ["PATH"]), "KEY": whole.key("agent")}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "require-approval-prod-write" in done.stdout
    assert "holdgate_input_fail_open_total 0.0" in done.stdout
    assert 'holdgate_output_policy_verdicts_total{verdict="redact"}' in done.stdout
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("ALLOWED", "DENIED")))
    caller = Caller(whole.api, whole.key("agent"))
    assert caller.ended(lines["ALLOWED"])["state"] == "succeeded"
    assert json.loads(lines["DENIED"])["rule"] == "deny-raw-shell"
    caller.close()


def test_the_worker_of_the_page_registers_its_handler() -> None:
    """It runs as it stands."""
    (source,) = (block for block in blocks(README, "python") if "Worker(" in block)
    names: dict[str, object] = {}
    exec(source, names)  # noqa: S102  the page's own code
    worker = names["worker"]
    assert isinstance(worker, Worker)
    assert list(worker.handlers.patterns) == ["job.report.build"]


def test_the_policy_of_the_page_decides_as_the_page_says(tmp_path: Path) -> None:
    """A large refund waits for a person, a small one matches no rule, a report runs within bounds."""
    (rules,) = blocks(README, "yaml")
    file, facts = tmp_path / "rules.yaml", tmp_path / "jobs.jsonl"
    file.write_text(rules)
    jobs = [
        {"topic": "job.report.build", "capability": "report.build"},
        {"topic": "job.refund.create", "payload": {"amount": 101}},
        {"topic": "job.refund.create", "payload": {"amount": 99}},
    ]
    facts.write_text("\n".join(map(json.dumps, jobs)))
    done = subprocess.run(
        [sys.executable, "-m", "holdgate.scheduler.cli", "policy", "simulate", "--rules", file, "--facts", facts],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
    assert verdicts == ["allow_with_constraints", "require_approval", "deny"]
