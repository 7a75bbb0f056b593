"""A held job as text: what its page in the console says, in the same order.

What always holds: what the API did not send is left out, never guessed; nothing here decides anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from holdgate.client.models import Approval
from holdgate.scheduler.cli.people.look import Look
from holdgate.scheduler.cli.people.output import Out, json_text
from holdgate.scheduler.cli.people.times import clock_text, left_s
from holdgate.scheduler.words.bounds import bounds_of
from holdgate.scheduler.words.changes import changes_of
from holdgate.scheduler.words.durations import duration, time_left
from holdgate.scheduler.words.needs import STATUS_WORDS
from holdgate.scheduler.words.votes import or_glass

Fact = tuple[str, object]
SIMILAR = ("similar job", "status", "became", "decided by", "when")
PENDING = "pending"
MARKS = ("break_glass", "own_key", "grant")


def print_look(out: Out, look: Look, now_ms: int) -> None:
    """One held job, whole, and what became of others like it."""
    out.say(summary(look.shown), style="bold")
    out.say("")
    out.facts(facts(look, now_ms))
    if look.similar:
        out.say("")
        out.table(SIMILAR, similar_rows(look.similar))


def summary(shown: Approval) -> str:
    """One sentence: who wants what, and why it waits."""
    whom = f" on behalf of {' for '.join(reversed(shown.principals))}" if shown.principals else ""
    wants = "wants" if shown.status == PENDING else "wanted"
    return f"{shown.actor}{whom} {wants} to run {shown.topic}, held because: {reason_of(shown)}"


def facts(look: Look, now_ms: int) -> list[Fact]:
    """Everything that a vote is about."""
    shown = look.shown
    found = [*_about(shown, now_ms), *_job(look), *_why(look), *_before(shown), *_bound(shown)]
    found += [("not shown", "\n".join(look.unseen))]
    return [(name, value) for name, value in found if value not in (None, "")]


def reason_of(shown: Approval) -> str:
    """Why it is held, in the words of the rule's author."""
    if shown.reason or shown.decision is None:
        return shown.reason or next((str(item["reason"]) for item in shown.requirements if item.get("reason")), "")
    return shown.decision.reason


def requirement_text(item: Mapping[str, Any]) -> str:
    """Who may release it, and how many of them it takes."""
    parts = [f"{item.get('quorum') or 1} of {_people(item, 'names', 'roles') or 'nobody'}"]
    if after_s := item.get("escalate_after_s"):
        wider = _people(item, "escalate_names", "escalate_roles") or "role escalation"
        parts.append(f"after {duration(after_s)} also {wider}")
    if item.get("excluded"):
        parts.append(f"not {', '.join(item['excluded'])}")
    if item.get("signed"):
        parts.append("signed with their own keys")
    if item.get("reading_s"):
        parts.append(f"after reading for {duration(item['reading_s'])}")
    if item.get("confirm"):
        parts.append(f"typing `{item['confirm']}`")
    return "; ".join(parts)


def vote_text(vote: Mapping[str, Any]) -> str:
    """Who voted how, when, and why."""
    whom = f" for {vote['on_behalf_of']}" if vote.get("on_behalf_of") else ""
    marks = ", ".join(name.replace("_", " ") for name in MARKS if vote.get(name))
    how = ("yes" if vote.get("approve") else "no") + (f" ({marks})" if marks else "")
    how += "" if vote.get("counts", True) else " (counts no more: may not approve now)"
    return f"{how}  {vote.get('approver')}{whom}  {clock_text(vote.get('cast_at'))}  {vote.get('reason', '')}"


def confirmations(requirements: Iterable[Mapping[str, Any]]) -> list[str]:
    """Texts that rules want typed."""
    return list(dict.fromkeys(str(item["confirm"]) for item in requirements if item.get("confirm")))


def similar_rows(items: Iterable[Mapping[str, Any]]) -> list[tuple[object, ...]]:
    """Past jobs: what became of them, who decided."""
    return [
        (
            item.get("job_id"),
            item.get("status"),
            item.get("state"),
            ", ".join(map(str, item.get("decided_by") or ())),
            clock_text(item.get("decided_at")),
        )
        for item in items
    ]


def _about(shown: Approval, now_ms: int) -> Iterable[Fact]:
    left = shown.remaining_s if shown.remaining_s is not None else left_s(shown.expires_at, now_ms)
    yield "job", shown.job_id
    yield "status", STATUS_WORDS.get(shown.status, shown.status)
    yield "severity", shown.severity
    yield "topic", shown.topic
    yield "actor", shown.actor
    yield "on behalf of", " for ".join(reversed(shown.principals))
    yield "held since", clock_text(shown.created_at)
    if shown.status != PENDING:
        return
    if left is not None:
        yield "time left", f"{time_left(left)}, until {clock_text(shown.expires_at)}"
    yield "escalated", "yes, others may release it, too" if shown.escalated else None
    yield "your vote", f"would be refused: {shown.refused_for}" if shown.may_vote is False else None
    yield (
        "read for",
        f"{duration(math.ceil(shown.reading_left_s))} more before you approve" if shown.reading_left_s else None,
    )
    yield "deferred", None if shown.deferred_until is None else f"until {clock_text(shown.deferred_until)}"


def _job(look: Look) -> Iterable[Fact]:
    content = look.content or {}
    # Of what is masked, the masked form; the payload is in both.
    job = {**(look.shown.job or {}), **content}
    yield "labels", _pairs(content.get("labels"), "=")
    yield "capability", job.get("capability")
    yield "risk tags", ", ".join(job.get("risk_tags") or [])
    yield "requires", ", ".join(job.get("requires") or [])
    yield "secrets", ", ".join(job.get("secrets") or [])
    yield "pool", job.get("pool")
    yield "prompt", content.get("prompt")
    if content.get("payload") is not None:
        yield "payload", json_text(content["payload"])
    yield "masked", _masked(look.masked)


def _masked(count: int) -> str | None:
    if not count:
        return None
    secrets, them = ("secret", "it") if count == 1 else ("secrets", "them")
    return f"{count} {secrets}; `--reveal` shows {them}, and that is recorded"


def _why(look: Look) -> Iterable[Fact]:
    shown = look.shown
    yield "held because", reason_of(shown)
    deciding = shown.rules or (() if shown.decision is None else shown.decision.deciding)
    if not look.rules:
        yield "rules", "\n".join(deciding)
    for item in look.rules:
        yield ("decided by" if item.get("deciding") else "also matched"), _rule_text(item)
    constraints = shown.constraints or ({} if shown.decision is None else shown.decision.constraints)
    yield "constraints", "\n".join(f"{name} {much}" for name, much in bounds_of(constraints))
    yield "needs", "\n".join(_need_text(item, len(shown.requirements)) for item in shown.requirements)
    yield "votes", "\n".join(vote_text(vote) for vote in shown.votes)
    if shown.status == PENDING and shown.votes and shown.votes_missing is not None:
        yield "missing", f"{shown.votes_missing} more needed{or_glass(shown.as_dict())}"
    if shown.may_break_glass:
        signed = " --sign KEYFILE" if any(item.get("signed") for item in shown.requirements) else ""
        yield "you may", f"break the glass: holdgate approvals approve {shown.job_id} --break-glass{signed}"


def _need_text(item: Mapping[str, Any], of: int) -> str:
    """What a rule asks for; which rule, where there are several."""
    return f"{item['rule']}: {requirement_text(item)}" if of > 1 and item.get("rule") else requirement_text(item)


def _rule_text(item: Mapping[str, Any]) -> str:
    """A rule as it is written, its bundle and who signed that."""
    source = f"  bundle {item['bundle']} version {item.get('version')}" if item.get("bundle") else ""
    signers = ", ".join(map(str, item.get("signers") or ()))
    head = f"{item.get('id')}{source}" + (f", signed by {signers}" if signers else "")
    changed = ["it is not any more as it was when it decided"] if item.get("as_decided") is False else []
    text = str(item.get("text") or "").rstrip()
    return "\n".join([head, *changed, *([text] if text else [])])


def _before(shown: Approval) -> Iterable[Fact]:
    if shown.previous:
        votes = [vote_text(vote) for vote in shown.previous.get("votes") or ()]
        ended = clock_text(shown.previous.get("ended_at"))
        other = "" if shown.previous.get("snapshot") == shown.snapshot else ", under another policy"
        yield "held before", "\n".join([f"until {ended}{other}", *votes])
    yield "what changed", "\n".join(f"{item.what}: {item.before} → {item.after}" for item in changes_of(shown.changes))
    if shown.can_reconfirm:
        yield "you may", f"confirm your earlier vote: holdgate approvals reconfirm {shown.job_id}"


def _bound(shown: Approval) -> Iterable[Fact]:
    yield "job hash", shown.job_hash
    yield "snapshot", shown.snapshot


def _people(item: Mapping[str, Any], names: str, roles: str) -> str:
    return ", ".join([*(item.get(names) or []), *(f"role {role}" for role in item.get(roles) or [])])


def _pairs(value: Any, sign: str) -> str:
    return "\n".join(f"{name}{sign}{item}" for name, item in value.items()) if isinstance(value, Mapping) else ""
