"""Exit codes, lengths of time and where a command calls: tables of cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from holdgate.client.errors import JobNotSucceeded, WaitTimeout, error_of
from holdgate.client.models import JobInfo
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.cli.people import asking, bulk, connection, signing, submit
from holdgate.scheduler.cli.people.approvals import app as approvals_app
from holdgate.scheduler.cli.people.exits import MEANINGS, Exit, exit_of_error, exit_of_state, help_text
from holdgate.scheduler.cli.people.jobs import app as jobs_app
from holdgate.scheduler.cli.people.refusal import NEXT
from holdgate.scheduler.cli.people.times import in_words, seconds_of
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.up.home import Home

ENDS = {
    "succeeded": 0,
    "denied": 3,
    "held": 4,
    "accepted": 5,
    "scheduled": 5,
    "queued": 5,
    "running": 5,
    "finishing": 5,
    "failed": 7,
    "timed_out": 7,
    "cancelled": 7,
    "expired": 7,
    "quarantined": 8,
}


def test_every_state_of_a_job_has_its_exit_code() -> None:
    assert {str(state): int(exit_of_state(str(state))) for state in State} == ENDS


def test_every_exit_code_has_a_meaning_and_is_in_the_help() -> None:
    assert set(MEANINGS) == set(Exit)
    for app in (jobs_app, approvals_app):
        shown = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
        assert "Exit codes: 0 done" in shown
    assert all(f"{int(code)} " in help_text() for code in Exit)


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [
        (403, "denied", 3),
        (403, "forbidden", 1),
        (404, "job_not_found", 1),
        (409, "approval_stale_job", 1),
        (409, "output_quarantined", 8),
        (409, "result_not_ready", 5),
        (422, "invalid_body", 1),
        (429, "throttled", 6),
        (503, "kernel_unavailable", 6),
        (0, "unreachable", 6),
    ],
)
def test_a_refusal_of_the_api_ends_as_the_table_says(status: int, code: str, ends: int) -> None:
    kind = error_of(status, {"code": code}, None) if status else error_of(503, {"code": code}, None)
    assert exit_of_error(kind) == ends


def test_waiting_in_vain_is_told_from_ending_badly() -> None:
    held, running = (JobInfo(job_id="j", topic="t", state=state) for state in ("held", "running"))
    assert (exit_of_error(WaitTimeout(held)), exit_of_error(WaitTimeout(running))) == (4, 5)
    assert exit_of_error(JobNotSucceeded(JobInfo(job_id="j", topic="t", state="failed"))) == 7
    assert exit_of_error(InvalidInput("x")) == 2


def test_codes_that_have_a_next_step_are_codes_of_the_api() -> None:
    from holdgate.scheduler.api.problems import KINDS

    assert set(NEXT) - set(KINDS) <= {"unreachable", "wait_timeout"}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800)])
def test_lengths_of_time(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1h 30m", "5y", "1e3s", "९s"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        seconds_of(text)


def test_lengths_of_time_in_words() -> None:
    assert [in_words(value) for value in (-3, 0, 59.9, 5400, 90_061)] == ["0 s", "0 s", "59 s", "1 h 30 m", "1 d 1 h"]


# Where the API is -----------------------------------------------------------------------------------------------------


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[connection.Target]:
    """Targets of the clients that commands made; the command then ends."""
    seen: list[connection.Target] = []

    def client(target: connection.Target) -> Any:
        seen.append(target)
        raise typer.Exit(99)

    monkeypatch.setattr(connection, "_client", client)
    for name in ("HOLDGATE_API_URL", "HOLDGATE_API_KEY", "HOLDGATE_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return seen


def running_system(directory: Path, keys: dict[str, str] | None = None) -> Path:
    """The state file of a `holdgate up`."""
    home = Home(directory)
    home.state_file.parent.mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    document = {"api": "http://127.0.0.1:7000", "keys": keys or {"agent": "A", "approver": "P", "operator": "O"}}
    home.state_file.write_text(json.dumps(document))
    home.state_file.chmod(0o600)
    return directory


def invoke(app: typer.Typer, *arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env=environment)


def test_a_system_on_this_machine_needs_nothing_but_its_directory(
    called: list[connection.Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_system(tmp_path / ".holdgate")
    monkeypatch.chdir(tmp_path)
    invoke(approvals_app, "list")
    invoke(jobs_app, "list")
    invoke(jobs_app, "retry", "job_1")
    invoke(jobs_app, "list", "--as", "operator")
    invoke(approvals_app, "list", "--dir", str(tmp_path / ".holdgate"))
    assert [target.key for target in called] == ["P", "A", "O", "O", "P"]
    assert {target.url for target in called} == {"http://127.0.0.1:7000"}


def test_a_key_that_was_given_never_goes_where_a_directory_says(
    called: list[connection.Target], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_system(tmp_path / ".holdgate")
    monkeypatch.chdir(tmp_path)
    invoke(jobs_app, "list", HOLDGATE_API_KEY="mine")
    assert called == [connection.Target(connection.USUAL_URL, "mine")]
    invoke(jobs_app, "list", "--as", "agent", HOLDGATE_API_KEY="mine", HOLDGATE_API_URL="http://elsewhere")
    assert called[-1] == connection.Target("http://127.0.0.1:7000", "A")


@pytest.mark.parametrize("place", ["directory", "file"])
def test_a_directory_that_others_may_write_to_is_not_believed(
    called: list[connection.Target], tmp_path: Path, place: str
) -> None:
    directory = running_system(tmp_path / "data")
    (directory if place == "directory" else Home(directory).state_file).chmod(0o777)
    done = invoke(jobs_app, "list", "--dir", str(directory))
    assert (done.exit_code, called) == (2, [])
    assert "is not yours alone" in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--api", "http://h", "--api-key", "k"], "others see what is on a command line"),
        (["--api", "http://h", "--dir", "d"], "say where the API is once"),
        ([], "say where the API is"),
        (["--dir", "nowhere"], "no `holdgate up` runs in `nowhere`"),
        (["--as", "agent"], "no `holdgate up` runs in `.holdgate`"),
    ],
)
def test_options_that_lead_nowhere_are_a_usage_error(
    called: list[connection.Target],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke(jobs_app, "list", *arguments)
    assert (done.exit_code, called) == (2, [])
    assert says in done.output


def test_an_unknown_name_says_which_there_are(called: list[connection.Target], tmp_path: Path) -> None:
    done = invoke(jobs_app, "list", "--dir", str(running_system(tmp_path / "data")), "--as", "boss")
    assert done.exit_code == 2
    assert "it has agent, approver, operator" in done.output


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", ""])
def test_an_address_that_is_none_is_a_usage_error(url: str) -> None:
    done = invoke(jobs_app, "list", "--api", url, HOLDGATE_API_KEY="k")
    assert done.exit_code == 2, done.output
    assert "is no address of an API" in done.output


# Votes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["approve", "reject", "reconfirm"])
@pytest.mark.parametrize(
    "arguments",
    [[], ["--yes"], ["--yes", "--job-hash", "sha256:a"], ["--yes", "--snapshot", "sha256:b"]],
    ids=lambda value: " ".join(value) or "nobody to ask",
)
def test_a_script_that_has_looked_at_nothing_cannot_vote(
    command: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "look_at", lambda *_: pytest.fail("it asked the API"))
    done = invoke(approvals_app, command, "job_1", *arguments, "--api", "http://127.0.0.1:1", HOLDGATE_API_KEY="k")
    assert done.exit_code == 2
    assert "--job-hash" in done.output


def test_bulk_votes_of_a_script_need_the_rows_that_it_saw(tmp_path: Path) -> None:
    where = ["--api", "http://127.0.0.1:1"]
    for arguments, says in (
        (["approve"], "say which jobs"),
        (["approve", "--rule", "r", "--items", "x", "--yes"], "say which jobs once"),
        (["approve", "--items", str(tmp_path / "none"), "--yes"], "cannot read"),
    ):
        done = invoke(approvals_app, "bulk", *arguments, *where, HOLDGATE_API_KEY="k")
        assert done.exit_code == 2, done.output
        assert says in done.output


def test_lines_that_are_no_held_jobs_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "items"
    for text in ("nonsense\n", '{"job_id": "job_1"}\n', "[]\n", "1\n"):
        file.write_text(text)
        with pytest.raises(InvalidInput):
            bulk._listed(str(file))
    row = {"job_id": "job_1", "job_hash": "h", "snapshot": "s"}
    file.write_text(f"{json.dumps(row)}\n" * 101)
    with pytest.raises(InvalidInput, match="at most 100"):
        bulk._listed(str(file))


def test_a_vote_is_signed_over_what_was_shown_and_nothing_else() -> None:
    from holdgate.client.models import Approval

    asked = {"tenant": "default", "approver": "ann", "attempt": 2, "expires_ms": 9, "job_hash": "other", "roles": ["r"]}
    shown = Approval(job_id="job_1", status="pending", job_hash="h", snapshot="s", to_sign=asked)
    made = signing.vote_of(shown, "fine", 5)
    assert (made.job_id, made.job_hash, made.snapshot, made.reason, made.approve) == ("job_1", "h", "s", "fine", True)
    assert (made.tenant, made.approver, made.attempt, made.issued_ms, made.expires_ms) == ("default", "ann", 2, 5, 9)
    with pytest.raises(InvalidInput):
        signing.vote_of(shown.model_copy(update={"to_sign": None}), "fine", 5)
    with pytest.raises(InvalidInput):
        signing.vote_of(shown.model_copy(update={"to_sign": {"tenant": "default"}}), "fine", 5)


# Submits --------------------------------------------------------------------------------------------------------------


def test_a_payload_comes_from_the_command_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.json").write_text('{"a": 1}')
    assert submit._payload('{"a": [1, null]}') == {"a": [1, None]}
    assert submit._payload(f"@{tmp_path / 'p.json'}") == {"a": 1}
    for bad in ("{", '{"a": 1, "a": 2}', "NaN", f"@{tmp_path / 'none'}"):
        with pytest.raises(InvalidInput):
            submit._payload(bad)


def test_labels_are_pairs() -> None:
    assert submit._labels(["env=prod", "q=a=b", "empty="]) == {"env": "prod", "q": "a=b", "empty": ""}
    assert submit._labels([]) is None
    for bad in ("env", "=prod"):
        with pytest.raises(InvalidInput):
            submit._labels([bad])
