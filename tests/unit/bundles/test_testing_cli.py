"""`holdgate bundle test` as an author and as a build server use it."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import Result
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.testing import junit_xml, run_tests
from holdgate.scheduler.cli.policy import app as policy_app
from support.bundle_tests import bundle_of

RULES = """
rules:
  - id: allow-reads
    decision: allow
    reason: "reading is fine"
    match: {topics: ["job.read"]}
"""
GOOD = """
cases:
  - name: reads run
    expect: {verdict: allow, rules: [allow-reads]}
    each: [{job: {topic: job.read}}, {job: {topic: job.other}, expect: {verdict: deny, rules: []}}]
"""
WEAK = "cases:\n  - {name: reads run, job: {topic: job.read}, expect: {verdict: allow}}"
WRONG = "cases:\n  - {name: '<reads> & \"quotes\"', job: {topic: job.read}, expect: {verdict: deny}}"


def test_all_is_well(tmp_path: Path) -> None:
    result = invoke(tmp_path, GOOD, "--mutate", "--coverage", "--cover-min", "100")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "4 mutants, 0 survived" in result.stdout
    assert "2 passed, 0 failed; coverage: rules 100 %, conditions 100 %" in result.stdout


def test_a_built_bundle_is_tested_like_its_directory(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    built = tmp_path / "out.json"
    assert CliRunner().invoke(bundle_app, ["build", str(tmp_path), "-o", str(built)]).exit_code == 0
    result = CliRunner().invoke(bundle_app, ["test", str(built)])
    assert (result.exit_code, "2 passed" in result.stdout) == (0, True)


def test_a_case_that_fails_is_told_with_file_and_line(tmp_path: Path) -> None:
    result = invoke(tmp_path, WRONG)
    assert result.exit_code == 1
    assert 'FAILED tests.yaml:2: <reads> & "quotes"' in result.stdout
    assert "verdict: expected `deny`, got `allow`; deciding rules `allow-reads`: reading is fine" in result.stdout


@pytest.mark.parametrize(
    ("tests", "options", "reason"),
    [
        (WEAK, ["--mutate"], "2 changes of the rules are noticed by no case"),
        (WEAK, ["--cover-min", "90"], "coverage: rules 100 %, conditions 0 %, below 90 %"),
        (GOOD, ["--filter", "writes*"], "no case has a name like `writes*`"),
        (None, [], "the bundle has no tests; name files of them in `tests` of bundle.yaml"),
    ],
)
def test_what_is_not_well_without_a_failed_case_ends_with_1_and_a_reason(
    tmp_path: Path, tests: str | None, options: list[str], reason: str
) -> None:
    result = invoke(tmp_path, tests, *options)
    assert (result.exit_code, result.stderr.strip()) == (1, reason)


@pytest.mark.parametrize(
    ("tests", "options", "reason"),
    [
        ("cases: []", [], "tests.yaml:1: cases: empty"),
        ("cases: [", [], "tests.yaml:2: not YAML"),
        (GOOD, ["--filter", "*", "--mutate"], "`--filter` leaves out cases"),
        (GOOD, ["--filter", "*", "--cover-min", "1"], "`--filter` leaves out cases"),
    ],
)
def test_what_cannot_be_read_ends_with_2(tmp_path: Path, tests: str, options: list[str], reason: str) -> None:
    result = invoke(tmp_path, tests, *options)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_a_place_without_a_bundle_ends_with_2(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.json"):
        assert CliRunner().invoke(bundle_app, ["test", str(place)]).exit_code == 2


def test_survivors_are_told_with_the_test_to_write(tmp_path: Path) -> None:
    result = invoke(tmp_path, WEAK, "--mutate")
    assert "SURVIVED allow-reads: topic `job.read` widened to `job.>`" in result.stdout
    assert "add a job like one that `allow-reads` allows, of a topic that only `job.>` names" in result.stdout


def test_coverage_says_what_was_not_seen(tmp_path: Path) -> None:
    result = invoke(tmp_path, WEAK, "--coverage")
    assert result.exit_code == 0
    assert "topics (always held)" in result.stdout


def test_json_holds_results_coverage_and_survivors(tmp_path: Path) -> None:
    shown = json.loads(invoke(tmp_path, WEAK, "--mutate", "--json").stdout)
    assert (shown["bundle"], shown["passed"], shown["cases"], shown["failed"]) == ("probe", True, 1, 0)
    assert shown["results"] == [{"file": "tests.yaml", "name": "reads run", "line": 2, "passed": True, "problems": []}]
    assert shown["coverage"]["rules"] == {"total": 1, "covered": 1, "percent": 100}
    assert (shown["mutation"]["mutants"], shown["mutation"]["survived"]) == (4, 2)


def test_mutants_are_not_made_while_a_case_fails(tmp_path: Path) -> None:
    result = invoke(tmp_path, WRONG, "--mutate", "--json")
    assert result.exit_code == 1
    assert "mutation" not in json.loads(result.stdout)


def test_junit_holds_every_case_of_every_file(tmp_path: Path) -> None:
    place = tmp_path / "junit.xml"
    assert invoke(tmp_path, WRONG, "--junit", str(place)).exit_code == 1
    root = ET.fromstring(place.read_bytes())  # noqa: S314  our own file
    assert (root.tag, root.get("name"), root.get("tests"), root.get("failures")) == ("testsuites", "probe", "1", "1")
    (case,) = root.findall("testsuite[@name='tests.yaml']/testcase")
    assert (case.get("name"), case.get("classname"), case.get("line")) == ('<reads> & "quotes"', "probe.tests", "2")
    (failure,) = case.findall("failure")
    assert (failure.get("message") or "").startswith("verdict: expected `deny`, got `allow`")
    assert (failure.text or "").startswith("tests.yaml:2\n")


def test_junit_of_a_name_that_no_xml_can_hold_is_still_xml() -> None:
    tests = 'cases:\n  - {name: "a\\uFFFEb", job: {topic: t}, expect: {verdict: deny}}'
    report = run_tests(bundle_of(RULES, tests))
    assert report.results[0].name == "a\ufffeb"
    (case,) = ET.fromstring(junit_xml(report, "probe")).iter("testcase")  # noqa: S314  our own
    assert case.get("name") == "a?b"


def invoke(folder: Path, tests: str | None, *options: str) -> Result:
    write(folder, tests)
    return CliRunner().invoke(bundle_app, ["test", str(folder), *options])


def write(folder: Path, tests: str | None) -> None:
    named = "" if tests is None else "tests: [tests.yaml]\n"
    text = f'name: probe\nversion: 1\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n{named}'
    (folder / "bundle.yaml").write_text(text)
    (folder / "rules.yaml").write_text(RULES)
    if tests is not None:
        (folder / "tests.yaml").write_text(tests)


def test_coverage_of_several_bundles_is_that_of_their_tests(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("one", "two")]
    for place, tests in zip(places, (GOOD, WEAK), strict=True):
        place.mkdir()
        write(place, tests)
    told = CliRunner().invoke(policy_app, ["coverage", *map(str, places)])
    assert (told.exit_code, told.stderr) == (0, "")
    assert "coverage: rules 100 %, conditions 100 %" in told.stdout
    assert "coverage: rules 100 %, conditions 0 %" in told.stdout
    below = CliRunner().invoke(policy_app, ["coverage", *map(str, places), "--cover-min", "90", "--json"])
    alone = [json.loads(CliRunner().invoke(bundle_app, ["test", str(place), "--json"]).stdout) for place in places]
    assert (below.exit_code, json.loads(below.stdout)) == (1, {"bundles": alone})
    assert below.stderr.count("below 90 %") == 1


def test_coverage_of_what_has_no_cases_or_does_not_load_is_not_well(tmp_path: Path) -> None:
    write(tmp_path, None)
    assert CliRunner().invoke(policy_app, ["coverage", str(tmp_path)]).exit_code == 1
    write(tmp_path, WRONG)
    assert CliRunner().invoke(policy_app, ["coverage", str(tmp_path)]).exit_code == 1
    assert CliRunner().invoke(policy_app, ["coverage", str(tmp_path / "nothing")]).exit_code == 2
