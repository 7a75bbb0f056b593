"""`holdgate policy simulate` and `explain`: lines in, lines out, and an exit code that tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel.canonical import parse_json
from holdgate.scheduler.cli import main
from support.secrets import Secrets

RULES = """\
rules:
  - {id: allow-reads, decision: allow, reason: reads, match: {topics: [job.demo.read]}}
  - {id: no-secrets, decision: deny, reason: no secrets, match: {secrets_present: true}}
"""
READ = '{"topic":"job.demo.read"}\n'


def run(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, command: str, rules: str, facts: str
) -> tuple[int, list[Any], str]:
    (tmp_path / "rules.yaml").write_text(rules)
    (tmp_path / "facts.jsonl").write_text(facts)
    with pytest.raises(SystemExit) as ended:
        main(["policy", command, "--rules", str(tmp_path / "rules.yaml"), "--facts", str(tmp_path / "facts.jsonl")])
    output, errors = capfd.readouterr()
    return int(ended.value.code or 0), [parse_json(line) for line in output.splitlines()], errors


def test_one_decision_a_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = f'{{"topic":"job.demo.read","prompt":"use {Secrets().github()}"}}\n'
    code, lines, _ = run(capfd, tmp_path, "simulate", RULES, READ + '{"topic":"job.other"}\n' + secret)
    assert code == 0
    assert [line["verdict"] for line in lines] == ["allow", "deny", "deny"]
    assert lines[2]["rules"] == ["no-secrets", "allow-reads"]


def test_explain_says_which_field_failed(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, (line,), _ = run(capfd, tmp_path, "explain", RULES, READ)
    assert code == 0
    assert [(step["id"], step.get("failed")) for step in line["trace"]] == [
        ("no-secrets", "secrets_present"),
        ("allow-reads", None),
    ]


def test_a_bad_line_is_named_and_fails_the_whole(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, lines, errors = run(capfd, tmp_path, "simulate", RULES, READ + "nope\n" + READ)
    assert code == 1
    assert [line.get("verdict") for line in lines] == ["allow", None, "allow"]
    assert lines[1]["line"] == 2
    assert "lines that are no job: 1" in errors


def test_rules_that_do_not_load_decide_nothing(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, lines, errors = run(capfd, tmp_path, "simulate", RULES.replace("decision: deny", "decision: no"), READ)
    assert (code, lines) == (1, [])
    assert "rules.yaml:3: " in errors
    code, lines, errors = run(capfd, tmp_path, "simulate", "rules: []\nrules: []\n", READ)
    assert (code, lines) == (1, [])
    assert "rules.yaml:2: rules: this key stands twice" in errors
