"""A sealed output over HTTP: shown without its content, released exactly as it was sealed, or destroyed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacl.public import PrivateKey

from holdgate.kernel.ids import ActorId, Digest, JobId
from holdgate.scan.output import Output
from holdgate.scheduler.errors import ApprovalDuplicateVote, ApprovalSelf, QuarantineResolved
from holdgate.scheduler.gates.sealedbox import Boxes
from holdgate.scheduler.gates.sealing import Sealer
from holdgate.scheduler.identity.keys import issue_key
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.quarantine import Act, QuarantineItem, SealedRequest, SealedVote
from holdgate.scheduler.state.transitions import State
from support.api import ApiWorld, running_api
from support.holding import add_people, add_person
from support.running import TENANT, Runner
from support.sealing import GRAVE, LOW, SECRET, Sealed
from support.state import tell_log
from support.waiting import eventually


@pytest.fixture
async def sealed(nats_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Sealed]:
    """With the key that `holdgate up` makes."""
    home = tmp_path / "home"
    settings = {"quarantine_key_file": home / "keys" / "quarantine.key"}
    async with running_api(nats_url, redis_url, home, settings) as world:
        yield Sealed(world)


async def test_an_approver_sees_findings_and_what_a_vote_takes_but_no_content(sealed: Sealed) -> None:
    job_id = await sealed.make(GRAVE)
    shown = await sealed.show(job_id)
    assert (shown["status"], shown["severity"], shown["quorum"], shown["votes_missing"]) == ("sealed", "critical", 2, 2)
    assert (shown["topic"], shown["actor"], shown["can_open"], shown["votes"]) == ("job.demo.read", "agent", True, [])
    assert shown["verdict"]["findings"] == GRAVE
    assert SECRET not in str(shown)
    listed = (await sealed.api.client("auditor").get("/api/v1/quarantine")).json()["items"]
    assert [(item["job_id"], item["severity"], item["destroyed_at"]) for item in listed] == [(job_id, "critical", None)]


async def test_a_release_makes_readable_exactly_what_was_sealed_and_runs_nothing(sealed: Sealed) -> None:
    job_id = await sealed.make()
    reply = await sealed.act(job_id)
    assert (reply.status_code, reply.json()["status"], reply.json()["state"]) == (200, "released", "succeeded")
    shown = (await sealed.result(job_id)).json()
    assert (shown["value"], shown["logs"], shown["error"]) == ({"pem": SECRET}, ["a line"], None)
    assert (shown["verdict"]["verdict"], shown["verdict"]["released_by"]) == ("released", ["approver"])
    assert (await sealed.events(job_id))[-3:] == ["quarantine.vote", "quarantine.released", "job.succeeded"]
    assert await sealed.api.scripts.command("HEXISTS", key(TENANT, "sealed", job_id), "sealed") == 0
    after = await sealed.show(job_id)
    assert (after["status"], after["sealed"], after["resolved_by"]) == ("released", False, "approver")
    job = (await sealed.api.client("agent").get(f"/api/v1/jobs/{job_id}")).json()
    assert (job["state"], job["attempt"], job["code"]) == ("succeeded", 1, None)


async def test_capitals_in_a_name_make_nobody_else(sealed: Sealed) -> None:
    await add_people(sealed.api, dict.fromkeys(("AGENT", "Approver"), ("agent", "approver")))
    job_id = await sealed.make(GRAVE)
    assert (await sealed.act(job_id, who="AGENT")).json()["code"] == "approval_self"
    assert (await sealed.act(job_id)).json()["status"] == "sealed"
    assert (await sealed.act(job_id, who="Approver")).json()["code"] == "approval_duplicate_vote"
    # The gate asks first; the store must say the same, where the vote before was cast at the same time.
    other = await sealed.make(GRAVE, who="AGENT")
    for voted, name, expected in (
        (job_id, "AGENT", ApprovalSelf),
        (other, "agent", ApprovalSelf),
        (job_id, "Approver", ApprovalDuplicateVote),
    ):
        vote = SealedVote(ActorId(name), Act.RELEASE, "looked at it", 1)
        digest = Digest((await sealed.show(voted))["digest"])
        request = SealedRequest(JobId(voted), vote, digest, votes_seen=1, completes=False, attempt=1)
        with pytest.raises(expected):
            await sealed.api.deps.quarantine.items.vote(TENANT, request, 1)


async def test_a_grave_finding_takes_two_people(sealed: Sealed) -> None:
    job_id = await sealed.make(GRAVE)
    first = await sealed.act(job_id)
    assert (first.json()["status"], first.json()["votes_missing"]) == ("sealed", 1)
    assert (await sealed.result(job_id)).json()["code"] == "output_quarantined"
    again = await sealed.act(job_id)
    assert (again.status_code, again.json()["code"]) == (409, "approval_duplicate_vote")
    assert [vote["approver"] for vote in (await sealed.show(job_id))["votes"]] == ["approver"]
    assert (await sealed.act(job_id, who="approver2")).json()["status"] == "released"
    assert (await sealed.result(job_id)).json()["verdict"]["released_by"] == ["approver", "approver2"]


@pytest.mark.parametrize("findings", [[], [{"detector": "new", "severity": "odd"}], [{"detector": "new"}]])
async def test_where_nobody_can_say_how_grave_it_is_it_takes_two(sealed: Sealed, findings: list[Any]) -> None:
    job_id = await sealed.make(findings)
    shown = await sealed.show(job_id)
    assert (shown["severity"], shown["quorum"]) == (None, 2)


async def test_one_person_destroys_and_the_record_stays(sealed: Sealed) -> None:
    job_id = await sealed.make(GRAVE)
    reply = await sealed.act(job_id, "destroy")
    assert (reply.status_code, reply.json()["status"], reply.json()["state"]) == (200, "destroyed", "quarantined")
    shown = await sealed.show(job_id)
    assert (shown["status"], shown["can_open"], shown["resolved_by"]) == ("destroyed", False, "approver")
    assert shown["destroyed_at"] is not None
    assert shown["verdict"]["findings"] == GRAVE
    assert (await sealed.result(job_id)).json()["code"] == "output_quarantined"
    assert (await sealed.act(job_id, who="approver2")).json()["code"] == "quarantine_resolved"
    assert await sealed.api.scripts.command("HEXISTS", key(TENANT, "sealed", job_id), "sealed") == 0


async def test_a_release_behind_a_destruction_is_told_that_it_was_decided(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody destroys it between the look at its status and the look at the box."""
    job_id = await sealed.make(LOW)
    digest = (await sealed.show(job_id))["digest"]
    sealed_bytes = Boxes.sealed

    async def behind(boxes: Boxes, item: QuarantineItem) -> bytes:
        assert (await sealed.act(job_id, "destroy", "approver2", digest=digest)).json()["status"] == "destroyed"
        return await sealed_bytes(boxes, replace(item, sealed=None, sealed_ref=None))

    monkeypatch.setattr(Boxes, "sealed", behind)
    assert (await sealed.act(job_id, digest=digest)).json()["code"] == "quarantine_resolved"


@pytest.mark.parametrize("verb", ["release", "destroy"])
@pytest.mark.parametrize(
    ("submitter", "who", "code"),
    [
        ("busy", "busy", "approval_self"),
        ("helper", "approver", "approval_self"),
        ("agent", "agent", "forbidden"),
        ("agent", "operator", "forbidden"),
        ("agent", "auditor", "forbidden"),
    ],
)
async def test_who_may_not_decide(sealed: Sealed, verb: str, submitter: str, who: str, code: str) -> None:
    """The submitter, somebody in whose name it was submitted, somebody without the role."""
    job_id = await sealed.make(who=submitter)
    shown = await sealed.show(job_id, "approver2")
    reply = await sealed.act(job_id, verb, who, digest=shown["digest"])
    assert (reply.status_code, reply.json()["code"]) == (403, code), reply.text
    assert (await sealed.show(job_id, "approver2"))["votes"] == []


async def test_an_admin_who_is_no_approver_decides_nothing(sealed: Sealed) -> None:
    """An admin may make every call; who may vote is another question."""
    job_id = await sealed.make()
    file = sealed.api.provisioned.home.api_keys_file
    sealed.api.keys["root"], _ = issue_key(file, tenant=str(TENANT), actor="root", roles=["admin"], actor_type="human")
    digest = (await sealed.show(job_id))["digest"]
    await known(sealed, sealed.api.keys["root"])
    reply = await sealed.act(job_id, who="root", digest=digest)
    assert (reply.status_code, reply.json()["code"]) == (403, "approval_forbidden")


@pytest.mark.parametrize("verb", ["release", "destroy"])
async def test_a_vote_is_bound_to_what_was_shown(sealed: Sealed, verb: str) -> None:
    job_id, other = await sealed.make(), await sealed.make()
    digest = (await sealed.show(other))["digest"]
    for wrong in (digest, "sha256:", "x"):
        reply = await sealed.act(job_id, verb, digest=wrong)
        assert (reply.status_code, reply.json()["code"]) == (409, "quarantine_stale")
    for body, code in (
        ({"reason": " "}, "approval_reason_required"),
        ({"digest": None}, "invalid_input"),
        ({"more": 1}, "invalid_input"),
    ):
        reply = await sealed.act(job_id, verb, **body)
        assert (reply.status_code, reply.json()["code"]) == (422, code)


async def test_another_tenants_output_does_not_exist(sealed: Sealed) -> None:
    job_id = await sealed.make()
    for reply in (
        await sealed.api.client("stranger").get(f"/api/v1/quarantine/{job_id}"),
        await sealed.act(job_id, who="stranger"),
        await sealed.api.client("approver").get("/api/v1/quarantine/nonsense"),
    ):
        assert (reply.status_code, reply.json()["code"]) == (404, "quarantine_not_found")


async def test_a_job_that_is_not_quarantined_is_not_here(sealed: Sealed) -> None:
    job_id = str((await sealed.api.submit()).json()["job_id"])
    assert (await sealed.act(job_id, digest="sha256:x")).json()["code"] == "quarantine_not_found"


async def test_what_was_never_kept_can_neither_be_released_nor_destroyed(sealed: Sealed) -> None:
    """Without a quarantine key in the root, a quarantined output is dropped."""
    job_id, runner = str((await sealed.api.submit()).json()["job_id"]), Runner(sealed.api)
    await runner.start(job_id)
    await runner.finish(job_id, State.QUARANTINED, verdict={"verdict": "quarantine", "findings": [], "sealed": False})
    assert (await sealed.show(job_id))["status"] == "not_kept"
    for verb in ("release", "destroy"):
        assert (await sealed.act(job_id, verb, digest="sha256:x")).json()["code"] == "quarantine_resolved"


async def test_without_the_key_a_release_is_refused_and_a_destruction_is_not(api: ApiWorld) -> None:
    """The control plane need not hold it."""
    sealed = Sealed(api)
    job_id = await sealed.make()
    assert (await sealed.show(job_id))["can_open"] is False
    reply = await sealed.act(job_id)
    assert (reply.status_code, reply.json()["code"]) == (409, "quarantine_sealed_elsewhere")
    assert (await sealed.show(job_id))["votes"] == []
    assert (await sealed.act(job_id, "destroy")).json()["status"] == "destroyed"


async def test_a_box_of_another_job_key_or_content_is_not_released(sealed: Sealed) -> None:
    """What was put in the place of the sealed bytes stays where it is, and nobody's vote counts for it."""
    boxes = [
        await sealed.make(job_id="job_of_somebody_else"),
        await sealed.make(attempt=7),
        await sealed.make(output=Output(), tenant="x", sealer=Sealer(bytes(PrivateKey.generate().public_key))),
    ]
    exchanged = await sealed.make()
    output = Output(b'"harmless"').as_dict()
    other = sealed.sealer().seal({"tenant": TENANT, "job_id": exchanged, "attempt": 1, "output": output})
    await sealed.api.scripts.command("HSET", key(TENANT, "sealed", exchanged), "sealed", other.data)
    for job_id in (*boxes, exchanged):
        reply = await sealed.act(job_id)
        assert (reply.status_code, reply.json()["code"]) == (409, "quarantine_unopenable"), reply.text
        assert (await sealed.show(job_id))["votes"] == []
        assert (await sealed.result(job_id)).json()["code"] == "output_quarantined"


@pytest.mark.parametrize("verb", ["release", "destroy"])
async def test_large_sealed_bytes_leave_the_object_store(sealed: Sealed, verb: str) -> None:
    """And a large value is readable from where the release put it."""
    value = b'"' + b"x" * 600_000 + b'"'
    job_id = await sealed.make(output=Output(value))
    digest = Digest((await sealed.show(job_id))["digest"])
    assert await sealed.api.deps.payloads.get(digest)
    assert (await sealed.act(job_id, verb)).status_code == 200
    with pytest.raises(Exception, match="no payload"):
        await sealed.api.deps.payloads.get(digest)
    if verb == "release":
        assert len((await sealed.result(job_id)).json()["value"]) == 600_000


async def test_large_sealed_bytes_that_are_gone_are_not_released(sealed: Sealed) -> None:
    job_id = await sealed.make(output=Output(b'"' + b"x" * 600_000 + b'"'))
    await sealed.api.deps.payloads.delete(Digest((await sealed.show(job_id))["digest"]))
    assert (await sealed.act(job_id)).json()["code"] == "quarantine_unopenable"
    assert (await sealed.act(job_id, "destroy")).json()["status"] == "destroyed"


async def crowd(sealed: Sealed, count: int) -> list[str]:
    """So many approvers; their API keys."""
    file = sealed.api.provisioned.home.api_keys_file
    keys = [
        issue_key(file, tenant=str(TENANT), actor=f"p{n}", roles=["approver"], actor_type="human")[0]
        for n in range(count)
    ]
    await known(sealed, keys[-1])
    return keys


async def known(sealed: Sealed, api_key: str) -> None:
    """Wait until the API has read its keys again; without calling it, since it counts keys that it does not know."""
    await eventually(
        lambda: sealed.api.deps.keys.principal_of(api_key.encode()) is not None, 30, why="the API knows the key"
    )


async def test_the_store_alone_takes_no_vote_after_the_end(sealed: Sealed) -> None:
    """Whoever looked at it just before and counted right."""
    items = sealed.api.deps.quarantine.items
    for verb in ("release", "destroy"):
        job_id = JobId(await sealed.make())
        await sealed.act(job_id, verb)
        item = await items.require(TENANT, job_id)
        assert item.digest is not None
        late = SealedVote(ActorId("late"), Act.DESTROY, "too late", 1)
        request = SealedRequest(job_id, late, item.digest, len(item.votes), completes=True, attempt=1)
        with pytest.raises(QuarantineResolved):
            await items.vote(TENANT, request, 1)


@pytest.mark.parametrize(("findings", "quorum"), [(LOW, 1), (GRAVE, 2)])
async def test_a_hundred_releases_at_once_are_one(sealed: Sealed, findings: list[Any], quorum: int) -> None:
    job_id = await sealed.make(findings)
    digest = (await sealed.show(job_id))["digest"]
    replies = await everybody(sealed, job_id, digest, ["release"] * 100)
    assert Counter(reply.json().get("status") for reply in replies if reply.status_code == 200) == Counter(
        {"sealed": quorum - 1, "released": 1} if quorum > 1 else {"released": 1}
    )
    assert {reply.json()["code"] for reply in replies if reply.status_code != 200} == {"quarantine_resolved"}
    events = Counter(await sealed.events(job_id))
    assert (events["quarantine.vote"], events["quarantine.released"], events["job.succeeded"]) == (quorum, 1, 1)


async def test_release_and_destruction_at_once_come_to_one_of_the_two(sealed: Sealed) -> None:
    """Never both, and never half: what was destroyed is not readable."""
    job_id = await sealed.make(GRAVE)
    digest = (await sealed.show(job_id))["digest"]
    replies = await everybody(sealed, job_id, digest, ["release", "destroy"] * 50)
    ends = [reply.json()["status"] for reply in replies if reply.status_code == 200]
    status = (await sealed.show(job_id))["status"]
    assert ends.count("released") + ends.count("destroyed") == 1
    assert status in ends
    assert {reply.json()["code"] for reply in replies if reply.status_code != 200} <= {"quarantine_resolved"}
    assert (await sealed.result(job_id)).status_code == (200 if status == "released" else 403)
    events = Counter(await sealed.events(job_id))
    assert events["quarantine.released"] + events["quarantine.destroyed"] == 1


async def everybody(sealed: Sealed, job_id: str, digest: str, verbs: list[str]) -> list[httpx.Response]:
    """One approver a vote, all at once."""
    keys = await crowd(sealed, len(verbs))
    client = sealed.api.client(None)
    return await asyncio.gather(
        *(
            client.post(
                f"/api/v1/quarantine/{job_id}/{verb}",
                headers={"X-API-Key": own},
                json={"digest": digest, "reason": "at once"},
            )
            for verb, own in zip(verbs, keys, strict=True)
        )
    )


async def test_what_is_forgotten_takes_its_sealed_bytes_with_it(sealed: Sealed) -> None:
    """Inline ones in the same write, large ones by being doomed in it."""
    small = await sealed.make()
    large = await sealed.make(output=Output(b'"' + b"x" * 600_000 + b'"'))
    digest = (await sealed.show(large))["digest"]
    await sealed.act(small, who="approver")
    voted = await sealed.make(GRAVE)
    await sealed.act(voted)
    waiting = await sealed.make()
    items, jobs = sealed.api.deps.quarantine.items, sealed.api.deps.jobs
    far_ms = sealed.api.deps.clock.now_ms() + 1000
    await tell_log(sealed.api.scripts, TENANT)
    # What waits for people is not forgotten before its own time, however long ago its job ended.
    assert await jobs.forget(TENANT, ended_before_ms=far_ms, denied_before_ms=0) == 1
    expired = await items.expire(TENANT, sealed_before_ms=far_ms, now_ms=far_ms, limit=2)
    assert expired == [large, voted], "the oldest, and no more than asked for"
    await tell_log(sealed.api.scripts, TENANT)
    assert await jobs.forget(TENANT, ended_before_ms=far_ms + 1, denied_before_ms=0) == 2
    for job_id in (small, large, voted):
        assert await items.get(TENANT, JobId(job_id)) is None
        for name in ("sealed", "sealed_votes", "result"):
            assert await sealed.api.scripts.command("EXISTS", key(TENANT, name, job_id)) == 0
    assert await items.doomed(TENANT) == [digest]
    assert (await sealed.show(waiting))["status"] == "sealed"


def listed(name: str, *topics: str, quorum_min: int = 1) -> dict[str, Any]:
    """A role as a root lists it."""
    return {"name": name, "scope": {"tenants": ["*"], "topics": list(topics)}, "quorum_min": quorum_min}


@pytest.fixture
def under(nats_url: str, redis_url: str, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Sealed]]:
    """`under(*roles)`: the same, under a root that lists them."""

    @asynccontextmanager
    async def running(*roles: dict[str, Any]) -> AsyncIterator[Sealed]:
        home = tmp_path / "home"
        settings = {"quarantine_key_file": home / "keys" / "quarantine.key"}
        # What the rules of the demo ask for, on other topics than that of the outputs here.
        demo = [listed("release-manager", "job.deploy.>", "job.demo.write"), listed("escalation", ">")]
        root = {"approver_roles": [*demo, *roles]}
        async with running_api(nats_url, redis_url, home, settings, root=root) as world:
            yield Sealed(world)

    return running


async def test_who_may_not_release_jobs_of_a_topic_under_the_root_decides_about_no_output_of_it(
    under: Callable[..., AbstractAsyncContextManager[Sealed]],
) -> None:
    """`approver` is what lets somebody vote at all; that it counts here is for the signed root to say."""
    async with under(listed("approver", "job.deploy.>"), listed("break_glass", ">")) as sealed:
        await add_person(sealed.api, "firefighter", "approver", "break_glass", "escalation")
        job_id = await sealed.make()
        for who in ("bystander", "firefighter"):
            for verb in ("release", "destroy"):
                reply = await sealed.act(job_id, verb, who)
                assert (reply.status_code, reply.json()["code"]) == (403, "approval_forbidden")
        assert (await sealed.show(job_id))["status"] == "sealed"
        assert (await sealed.result(job_id)).json()["code"] == "output_quarantined"


async def test_a_release_takes_as_many_people_as_the_root_wants_for_the_topic(
    under: Callable[..., AbstractAsyncContextManager[Sealed]],
) -> None:
    """Of the strictest role that has a say about it, and never fewer than the findings take."""
    async with under(
        listed("approver", "job.demo.>", quorum_min=3), listed("break_glass", ">", quorum_min=9)
    ) as sealed:
        job_id = await sealed.make()
        shown = await sealed.show(job_id)
        assert (shown["quorum"], shown["votes_missing"]) == (3, 3)
        for who, status in (("approver", "sealed"), ("bystander", "sealed"), ("busy", "released")):
            reply = await sealed.act(job_id, who=who)
            assert (reply.status_code, reply.json()["status"]) == (200, status)


async def test_without_a_root_in_force_nobody_decides(sealed: Sealed) -> None:
    """A file that was replaced by one that does not hold."""
    job_id = await sealed.make()
    sealed.api.deps.quarantine._trust = lambda: None
    for verb in ("release", "destroy"):
        reply = await sealed.act(job_id, verb)
        assert (reply.status_code, reply.json()["code"]) == (403, "approval_forbidden")
