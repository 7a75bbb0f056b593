"""`holdgate bundle init`: what it writes can be published as it is, and it writes over nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.documents import load_yaml
from holdgate.bundles.draft import STARTERS, copied, drafted, starter_names, write_draft
from holdgate.bundles.errors import BundleMalformed, BundleRefused
from holdgate.bundles.format import BundleFile, build_bundle, parse_bundle
from holdgate.bundles.lint.files import lint_sources, source_of_bundle
from holdgate.bundles.lint.findings import LintContext, Severity
from holdgate.bundles.schema import header, schema_of
from holdgate.bundles.testing import Mutation, MutationReport, load_suite, run_suite, run_tests
from holdgate.bundles.trusted import parse_bundle_rules, verify_reach
from support.policies import NOW_MS

RUN = CliRunner()
NAMES = ["refunds", "a", "1", "true", "no", "1e5", "0x1f", "2026-01-01", "a-b_c", "x" * 63]


def _built(directory: Path) -> BundleFile:
    return parse_bundle(build_bundle(directory))


def _worth_a_look(file: BundleFile) -> list[str]:
    found = lint_sources([source_of_bundle(file)], [], LintContext())
    return [f"{item.rule}: {item.code}" for item in found if item.severity is not Severity.NOTE]


@pytest.mark.parametrize("name", NAMES)
def test_a_draft_builds_passes_its_tests_and_lint_whatever_its_name(tmp_path: Path, name: str) -> None:
    write_draft(tmp_path / "draft", drafted(name, NOW_MS))
    file = _built(tmp_path / "draft")
    verify_reach(parse_bundle_rules(file), file.manifest.scope)
    report = run_tests(file)
    assert (file.manifest.name, file.manifest.version) == (name, 1)
    assert report.passed, report.failed
    assert (report.coverage.rules_percent, report.coverage.conditions_percent) == (100, 100)
    assert lint_sources([source_of_bundle(file)], [], LintContext()) == []


def test_no_change_of_a_rule_goes_unnoticed_by_the_tests_of_a_draft(tmp_path: Path) -> None:
    write_draft(tmp_path, drafted("refunds", NOW_MS))
    suite = load_suite(_built(tmp_path))
    assert run_suite(suite).passed
    mutation = MutationReport.of(Mutation(suite).outcomes())
    assert mutation.total > 10
    assert not mutation.survivors


def test_a_draft_expires_in_a_year(tmp_path: Path) -> None:
    write_draft(tmp_path, drafted("refunds", NOW_MS))
    assert _built(tmp_path).manifest.expires == "2027-01-01T00:00:00Z"


@pytest.mark.parametrize("make", [lambda: drafted("refunds", NOW_MS), lambda: copied("demo", "refunds", NOW_MS)])
def test_an_editor_finds_the_schema_of_each_file(make: object) -> None:
    files = make()  # type: ignore[operator]
    for path, text in files.items():
        kind = "bundle" if path == "bundle.yaml" else path.split("/")[0]
        assert text.splitlines()[0] == header(kind)
        assert not list(Draft202012Validator(schema_of(kind)).iter_errors(load_yaml(text.encode(), path)))


@pytest.mark.parametrize("starter", starter_names())
def test_a_copy_of_a_starter_is_that_bundle_under_another_name(tmp_path: Path, starter: str) -> None:
    write_draft(tmp_path, copied(starter, "mine", NOW_MS))
    copy, original = _built(tmp_path), _built(STARTERS / starter)
    assert (copy.manifest.name, copy.manifest.version, copy.manifest.expires) == ("mine", 1, "2027-01-01T00:00:00Z")
    assert copy.files == original.files
    kept = {"name", "version", "expires"}
    assert copy.manifest.model_dump(exclude=kept) == original.manifest.model_dump(exclude=kept)
    assert _worth_a_look(copy) == _worth_a_look(original)
    assert run_tests(copy).passed


def test_every_starter_bundle_can_be_copied() -> None:
    assert {"baseline", "coding-agent", "data-agent", "support-agent", "infra-agent"} <= set(starter_names())


def test_a_starter_that_is_not_there_is_refused_with_those_that_are() -> None:
    for name in ("nothing", "../starter/demo", ""):
        with pytest.raises(BundleMalformed, match=r"there are .*baseline.*demo"):
            copied(name, "mine", NOW_MS)


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "a b", "a\n", "x" * 64, "-a"])
def test_a_name_that_no_bundle_can_have_is_refused(name: str) -> None:
    for make in (lambda: drafted(name, NOW_MS), lambda: copied("demo", name, NOW_MS)):
        with pytest.raises(BundleMalformed, match="the name of a bundle"):
            make()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleRefused) as refused:
        write_draft(tmp_path, drafted("refunds", NOW_MS))
    assert refused.value.code == "bundle_exists"
    assert [place.name for place in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(BundleRefused) as refused:
        write_draft(tmp_path / "notes.txt", drafted("refunds", NOW_MS))
    assert refused.value.code == "bundle_unwritable"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    place = str(tmp_path / "new" / "refunds")
    result = RUN.invoke(bundle_app, ["init", "refunds", "--dir", place, "--json"])
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["files"] == ["bundle.yaml", "rules/refunds.yaml", "tests/refunds.yaml"]
    for command in shown["next"]:
        assert RUN.invoke(bundle_app, command.split()[2:]).exit_code == 0, command
    again = RUN.invoke(bundle_app, ["init", "refunds", "--dir", place])
    assert (again.exit_code, again.stderr.split(":")[0]) == (1, "bundle_exists")


def test_a_copy_says_that_its_rules_have_the_ids_of_the_starter(tmp_path: Path) -> None:
    result = RUN.invoke(bundle_app, ["init", "mine", "--from", "demo", "--dir", str(tmp_path / "mine"), "--json"])
    assert "`demo`" in json.loads(result.stdout)["note"]
    same = RUN.invoke(bundle_app, ["init", "demo", "--from", "demo", "--dir", str(tmp_path / "demo"), "--json"])
    assert "note" not in json.loads(same.stdout)
    unknown = RUN.invoke(bundle_app, ["init", "mine", "--from", "nothing", "--dir", str(tmp_path / "x")])
    assert (unknown.exit_code, (tmp_path / "x").exists()) == (1, False)


def test_the_directory_is_called_like_the_bundle_unless_said_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert RUN.invoke(bundle_app, ["init", "refunds"]).exit_code == 0
    assert (tmp_path / "refunds" / "bundle.yaml").exists()
