"""`holdgate bundle lint` as an author and a pipeline use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdgate.bundles.chain import sign_root
from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.lint import LintContext
from holdgate.bundles.lint.files import lint_sources, source_of_rules
from holdgate.bundles.lint.formats import github_lines
from holdgate.bundles.root import Approver, ApproverRole, AuthorKey, Pins, Root, RootKeys
from support.trust import signer

RUN = CliRunner()
BUNDLE = """\
name: house
version: 1
scope: {tenants: ["*"], topics: [">"]}
expires: "2040-01-01T00:00:00Z"
rules: [rules/a.yaml, rules/b.yaml]
"""
FIRST = """\
# A comment, so that lines count.
rules:
  - id: deny-exec
    decision: deny
    reason: "no command may run"
    match: {topics: ["job.look.*"]}
"""
SECOND = """\
rules:
  - id: allow-exec
    decision: allow
    reason: "commands may run anywhere"
    match: {topics: ["job.look.>"]}

  - {id: hold, decision: require_approval, reason: "hold", match: {topics: ["job.x"]}}
output_rules:
  - {id: leak, verdict: allow, reason: "whatever is found may leave"}
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    directory = tmp_path / "house"
    (directory / "rules").mkdir(parents=True)
    (directory / "bundle.yaml").write_text(BUNDLE)
    (directory / "rules" / "a.yaml").write_text(FIRST)
    (directory / "rules" / "b.yaml").write_text(SECOND)
    return directory


def found(*arguments: str) -> tuple[int, list[tuple[str, str, str, int]]]:
    """Exit code, and (code, rule, file, line) of each finding."""
    result = RUN.invoke(bundle_app, ["lint", *arguments, "--json"])
    findings = json.loads(result.stdout)["findings"]
    return result.exit_code, [(item["code"], item["rule"], item["file"], item["line"]) for item in findings]


def test_each_finding_has_the_file_and_line_of_its_rule(house: Path) -> None:
    assert found(str(house)) == (
        1,
        [
            ("bundle-untested", "", f"{house}/bundle.yaml", 1),
            ("shallow-restriction", "deny-exec", f"{house}/rules/a.yaml", 3),
            ("missing-reason", "hold", f"{house}/rules/b.yaml", 7),
            ("released-findings", "leak", f"{house}/rules/b.yaml", 9),
        ],
    )
    assert found(str(house / "bundle.yaml")) == found(str(house))


def test_a_built_bundle_is_looked_at_like_its_directory(house: Path, tmp_path: Path) -> None:
    built = str(tmp_path / "house.bundle")
    assert RUN.invoke(bundle_app, ["build", str(house), "-o", built]).exit_code == 0
    _, findings = found(built)
    assert ("shallow-restriction", "deny-exec", "rules/a.yaml", 3) in findings


def test_warnings_fail_only_where_they_are_asked_to(house: Path) -> None:
    ignored = ["--ignore", "shallow-restriction"]
    assert RUN.invoke(bundle_app, ["lint", str(house), *ignored]).exit_code == 0
    assert RUN.invoke(bundle_app, ["lint", str(house), *ignored, "--strict"]).exit_code == 1
    quiet = [*ignored, *("--ignore", "missing-reason", "--ignore", "released-findings", "--ignore", "bundle-untested")]
    assert RUN.invoke(bundle_app, ["lint", str(house), *quiet, "--strict"]).exit_code == 0


def test_a_person_reads_what_was_found_and_a_total(house: Path) -> None:
    result = RUN.invoke(bundle_app, ["lint", str(house)])
    assert "error   shallow-restriction  deny-exec" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 error, 3 warnings, 0 notes"


def test_a_file_that_does_not_load_is_unreadable_and_not_a_finding(house: Path, tmp_path: Path) -> None:
    (house / "rules" / "a.yaml").write_text("rules: [{id: x}]")
    result = RUN.invoke(bundle_app, ["lint", str(house)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "rules/a.yaml:1" in result.stderr
    assert RUN.invoke(bundle_app, ["lint", str(tmp_path / "nothing.yaml")]).exit_code == 2


def test_a_check_that_is_not_there_cannot_be_left_out(house: Path) -> None:
    result = RUN.invoke(bundle_app, ["lint", str(house), "--ignore", "no-such-check"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no-such-check" in result.stderr


def test_a_bare_rules_file_is_a_bundle_of_its_own(house: Path) -> None:
    file = house / "rules" / "b.yaml"
    assert ("missing-reason", "hold", str(file), 7) in found(str(file))[1]


def test_what_is_in_force_is_looked_at_together_and_not_blamed_for_itself(house: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        "rules:\n"
        "  - {id: exec, decision: allow, reason: 'commands may run', match: {topics: ['job.look.a']}}\n"
        "  - {id: todo, decision: deny, reason: 'TODO', match: {topics: ['job.y']}}\n"
    )
    _, findings = found(str(house), "--with", str(other))
    assert [item for item in findings if item[2] == str(other)] == [("shadowed-rule", "exec", str(other), 2)]
    both = found(str(house), str(other))[1]
    assert ("missing-reason", "todo", str(other), 3) in both


def test_two_bundles_of_one_name_cannot_be_looked_at_together(house: Path) -> None:
    assert RUN.invoke(bundle_app, ["lint", str(house), str(house)]).exit_code == 2
    assert found(str(house), "--with", str(house)) == found(str(house))


PINS = str(Pins(frozenset({signer("root").name}), 1))


def root_of(approvers: list[Approver]) -> Root:
    """A root whose approvers may have the role `dba`."""
    return Root(
        version=1,
        expires="2040-01-01T00:00:00Z",
        root=RootKeys(keys=[signer("root").public_key.hex()], threshold=1),
        authors=[AuthorKey(name="author", public_key=signer("author").public_key.hex())],
        api_keys=[signer("api").public_key.hex()],
        kernel_keys=[signer("kernel").public_key.hex()],
        approver_roles=[ApproverRole(name="dba")],
        approvers=approvers,
    )


def test_roles_come_from_the_command_line_and_from_the_root(house: Path, tmp_path: Path) -> None:
    unheld = ("approvers-unheld", "hold", f"{house}/rules/b.yaml", 7)
    assert unheld not in found(str(house))[1]
    assert unheld in found(str(house), "--roles", "dba")[1]
    assert unheld not in found(str(house), "--roles", "dba, approver")[1]
    (tmp_path / "root.json").write_bytes(sign_root(root_of([]), [signer("root")]))
    trust = ["--root", str(tmp_path / "root.json"), "--pins", PINS]
    assert unheld in found(str(house), *trust)[1]
    assert unheld not in found(str(house), *trust, "--roles", "approver")[1]
    assert RUN.invoke(bundle_app, ["lint", str(house), *trust[:2]]).exit_code == 2


def test_keys_of_approvers_come_from_the_root(house: Path, tmp_path: Path) -> None:
    rules = house / "rules" / "b.yaml"
    asked = "approvers: {roles: [dba], signed: true}, match: {topics: [job.x]"
    rules.write_text(rules.read_text().replace('match: {topics: ["job.x"]', asked))
    listed = Approver(actor="ann", public_key=signer("ann").public_key.hex(), roles=["dba"])
    told = []
    for approvers in ([], [listed]):
        (tmp_path / "root.json").write_bytes(sign_root(root_of(approvers), [signer("root")]))
        result = RUN.invoke(bundle_app, ["lint", str(house), "--root", str(tmp_path / "root.json"), "--pins", PINS])
        told.append("signed-unheld" in result.output)
    assert told == [True, False]


def test_github_shows_a_finding_beside_its_line(house: Path) -> None:
    result = RUN.invoke(bundle_app, ["lint", str(house), "--format", "github"])
    line = next(line for line in result.stdout.splitlines() if "shallow" in line)
    assert line.startswith(f"::error file={house}/rules/a.yaml,line=3,title=shallow-restriction::deny-exec: denies")


def test_a_text_of_the_author_cannot_be_a_command_to_github() -> None:
    source = source_of_rules("x", "a,b:c%.yaml", b"rules: [{id: r, decision: deny, reason: x}]")
    (line,) = github_lines(lint_sources([source], [], LintContext()))
    assert line.startswith("::warning file=a%2Cb%3Ac%25.yaml,line=1,title=missing-reason::r: ")


def test_sarif_names_rule_level_and_place(house: Path) -> None:
    result = RUN.invoke(bundle_app, ["lint", str(house), "--format", "sarif"])
    (run,) = json.loads(result.stdout)["runs"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {item["ruleId"] for item in run["results"]}
    shallow = next(item for item in run["results"] if item["ruleId"] == "shallow-restriction")
    place = shallow["locations"][0]["physicalLocation"]
    assert (shallow["level"], place["artifactLocation"]["uri"], place["region"]["startLine"]) == (
        "error",
        f"{house}/rules/a.yaml",
        3,
    )
