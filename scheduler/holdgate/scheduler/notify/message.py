"""What a notice says to the world.

What always holds: neither payload, prompt, labels, findings' places nor results; a link that leads to a page and
carries no authority; the same notice gives the same bytes, however often it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import rfc3339
from holdgate.scheduler.state.notices import Notice, NoticeKind

_DECISIONS = frozenset({NoticeKind.DECIDED, NoticeKind.QUARANTINE_DECIDED, NoticeKind.GRANT})
"""Kinds whose events say in their last word what became of it."""
_PAGES: Mapping[NoticeKind, str] = {NoticeKind.QUARANTINED: "quarantine", NoticeKind.QUARANTINE_DECIDED: "quarantine"}


def message_id(notice: Notice) -> str:
    """The same for every attempt and every webhook; the time keeps it apart from one of a store that was lost."""
    return f"ntc_{notice.tenant}_{notice.seq}_{notice.time_ms}"


def message_body(notice: Notice, console_url: str | None) -> bytes:
    """Canonical JSON; members that a kind of notice does not have are null."""
    details = notice.details
    output = details.get("output") or {}
    rules = details.get("deciding") or details.get("rules") or output.get("rules") or []
    return _body(
        message_id(notice),
        str(notice.kind),
        notice.time_ms,
        tenant=notice.tenant,
        job_id=notice.job_id,
        topic=_text(notice.who.get("topic")) or _text(details.get("agent_topic")),
        actor=_text(notice.who.get("actor")) or _text(details.get("agent")),
        by=_by(details),
        outcome=notice.event.rpartition(".")[2] if notice.kind in _DECISIONS else None,
        rules=[str(rule) for rule in rules],
        reason=_text(details.get("reason")),
        severity=_text(details.get("severity")),
        expires_at=_expires_at(notice),
        link=_link(notice, console_url),
    )


def trial(now_ms: int) -> tuple[str, bytes]:
    """Id and body of a notice that is of nothing, to try a receiver with."""
    message_id = f"ntc_test_0_{now_ms}"
    return message_id, _body(message_id, "test", now_ms, reason="this is a test", by=[], rules=[])


_MEMBERS = ("tenant", "job_id", "topic", "actor", "by", "outcome", "rules", "reason", "severity", "expires_at", "link")


def _body(message_id: str, kind: str, time_ms: int, **members: Any) -> bytes:
    head = {"id": message_id, "type": kind, "time": rfc3339(time_ms)}
    return canonical_bytes({**head, **{name: members.get(name) for name in _MEMBERS}})


def _by(details: Mapping[str, Any]) -> list[str]:
    """Who did it: one person, or all whose votes counted."""
    several = details.get("approvers")
    if isinstance(several, list):
        return [str(each) for each in several]
    one = _text(details.get("approver")) or _text(details.get("by"))
    return [] if one is None else [one]


def _expires_at(notice: Notice) -> str | None:
    expires_ms, expires_s = notice.details.get("expires_ms"), notice.details.get("expires_s")
    if isinstance(expires_ms, int):
        return rfc3339(expires_ms)
    return rfc3339(notice.time_ms + expires_s * 1000) if isinstance(expires_s, int) else None


def _link(notice: Notice, console_url: str | None) -> str | None:
    if console_url is None:
        return None
    if notice.job_id is not None:
        return f"{console_url}/{_PAGES.get(notice.kind, 'approvals')}/{notice.job_id}"
    grant_id = _text(notice.details.get("grant_id"))
    return None if grant_id is None else f"{console_url}/grants/{grant_id}"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
