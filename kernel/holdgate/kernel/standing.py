"""Who may release a held job: whether a vote counts towards a requirement, and how many are missing. Pure.

The one place that says so: the approval gate, the store and the kernel all ask here.

What always holds: one person counts once, whether voting in their own name or through somebody they delegated to, and
nobody casts two; a requirement that names nobody is met by nobody; who is excluded never counts, breaking glass or not;
where votes must be signed with the approver's own key, no other counts, and where the rule takes no standing grants, no
vote for one does; a vote that breaks the glass counts for nothing else, for it was cast without reading time and typed
text; one more vote never makes more missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdgate.kernel.records import ApprovalRequirement

BREAK_GLASS_ROLE = "break_glass"
BREAK_GLASS_QUORUM = 2
"""People who must break the glass together, whatever a rule asks for otherwise."""
ESCALATION_ROLE = "escalation"
"""Who may release a job that escalated, where its rule does not say whom it escalates to."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A yes whose signature and binding hold. `person` is who counts: the approver, or who delegated to the approver.

    `roles` are those it counts for; `own_key`: signed with the approver's registered key; `by_grant`: cast by the api
    for a standing grant.
    """

    approver: str
    person: str
    roles: frozenset[str]
    cast_ms: int
    own_key: bool = False
    break_glass: bool = False
    by_grant: bool = False


def counts(requirement: ApprovalRequirement, ballot: Ballot, held_ms: int) -> bool:
    """Whether `ballot` counts towards the quorum of `requirement`, of a job that is held since `held_ms`."""
    if ballot.break_glass or not _is_admissible(requirement, ballot):
        return False
    if _is_named(ballot, requirement.names, requirement.roles):
        return True
    return has_escalated(requirement, held_ms, ballot.cast_ms) and _is_named(
        ballot, requirement.escalate_names, escalation_roles(requirement)
    )


def breaks_glass(requirement: ApprovalRequirement, ballot: Ballot) -> bool:
    """Whether `ballot` counts towards releasing the job past the quorum of `requirement`."""
    return (
        requirement.break_glass
        and ballot.break_glass
        and BREAK_GLASS_ROLE in ballot.roles
        and _is_admissible(requirement, ballot)
    )


def is_useful(requirements: Sequence[ApprovalRequirement], ballot: Ballot, held_ms: int) -> bool:
    """Whether `ballot` counts towards at least one of `requirements`."""
    return any(counts(item, ballot, held_ms) or breaks_glass(item, ballot) for item in requirements)


def missing(requirement: ApprovalRequirement, ballots: Sequence[Ballot], held_ms: int) -> int:
    """How many more votes `requirement` needs; 0: met."""
    plain = max(requirement.quorum, 1) - _people(item for item in ballots if counts(requirement, item, held_ms))
    broken = _people(item for item in ballots if breaks_glass(requirement, item))
    return max(0, min(plain, BREAK_GLASS_QUORUM - broken) if broken else plain)


def all_missing(requirements: Sequence[ApprovalRequirement], ballots: Sequence[Ballot], held_ms: int) -> int:
    """How many more until each of `requirements` is met, at best. Without a requirement nobody can release: 1."""
    return max((missing(item, ballots, held_ms) for item in requirements), default=1)


def has_escalated(requirement: ApprovalRequirement, held_ms: int, now_ms: int) -> bool:
    """Whether others than those first named may release by now."""
    after_s = requirement.escalate_after_s
    return after_s is not None and now_ms >= held_ms + after_s * 1000


def escalation_roles(requirement: ApprovalRequirement) -> tuple[str, ...]:
    """The roles that it escalates to; `escalation` where the rule names nobody."""
    named = requirement.escalate_roles or requirement.escalate_names
    return requirement.escalate_roles if named else (ESCALATION_ROLE,)


def roles_asked(requirement: ApprovalRequirement) -> tuple[str, ...]:
    """Every role of which somebody may release it, from the start or once it escalated."""
    further = () if requirement.escalate_after_s is None else escalation_roles(requirement)
    return tuple(dict.fromkeys((*requirement.roles, *further)))


def _is_admissible(requirement: ApprovalRequirement, ballot: Ballot) -> bool:
    if not ballot.approver or {ballot.approver, ballot.person} & set(requirement.excluded):
        return False
    if ballot.by_grant and not requirement.grants:
        return False
    return ballot.own_key or not requirement.signed


def _is_named(ballot: Ballot, names: Sequence[str], roles: Sequence[str]) -> bool:
    return ballot.person in names or not ballot.roles.isdisjoint(roles)


def _people(ballots: Iterable[Ballot]) -> int:
    """The most votes of which no two are by one approver, or for one person."""
    for_whom: dict[str, list[str]] = {}
    for ballot in ballots:
        for_whom.setdefault(ballot.approver, []).append(ballot.person)
    caster: dict[str, str] = {}
    return sum(_casts(approver, for_whom, caster, set()) for approver in for_whom)


def _casts(approver: str, for_whom: Mapping[str, list[str]], caster: dict[str, str], seen: set[str]) -> bool:
    """Whether `approver` can vote for somebody as well, others changing for whom they do (an augmenting path)."""
    for person in for_whom[approver]:
        if person in seen:
            continue
        seen.add(person)
        if person not in caster or _casts(caster[person], for_whom, caster, seen):
            caster[person] = approver
            return True
    return False
