"""Refusals, as programs read them, and where commands look for what is published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.keys import keys_app
from holdgate.bundles.cli.refusal import ProblemReply, refusals
from holdgate.bundles.cli.root import root_app
from holdgate.scheduler.cli.policy import app as policy_app
from support.trust import STARTER, Ceremony

RUN = CliRunner()
NOWHERE = "nats://127.0.0.1:1"
NO_API = "http://127.0.0.1:1"


@pytest.fixture
def trust(tmp_path: Path) -> list[str]:
    """Options that name a root."""
    ceremony = Ceremony()
    (tmp_path / "root.json").write_bytes(ceremony.signed_root())
    return ["--root", str(tmp_path / "root.json"), "--pins", str(ceremony.pins)]


@pytest.mark.parametrize(
    ("app", "command", "exit_code", "code"),
    [
        (bundle_app, ["build", "nowhere"], 1, "bundle_malformed"),
        (bundle_app, ["test", "nowhere"], 2, "bundle_malformed"),
        (bundle_app, ["lint", "nowhere"], 2, "bundle_malformed"),
        (bundle_app, ["diff", "nowhere", "nowhere"], 1, "bundle_malformed"),
        (bundle_app, ["check", "nowhere", "--api", NO_API], 1, "bundle_malformed"),
        (bundle_app, ["list", "--api", NO_API], 1, "store_unavailable"),
        (keys_app, ["show", "nowhere"], 1, "key_unusable"),
        (root_app, ["show", "nowhere"], 1, "root_refused"),
        (policy_app, ["explain", "--rules", "nowhere", "--facts", "nowhere"], 1, "invalid_input"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_program_reads_a_refusal_as_one_object(app: object, command: list[str], exit_code: int, code: str) -> None:
    result = RUN.invoke(app, [*command, "--json"], env={"HOLDGATE_API_KEY": "k"})  # type: ignore[arg-type]
    told = json.loads(result.stdout)
    assert (result.exit_code, told["error"], set(told)) == (exit_code, code, {"error", "detail", "problems"})
    assert result.stderr.startswith(f"{code}: ")
    again = RUN.invoke(app, command, env={"HOLDGATE_API_KEY": "k"})  # type: ignore[arg-type]
    if app is not policy_app:  # which prints JSON wherever there is no terminal
        assert (again.exit_code, again.stdout) == (exit_code, "")


@pytest.mark.parametrize("place", [["--nats", "nats://nats.example:4222"], ["--api", "http://api.example:8081"]])
def test_no_credential_is_sent_to_another_machine_in_clear(place: list[str], trust: list[str]) -> None:
    """An operator's neither."""
    env = {"HOLDGATE_API_KEY": "k", "HOLDGATE_NATS_USER": "operator"}
    refused = RUN.invoke(bundle_app, ["list", *place, *trust], env=env)
    assert refused.exit_code == 1
    assert "HOLDGATE_PLAINTEXT=allow" in refused.stderr
    allowed = [*place, *trust, "--plaintext", "allow"]
    assert "store_unavailable" in RUN.invoke(bundle_app, ["list", *allowed], env=env).stderr


def test_a_file_that_does_not_load_is_told_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text('name: x\nversion: 1\nexpires: "2040-01-01T00:00:00Z"\nrules: [a.yaml]\n')
    (tmp_path / "a.yaml").write_text("rules:\n  - id: r\n    decision: maybe\n    reason: x\n")
    told = json.loads(RUN.invoke(bundle_app, ["build", str(tmp_path), "--json"]).stdout)
    (problem,) = told["problems"]
    assert (told["error"], problem["line"], problem["field"]) == ("policy_invalid", 3, "rules.0.decision")
    assert problem["file"].endswith("a.yaml")


def test_the_problems_of_the_api_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), refusals(as_json=True):
        raise ProblemReply("bundle_tests", "its tests fail: one", (("tests/a.yaml:3", "no"),))
    told = capsys.readouterr()
    assert json.loads(told.out)["problems"] == [{"field": "tests/a.yaml:3", "detail": "no"}]
    assert told.err.splitlines()[:2] == ["bundle_tests: its tests fail", "  tests/a.yaml:3  no"]
    assert told.err.splitlines()[2].startswith("next: ")


def test_a_root_that_does_not_hold_is_one_object_with_who_signed(tmp_path: Path, trust: list[str]) -> None:
    pins = trust[3].rsplit(":", 1)[0] + ":" + "0" * 32
    result = RUN.invoke(root_app, ["verify", trust[1], "--pins", pins, "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["error"].startswith("root_")
    assert told["signatures"]


def test_an_option_goes_before_the_environment(trust: list[str]) -> None:
    at_nats = RUN.invoke(
        bundle_app, ["list", "--nats", NOWHERE, *trust], env={"HOLDGATE_API_URL": NO_API, "HOLDGATE_API_KEY": "k"}
    )
    assert (at_nats.exit_code, NOWHERE in at_nats.stderr) == (1, True), at_nats.stderr
    at_api = RUN.invoke(
        bundle_app, ["list", "--api", NO_API], env={"HOLDGATE_NATS_URL": NOWHERE, "HOLDGATE_API_KEY": "k"}
    )
    assert (at_api.exit_code, NO_API in at_api.stderr) == (1, True), at_api.stderr


def test_two_places_on_one_command_line_are_refused(trust: list[str]) -> None:
    both = RUN.invoke(bundle_app, ["list", "--nats", NOWHERE, "--api", NO_API, *trust], env={"HOLDGATE_API_KEY": "k"})
    assert (both.exit_code, "once" in both.stderr) == (2, True), both.stderr


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1"])
def test_what_is_no_address_is_told_as_that(url: str) -> None:
    result = RUN.invoke(bundle_app, ["list", "--api", url], env={"HOLDGATE_API_KEY": "k"})
    assert (result.exit_code, "http://127.0.0.1:8081" in result.stderr) == (1, True), result.stderr


def test_what_cannot_be_reached_is_told_with_what_to_do(trust: list[str]) -> None:
    for place, option in (([NO_API], "--api"), ([NOWHERE, *trust], "--nats")):
        result = RUN.invoke(bundle_app, ["list", option, *place], env={"HOLDGATE_API_KEY": "k"})
        assert result.stderr.startswith(f"store_unavailable: cannot reach `{place[0]}`: start it, or check {option}")


def test_a_missing_file_with_the_api_key_is_no_bundle() -> None:
    result = RUN.invoke(bundle_app, ["list", "--api", NO_API, "--api-key-file", "nowhere"])
    assert (result.exit_code, result.stderr.startswith("invalid_input: cannot read `nowhere`")) == (1, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rules", "nowhere", "--facts", "facts"], "invalid_input: cannot read `nowhere` of `--rules`: no such file"),
        (["--rules", ".", "--facts", "facts"], "give"),
        (["--bundle", str(STARTER), "--facts", "nowhere"], "invalid_input: cannot read `nowhere` of `--facts`"),
        (["--bundle", str(STARTER), "--facts", "facts"], "invalid_input: there is no job in `facts`"),
    ],
    ids=str,
)
def test_what_cannot_be_simulated_is_told_with_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "facts").write_text("\n")
    for command in ("simulate", "explain"):
        result = RUN.invoke(policy_app, [command, *options])
        assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
