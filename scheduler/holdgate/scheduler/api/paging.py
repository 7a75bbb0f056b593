"""Lists in pieces: `limit` and an opaque `cursor`, answered as `{items, next_cursor}`.

A cursor is the text that the state gave as "go on here", in base64url. It names nothing of another tenant that the
caller could not ask for anyway: every list is read with the caller's tenant.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.ids import JOB_ID
from holdgate.scheduler.api.problems import Problem, invalid

LIMIT_DEFAULT = 50
LIMIT_MAX = 500
CURSOR_CHARS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Page:
    """Which piece of a list is asked for; `after` is the state's own mark, None for the start."""

    limit: int
    after: str | None


SEQ = re.compile(r"[0-9]{1,16}\Z", re.ASCII)


def page_of(query: dict[str, str], mark: re.Pattern[str] = JOB_ID) -> Page:
    """The piece that `limit` and `cursor` ask for; a problem that names the wrong one. `mark`: the shape of marks."""
    return Page(limit=_limit(query.get("limit")), after=_after(query.get("cursor"), mark))


def page_reply(items: list[Any], after: str | None) -> dict[str, Any]:
    """The reply of a list; `after` is None at its end."""
    return {"items": items, "next_cursor": None if after is None else cursor_of(after)}


def cursor_of(after: str) -> str:
    """The opaque text for a mark."""
    return base64.urlsafe_b64encode(after.encode()).rstrip(b"=").decode()


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LIMIT_MAX):
        raise invalid("limit", f"must be a number from 1 to {LIMIT_MAX}")
    return int(text)


def _after(cursor: str | None, mark: re.Pattern[str]) -> str | None:
    if cursor is None:
        return None
    if not cursor or len(cursor) > CURSOR_CHARS_MAX or not cursor.isascii():
        raise Problem("bad_cursor")
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Problem("bad_cursor") from error
    if mark.match(text) is None:
        raise Problem("bad_cursor")
    return text
