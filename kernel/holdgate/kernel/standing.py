"""Who may release a held job: whether a vote counts towards a requirement, and how many are missing. Pure.

The one place that says so: the approval gate, the store and the kernel all ask here.

What always holds: one person counts once, whether voting in their own name or through somebody they delegated to, and
whatever of their name is written in capitals, and nobody casts two; a requirement that names nobody is met by nobody;
who is excluded never counts, breaking glass or not; where votes must be signed with the approver's own key, no other
counts, and where the rule takes no standing grants, no vote for one does; a vote that breaks the glass counts for
nothing else, for it was cast without reading time and typed text, and no other vote counts for breaking it, so that one
person may cast one of each; one more vote never makes more missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from holdgate.kernel.ids import people_of, person_of
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


def glass_votes(requirement: ApprovalRequirement, ballots: Sequence[Ballot]) -> int:
    """How many people break the glass over `requirement`; BREAK_GLASS_QUORUM of them release it."""
    return _people(item for item in ballots if breaks_glass(requirement, item))


def ordinary_missing(requirement: ApprovalRequirement, ballots: Sequence[Ballot], held_ms: int) -> int:
    """How many more votes `requirement` needs where nobody breaks the glass over it; 0: met."""
    cast = _people(item for item in ballots if counts(requirement, item, held_ms))
    return max(0, max(requirement.quorum, 1) - cast)


def missing(requirement: ApprovalRequirement, ballots: Sequence[Ballot], held_ms: int) -> int:
    """How many more votes `requirement` needs, at best; 0: met."""
    plain, broken = ordinary_missing(requirement, ballots, held_ms), glass_votes(requirement, ballots)
    return max(0, min(plain, BREAK_GLASS_QUORUM - broken) if broken else plain)


def all_missing(requirements: Sequence[ApprovalRequirement], ballots: Sequence[Ballot], held_ms: int) -> int:
    """How many more until each of `requirements` is met, at best. Without a requirement nobody can release: 1."""
    return max((missing(item, ballots, held_ms) for item in requirements), default=1)


@dataclass(frozen=True, slots=True)
class Tally:
    """What is missing of a release, counted by kind, for neither makes up for the other.

    `ordinary_missing`: votes until each requirement is met where nobody further breaks the glass; 0: released.
    `glass`: people who broke it over each requirement that is not met otherwise; None where a rule forbids it there.
    """

    ordinary_missing: int
    glass: int | None


def tally(requirements: Sequence[ApprovalRequirement], ballots: Sequence[Ballot], held_ms: int) -> Tally:
    """How far `ballots` go."""
    if not requirements:
        return Tally(1, None)
    open_ones = [item for item in requirements if missing(item, ballots, held_ms)]
    plain = max((ordinary_missing(item, ballots, held_ms) for item in open_ones), default=0)
    asked = open_ones or requirements
    takes_glass = all(item.break_glass for item in asked)
    return Tally(plain, min(glass_votes(item, ballots) for item in asked) if takes_glass else None)


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
    if not ballot.approver or people_of((ballot.approver, ballot.person)) & people_of(requirement.excluded):
        return False
    if ballot.by_grant and not requirement.grants:
        return False
    return ballot.own_key or not requirement.signed


def _is_named(ballot: Ballot, names: Sequence[str], roles: Sequence[str]) -> bool:
    return person_of(ballot.person) in people_of(names) or not ballot.roles.isdisjoint(roles)


def _people(ballots: Iterable[Ballot]) -> int:
    """The most votes of which no two are by one approver, or for one person."""
    for_whom: dict[str, list[str]] = {}
    for ballot in ballots:
        for_whom.setdefault(person_of(ballot.approver), []).append(person_of(ballot.person))
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
