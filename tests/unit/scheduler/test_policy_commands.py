"""`holdgate policy simulate` and `explain`: lines in, lines out, and an exit code that tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles.format import build_bundle
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
    options = ["--rules", str(tmp_path / "rules.yaml"), "--facts", str(tmp_path / "facts.jsonl")]
    code, output, errors = policy(capfd, command, *options)
    return code, [parse_json(line) for line in output.splitlines()], errors


def policy(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["policy", *arguments])
    output, errors = capfd.readouterr()
    return int(ended.value.code or 0), output, errors


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


BUNDLE = """\
name: house
version: 1
expires: "2040-01-01T00:00:00Z"
rules: [rules.yaml]
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A bundle directory, and beside it its built file and a job."""
    directory = tmp_path / "house"
    directory.mkdir()
    (directory / "rules.yaml").write_text(RULES)
    (directory / "bundle.yaml").write_text(BUNDLE)
    (tmp_path / "house.bundle").write_bytes(build_bundle(directory))
    (tmp_path / "facts.jsonl").write_text(READ)
    return directory


def test_explain_for_people_says_why_and_what_nearly_matched(
    capfd: pytest.CaptureFixture[str], house: Path, tmp_path: Path
) -> None:
    facts = str(tmp_path / "facts.jsonl")
    code, output, _ = policy(capfd, "explain", "--bundle", str(house), "--facts", facts, "--text")
    assert code == 0
    assert output.splitlines() == [
        "line-1",
        "allow: reads",
        "  it is the only rule that counts",
        "",
        "Rules that count",
        "  allow-reads  allow  (house)  decides",
        "    topics  job.demo.read  (the job: job.demo.read)",
        "",
        "1 other rule does not match",
    ]


def test_for_people_a_bad_line_is_named_too(capfd: pytest.CaptureFixture[str], house: Path, tmp_path: Path) -> None:
    (tmp_path / "facts.jsonl").write_text("nope\n" + READ)
    facts = str(tmp_path / "facts.jsonl")
    code, output, errors = policy(capfd, "explain", "--bundle", str(house), "--facts", facts, "--text")
    assert code == 1
    assert output.startswith("line 1: malformed_json: ")
    assert "allow: reads" in output
    assert "lines that are no job: 1" in errors


def test_a_built_bundle_and_its_directory_decide_alike(
    capfd: pytest.CaptureFixture[str], house: Path, tmp_path: Path
) -> None:
    facts = ["--facts", str(tmp_path / "facts.jsonl")]
    _, built, _ = policy(capfd, "simulate", "--bundle", str(tmp_path / "house.bundle"), *facts)
    _, directory, _ = policy(capfd, "simulate", "--bundle", str(house), *facts)
    one, other = parse_json(built.strip()), parse_json(directory.strip())
    assert one["rules"] == ["allow-reads"]
    assert one["snapshot"] == other["snapshot"]


def test_bundles_and_rules_files_decide_together(
    capfd: pytest.CaptureFixture[str], house: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.yaml").write_text("rules: [{id: freeze, decision: deny, reason: frozen}]")
    options = ["--rules", str(tmp_path / "more.yaml"), "--facts", str(tmp_path / "facts.jsonl")]
    _, output, _ = policy(capfd, "simulate", "--bundle", str(house), *options)
    assert parse_json(output.strip())["rules"] == ["freeze", "allow-reads"]


def test_a_bundle_that_does_not_load_and_none_at_all_decide_nothing(
    capfd: pytest.CaptureFixture[str], house: Path, tmp_path: Path
) -> None:
    facts = ["--facts", str(tmp_path / "facts.jsonl")]
    (tmp_path / "cut.bundle").write_bytes((tmp_path / "house.bundle").read_bytes()[:-5])
    code, output, errors = policy(capfd, "simulate", "--bundle", str(tmp_path / "cut.bundle"), *facts)
    assert (code, output) == (1, "")
    assert errors
    code, output, errors = policy(capfd, "explain", *facts)
    assert (code, output) == (2, "")
    assert "--bundle" in errors
