"""`holdgate bundle diff`: what it prints, and the exit code that stops a pipeline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.testing import load_bundle
from holdgate.bundles.format import build_bundle
from holdgate.bundles.simulate import Measured, load_policy, simulate

RUN = CliRunner()
DENY = "{id: no-prod, decision: deny, reason: not there, match: {labels: {env: prod}}}"
ALLOW = "{id: all, decision: allow, reason: fine}"


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    write(tmp_path / "strict", 1, ALLOW, DENY)
    write(tmp_path / "loose", 2, ALLOW)
    write(tmp_path / "guard", 1, DENY.replace("no-prod", "guard"), name="guard")
    return tmp_path


def write(directory: Path, version: int, *rules: str, name: str = "house") -> None:
    directory.mkdir()
    (directory / "rules.yaml").write_text("rules:\n" + "".join(f"  - {rule}\n" for rule in rules))
    (directory / "bundle.yaml").write_text(
        f'name: {name}\nversion: {version}\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
    )


def diff(*arguments: object) -> Result:
    return RUN.invoke(bundle_app, ["diff", *map(str, arguments)])


def test_a_widening_ends_with_3_and_shows_a_job(bundles: Path) -> None:
    result = diff(bundles / "strict", bundles / "loose")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "What becomes allowed that was not: 1",
        "  no-prod  (house)  removed: deny",
        '    job     {"labels":{"env":"prod"},"topic":"some"}',
        "    before  deny by no-prod",
        "    after   allow by all",
        "    so      deny → allow",
        "bundle.yaml",
        "  version  1 → 2",
    ]


def test_what_only_tightens_ends_with_0(bundles: Path) -> None:
    result = diff(bundles / "loose", bundles / "strict")
    assert result.exit_code == 0
    assert result.stdout.startswith("What becomes stricter: 1\n")


def test_another_bundle_in_force_can_make_a_change_harmless(bundles: Path) -> None:
    assert diff(bundles / "strict", bundles / "loose", "--with", bundles / "guard").exit_code == 0


def test_the_default_of_the_root_counts(bundles: Path) -> None:
    write(bundles / "deny", 3, DENY)
    write(bundles / "nothing", 4, ALLOW.replace("}", ", match: {topics: [x]}}"))
    assert diff(bundles / "deny", bundles / "nothing", "--default", "allow", "--json").exit_code == 3


def test_built_files_and_directories_are_alike(bundles: Path) -> None:
    (bundles / "built").write_bytes(build_bundle(bundles / "strict"))
    result = diff(bundles / "built", bundles / "strict")
    assert (result.exit_code, result.stdout) == (0, "No rule differs.\n")


def test_json_is_one_document(bundles: Path) -> None:
    result = diff(bundles / "strict", bundles / "loose", "--json")
    shown = json.loads(result.stdout)
    assert (result.exit_code, shown["widens"], shown["bundle"]) == (3, True, {"version": [1, 2]})
    assert [change["direction"] for change in shown["changes"]] == ["widens"]


def test_the_job_of_an_example_goes_into_simulate_as_it_is(bundles: Path) -> None:
    """The promise of `facts`: a line of it decides as the example says."""
    (change,) = json.loads(diff(bundles / "strict", bundles / "loose", "--json").stdout)["changes"]
    example = change["example"]
    line = json.dumps(example["facts"]).encode()
    for name, side in (("strict", "before"), ("loose", "after")):
        policy = load_policy([], [load_bundle(bundles / name)])
        (found,) = simulate(policy, line, now_ms=0, measure=lambda _prompt, _payload: Measured())
        assert found.decision is not None
        assert str(found.decision.verdict) == example[side]["verdict"]


def test_what_does_not_load_ends_with_1(bundles: Path) -> None:
    result = diff(bundles / "strict", bundles / "absent")
    assert result.exit_code == 1
    assert result.stdout == ""


CASES = """\
now: "2026-01-01T12:00:00Z"
cases:
  - name: a strange prompt
    job: {topic: job.x, prompt: abcdefabc}
    expect: {verdict: allow}
"""


def test_jobs_of_the_tests_of_a_bundle_are_the_first_examples(bundles: Path) -> None:
    """Nothing could guess this prompt; the author wrote it down."""
    strange = "{id: r, decision: allow, reason: fine, when: 'job.prompt.matches(\"^[a-f]{9}$\")'}"
    write(bundles / "before", 1, ALLOW.replace("}", ", match: {topics: [x]}}"))
    write(bundles / "after", 2, ALLOW.replace("}", ", match: {topics: [x]}}"), strange)
    result = diff(bundles / "before", bundles / "after", "--json")
    assert [change["direction"] for change in json.loads(result.stdout)["changes"]] == ["unclear"]
    (bundles / "after" / "cases.yaml").write_text(CASES)
    about = (bundles / "after" / "bundle.yaml").read_text()
    (bundles / "after" / "bundle.yaml").write_text(about + "tests: [cases.yaml]\n")
    result = diff(bundles / "before", bundles / "after", "--json")
    (change,) = json.loads(result.stdout)["changes"]
    assert (result.exit_code, change["direction"]) == (3, "widens")
    assert change["example"]["facts"]["prompt"] == "abcdefabc"
