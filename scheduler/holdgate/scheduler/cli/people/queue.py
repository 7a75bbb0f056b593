"""What waits for people, as a list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from holdgate.client import Client
from holdgate.client.models import Approval
from holdgate.scheduler.cli.people.held import reason_of
from holdgate.scheduler.cli.people.output import Out
from holdgate.scheduler.cli.people.times import in_words, left_s

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


def _row(item: Approval, now_ms: int) -> tuple[object, ...]:
    left = item.remaining_s if item.remaining_s is not None else left_s(item.expires_at, now_ms)
    quorum = max((requirement.get("quorum") or 1 for requirement in item.requirements), default=1)
    yes = sum(1 for cast in item.votes if cast.get("approve"))
    left_text = None if left is None else in_words(left) + (" escalated" if item.escalated else "")
    return item.job_id, item.severity, item.topic, item.actor, left_text, f"{yes}/{quorum}", reason_of(item)
