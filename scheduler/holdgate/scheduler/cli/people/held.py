"""A held job as text: what its page in the console says, in the same order.

What always holds: what the API did not send is left out, never guessed; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from holdgate.client import ApiError, Client
from holdgate.client.models import Approval
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.cli.people.output import Out, json_text
from holdgate.scheduler.cli.people.times import clock_text, in_words, left_s

Fact = tuple[str, object]
SIMILAR = ("similar job", "status", "became", "decided by", "when")


def print_held(client: Client, out: Out, shown: Approval) -> None:
    """One held job, whole, and what became of others like it."""
    out.say(summary(shown), style="bold")
    out.say("")
    out.facts(facts(shown, SystemClock().now_ms()))
    try:
        rows = similar_rows(client.approvals.similar(shown.job_id))
    except ApiError:
        return  # what happened before helps, and nothing depends on it
    if rows:
        out.say("")
        out.table(SIMILAR, rows)


def summary(shown: Approval) -> str:
    """One sentence: who wants what, and why it waits."""
    whom = f" on behalf of {' for '.join(reversed(shown.principals))}" if shown.principals else ""
    more = shown.as_dict()
    if isinstance(more.get("summary"), str):
        return str(more["summary"])
    return f"{shown.actor}{whom} wants to run {shown.topic}, held because: {reason_of(shown)}"


def facts(shown: Approval, now_ms: int) -> list[Fact]:
    """Everything that a vote is about."""
    found = [*_about(shown, now_ms), *_job(shown), *_why(shown), *_before(shown), *_bound(shown)]
    return [(name, value) for name, value in found if value not in (None, "")]


def reason_of(shown: Approval) -> str:
    """Why it is held, in the words of the rule's author."""
    return shown.reason or ("" if shown.decision is None else shown.decision.reason)


def requirement_text(item: Mapping[str, Any]) -> str:
    """Who may release it, and how many of them it takes."""
    who = [*(item.get("names") or []), *(f"role {role}" for role in item.get("roles") or [])]
    text = f"{item.get('quorum', 1)} of {', '.join(who) or 'nobody'}"
    more = []
    if after_s := item.get("escalate_after_s"):
        wider = [*(item.get("escalate_names") or []), *(f"role {role}" for role in item.get("escalate_roles") or [])]
        more.append(f"after {in_words(after_s)} also {', '.join(wider) or 'role escalation'}")
    if item.get("excluded"):
        more.append(f"not {', '.join(item['excluded'])}")
    if item.get("signed"):
        more.append("signed with their own keys")
    if item.get("reading_s"):
        more.append(f"after reading for {in_words(item['reading_s'])}")
    if item.get("confirm"):
        more.append(f"typing `{item['confirm']}`")
    return "; ".join([text, *more])


def vote_text(vote: Mapping[str, Any]) -> str:
    """Who voted how, when, and why."""
    whom = f" for {vote['on_behalf_of']}" if vote.get("on_behalf_of") else ""
    how = "yes" if vote.get("approve") else "no"
    marks = [name.replace("_", " ") for name in ("break_glass", "own_key", "grant") if vote.get(name)]
    marked = f" ({', '.join(marks)})" if marks else ""
    return f"{how}{marked}  {vote.get('approver')}{whom}  {clock_text(vote.get('cast_at'))}  {vote.get('reason', '')}"


def confirmations(shown: Approval) -> list[str]:
    """Texts that rules want typed."""
    found = [str(item["confirm"]) for item in shown.requirements if item.get("confirm")]
    return list(dict.fromkeys(found))


def _about(shown: Approval, now_ms: int) -> Iterable[Fact]:
    left = shown.remaining_s if shown.remaining_s is not None else left_s(shown.expires_at, now_ms)
    yield "job", shown.job_id
    yield "status", shown.status
    yield "severity", shown.severity
    yield "topic", shown.topic
    yield "actor", shown.actor
    yield "on behalf of", " for ".join(reversed(shown.principals))
    yield "held since", clock_text(shown.created_at)
    if shown.status == "pending" and left is not None:
        yield "time left", f"{in_words(left)}, until {clock_text(shown.expires_at)}"
    yield "escalated", "yes, others may release it, too" if shown.escalated else None
    yield "deferred", None if shown.deferred_until is None else f"until {clock_text(shown.deferred_until)}"


def _job(shown: Approval) -> Iterable[Fact]:
    job = shown.job or {}
    yield "labels", "\n".join(f"{name}={value}" for name, value in (job.get("labels") or {}).items())
    yield "capability", job.get("capability")
    yield "risk tags", ", ".join(job.get("risk_tags") or [])
    yield "requires", ", ".join(job.get("requires") or [])
    yield "pool", job.get("pool")
    yield "prompt", job.get("prompt")
    yield "payload", json_text(shown.payload) if shown.payload_shown else "it is gone; a release would be refused"
    yield "secrets", "the payload has some; they are masked" if job.get("secrets_present") else None


def _why(shown: Approval) -> Iterable[Fact]:
    yield "held because", reason_of(shown)
    yield "rules", "\n".join(shown.rules or (() if shown.decision is None else shown.decision.deciding))
    yield from _rule_texts(shown.as_dict().get("rule_texts"))
    constraints = shown.constraints or ({} if shown.decision is None else shown.decision.constraints)
    yield "constraints", "\n".join(f"{name}: {value}" for name, value in constraints.items())
    yield "needs", "\n".join(requirement_text(item) for item in shown.requirements)
    yield "votes", "\n".join(vote_text(vote) for vote in shown.votes)


def _rule_texts(listed: Any) -> Iterable[Fact]:
    """Each rule as it is written, its bundle and who signed that."""
    for item in listed if isinstance(listed, list) else []:
        if isinstance(item, dict):
            authors = ", ".join(map(str, item.get("authors") or item.get("signers") or []))
            head = "  ".join(
                str(text) for text in (item.get("rule") or item.get("id"), item.get("bundle"), authors) if text
            )
            yield "rule", "\n".join(text for text in (head, str(item.get("text") or "").rstrip()) if text)


def _before(shown: Approval) -> Iterable[Fact]:
    if shown.previous:
        yield "held before", _flat(shown.previous)
    yield "what changed", _flat(shown.changes)
    if shown.can_reconfirm:
        yield "you may", f"confirm your vote again: holdgate approvals reconfirm {shown.job_id}"


def _bound(shown: Approval) -> Iterable[Fact]:
    yield "job hash", shown.job_hash
    yield "snapshot", shown.snapshot


def _flat(value: Any) -> str | None:
    return None if value in (None, {}, [], ()) else json_text(value)


def similar_rows(items: Iterable[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Past jobs: what became of them, who decided."""
    rows: list[tuple[object, ...]] = []
    for item in items:
        who = item.get("decided_by") or item.get("approvers") or item.get("approver") or ()
        people = who if isinstance(who, str) else ", ".join(map(str, who))
        when = clock_text(item.get("decided_at") or item.get("resolved_at"))
        rows.append((item.get("job_id"), item.get("status"), item.get("state") or item.get("outcome"), people, when))
    return rows
