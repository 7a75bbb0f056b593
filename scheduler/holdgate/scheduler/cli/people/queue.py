"""What waits for people, as a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdgate.client import Client
from holdgate.client.models import Approval
from holdgate.kernel.standing import BREAK_GLASS_QUORUM
from holdgate.scheduler.cli.people.held import reason_of
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.cli.people.times import left_s
from holdgate.scheduler.words.durations import time_left
from holdgate.scheduler.words.needs import needs_of

COLUMNS = ("job", "severity", "topic", "actor", "time left", "votes", "held because")
PAGE = 100


def pending(client: Client, limit: int, *, mine: bool = False, **filters: str | None) -> Iterator[Approval]:
    """Held jobs that wait, page by page; `limit` in all."""
    cursor = None
    while limit > 0:
        page = client.approvals.list(limit=min(limit, PAGE), cursor=cursor, mine=mine, **filters)
        yield from page.items
        limit -= len(page.items)
        if (cursor := page.next_cursor) is None:
            return


def print_queue(out: Out, found: Sequence[Approval], now_ms: int) -> None:
    """A row each."""
    out.table(COLUMNS, [_row(item, now_ms) for item in found])


def votes_text(item: Approval) -> str:
    """Votes that count of those that the rule that misses most asks for; those that break the glass by themselves."""
    if item.created_at is None or not item.requirements:
        return ""
    needs = needs_of(item.as_dict())
    need, glass = max(needs, key=lambda found: found.missing), max(found.glass for found in needs)
    return f"{need.yes}/{need.facts['quorum']}" + (f" glass {glass}/{BREAK_GLASS_QUORUM}" if glass else "")


def _row(item: Approval, now_ms: int) -> tuple[object, ...]:
    left = item.remaining_s if item.remaining_s is not None else left_s(item.expires_at, now_ms)
    left_text = None if left is None else time_left(left) + (" escalated" if item.escalated else "")
    return item.job_id, item.severity, item.topic, item.actor, left_text, votes_text(item), reason_of(item)
