"""Alerts: valid, seen to fire and to end, about metrics that exist, each with a runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.blocks import ROOT
from support.promql import ALERTS, RECORDING, known_metrics, labels_in, metrics_in, recorded, runbooks

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
}
TESTS = sorted((ROOT / "deploy" / "prometheus" / "tests").glob("*.yaml"))
READINESS = ROOT / "kernel", ROOT / "bundles", ROOT / "workers", ROOT / "scheduler"
ADDED = {"instance", "job", "namespace", "alertname", "alertstate"}
"""Labels that Prometheus adds."""
every_alert = pytest.mark.parametrize("alert", RULES)


def promtool(*arguments: str) -> None:
    tool = shutil.which("promtool")
    assert tool is not None, "no promtool: sh deploy/promtool.sh"
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_rules_of_prometheus() -> None:
    promtool("check", "rules", str(ALERTS), str(RECORDING))


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_alerts_fire_while_their_state_lasts_and_at_no_other_time(file: Path) -> None:
    promtool("test", "rules", str(file))


@every_alert
def test_an_alert_is_tested_both_ways(alert: str) -> None:
    """Before its state, in it, after it, and in one that is another's."""
    text = "".join(file.read_text() for file in TESTS)
    named = rf'alertname="{alert}",alertstate="firing"\}}\) > bool 0\) or vector\(0\)\', eval_time: \w+, exp_samples: '
    values = re.findall(named + r"\[\{labels: '\{\}', value: ([01])\}\]", text)
    assert values == ["0", "1", "0", "0"]


@every_alert
def test_an_alert_says_what_it_means_for_jobs_and_where_to_read_on(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"runbooks/{alert}.md"
    assert rule["annotations"]["description"].endswith(".")


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert [page.stem for page in runbooks()] == sorted(RULES)
    index = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    assert re.findall(r"\| \[(\w+)\]\(\1\.md\)", index) == list(RULES)


def test_every_alert_of_the_page_of_fail_closed_states_is_there() -> None:
    """That page is made from what a system did while a part of it was away."""
    page = (ROOT / "docs" / "reference" / "fail-closed.md").read_text()
    named = set(re.findall(r"\b(Holdgate[A-Z]\w+)", page))
    assert named
    assert named <= set(RULES)


@pytest.mark.parametrize("page", runbooks(), ids=lambda page: page.stem)
def test_a_runbook_answers_what_is_asked_at_night(page: Path) -> None:
    """What happens to jobs, how to look, how to end it, how to know that it is over, how to try it."""
    asked = ["**Jobs meanwhile.**", "**Look.**", "**End it.**", "**Over when:**", "**Try it in staging.**"]
    text = page.read_text()
    assert text.startswith(f"# {page.stem}\n")
    assert [text.count(heading) for heading in asked] == [1] * len(asked)
    assert len(text.splitlines()) < 60


@pytest.mark.parametrize("file", [ALERTS, RECORDING], ids=lambda file: file.name)
def test_metrics_and_labels_of_rules_exist(file: Path) -> None:
    known = known_metrics()
    rules = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    for rule in rules:
        assert metrics_in(rule["expr"]) <= set(known) | recorded(), rule
        for metric, label in labels_in(rule["expr"]):
            assert label in known[metric] | ADDED, (metric, label)


def test_checks_that_alerts_name_are_made_by_some_process() -> None:
    """As the first argument of a `Check`, or as a neighbour that an API looks for."""
    made = {"dispatcher", "output_gate", "auditor"}
    for package in READINESS:
        for file in package.rglob("*.py"):
            made |= set(re.findall(r'\bCheck\(\s*"(\w+)"', file.read_text()))
    named = set(re.findall(r'check="(\w+)"', ALERTS.read_text()))
    assert named <= made
