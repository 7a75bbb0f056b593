"""A held job as its page shows it: out of what the API says of it, in the words of who decides.

What always holds: everything here comes from calls of the API; what a vote must send back is taken from the same reply
that the page shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.records import ApprovalRequirement
from holdgate.kernel.standing import BREAK_GLASS_QUORUM, Ballot, escalation_roles, glass_votes, ordinary_missing
from holdgate.scheduler.console.tree import LINES_MAX, tree_of
from holdgate.scheduler.words.durations import duration, is_urgent, time_left

PENDING = "pending"
STATUS_WORDS: Mapping[str, str] = {"consumed": "released and used", "stale": "void: the policy changed"}
"""Of an approval, where its own word says nothing to a reader."""
RAW_CHARS_MAX = 50_000
ENDED: Mapping[str, str] = {
    "released": "It is released",
    "consumed": "It was released, and the release is used",
    "rejected": "It was rejected",
    "expired": "Nobody decided in time",
    "stale": "The policy changed after it was released",
    "cancelled": "The job was cancelled",
}


@dataclass(frozen=True, slots=True)
class Need:
    """What one rule asks of approvers. `yes`: votes that count for it, as far as they are needed; `glass`: people who
    broke the glass. The two are counted apart: neither makes up for the other."""

    facts: Mapping[str, Any]
    yes: int
    glass: int = 0
    escalated: bool = False

    @property
    def missing(self) -> int:
        """How many further votes it takes where nobody breaks the glass."""
        return int(self.facts["quorum"]) - self.yes

    @property
    def glass_quorum(self) -> int:
        """How many must break it."""
        return BREAK_GLASS_QUORUM

    @property
    def escalates(self) -> str:
        """Who else may release it once it waited too long; empty where nobody."""
        after_s = self.facts["escalate_after_s"]
        if after_s is None:
            return ""
        requirement = ApprovalRequirement.from_dict(self.facts)
        others = [*requirement.escalate_names, *(f"role {role}" for role in escalation_roles(requirement))]
        when = "now" if self.escalated else f"after {duration(after_s)}"
        return f"{when} also {' or '.join(others)}"


def needs_of(item: Mapping[str, Any]) -> list[Need]:
    """What each deciding rule asks for; votes are counted as the gate and the kernel count them."""
    held_ms = parse_rfc3339(item["created_at"])
    ballots = [_ballot(vote) for vote in item["votes"] if vote["approve"] and vote.get("counts", True)]
    waited_s = waited_s_of(item)
    return [_need(need, ballots, held_ms, waited_s) for need in item["requirements"]]


def waited_s_of(item: Mapping[str, Any]) -> int | None:
    """How long approvers have been asked, by the clock of who told it; None where it does not say."""
    if item.get("remaining_s") is None or item.get("status") != PENDING:
        return None
    waited_ms = parse_rfc3339(item["expires_at"]) - parse_rfc3339(item["created_at"])
    return waited_ms // 1000 - int(item["remaining_s"])


def _need(facts: Mapping[str, Any], ballots: Sequence[Ballot], held_ms: int, waited_s: int | None) -> Need:
    requirement = ApprovalRequirement.from_dict(facts)
    plain = ordinary_missing(requirement, ballots, held_ms)
    glass = glass_votes(requirement, ballots)
    after_s = requirement.escalate_after_s
    escalated = after_s is not None and waited_s is not None and waited_s >= after_s
    return Need(facts, max(0, requirement.quorum - plain), glass, escalated)


def _ballot(vote: Mapping[str, Any]) -> Ballot:
    return Ballot(
        approver=vote["approver"],
        person=vote.get("on_behalf_of") or vote["approver"],
        roles=frozenset(vote["roles"]),
        cast_ms=parse_rfc3339(vote["cast_at"]),
        own_key=bool(vote.get("own_key")),
        break_glass=bool(vote.get("break_glass")),
        by_grant=bool(vote.get("grant")),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the rules ask of who approves, beside a reason."""

    confirm: str = ""
    signed: bool = False
    grants: bool = False
    break_glass: bool = False
    reading_s: int = 0


def asked_of(item: Mapping[str, Any]) -> Asked:
    """All of what the deciding rules ask."""
    needs = item["requirements"]
    return Asked(
        confirm=item["confirm"] or "",
        signed=any(need["signed"] for need in needs),
        grants=bool(needs) and all(need["grants"] for need in needs),
        break_glass=bool(needs) and all(need["break_glass"] for need in needs),
        reading_s=item["reading_s"],
    )


def job_context(masked: Mapping[str, Any], lines: int) -> dict[str, Any]:
    """The part that the submitter wrote, with its secrets masked."""
    told = {
        "revealed": bool(masked.get("revealed")),
        "too_large": masked["payload_left_out"],
        "payload_bytes": masked["payload_bytes"],
    }
    shown = masked["shown"]
    if shown is None:
        nothing = {"hidden": True, "masked": 0, "labels": {}, "prompt": None, "payload": None, "raw": ""}
        return {**told, **nothing}
    return {
        **told,
        "hidden": False,
        "masked": masked["masked"],
        "labels": shown["labels"],
        "prompt": shown["prompt"],
        "payload": None if masked["payload_left_out"] else tree_of(shown["payload"], max(LINES_MAX, lines)),
        "raw": "" if masked["payload_left_out"] else _raw(shown["payload"]),
    }


def _raw(payload: Any) -> str:
    """The beginning of it as text; no more is written than is shown."""
    parts: list[str] = []
    left = RAW_CHARS_MAX
    for part in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(payload):
        parts.append(part[:left])
        left -= len(part)
        if left <= 0:
            return "".join([*parts, "\n…"])
    return "".join(parts)


def revealed_of(reply: Mapping[str, Any]) -> dict[str, Any]:
    """What `reveal` gave, in the form of the masked view."""
    shown = {name: reply[name] for name in ("labels", "payload", "prompt")}
    portion = {name: reply[name] for name in ("payload_shown", "payload_bytes", "payload_left_out")}
    return {"shown": shown, "masked": 0, "scanned": True, "revealed": True, **portion}


def rules_context(item: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The deciding rules, each with its reason, and the others that matched."""
    reasons = {need["rule"]: need["reason"] for need in item["requirements"]}
    known = {rule["id"]: rule for rule in rules}
    bare = dict.fromkeys(("bundle", "text", "as_decided"))
    deciding = [{**bare, **known.get(rule, {}), "id": rule, "reason": reasons.get(rule, "")} for rule in item["rules"]]
    return {"deciding": deciding, "others": [rule for rule in rules if rule["id"] not in item["rules"]]}


def time_context(item: Mapping[str, Any]) -> dict[str, Any]:
    """How long approvers have."""
    remaining_s = item.get("remaining_s")
    return {"left": time_left(remaining_s), "urgent": is_urgent(remaining_s), "pending": item["status"] == PENDING}
