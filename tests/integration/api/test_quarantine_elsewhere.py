"""A key outside the control plane: what was sealed is exported, opened there, and released as it is or by hand."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from typing import Any

import pytest

from holdgate.kernel import wire
from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.kernel.limits import BODY_BYTES_DEFAULT
from holdgate.scan.output import Artifact, Output
from holdgate.scheduler.errors import QuarantineStale
from holdgate.scheduler.gates import quarantine as gate
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.quarantine import Act, Released, SealedRequest, SealedVote
from support.api import ApiWorld
from support.running import TENANT
from support.sealing import GRAVE, SECRET, Sealed
from support.secrets import Secrets

TOKEN = Secrets(11).github()


@pytest.fixture
def sealed(api: ApiWorld) -> Sealed:
    """An API without the quarantine key."""
    return Sealed(api)


async def instead(sealed: Sealed, job_id: str, replacement: Any, who: str = "approver") -> Any:
    """A vote for a replacement."""
    return await sealed.act(job_id, who=who, replacement=replacement)


async def test_an_export_is_the_sealed_bytes_and_is_in_the_audit_trail(sealed: Sealed) -> None:
    job_id = await sealed.make()
    shown = await sealed.show(job_id)
    reply = await sealed.api.client("approver").get(f"/api/v1/quarantine/{job_id}/sealed")
    assert reply.json().keys() == {"job_id", "attempt", "digest", "commitment", "sealed"}
    assert (reply.json()["digest"], reply.json()["commitment"]) == (shown["digest"], shown["commitment"])
    assert SECRET not in base64.b64decode(reply.json()["sealed"]).decode("latin-1")
    events = await sealed.api.deps.audit.read(TENANT, 0)
    (told,) = [event.details for event in events if event.type == "quarantine.exported"]
    assert (told["actor"], told["job_id"], told["sealed_digest"]) == ("approver", job_id, shown["digest"])


async def test_who_may_not_decide_takes_nothing_away(sealed: Sealed) -> None:
    """Neither the submitter, nor who lacks the role, nor another tenant; and nothing that is decided."""
    own, other = await sealed.make(who="busy"), await sealed.make()
    for job_id, who, code in (
        (own, "busy", "approval_self"),
        (other, "agent", "forbidden"),
        (other, "operator", "forbidden"),
        (other, "auditor", "forbidden"),
        (other, "stranger", "quarantine_not_found"),
    ):
        reply = await sealed.api.client(who).get(f"/api/v1/quarantine/{job_id}/sealed")
        assert reply.json()["code"] == code, who
    await sealed.act(other, "destroy")
    reply = await sealed.api.client("approver").get(f"/api/v1/quarantine/{other}/sealed")
    assert reply.json()["code"] == "quarantine_resolved"


async def test_what_was_opened_elsewhere_is_released_without_a_key_here(sealed: Sealed) -> None:
    files = (Artifact("report.txt", "text/plain", b"a report"),)
    value = b'{"pem":"' + SECRET.encode() + b'"}'
    job_id = await sealed.make(GRAVE, output=Output(value, ("a line",), artifacts=files))
    opened = (await sealed.open(job_id))["opened"]
    assert (await sealed.act(job_id)).json()["status"] == "sealed", "who has not opened it may vote, too"
    reply = await sealed.act(job_id, who="approver2")
    assert (reply.status_code, reply.json()["code"]) == (409, "quarantine_sealed_elsewhere")
    reply = await sealed.act(job_id, who="approver2", opened=opened)
    assert (reply.json()["status"], reply.json()["state"]) == ("released", "succeeded"), reply.text
    result = (await sealed.result(job_id)).json()
    assert (result["value"], result["logs"]) == ({"pem": SECRET}, ["a line"])
    assert result["verdict"]["released_by"] == ["approver", "approver2"]
    assert [each["name"] for each in result["artifacts"]] == ["report.txt"]
    assert await sealed.api.deps.payloads.get(Digest(result["artifacts"][0]["digest"])) == b"a report"
    assert (await sealed.events(job_id))[-2:] == ["quarantine.released", "job.succeeded"]


async def test_what_was_not_sealed_is_not_released_in_its_place(sealed: Sealed) -> None:
    """An altered content, another job's box, one that somebody sealed to the public key, rubbish; not even where
    further votes are needed."""
    job_id, other = await sealed.make(GRAVE), await sealed.make()
    opened = base64.b64decode((await sealed.open(job_id))["opened"])
    output = Output(b'"harmless"').as_dict()
    forged = wire.pack({"tenant": TENANT, "job_id": job_id, "attempt": 1, "output": output, "salt": bytes(32)})
    others = base64.b64decode((await sealed.open(other))["opened"])
    for wrong in (opened.replace(b"a line", b"a lime"), others, forged, b"", opened[:-1]):
        reply = await sealed.act(job_id, opened=base64.b64encode(wrong).decode())
        assert (reply.status_code, reply.json()["code"]) == (409, "quarantine_unopenable"), reply.text
    elsewhere = await sealed.make(job_id="job_of_somebody_else")
    reply = await sealed.act(elsewhere, opened=(await sealed.open(elsewhere))["opened"])
    assert reply.json()["code"] == "quarantine_unopenable", "committed to, and another job's"
    for malformed in ("no base64!", 7):
        assert (await sealed.act(job_id, opened=malformed)).json()["code"] == "invalid_input"
    assert (await sealed.show(job_id))["votes"] == []


async def test_without_a_commitment_only_the_key_shows_what_was_sealed(sealed: Sealed) -> None:
    job_id = await sealed.make()
    opened = (await sealed.open(job_id))["opened"]
    record = key(TENANT, "sealed", job_id)
    verdict = wire.unpack(await sealed.api.scripts.command("HGET", record, "verdict"))
    del verdict["commitment"]
    await sealed.api.scripts.command("HSET", record, "verdict", wire.pack(verdict))
    assert (await sealed.act(job_id, opened=opened)).json()["code"] == "quarantine_unopenable"


async def test_a_large_released_value_lies_in_the_object_store(sealed: Sealed) -> None:
    """And nowhere before: the record names it once it may be read."""
    job_id = await sealed.make(output=Output(b'"' + b"x" * 600_000 + b'"'))
    reply = await sealed.act(job_id, opened=(await sealed.open(job_id))["opened"])
    assert reply.json()["status"] == "released"
    assert await sealed.api.scripts.command("HEXISTS", key(TENANT, "result", job_id), "value") == 0
    assert len((await sealed.result(job_id)).json()["value"]) == 600_000


async def test_an_opened_output_may_be_larger_than_what_other_calls_send(sealed: Sealed) -> None:
    """Opened and as base64 the largest that is sealed is more than the largest body of another call."""
    job_id = await sealed.make()
    large, headers = b" " * (BODY_BYTES_DEFAULT + 1), {"Content-Type": "application/json"}
    codes = {}
    for verb in ("release", "destroy"):
        path = f"/api/v1/quarantine/{job_id}/{verb}"
        codes[verb] = (await sealed.api.client("approver").post(path, content=large, headers=headers)).json()["code"]
    assert codes == {"release": "malformed_json", "destroy": "body_too_large"}


async def test_what_people_wrote_is_read_once_enough_of_them_voted_for_it(sealed: Sealed) -> None:
    """The second one is shown it, votes on its digest, and needs no key."""
    job_id = await sealed.make(GRAVE)
    first = await instead(sealed, job_id, {"value": {"pem": "taken out"}, "logs": ["a line"]})
    digest = first.json()["replacement"]
    assert (first.json()["status"], first.json()["votes_missing"]) == ("sealed", 1)
    shown = (await sealed.api.client("approver2").get(f"/api/v1/quarantine/{job_id}/replacement")).json()
    assert (shown["digest"], shown["proposed_by"], shown["votes_missing"]) == (digest, "approver", 1)
    assert (shown["value"], shown["logs"], shown["error"]) == ({"pem": "taken out"}, ["a line"], None)
    for who in ("agent", "auditor"):
        assert (await sealed.api.client(who).get(f"/api/v1/quarantine/{job_id}/replacement")).status_code == 403
    item = await sealed.show(job_id)
    assert (item["votes_missing"], item["replacement"]["votes_missing"]) == (2, 1), (
        "a vote for one is none for the other"
    )
    assert [vote["replacement"] for vote in item["votes"]] == [digest]
    assert (await sealed.act(job_id, who="approver2", replacement_digest="sha256:x")).json()[
        "code"
    ] == "quarantine_stale"
    last = await sealed.act(job_id, who="approver2", replacement_digest=digest)
    assert last.json()["status"] == "released", last.text
    result = (await sealed.result(job_id)).json()
    assert (result["value"], result["logs"]) == ({"pem": "taken out"}, ["a line"])
    assert (result["verdict"]["replacement"], result["verdict"]["verdict"]) == (digest, "released")
    assert result["verdict"]["findings"] == []
    events = [event for event in await sealed.api.deps.audit.read(TENANT, 0) if event.job_id == job_id]
    assert [event.details["replacement"] for event in events if event.type == "quarantine.vote"] == [digest, digest]


STILL_THERE = (
    ({"value": {"token": TOKEN}}, "github-token"),
    ({"value": {"note": base64.b64encode(TOKEN.encode()).decode()}}, "github-token"),
    ({"logs": [Secrets(12).pem()]}, "private_key"),
    ({"error": {"message": f"no access with {TOKEN}"}}, "github-token"),
)


async def test_what_still_holds_a_secret_is_not_even_proposed(sealed: Sealed) -> None:
    """Neither what would be redacted nor what is always quarantined; and what is told names no value."""
    job_id = await sealed.make(GRAVE)
    for replacement, told in STILL_THERE:
        reply = await instead(sealed, job_id, replacement)
        assert (reply.status_code, reply.json()["code"]) == (422, "quarantine_replacement_refused"), reply.text
        assert told in reply.json()["detail"]
        assert TOKEN not in reply.text
    shown = await sealed.show(job_id)
    assert (shown["votes"], shown["replacement"]) == ([], None)
    assert (await sealed.api.client("approver").get(f"/api/v1/quarantine/{job_id}/replacement")).status_code == 404


async def test_a_submitter_who_approves_others_outputs_sees_nothing_of_what_is_proposed(sealed: Sealed) -> None:
    job_id = await sealed.make(GRAVE, who="busy")
    await instead(sealed, job_id, {"value": "fine"})
    reply = await sealed.api.client("busy").get(f"/api/v1/quarantine/{job_id}/replacement")
    assert (reply.status_code, reply.json()["code"]) == (403, "approval_self")


async def test_whole_by_hand_destroyed_or_expired_at_once_come_to_one_of_them(sealed: Sealed) -> None:
    """And what is readable then is that one."""
    for start in range(4):
        job_id = await sealed.make(GRAVE)
        opened = (await sealed.open(job_id))["opened"]
        digest = (await instead(sealed, job_id, {"value": "by hand"}, who="busy")).json()["replacement"]
        await sealed.act(job_id)
        far_ms = sealed.api.deps.clock.now_ms() + 1000
        shown = (await sealed.show(job_id))["digest"]
        attempts = [
            sealed.act(job_id, who="approver2", opened=opened, digest=shown),
            sealed.act(job_id, who="bystander", replacement_digest=digest, digest=shown),
            sealed.act(job_id, "destroy", who="approver", digest=shown),
            sealed.api.deps.quarantine.items.expire(TENANT, sealed_before_ms=far_ms, now_ms=far_ms, limit=9),
        ]
        await asyncio.gather(*attempts[start:], *attempts[:start])
        status = (await sealed.show(job_id))["status"]
        events = Counter(await sealed.events(job_id))
        ends = {name: events[f"quarantine.{name}"] for name in ("released", "destroyed", "expired")}
        assert ends == {**dict.fromkeys(ends, 0), status: 1}, status
        result = await sealed.result(job_id)
        if status == "released":
            counted = [vote["replacement"] for vote in (await sealed.show(job_id))["votes"]]
            by_hand = result.json()["verdict"].get("replacement") == digest
            assert result.json()["value"] == ("by hand" if by_hand else {"pem": SECRET})
            assert len(counted) >= 2
        else:
            assert result.status_code == 403


async def test_a_result_that_is_another_meanwhile_keeps_its_value(sealed: Sealed) -> None:
    """The step to the object store changes nothing but what it was made for."""
    job_id = await sealed.make()
    request = SealedRequest(
        JobId(job_id),
        SealedVote(ActorId("approver"), Act.RELEASE, "fine", 1),
        Digest("sha256:x"),
        0,
        completes=True,
        attempt=1,
        released=Released({}, b'"x"', (), None),
    )
    await sealed.act(job_id, opened=(await sealed.open(job_id))["opened"])
    assert await sealed.api.deps.quarantine.items.put_away(TENANT, request, Digest("sha256:y")) is False
    assert (await sealed.result(job_id)).json()["value"] == {"pem": SECRET}


async def test_a_replacement_that_was_exchanged_in_the_store_is_not_released(sealed: Sealed) -> None:
    job_id = await sealed.make(GRAVE)
    digest = (await instead(sealed, job_id, {"value": "fine"})).json()["replacement"]
    other = wire.pack({"value": '"exchanged"', "logs": [], "error": None})
    await sealed.api.scripts.command("HSET", key(TENANT, "sealed", job_id), "proposal", other)
    reply = await sealed.act(job_id, who="approver2", replacement_digest=digest)
    assert (reply.status_code, reply.json()["code"]) == (409, "quarantine_stale")


async def test_votes_that_no_api_signed_count_for_nothing(sealed: Sealed) -> None:
    """Whoever writes into the store adds a vote, or makes one say something else."""
    job_id = await sealed.make(GRAVE)
    opened = (await sealed.open(job_id))["opened"]
    await sealed.act(job_id)
    votes = key(TENANT, "sealed_votes", job_id)
    (cast,) = await sealed.api.scripts.command("LRANGE", votes, 0, -1)
    for changes in ({"approver": "bystander"}, {"approver": "bystander", "signature": b""}, {"reason": "another"}):
        await sealed.api.scripts.command("LSET", votes, 0, wire.pack({**wire.unpack(cast), **changes}))
        shown = await sealed.show(job_id)
        assert shown["votes_missing"] == 2, changes
    reply = await sealed.act(job_id, who="approver2", opened=opened)
    assert (reply.json()["status"], reply.json()["votes_missing"]) == ("sealed", 1)


async def test_a_person_may_change_their_mind_and_still_has_one_vote(sealed: Sealed) -> None:
    job_id = await sealed.make(GRAVE)
    opened = (await sealed.open(job_id))["opened"]
    one = (await instead(sealed, job_id, {"value": 1})).json()["replacement"]
    two = (await instead(sealed, job_id, {"value": 2})).json()["replacement"]
    assert [vote["replacement"] for vote in (await sealed.show(job_id))["votes"]] == [two]
    late = await sealed.act(job_id, who="approver2", replacement_digest=one)
    assert late.json()["code"] == "quarantine_stale", "it is proposed no more"
    # The gate asks first; the store must say the same, where another was proposed at the same time.
    vote = SealedVote(ActorId("late"), Act.RELEASE, "fine", 1, Digest(one))
    digest = Digest((await sealed.show(job_id))["digest"])
    request = SealedRequest(JobId(job_id), vote, digest, votes_seen=2, completes=False, attempt=1)
    with pytest.raises(QuarantineStale):
        await sealed.api.deps.quarantine.items.vote(TENANT, request, 1)
    assert (await sealed.act(job_id, opened=opened)).json()["votes_missing"] == 1
    assert (await sealed.act(job_id, opened=opened)).json()["code"] == "approval_duplicate_vote"
    reply = await sealed.act(job_id, who="approver2", replacement_digest=two)
    assert (reply.json()["status"], reply.json()["votes_missing"]) == ("sealed", 1), "the first vote for it is gone"
    assert (await sealed.act(job_id, "destroy")).json()["status"] == "destroyed"


async def test_one_person_keeps_nobody_from_voting(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each vote is a scan and an event, so nobody has any number of them; a destruction is taken all the same."""
    monkeypatch.setattr(gate, "VOTES_EACH_MAX", 2)
    job_id = await sealed.make(GRAVE)
    for value in (1, 2):
        assert (await instead(sealed, job_id, {"value": value})).json()["status"] == "sealed"
    assert (await instead(sealed, job_id, {"value": 3})).json()["code"] == "quarantine_too_many_votes"
    assert (await sealed.act(job_id, who="approver2")).json()["status"] == "sealed"
    assert (await sealed.act(job_id, "destroy")).json()["status"] == "destroyed"


MALFORMED: tuple[dict[str, Any], ...] = (
    {"replacement": "text"},
    {"replacement": {"values": 1}},
    {"replacement": {"logs": "text"}},
    {"replacement": {"logs": [1]}},
    {"replacement": {"error": {"secret": "x"}}},
    {"replacement": {"error": {"message": 1}}},
    {"replacement": {"value": "x" * 1_100_000}},
    {"replacement": {}, "opened": ""},
    {"replacement": {}, "replacement_digest": "sha256:x"},
    {"replacement_digest": 7},
)


async def test_what_is_malformed_is_told_by_name(sealed: Sealed) -> None:
    job_id = await sealed.make()
    for body in MALFORMED:
        reply = await sealed.act(job_id, **body)
        assert (reply.status_code, reply.json()["code"]) == (422, "invalid_input"), reply.text


async def test_time_that_is_left_is_shown_and_what_expired_is_gone(sealed: Sealed) -> None:
    job_id = await sealed.make()
    shown = await sealed.show(job_id)
    assert shown["expires_at"] > shown["quarantined_at"]
    now_ms = sealed.api.deps.clock.now_ms() + 1000
    items = sealed.api.deps.quarantine.items
    assert await items.expire(TENANT, sealed_before_ms=now_ms, now_ms=now_ms, limit=10) == [JobId(job_id)]
    shown = await sealed.show(job_id)
    assert (shown["status"], shown["sealed"], shown["expires_at"]) == ("expired", False, None)
    assert shown["destroyed_at"] is not None
    for verb in ("release", "destroy"):
        assert (await sealed.act(job_id, verb)).json()["code"] == "quarantine_resolved"
    assert "quarantine.expired" in await sealed.events(job_id)
