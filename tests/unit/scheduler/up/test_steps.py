"""Steps of a demo or a drill: what differs is shown and counted, and nothing stops the rest."""

from __future__ import annotations

import httpx
import pytest

from holdgate.scheduler.errors import Misconfigured
from holdgate.scheduler.up.drill import _report
from holdgate.scheduler.up.steps import Skipped, Step, run_steps


def failing(error: Exception) -> Step:
    def see() -> str:
        raise error

    return Step("fails", "fine", see)


def test_a_step_is_as_expected_only_when_it_says_exactly_that() -> None:
    """No near misses."""
    outcomes = run_steps([Step("a", "202, succeeded", lambda: "202, succeeded"), Step("b", "202", lambda: "2022")], "t")
    assert [outcome.is_as_expected for outcome in outcomes] == [True, False]


@pytest.mark.parametrize(
    "error", [KeyError("state"), httpx.ConnectError("no"), Misconfigured("no"), TimeoutError(), ValueError("x")]
)
def test_an_error_in_a_step_is_what_was_seen_and_the_rest_goes_on(error: Exception) -> None:
    """A demo that ended at its first surprise would hide the others."""
    outcomes = run_steps([failing(error), Step("b", "x", lambda: "x")], "t")
    assert [outcome.is_as_expected for outcome in outcomes] == [False, True]
    assert type(error).__name__ in outcomes[0].seen


def test_a_drill_with_a_skipped_step_is_no_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """What was not tried is not confirmed."""
    good = run_steps([Step("a", "x", lambda: "x")], "t")
    assert _report(good) == 0
    skipped = run_steps([failing(Skipped("no power over the kernel"))], "t")
    assert _report([*good, *skipped]) == 1
    assert "1 as expected, 0 not, 1 skipped" in capsys.readouterr().out


def test_square_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """`[redacted:…]` is not a style."""
    run_steps([Step("a", "[redacted:secret]", lambda: "[redacted:secret]")], "t")
    assert "[redacted:secret]" in capsys.readouterr().out
