"""A held job whose policy changes: votes are void, what is other is shown, an earlier yes can be given again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgpack
import pytest

from holdgate.kernel.ids import Tenant
from holdgate.scheduler.state.connection import key
from support.api import ApiWorld
from support.holding import CAREFUL, careful, publish_rules

TENANT = Tenant("default")
PAIR = "roles: [release-manager], quorum: 2"
UNRELATED = '  - {id: other, decision: allow, reason: r, match: {topics: ["job.other.run"]}}\n'


async def shown_to(api: ApiWorld, job_id: str, who: str = "approver") -> dict[str, Any]:
    """What `who` is shown."""
    reply = await api.client(who).get(f"/api/v1/approvals/{job_id}")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def act(api: ApiWorld, shown: dict[str, Any], verb: str, who: str = "approver", **body: Any) -> httpx.Response:
    """A vote on what was shown."""
    sent = {"job_hash": shown["job_hash"], "snapshot": shown["snapshot"], **body}
    return await api.client(who).post(f"/api/v1/approvals/{shown['job_id']}/{verb}", json=sent)


async def voted_once(api: ApiWorld, directory: Path, rule: str) -> dict[str, Any]:
    """A job that `rule` holds, with one yes of two; as it was shown."""
    await publish_rules(api, directory, rule, 1)
    reply = await api.submit(topic=CAREFUL)
    shown = await shown_to(api, reply.json()["job_id"])
    first = await act(api, shown, "approve", reason="the change is fine", **_typed(shown))
    assert (first.json()["status"], first.json()["votes_missing"]) == ("pending", 1), first.text
    return shown


def _typed(shown: dict[str, Any]) -> dict[str, str]:
    return {"confirm": shown["confirm"]} if shown["confirm"] else {}


async def again(api: ApiWorld, shown: dict[str, Any]) -> dict[str, Any]:
    """As it is shown after the policy changed, which the first vote finds out."""
    stale = await act(api, shown, "approve", "approver2", reason="late")
    assert (stale.status_code, stale.json()["code"]) == (409, "approval_stale_policy"), stale.text
    return await shown_to(api, shown["job_id"])


async def test_where_the_rule_says_the_same_an_earlier_yes_is_given_again_in_one_act(
    api: ApiWorld, tmp_path: Path
) -> None:
    before = await voted_once(api, tmp_path, careful(PAIR))
    await publish_rules(api, tmp_path, careful(PAIR, UNRELATED), 2)
    shown = await again(api, before)
    assert (shown["round"], shown["votes"], shown["can_reconfirm"]) == (2, [], True)
    assert [change["what"] for change in shown["changes"]] == ["snapshot"]
    (vote,) = shown["previous"]["votes"]
    assert (vote["approver"], vote["reason"], shown["previous"]["snapshot"]) == (
        "approver", "the change is fine", before["snapshot"],
    )  # fmt: skip
    assert (await shown_to(api, before["job_id"], "approver2"))["can_reconfirm"] is False
    refused = await act(api, shown, "reconfirm", "approver2")
    assert (refused.status_code, refused.json()["code"]) == (409, "approval_not_reconfirmable")
    old = await act(api, before, "reconfirm")
    assert old.json()["code"] == "approval_stale_policy"
    confirmed = await act(api, shown, "reconfirm")
    assert (confirmed.json()["status"], confirmed.json()["votes_missing"]) == ("pending", 1), confirmed.text
    (vote,) = (await shown_to(api, before["job_id"]))["votes"]
    assert vote["reason"] == "the change is fine"
    events = (await api.client("auditor").get(f"/api/v1/jobs/{before['job_id']}/timeline")).json()["items"]
    assert [event.get("confirms_round") for event in events if event["type"] == "approval.vote"] == [None, "1"]
    assert (await act(api, shown, "reconfirm")).json()["code"] == "approval_duplicate_vote"
    assert (await act(api, shown, "approve", "approver2", reason="me too")).json()["status"] == "released"


@pytest.mark.parametrize("field", ["reason", "approver"])
async def test_an_earlier_yes_that_is_not_what_was_signed_is_not_offered(
    api: ApiWorld, tmp_path: Path, field: str
) -> None:
    """Who writes to Redis puts no words into anybody's mouth, and no yes."""
    before = await voted_once(api, tmp_path, careful(PAIR))
    await publish_rules(api, tmp_path, careful(PAIR, UNRELATED), 2)
    shown = await again(api, before)
    where = key(TENANT, "approval", before["job_id"])
    kept = msgpack.unpackb(await api.scripts.command("HGET", where, "before"), raw=True)
    vote = msgpack.unpackb(kept[-1][0], raw=False)
    vote[field] = {"reason": "I looked at all of it", "approver": "approver2"}[field]
    kept[-1][0] = msgpack.packb(vote)
    await api.scripts.command("HSET", where, "before", msgpack.packb(kept))
    who = vote["approver"]
    assert (await shown_to(api, before["job_id"], who))["can_reconfirm"] is False
    assert (await act(api, shown, "reconfirm", who)).json()["code"] == "approval_not_reconfirmable"


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        (careful("roles: [release-manager], quorum: 3"), "requirements"),
        (careful(PAIR, reason="for another reason"), "reason"),
        (careful(PAIR, "    constraints: {max_runtime_s: 5}\n"), "constraints"),
        (careful(PAIR, "    remediations: [{id: safer, title: t, topic: job.other.run}]\n"), "remediations"),
        (careful(PAIR).replace("hold-careful", "hold-anew"), "rules"),
    ],
)
async def test_where_the_rule_says_something_else_the_difference_is_shown_and_nothing_offered(
    api: ApiWorld, tmp_path: Path, rule: str, what: str
) -> None:
    before = await voted_once(api, tmp_path, careful(PAIR))
    await publish_rules(api, tmp_path, rule, 2)
    shown = await again(api, before)
    assert what in [change["what"] for change in shown["changes"]]
    assert shown["can_reconfirm"] is False
    refused = await act(api, shown, "reconfirm")
    assert (refused.status_code, refused.json()["code"]) == (409, "approval_not_reconfirmable")
    assert (await shown_to(api, before["job_id"]))["votes"] == []


async def test_a_round_in_which_nobody_said_anything_does_not_hide_what_was_said(api: ApiWorld, tmp_path: Path) -> None:
    before = await voted_once(api, tmp_path, careful(PAIR))
    await publish_rules(api, tmp_path, careful("roles: [release-manager], quorum: 3"), 2)
    assert (await again(api, before))["can_reconfirm"] is False
    await publish_rules(api, tmp_path, careful(PAIR), 3)
    middle = await shown_to(api, before["job_id"])
    shown = await again(api, middle)
    assert (shown["round"], shown["previous"]["round"], shown["can_reconfirm"]) == (3, 1, True)


async def test_text_that_a_rule_wants_typed_is_typed_again(api: ApiWorld, tmp_path: Path) -> None:
    rule = careful(PAIR + ', confirm: "ship it"')
    before = await voted_once(api, tmp_path, rule)
    await publish_rules(api, tmp_path, rule + UNRELATED, 2)
    shown = await again(api, before)
    assert (await act(api, shown, "reconfirm")).json()["code"] == "approval_confirmation_required"
    assert (await act(api, shown, "reconfirm", confirm="ship it")).json()["status"] == "pending"
