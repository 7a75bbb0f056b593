"""What was published, on a narrow terminal."""

from __future__ import annotations

from typing import Any

from holdgate.bundles.cli.log import narrow_lines


def row(**changes: Any) -> dict[str, Any]:
    return {
        "name": "refunds",
        "version": 3,
        "published_at": "2026-11-21T14:30:04.681Z",
        "publisher": "default/author",
        "signers": [{"author": "author", "key": "ed25519:0"}],
        "expires": "2027-11-21T00:00:00Z",
        "digest": "sha256:" + "5" * 64,
        "accepted_widening": False,
        "restores": None,
        "problem": None,
        **changes,
    }


def test_a_line_for_each_version_fits_eighty_columns_and_remarks_stand_below() -> None:
    noise = row(
        renews=2, version=None, signers=[], publisher=None, expires=None, digest=None, problem="bundle_malformed"
    )
    lines = narrow_lines([row(accepted_widening=True, restores=1), noise])
    assert lines == [
        "name     version  published (UTC)      by      signed by  expires",
        "refunds  3        2026-11-21 14:30:04  author  author     2027-11-21",
        "    widening accepted",
        "    brings back 1",
        "refunds  -        2026-11-21 14:30:04  -       -          -",
        "    the same as 2",
        "    does not count: bundle_malformed",
    ]
    assert max(map(len, lines)) <= 80


def test_what_a_terminal_would_obey_is_left_out() -> None:
    lines = narrow_lines([row(publisher="default/\x1b[2Ja", problem="x\x07")])
    assert not any(ord(character) < 32 for line in lines for character in line)
