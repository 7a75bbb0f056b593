"""Breaking the glass beside ordinary votes, over HTTP: the two are counted apart, and what is told is what is taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from holdgate.kernel.ids import ActorId
from holdgate.scheduler.gates.approval import Approver, Shown, VoteForm
from holdgate.scheduler.identity.keys import read_keys, revoke_key
from support.api import ApiWorld
from support.holding import add_person, publish_rules
from support.servers import Servers
from support.voting import RULES, TENANT, code, events, held, rule, shown_to, signed, vote, voting
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOTH = ("release-manager", "break_glass")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiWorld]:
    """The people, the rules and an API; `both1` and `both2` may do either."""
    both = ("approver", *BOTH)
    async with voting(servers, tmp_path_factory.mktemp("glass"), {"both1": both, "both2": both}) as api:
        yield api


def tally(found: dict[str, Any]) -> tuple[int, int | None, int | None]:
    """What is said to be missing."""
    return found["votes_missing"], found["glass_votes"], found["glass_votes_needed"]


async def test_one_who_voted_may_still_break_the_glass_and_the_other_way_round(world: ApiWorld) -> None:
    for first, second in ((False, True), (True, False)):
        shown = await held(world, "pair")
        assert code(await vote(world, shown, "both1", break_glass=first)) == "pending"
        reply = await vote(world, shown, "both2", break_glass=second)
        assert (code(reply), tally(reply.json())) == ("pending", (1, 1, 2))
        # Nobody else is there: either of the two can now end it.
        done = await vote(world, shown, "both1", break_glass=second)
        assert (code(done), tally(done.json())) == ("released", (0, None, None))
        kinds = Counter(item["type"] for item in await events(world, shown))
        assert (kinds["approval.vote"], kinds["approval.break_glass"]) == (3, 2 if second else 1)


async def test_nobody_casts_two_of_either_kind(world: ApiWorld) -> None:
    shown = await held(world, "pair")
    for glass in (False, True):
        assert code(await vote(world, shown, "both1", break_glass=glass)) == "pending"
        twice = await vote(world, shown, "both1", break_glass=glass)
        assert (code(twice), "you broke the glass already" in twice.json()["detail"]) == (
            "approval_duplicate_vote",
            glass,
        )
    assert len((await shown_to(world, shown["job_id"], "both1"))["votes"]) == 2


async def test_who_broke_the_glass_can_still_say_no(world: ApiWorld) -> None:
    shown = await held(world, "pair")
    assert code(await vote(world, shown, "both1", break_glass=True)) == "pending"
    assert code(await vote(world, shown, "both1", "reject")) == "rejected"


async def test_what_is_offered_is_what_is_taken(world: ApiWorld) -> None:
    """`may_vote` and `may_break_glass` against what a vote gives, for everybody, before and after votes."""
    shown = await held(world, "pair")
    for cast in (None, ("both1", True), ("both2", False)):
        if cast is not None:
            await vote(world, shown, cast[0], break_glass=cast[1])
        for who in ("ada", "glass1", "both1", "both2", "deputy", "busy"):
            look = await shown_to(world, shown["job_id"], who)
            expected = {
                "ada": (None, "approval_forbidden"),
                "glass1": ("approval_forbidden", None),
                "both1": (None, "approval_duplicate_vote" if cast else None),
                "both2": ("approval_duplicate_vote" if cast and cast[0] == "both2" else None, None),
                "deputy": ("approval_forbidden", "approval_forbidden"),
                "busy": (look["refused_for"], "approval_forbidden"),
            }[who]
            assert (look["refused_for"], look["break_glass_refused_for"]) == expected, (who, cast)
            assert (look["may_vote"], look["may_break_glass"]) == tuple(item is None for item in expected)
    assert tally(await shown_to(world, shown["job_id"], "ada")) == (1, 1, 2)
    mine = await world.client("both1").get("/api/v1/approvals", params={"mine": "true", "rule": "pair"})
    assert shown["job_id"] in [item["job_id"] for item in mine.json()["items"]]  # the ordinary vote is still theirs
    mine = await world.client("both2").get("/api/v1/approvals", params={"mine": "true", "rule": "pair"})
    assert shown["job_id"] not in [item["job_id"] for item in mine.json()["items"]]


async def test_glass_is_offered_neither_where_the_rule_forbids_it_nor_over_ones_own_job(world: ApiWorld) -> None:
    sealed = await shown_to(world, (await held(world, "sealed"))["job_id"], "both1")
    assert (sealed["break_glass_refused_for"], tally(sealed)) == ("approval_forbidden", (1, None, None))
    own = await held(world, "pair", "busy", by="busy")
    assert own["break_glass_refused_for"] == "approval_self"
    auditor = await shown_to(world, own["job_id"], "auditor")
    assert (auditor["may_break_glass"], auditor["break_glass_refused_for"]) == (False, "forbidden")


async def test_where_votes_are_signed_glass_is_offered_to_who_can_sign_it(world: ApiWorld) -> None:
    """`ada` has a key, though not for the role; `both1` has the role, though no key."""
    shown = await held(world, "signed")
    look = await shown_to(world, shown["job_id"], "both1")
    assert look["break_glass_refused_for"] == "approval_signature_required"
    assert code(await vote(world, shown, "both1", break_glass=True)) == "approval_signature_required"
    assert shown["break_glass_refused_for"] == "approval_forbidden"
    sent = signed(shown, break_glass=True)
    assert code(await vote(world, shown, "ada", break_glass=True, vote=sent)) == "approval_forbidden"


async def test_a_hundred_of_either_kind_at_once_end_with_one_of_each_and_no_seat_filled_twice(world: ApiWorld) -> None:
    shown = await held(world, "pair")
    me = Approver(TENANT, ActorId("both1"), ("approver", *BOTH))
    said = Shown(shown["job_hash"], shown["snapshot"])
    forms = [VoteForm(said, "looked at it", break_glass=bool(number % 2)) for number in range(100)]
    gate = world.deps.approval_gate
    answers = await asyncio.gather(*(gate.approve(me, shown["job_id"], form) for form in forms), return_exceptions=True)
    told = Counter(getattr(item, "code", None) or str(getattr(item, "status", item)) for item in answers)
    assert told == Counter({"pending": 2, "approval_duplicate_vote": 98})
    view = await world.deps.approvals.require(TENANT, shown["job_id"])
    assert sorted(item.break_glass for item in view.votes) == [False, True]
    assert view.status == "pending"


async def test_a_yes_of_somebody_whose_key_was_revoked_completes_no_release(world: ApiWorld) -> None:
    await add_person(world, "gone", "approver", "release-manager")
    shown, other = await held(world, "pair"), await held(world, "pair")
    assert code(await vote(world, shown, "gone")) == "pending"
    assert code(await vote(world, other, "gone")) == "pending"
    file = world.provisioned.home.api_keys_file
    revoke_key(file, next(item.key_id for item in read_keys(file) if item.actor == "gone"))

    async def is_void() -> bool:
        return not (await shown_to(world, shown["job_id"], "ada"))["votes"][0]["counts"]

    await eventually(is_void, why="the vote counts no more")
    assert tally(await shown_to(world, shown["job_id"], "ada")) == (2, 0, 2)
    reply = await vote(world, shown, "ada")
    assert (code(reply), reply.json()["votes_missing"]) == ("pending", 1)
    assert code(await vote(world, shown, "bea")) == "released"
    released = next(item for item in await events(world, shown) if item["type"] == "approval.released")
    assert released["approvers"] == ["ada", "bea"]
    decided = await shown_to(world, shown["job_id"], "ada")
    assert [item["counts"] for item in decided["votes"]] == [True, True, True]  # as it was decided
    # Who may approve again, though not for the role any more, does not count for it either.
    await add_person(world, "gone", "approver")
    again = await shown_to(world, other["job_id"], "ada")
    assert (again["votes"][0]["counts"], again["votes"][0]["roles"], again["votes_missing"]) == (True, ["approver"], 2)


async def test_the_gravest_rule_says_first_why_a_job_is_held(world: ApiWorld, tmp_path: Path) -> None:
    await publish_rules(
        world, tmp_path, RULES + rule("a-canary", "quorum: 1", "    severity: low\n", "job.plain.run"), 2
    )

    async def both_hold() -> bool:
        found = await held(world, "plain")
        return len(found["rules"]) == 2

    await eventually(both_hold, why="the new rule is in force")
    shown = await held(world, "plain")
    listed = (await world.client("ada").get("/api/v1/approvals", params={"rule": "a-canary"})).json()["items"][0]
    for found in (shown, listed):
        assert (found["severity"], found["rules"]) == ("high", ["plain", "a-canary"])
        assert found["reason"] == "plain is looked at, and 1 more rule"
