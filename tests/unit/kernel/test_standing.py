"""Whose vote counts for what, and how many are missing: a table, and what holds for all requirements and votes."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdgate.kernel.records import ApprovalRequirement
from holdgate.kernel.standing import (
    BREAK_GLASS_QUORUM,
    BREAK_GLASS_ROLE,
    ESCALATION_ROLE,
    Ballot,
    all_missing,
    breaks_glass,
    counts,
    escalation_roles,
    glass_votes,
    has_escalated,
    is_useful,
    missing,
    ordinary_missing,
    roles_asked,
    tally,
)

HELD_MS = 1_000_000
MANAGER = ApprovalRequirement(rule="hold", roles=("release-manager",))
LATER = replace(MANAGER, escalate_after_s=60)
NAMED = ApprovalRequirement(rule="hold", roles=(), names=("erin",))


def yes(name: str = "erin", *roles: str, **changes: Any) -> Ballot:
    """A ballot of a release manager, cast at once."""
    cast = Ballot(approver=name, person=name, roles=frozenset(roles or ("release-manager",)), cast_ms=HELD_MS)
    return replace(cast, **changes)


def glass(name: str, **changes: Any) -> Ballot:
    """A vote by which the glass is broken."""
    return yes(name, BREAK_GLASS_ROLE, break_glass=True, **changes)


COUNTS: dict[str, tuple[ApprovalRequirement, Ballot, bool]] = {
    "of the role": (MANAGER, yes(), True),
    "of another role": (MANAGER, yes("erin", "clerk"), False),
    "by name": (NAMED, yes("erin", "clerk"), True),
    "of another name": (NAMED, yes("frank", "clerk"), False),
    "where nobody is named": (replace(NAMED, names=()), yes(), False),
    "of nobody": (MANAGER, yes(""), False),
    "for a person that is named": (NAMED, yes("frank", "clerk", person="erin"), True),
    "by a person that is named, for another": (NAMED, yes("erin", "clerk", person="frank"), False),
    "of who is excluded": (replace(MANAGER, excluded=("erin",)), yes(), False),
    "by who is excluded, for another": (replace(MANAGER, excluded=("erin",)), yes(person="frank"), False),
    "for who is excluded": (replace(MANAGER, excluded=("frank",)), yes(person="frank"), False),
    "unsigned where it must be": (replace(MANAGER, signed=True), yes(), False),
    "signed where it must be": (replace(MANAGER, signed=True), yes(own_key=True), True),
    "for a grant where none is taken": (MANAGER, yes(by_grant=True), False),
    "for a grant where they are taken": (replace(MANAGER, grants=True), yes(by_grant=True), True),
    "for a grant where it must be signed": (replace(MANAGER, grants=True, signed=True), yes(by_grant=True), False),
    "that breaks the glass": (MANAGER, yes("erin", "release-manager", BREAK_GLASS_ROLE, break_glass=True), False),
    "of whom it escalates to, at once": (LATER, yes("olga", ESCALATION_ROLE), False),
    "of whom it escalates to, too early": (LATER, yes("olga", ESCALATION_ROLE, cast_ms=HELD_MS + 59_999), False),
    "of whom it escalates to, in time": (LATER, yes("olga", ESCALATION_ROLE, cast_ms=HELD_MS + 60_000), True),
    "of the first, after it escalated": (LATER, yes(cast_ms=HELD_MS + 60_000), True),
    "of nobody's role, after it escalated": (LATER, yes("olga", "clerk", cast_ms=HELD_MS + 60_000), False),
    "of a role, once it escalates by name": (
        replace(LATER, escalate_names=("olga",)),
        yes("paul", ESCALATION_ROLE, cast_ms=HELD_MS + 60_000),
        False,
    ),
    "of a name, once it escalates by name": (
        replace(LATER, escalate_names=("olga",)),
        yes("olga", "clerk", cast_ms=HELD_MS + 60_000),
        True,
    ),
    "of a role that it escalates to": (
        replace(LATER, escalate_roles=("director",)),
        yes("olga", "director", cast_ms=HELD_MS + 60_000),
        True,
    ),
    "of whom it would escalate to, if it did": (
        replace(MANAGER, escalate_roles=("director",)),
        yes("olga", "director", cast_ms=HELD_MS * 9),
        False,
    ),
    "of who is excluded, after it escalated": (
        replace(LATER, excluded=("olga",)),
        yes("olga", ESCALATION_ROLE, cast_ms=HELD_MS + 60_000),
        False,
    ),
}


@pytest.mark.parametrize(("requirement", "ballot", "expected"), COUNTS.values(), ids=COUNTS)
def test_a_vote(requirement: ApprovalRequirement, ballot: Ballot, expected: bool) -> None:
    assert counts(requirement, ballot, HELD_MS) is expected
    assert is_useful([requirement], ballot, HELD_MS) is (expected or breaks_glass(requirement, ballot))
    assert missing(requirement, [ballot], HELD_MS) == (0 if expected else 1)


GLASS: dict[str, tuple[ApprovalRequirement, Ballot, bool]] = {
    "a holder of the role": (MANAGER, glass("olga"), True),
    "somebody else": (MANAGER, yes(break_glass=True), False),
    "a holder who does not say so": (MANAGER, yes("olga", BREAK_GLASS_ROLE), False),
    "where the rule forbids it": (replace(MANAGER, break_glass=False), glass("olga"), False),
    "who is excluded": (replace(MANAGER, excluded=("olga",)), glass("olga"), False),
    "unsigned where it must be": (replace(MANAGER, signed=True), glass("olga"), False),
    "signed where it must be": (replace(MANAGER, signed=True), glass("olga", own_key=True), True),
}


@pytest.mark.parametrize(("requirement", "ballot", "expected"), GLASS.values(), ids=GLASS)
def test_who_breaks_the_glass(requirement: ApprovalRequirement, ballot: Ballot, expected: bool) -> None:
    assert breaks_glass(requirement, ballot) is expected


MISSING: dict[str, tuple[ApprovalRequirement, list[Ballot], int]] = {
    "one person under two names": (replace(MANAGER, quorum=2), [yes("erin"), yes("Erin")], 1),
    "one who votes under a third for others": (
        replace(MANAGER, quorum=2),
        [yes("erin", person="olga"), yes("ERIN", person="paul")],
        1,
    ),
    "two for one person under two names": (
        replace(MANAGER, quorum=2),
        [yes("erin", person="olga"), yes("frank", person="Olga")],
        1,
    ),
    "nobody voted": (MANAGER, [], 1),
    "nobody of many voted": (replace(MANAGER, quorum=5), [], 5),
    "a quorum of none is one": (replace(MANAGER, quorum=0), [], 1),
    "two of three": (replace(MANAGER, quorum=3), [yes("a"), yes("b")], 1),
    "one person twice": (replace(MANAGER, quorum=2), [yes("a"), yes("a", cast_ms=HELD_MS + 1)], 1),
    "for one person twice": (replace(MANAGER, quorum=2), [yes("a"), yes("b", person="a")], 1),
    "by one person for two": (replace(MANAGER, quorum=2), [yes("a"), yes("a", person="b")], 1),
    "each for the other": (replace(MANAGER, quorum=2), [yes("a", person="b"), yes("b", person="a")], 0),
    "one for two, and another for the first of them": (
        replace(MANAGER, quorum=2),
        [yes("a", person="x"), yes("a", person="y"), yes("b", person="x")],
        0,
    ),
    "one for two, and two for one": (
        replace(MANAGER, quorum=3),
        [yes("a", person="x"), yes("a", person="y"), yes("b", person="z"), yes("c", person="z")],
        1,
    ),
    "one breaks the glass": (MANAGER, [glass("olga")], 1),
    "one breaks the glass of many": (replace(MANAGER, quorum=5), [glass("olga")], 1),
    "two break the glass": (replace(MANAGER, quorum=5), [glass("olga"), glass("paul")], 0),
    "one breaks the glass twice": (replace(MANAGER, quorum=5), [glass("olga"), glass("olga")], 1),
    "a plain vote and a broken glass": (replace(MANAGER, quorum=2), [yes("a"), glass("olga")], 1),
    "a plain vote and a broken glass of one person": (replace(MANAGER, quorum=2), [yes("a"), glass("a")], 1),
    "one who does both, and another who votes": (replace(MANAGER, quorum=2), [yes("a"), glass("a"), yes("b")], 0),
    "one who does both, and another who breaks it": (replace(MANAGER, quorum=2), [yes("a"), glass("a"), glass("b")], 0),
    "the plain votes are nearer": (replace(MANAGER, quorum=2), [yes("a"), yes("b"), glass("olga")], 0),
}


@pytest.mark.parametrize(("requirement", "ballots", "expected"), MISSING.values(), ids=MISSING)
def test_how_many_are_missing(requirement: ApprovalRequirement, ballots: list[Ballot], expected: int) -> None:
    assert missing(requirement, ballots, HELD_MS) == expected


def test_of_several_requirements_each_must_be_met_and_of_none_nobody_can() -> None:
    security = ApprovalRequirement(rule="other", roles=("security",), quorum=2)
    assert all_missing([MANAGER, security], [yes()], HELD_MS) == 2
    assert all_missing([MANAGER, security], [yes(), yes("s", "security"), yes("t", "security")], HELD_MS) == 0
    assert all_missing([], [yes()], HELD_MS) == 1


SECURITY = ApprovalRequirement(rule="other", roles=("security",), quorum=2)
SEALED = replace(SECURITY, break_glass=False)
TALLIES: dict[str, tuple[list[ApprovalRequirement], list[Ballot], tuple[int, int | None]]] = {
    "nobody voted": ([replace(MANAGER, quorum=3)], [], (3, 0)),
    "one of each": ([replace(MANAGER, quorum=2)], [yes("a"), glass("b")], (1, 1)),
    "the glass is broken": ([replace(MANAGER, quorum=3)], [glass("a"), glass("b")], (0, 2)),
    "where it is forbidden": ([replace(MANAGER, break_glass=False)], [glass("a")], (1, None)),
    "over the one, and the other forbids it": ([MANAGER, SEALED], [glass("a")], (2, None)),
    "where the one that forbids it is met": ([SEALED, MANAGER], [yes("a", "security"), yes("b", "security")], (1, 0)),
    "where the other is broken": ([MANAGER, SEALED], [glass("a"), glass("b")], (2, None)),
    "without a requirement": ([], [yes(), glass("a"), glass("b")], (1, None)),
}


@pytest.mark.parametrize(("requirements", "ballots", "expected"), TALLIES.values(), ids=TALLIES)
def test_votes_of_either_kind_are_told_apart(
    requirements: list[ApprovalRequirement], ballots: list[Ballot], expected: tuple[int, int | None]
) -> None:
    found = tally(requirements, ballots, HELD_MS)
    assert (found.ordinary_missing, found.glass) == expected


def test_the_roles_that_are_asked_are_those_it_escalates_to_as_well() -> None:
    assert roles_asked(MANAGER) == ("release-manager",)
    assert roles_asked(LATER) == ("release-manager", ESCALATION_ROLE)
    assert roles_asked(replace(LATER, escalate_roles=("release-manager", "cto"))) == ("release-manager", "cto")


def test_a_requirement_escalates_to_whom_it_names_or_to_the_role_of_that_name() -> None:
    assert escalation_roles(LATER) == (ESCALATION_ROLE,)
    assert escalation_roles(replace(LATER, escalate_roles=("director",))) == ("director",)
    assert escalation_roles(replace(LATER, escalate_names=("olga",))) == ()
    assert not has_escalated(MANAGER, HELD_MS, HELD_MS * 9)


# For all of them ------------------------------------------------------------------------------------------------------

PEOPLE = st.sampled_from(["a", "b", "c", "d"])
ROLES = st.sampled_from(["manager", "security", BREAK_GLASS_ROLE, ESCALATION_ROLE])
BALLOTS = st.builds(
    Ballot,
    approver=PEOPLE,
    person=PEOPLE,
    roles=st.frozensets(ROLES, max_size=3),
    cast_ms=st.sampled_from([HELD_MS, HELD_MS + 30_000, HELD_MS + 90_000]),
    own_key=st.booleans(),
    break_glass=st.booleans(),
    by_grant=st.booleans(),
)
REQUIREMENTS = st.builds(
    ApprovalRequirement,
    rule=st.just("r"),
    roles=st.lists(ROLES, max_size=2).map(tuple),
    names=st.lists(PEOPLE, max_size=2).map(tuple),
    quorum=st.integers(1, 4),
    escalate_after_s=st.none() | st.just(60),
    escalate_roles=st.lists(ROLES, max_size=1).map(tuple),
    escalate_names=st.lists(PEOPLE, max_size=1).map(tuple),
    excluded=st.lists(PEOPLE, max_size=2).map(tuple),
    signed=st.booleans(),
    grants=st.booleans(),
    break_glass=st.booleans(),
)
VOTES = st.lists(BALLOTS, max_size=5)


@given(REQUIREMENTS, VOTES, BALLOTS)
def test_one_more_vote_never_makes_more_missing_and_takes_one_off_at_most(
    requirement: ApprovalRequirement, ballots: list[Ballot], more: Ballot
) -> None:
    before, after = missing(requirement, ballots, HELD_MS), missing(requirement, [*ballots, more], HELD_MS)
    # The first who breaks the glass makes two enough, whatever the quorum.
    fewest = min(before - 1, BREAK_GLASS_QUORUM - 1) if breaks_glass(requirement, more) else before - 1
    assert max(0, fewest) <= after <= before


@given(REQUIREMENTS, VOTES, BALLOTS)
def test_a_vote_of_one_kind_never_moves_the_tally_of_the_other(
    requirement: ApprovalRequirement, ballots: list[Ballot], more: Ballot
) -> None:
    def plain(votes: list[Ballot]) -> int:
        return ordinary_missing(requirement, votes, HELD_MS)

    both = [*ballots, replace(more, break_glass=False), replace(more, break_glass=True)]
    assert plain(both) == plain(both[:-1])
    assert plain(both) <= plain(ballots) <= plain(both) + 1
    assert glass_votes(requirement, both) == glass_votes(requirement, [*ballots, both[-1]])
    assert 0 <= glass_votes(requirement, both) - glass_votes(requirement, ballots) <= 1
    assert missing(requirement, both, HELD_MS) <= missing(requirement, ballots, HELD_MS)


@given(REQUIREMENTS, PEOPLE, ROLES)
def test_one_person_who_does_both_fills_one_seat_of_each(
    requirement: ApprovalRequirement, name: str, role: str
) -> None:
    cast = [
        Ballot(name, name, frozenset({role, BREAK_GLASS_ROLE}), HELD_MS + 90_000, own_key=True, break_glass=is_glass)
        for is_glass in (False, True, False, True)
    ]
    assert glass_votes(requirement, cast) <= 1
    assert ordinary_missing(requirement, cast, HELD_MS) >= requirement.quorum - 1
    assert missing(requirement, cast, HELD_MS) >= (1 if requirement.quorum > 1 else 0)


@given(REQUIREMENTS, VOTES)
def test_a_vote_that_is_useful_to_none_changes_nothing(requirement: ApprovalRequirement, ballots: list[Ballot]) -> None:
    useful = [item for item in ballots if is_useful([requirement], item, HELD_MS)]
    assert missing(requirement, ballots, HELD_MS) == missing(requirement, useful, HELD_MS)


@given(REQUIREMENTS, VOTES)
def test_what_releases_are_enough_people_who_cast_and_for_whom_it_was_cast(
    requirement: ApprovalRequirement, ballots: list[Ballot]
) -> None:
    """Counted here by trying every choice of one vote each."""
    plain = _most([item for item in ballots if counts(requirement, item, HELD_MS)])
    broken = _most([item for item in ballots if breaks_glass(requirement, item)])
    is_met = plain >= requirement.quorum or broken >= BREAK_GLASS_QUORUM
    assert (missing(requirement, ballots, HELD_MS) == 0) is is_met


@given(REQUIREMENTS, VOTES, st.randoms(use_true_random=False))
def test_the_order_of_votes_never_matters(requirement: ApprovalRequirement, ballots: list[Ballot], chance: Any) -> None:
    shuffled = list(ballots)
    chance.shuffle(shuffled)
    assert missing(requirement, ballots, HELD_MS) == missing(requirement, shuffled, HELD_MS)


@given(REQUIREMENTS, VOTES, st.data())
def test_capitals_in_names_never_gain_or_lose_a_vote(
    requirement: ApprovalRequirement, ballots: list[Ballot], drawn: st.DataObject
) -> None:
    def spelt(name: str) -> str:
        return name.upper() if drawn.draw(st.booleans()) else name

    again = [replace(item, approver=spelt(item.approver), person=spelt(item.person)) for item in ballots]
    lists = {name: tuple(map(spelt, getattr(requirement, name))) for name in ("names", "escalate_names", "excluded")}
    assert missing(replace(requirement, **lists), again, HELD_MS) == missing(requirement, ballots, HELD_MS)


@given(REQUIREMENTS, BALLOTS)
def test_who_may_not_release_never_counts(requirement: ApprovalRequirement, ballot: Ballot) -> None:
    for changes in ({"excluded": (ballot.approver,)}, {"excluded": (ballot.person,)}):
        barred = replace(requirement, **changes)
        assert not counts(barred, ballot, HELD_MS)
        assert not breaks_glass(barred, ballot)
    assert not is_useful([replace(requirement, signed=True)], replace(ballot, own_key=False), HELD_MS)
    assert not is_useful([replace(requirement, grants=False)], replace(ballot, by_grant=True), HELD_MS)
    assert not counts(requirement, replace(ballot, break_glass=True), HELD_MS)


def _most(ballots: list[Ballot]) -> int:
    """The most of these, of which no two share who cast or for whom, by taking them in every order."""
    best = 0
    for order in permutations(ballots):
        cast: set[str] = set()
        behind: set[str] = set()
        for item in order:
            if item.approver not in cast and item.person not in behind:
                cast.add(item.approver)
                behind.add(item.person)
        best = max(best, len(cast))
    return best
