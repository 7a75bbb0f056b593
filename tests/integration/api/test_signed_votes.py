"""Votes in the approver's own hand, over HTTP: taken only where they say exactly what was shown."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from holdgate.kernel.canonical import digest
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import ActorId, JobId, Tenant
from holdgate.kernel.links import Vote
from holdgate.kernel.permits import open_signed
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld
from support.servers import Servers
from support.voting import ADA, BOSS, OTHER, TENANT, code, held, shown_to, signed, vote, voting

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiWorld]:
    """The people, the rules and an API."""
    async with voting(servers, tmp_path_factory.mktemp("voting")) as api:
        yield api


async def test_a_rule_that_wants_votes_signed_takes_them_signed_and_a_no_without(world: ApiWorld) -> None:
    shown = await held(world, "signed")
    assert shown["to_sign"]["keys"] == [ADA.name]
    reply = await vote(world, shown)
    assert (reply.status_code, code(reply)) == (422, "approval_signature_required")
    assert code(await vote(world, shown, vote=signed(shown))) == "released"
    approval = await world.deps.approvals.require(TENANT, JobId(shown["job_id"]))
    trust = world.deps.trust()
    assert trust is not None
    assert open_signed(approval.votes[0].signed, Vote, trust.approver_keys).approver == "ada"
    assert approval.votes[0].own_key is True
    assert code(await vote(world, await held(world, "signed"), "bea", "reject")) == "rejected"


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": JobId("job_01890000-0000-7000-8000-000000000000")},
        {"job_hash": digest("another")},
        {"snapshot": digest("another")},
        {"tenant": Tenant("other")},
        {"approver": ActorId("bea")},
        {"approve": False},
        {"reason": "something else"},
        {"attempt": 2},
        {"attempt": 0},
        {"issued_ms": 1},
        {"issued_ms": 2**52},
        {"expires_ms": 1},
        {"expires_ms": 2**52},
        {"on_behalf_of": ActorId("bea")},
        {"grant": "grant"},
        {"break_glass": True},
        {"approve": 1},
        {"signer": OTHER},
        {"key": ADA.name, "signer": OTHER},
    ],
    ids=str,
)
async def test_a_signed_vote_that_says_anything_else_than_was_shown_is_refused(
    world: ApiWorld, changes: dict[str, Any]
) -> None:
    shown = await held(world, "signed")
    more = dict(changes)
    claimed = more.pop("key", None)
    sent = signed(shown, more.pop("signer", ADA), **more)
    if claimed is not None:
        sent["key"] = claimed
    reply = await vote(world, shown, vote=sent)
    assert (reply.status_code, code(reply)) == (422, "approval_signature_invalid"), reply.text
    assert (await shown_to(world, shown["job_id"], "ada"))["votes"] == []


async def test_a_vote_signed_for_somebody_else_or_an_earlier_job_is_not_taken(world: ApiWorld) -> None:
    shown, other = await held(world, "signed"), await held(world, "signed")
    assert code(await vote(world, shown, "bea", vote=signed(shown))) == "approval_signature_invalid"
    assert code(await vote(world, shown, vote=signed(other))) == "approval_signature_invalid"


async def test_a_vote_signed_before_it_escalated_does_not_count_after(world: ApiWorld) -> None:
    shown = await held(world, "later", by="boss")
    now_ms = SystemClock().now_ms()
    await world.scripts.command("HSET", key(TENANT, "approval", shown["job_id"]), "created", now_ms - 3_660_000)
    again = await shown_to(world, shown["job_id"], "boss")
    early = signed(again, BOSS, issued_ms=now_ms - 120_000)
    assert code(await vote(world, again, "boss", vote=early)) == "approval_forbidden"
    assert code(await vote(world, again, "boss", vote=signed(again, BOSS))) == "released"
