"""What happened to a job, in words, out of its timeline. Pure.

What always holds: nothing that a submitter or a worker wrote becomes part of a sentence of ours; such text stands in
`said`, which templates set apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdgate.kernel.standing import BREAK_GLASS_QUORUM
from holdgate.scheduler.words.bounds import bounds_of

Event = Mapping[str, Any]
VERDICTS: Mapping[str, str] = {
    "allow": "Policy allows it.",
    "allow_with_constraints": "Policy allows it within limits.",
    "require_approval": "Policy wants a person to release it first.",
    "throttle": "It is over a rate limit of a rule.",
    "deny": "Policy refuses it.",
}
OUTPUTS: Mapping[str, str] = {
    "allow": "The output gate let its output through.",
    "redact": "The output gate replaced what it found, and let the rest through.",
    "quarantine": "The output gate sealed its output.",
}
CODES: Mapping[str, str] = {
    "approval_expired": "Nobody decided in time. That is nobody's no.",
    "approval_rejected": "An approver refused it.",
    "deadline_passed": "Its deadline passed before it ran.",
    "lease_lost": "The worker was not heard of any more.",
    "lease_expired": "The worker was not heard of any more.",
    "result_lost": "Its result is in no log any more.",
    "handler_error": "The handler raised an error.",
    "handler_failed": "The handler raised an error.",
    "cancelled": "It was cancelled.",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened. `why` are sentences of ours, `rules` those that decided, `told` the reason that they
    give, `said` what somebody wrote."""

    at: str | None
    title: str
    tone: str = "plain"
    why: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    told: str = ""
    said: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def story_of(events: Sequence[Event]) -> list[Entry]:
    """The timeline as entries, the oldest first."""
    told: list[Entry] = []
    asked = _Asked()
    for event in events:
        asked.hear(event)
        # Each vote that breaks the glass has an event beside it that rings the bell; the vote says it here.
        if event["type"] != "approval.break_glass":
            told.append(_entry(event, asked))
    return told


@dataclass(slots=True)
class _Asked:
    """What was heard of the round of approval that is under way."""

    voted: bool = False
    released: bool = False
    glass: list[str] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        """Take `event` into account."""
        kind = event["type"]
        if kind in {"job.held", "approval.requested"}:
            self.voted, self.released, self.glass = False, False, []
        elif kind == "approval.vote":
            self.voted = True
            if event.get("break_glass"):
                self.glass.append(str(event.get("approver", "somebody")))
        elif kind == "approval.released":
            self.released = True


def limits_of(constraints: Mapping[str, Any]) -> list[str]:
    """Constraints in words."""
    return [f"{name} {much}" for name, much in bounds_of(constraints)]


def _entry(event: Event, asked: _Asked) -> Entry:
    title, tone = _title_of_approval(event, asked) or _title(event)
    reason = "" if _follows_a_vote(event) else str(event.get("reason") or "")
    return Entry(
        at=event.get("time"),
        title=title,
        tone=tone,
        why=tuple(_why(event)),
        rules=tuple(event.get("deciding") or ()) if "verdict" in event and event["type"] != "approval.consumed" else (),
        told=reason if "verdict" in event else "",
        said="" if "verdict" in event else reason,
        facts=tuple(_facts(event)),
    )


def _follows_a_vote(event: Event) -> bool:
    """Whether it is what a vote led to: the entry of the vote stands before it, with its reason."""
    return event["type"] in {"approval.released", "approval.rejected", "approval.consumed"} or (
        "approve" in event and (event["type"] != "approval.vote")
    )


def _title_of_approval(event: Event, asked: _Asked) -> tuple[str, str] | None:
    """Where it matters what was said before in this round."""
    match event["type"]:
        case "approval.vote" if event.get("break_glass"):
            by = event.get("approver", "somebody")
            return f"{by} asked to break the glass ({len(asked.glass)} of {BREAK_GLASS_QUORUM})", "bad"
        case "approval.released" if event.get("break_glass"):
            return f"Released past the rules: the glass was broken by {', '.join(asked.glass) or 'two people'}", "bad"
        case "approval.stale" if asked.released:
            return "The release is void: the policy changed", "warn"
        case "approval.stale" if not asked.voted:
            return "The policy changed: decided again", "warn"
        case _:
            return None


def _title(event: Event) -> tuple[str, str]:
    kind, after, before = str(event["type"]), event.get("to"), event.get("from")
    told = TITLES.get((kind, before)) or TITLES.get((kind, None))
    if told is None:
        return kind.replace(".", ": ").replace("_", " ").capitalize(), "plain"
    title, tone = told
    if kind == "job.queued" and before in {"failed", "timed_out"}:
        return f"Taken out of the dead letters by {event.get('by', 'somebody')}", tone
    if kind == "approval.vote":
        word = "Approved" if event.get("approve") else "Refused"
        return f"{word} by {event.get('approver', 'somebody')}", "good" if event.get("approve") else "bad"
    if kind == "job.running":
        return f"Handed to a worker, attempt {event.get('attempt', 1)}", tone
    if after == "cancelled" or kind == "job.cancel_requested":
        return f"{title} by {event.get('by', 'somebody')}", tone
    return title, tone


TITLES: Mapping[tuple[str, str | None], tuple[str, str]] = {
    ("job.accepted", None): ("Let in", "good"),
    ("job.held", None): ("Held for approval", "warn"),
    ("job.held", "queued"): ("Held again, under another policy", "warn"),
    ("job.scheduled", None): ("Waits for its time", "info"),
    ("job.denied", None): ("Refused", "bad"),
    ("job.denied", "held"): ("Ended: refused", "bad"),
    ("job.denied", "queued"): ("Refused at hand-off", "bad"),
    ("job.queued", None): ("In the queue", "info"),
    ("job.queued", "held"): ("Released into the queue", "good"),
    ("job.queued", "running"): ("Back in the queue for another attempt", "warn"),
    ("job.queued", "failed"): ("Retried", "info"),
    ("job.queued", "timed_out"): ("Retried", "info"),
    ("job.running", None): ("Handed to a worker", "info"),
    ("job.finishing", None): ("Result is in, not readable yet", "info"),
    ("output.sealed", None): ("No verdict yet, the output stays sealed", "warn"),
    ("job.succeeded", None): ("Succeeded", "good"),
    ("job.succeeded", "quarantined"): ("Released from quarantine", "good"),
    ("job.quarantined", None): ("Output quarantined", "bad"),
    ("job.failed", None): ("Failed, now among the dead letters", "bad"),
    ("job.timed_out", None): ("Timed out, now among the dead letters", "bad"),
    ("job.cancelled", None): ("Cancelled", "plain"),
    ("job.cancel_requested", None): ("Asked to stop", "warn"),
    ("job.expired", None): ("Expired", "bad"),
    ("approval.vote", None): ("Vote", "plain"),
    ("approval.released", None): ("Released: all that the rules ask for is there", "good"),
    ("approval.rejected", None): ("Rejected: one no is enough", "bad"),
    ("approval.consumed", None): ("The release is used up", "plain"),
    ("approval.stale", None): ("Votes are void: the policy changed", "warn"),
    ("approval.requested", None): ("Approvers are asked again", "warn"),
    ("approval.deferred", None): ("Put off by an approver", "plain"),
    ("approval.escalated", None): ("Escalated: more people may decide", "warn"),
    ("approval.expired", None): ("The time to decide is over", "bad"),
    ("approval.viewed", None): ("Looked at by an approver", "plain"),
    ("grant.used", None): ("Released by a standing grant", "good"),
}
"""By type, and where it matters by the state before."""


def _why(event: Event) -> list[str]:
    found = []
    if event["type"] == "approval.consumed":
        return []
    if event["type"] == "job.running" and event.get("verdict") == "require_approval":
        found.append("Policy still wants people to release it, and they have.")
    elif event.get("verdict") in VERDICTS:
        found.append(VERDICTS[str(event["verdict"])])
    if "verdict" in event and not event.get("rules"):
        found.append("No rule matches, so the default decides.")
    found += [
        f"It {limit}." if limit.startswith("runs") else f"Limit: {limit}."
        for limit in limits_of(event.get("constraints") or {})
    ]
    output = event.get("output")
    if isinstance(output, Mapping) and event.get("to") != "finishing":
        found.append(OUTPUTS.get(str(output.get("verdict")), ""))
    code = str(event.get("code") or "")
    if code and code != "denied":
        found.append(CODES.get(code, f"Code: {code}."))
    if event.get("restored"):
        found.append("It was read back from the log after the state store had lost it.")
    return [sentence for sentence in found if sentence]


FACTS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("worker", "worker", str),
    ("permit_id", "permit", str),
    ("approvers", "approvers", lambda value: _listed(value)),
    ("on_behalf_of", "on behalf of", str),
    ("grant_id", "grant", str),
    ("round", "round", str),
    ("until_ms", "", str),
    ("categories", "found", lambda value: _listed(value)),
    ("data_class", "data class", str),
    ("marks", "marked as", lambda value: _listed(value)),
    ("shadow", "in shadow", lambda value: ", ".join(f"{name} {count}" for name, count in value.items())),
    ("allowed_by", "let through by", lambda value: _listed(value)),
    ("unscannable", "could not be scanned", lambda value: _listed(value)),
)


def _facts(event: Event) -> list[tuple[str, str]]:
    return [
        (label, text(event[name])) for name, label, text in FACTS if label and event.get(name) not in (None, [], {}, 1)
    ]


def _listed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
