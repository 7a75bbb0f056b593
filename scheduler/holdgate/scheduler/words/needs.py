"""What a held job still needs to be released, rule by rule, out of what the API says of it: for pages and terminals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.records import ApprovalRequirement
from holdgate.kernel.standing import BREAK_GLASS_QUORUM, Ballot, escalation_roles, glass_votes, ordinary_missing
from holdgate.scheduler.words.durations import duration

PENDING = "pending"
STATUS_WORDS: Mapping[str, str] = {"consumed": "released and used", "stale": "void: the policy changed"}
"""Of an approval, where its own word says nothing to a reader."""


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
