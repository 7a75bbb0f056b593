"""What others said is shown as text: whoever writes to the store or answers as the API moves no cursor with it."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from holdgate.bundles.cli.bundle import bundle_app
from holdgate.bundles.cli.common import show
from holdgate.bundles.cli.plain import plain, plain_lines
from holdgate.bundles.cli.refusal import ProblemReply, tell
from holdgate.bundles.cli.stores import ApiPublished
from holdgate.scheduler.cli import replay, shadow

EVIL = "\x1b[2J\x07\x9b1m\u202e[link=http://evil]ok[/link][/x]"
SHOWN = "[2J1m[link=http://evil]ok[/link][/x]"
ROW = {
    "name": "house",
    "version": 1,
    "digest": "sha256:" + "0" * 64,
    "published_at": "2030-01-01T00:00:00Z",
    "publisher": EVIL,
    "accepted_widening": False,
    "signers": [{"key": "k", "author": EVIL}],
    "expires": "2030-01-01T00:00:00Z",
    "restores": None,
    "problem": EVIL,
}


def test_nothing_that_a_terminal_would_do_is_left() -> None:
    assert plain(EVIL) == SHOWN
    assert (plain("a\nb\r\u2028c"), plain_lines("a\nb\r")) == ("abc", "a\nb")
    assert plain("äöü → 語") == "äöü → 語"


@pytest.mark.parametrize("command", [["log", "house"], ["list"]])
def test_a_log_shows_what_the_store_says_as_it_is_written(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiPublished, "log", lambda *_: [ROW])
    monkeypatch.setattr(ApiPublished, "bundles", lambda *_: [ROW])
    done = CliRunner().invoke(bundle_app, [*command, "--api", "http://127.0.0.1:1"], env={"HOLDGATE_API_KEY": "k"})
    assert done.exit_code == 0, done.output
    assert is_plain(done.output)
    assert "[link=http://evil]ok[/link][/x]" in done.output


def test_a_review_and_a_refusal_are_shown_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    show({EVIL: EVIL, "list": [EVIL], "map": {"a": EVIL}}, as_json=False)
    tell(ProblemReply("bundle_tests", f"why: {EVIL}", ((EVIL, EVIL),)))
    tell(ProblemReply(EVIL, EVIL, ()))
    shown = capsys.readouterr()
    assert is_plain(shown.out)
    assert is_plain(shown.err)
    assert shown.out.count("[link=http://evil]") == 4


def test_replays_and_shadows_are_shown_as_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    group = {"outcome": EVIL, "before": EVIL, "after": EVIL, "differs": [EVIL], "count": 1, "rule_before": EVIL}
    example = {"job_id": EVIL, "topic": EVIL}
    report: dict[str, Any] = {
        "groups": [{**group, "rule_after": EVIL, "examples": [example]}],
        "candidate": {"name": EVIL, "version": EVIL},
        **dict.fromkeys(("decisions", "unchanged", "wider", "other", "tighter"), EVIL),
        "not_comparable": {EVIL: EVIL},
        "errors": EVIL,
        "oldest": EVIL,
        "newest": EVIL,
        "stopped": None,
    }
    replay._print(report)
    replica = {"replica": EVIL, "state": EVIL, "version": EVIL, "code": EVIL, "message": EVIL}
    sample = {"rules_before": [EVIL], "rules_after": [EVIL], "outcome": EVIL, "before": EVIL, "after": EVIL}
    samples = [{**sample, "phase": EVIL, **example}]
    counts = {EVIL: {"same": EVIL}}
    shadow._print({"name": EVIL, "replicas": [replica], "counts": counts, "samples": samples})
    shown = capsys.readouterr().out
    assert is_plain(shown)
    assert "[link=http://evil]ok[/link]" in shown


def is_plain(text: str) -> bool:
    return all(plain_lines(line) == line for line in text.split("\n"))
