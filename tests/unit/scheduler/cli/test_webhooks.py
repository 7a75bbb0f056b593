"""`holdgate webhooks test`: what it says when nothing arrives."""

from __future__ import annotations

import pytest

from holdgate.scheduler.cli.webhooks import _told


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("ConnectError", "nothing answers at `http://h/` (ConnectError)"),
        ("timeout", "`http://h/` gave no answer in time"),
        ("status_503", "`http://h/` answers with status 503"),
    ],
)
def test_what_went_wrong_names_the_address(wrong: str, says: str) -> None:
    assert _told(wrong, "http://h/") == says
