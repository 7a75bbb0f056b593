"""Candidates over HTTP: replayed on what was decided, and shadowed on what is decided now."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdgate.bundles.format import sign_bundle
from holdgate.bundles.keys import load_signer
from holdgate.bundles.replay import Recorded, Replay
from holdgate.bundles.shadowing import SHADOWS_PER_AUTHOR
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.ids import Tenant
from holdgate.kernel.records import Verdict
from holdgate.scheduler.api.replaying import Pace, Replays, Stopped
from holdgate.scheduler.api.routes import replay as replay_route
from holdgate.scheduler.identity.keys import issue_key
from holdgate.scheduler.state.recorded import RecordedDecisions, Wanted
from support.api import OTHER_TENANT, ApiWorld
from support.policies import NOW_MS, job, policy, rule
from support.secrets import Secrets
from support.trust import bundle
from support.waiting import eventually

JSON = {"content-type": "application/json"}
REPLAY = "/api/v1/policy/replay"
SHADOW = "/api/v1/policy/shadow"
DEFAULT = Tenant("default")
DENY_READS = "rules: [{id: deny-reads, decision: deny, reason: closed, match: {topics: [job.demo.read]}}]"
ALLOW_ALL = "rules: [{id: allow-all, decision: allow, reason: open}]"
READS_PAYLOAD = 'rules: [{id: big, decision: deny, reason: big, when: "job.payload.amount > 5"}]'


@dataclass(frozen=True)
class Bench:
    """Makes bundles and asks about them."""

    api: ApiWorld
    folder: Path

    def built(self, rules: str, *, name: str = "house", version: int = 1, **more: Any) -> bytes:
        return bundle(self.folder, rules, name=name, version=version, signers=(), **more)

    def signed(self, rules: str, **more: Any) -> bytes:
        return sign_bundle(self.built(rules, **more), load_signer(self.api.provisioned.home.key_file("author")))

    async def replay(self, rules: str = DENY_READS, *, who: str = "author", **asked: Any) -> httpx.Response:
        named = {name: asked.pop(name) for name in ("name", "version") if name in asked}
        form = {"bundle": json.loads(self.built(rules, **named)), **asked}
        return await self.api.client(who).post(REPLAY, json=form)

    async def start(self, data: bytes, *, name: str = "house", who: str = "author") -> httpx.Response:
        return await self.api.client(who).put(f"{SHADOW}/{name}", content=data, headers=JSON)

    async def shadowed(self, who: str = "author") -> Any:
        return (await self.api.client(who).get(SHADOW)).json()["items"]


@pytest.fixture
def bench(api: ApiWorld, tmp_path: Path) -> Bench:
    folder = tmp_path / "drafts"
    folder.mkdir()
    return Bench(api, folder)


async def admit_author(bench: Bench, who: str, tenant: str) -> None:
    """Give `who` the API key of an author of this tenant, and wait until the API knows it."""
    file = bench.api.provisioned.home.api_keys_file
    bench.api.keys[who], _ = issue_key(file, tenant=tenant, actor="writer", roles=["author"])

    async def is_known() -> bool:
        return (await bench.api.client(who).get(SHADOW)).status_code == 200

    await eventually(is_known)


def refused(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, str(reply.json()["code"])


async def test_a_replay_tells_what_a_candidate_would_change_by_rule_with_examples(bench: Bench) -> None:
    ids = [(await bench.api.submit(payload={"card": "4111"}, prompt="whisper")).json()["job_id"] for _ in range(3)]
    await bench.api.submit(topic="job.unknown.thing")
    reply = await bench.replay()
    assert reply.status_code == 200, reply.text
    report = reply.json()
    assert (report["decisions"], report["unchanged"], report["tighter"], report["widens"]) == (4, 1, 3, False)
    assert report["transitions"] == {"allow→deny": 3} or sum(report["transitions"].values()) == 3
    (group,) = report["groups"]
    assert (group["after"], group["rule_after"], group["count"]) == ("deny", "deny-reads", 3)
    assert {example["job_id"] for example in group["examples"]} == set(ids)
    assert "4111" not in reply.text
    assert "whisper" not in reply.text


async def test_examples_have_secrets_in_labels_masked(bench: Bench) -> None:
    """Who writes policy need not see jobs."""
    secret = Secrets().github()
    await bench.api.submit(labels={"env": "prod", "token": secret})
    reply = await bench.replay()
    labels = reply.json()["groups"][0]["examples"][0]["labels"]
    assert (labels["env"], labels["token"].startswith("[redacted:"), secret in reply.text) == ("prod", True, False)


async def test_a_candidate_takes_the_place_of_the_bundle_of_its_name(bench: Bench) -> None:
    await bench.api.submit(topic="job.unknown.thing")
    report = (await bench.replay(ALLOW_ALL, name="demo", version=2)).json()
    assert (report["wider"], report["widens"], report["transitions"]) == (1, True, {"deny→allow": 1})
    assert (report["groups"][0]["rule_before"], report["groups"][0]["rule_after"]) == (None, "allow-all")
    assert report["candidate"]["name"] == "demo"


async def test_what_was_not_kept_is_not_compared_where_the_candidate_looks_at_it(bench: Bench) -> None:
    await bench.api.submit(payload={"amount": 9})
    await bench.api.submit(topic="job.unknown.thing", payload={"amount": 9})
    report = (await bench.replay(READS_PAYLOAD)).json()
    assert (report["tighter"], report["not_comparable"]) == (1, {"not_kept": 1})


async def test_against_the_active_policy_only_the_candidates_own_changes_count(bench: Bench) -> None:
    await bench.api.submit()
    report = (await bench.replay(baseline="active")).json()
    assert (report["baseline"], report["tighter"], report["decisions"]) == ("active", 1, 1)
    report = (await bench.replay("rules: [{id: r, decision: deny, reason: x, match: {topics: [job.x]}}]")).json()
    assert report["unchanged"] == 1


async def test_decisions_of_another_tenant_are_not_replayed(bench: Bench) -> None:
    await bench.api.submit()
    report = (await bench.replay(who="stranger")).json()
    assert (report["decisions"], report["groups"]) == (0, [])


async def test_last_and_since_bound_a_replay(bench: Bench) -> None:
    for _ in range(4):
        await bench.api.submit()
    assert (await bench.replay(last=2)).json()["decisions"] == 2
    assert (await bench.replay(since="2100-01-01T00:00:00Z")).json()["decisions"] == 0


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"last": 0}, "last"),
        ({"last": 1_000_001}, "last"),
        ({"last": True}, "last"),
        ({"since": "yesterday"}, "since"),
        ({"since": 5}, "since"),
        ({"baseline": "other"}, "baseline"),
        ({"baseline": ["active"]}, "baseline"),
        ({"tenants": ["other"]}, "tenants"),
        ({"bundle": "text"}, "bundle"),
    ],
)
async def test_a_replay_of_something_else_is_refused_by_field(bench: Bench, form: dict[str, Any], field: str) -> None:
    reply = await bench.api.client("author").post(REPLAY, json={"bundle": {}, **form})
    assert refused(reply) == (422, "invalid_input")
    assert reply.json()["errors"][0]["field"] == field


async def test_a_candidate_that_does_not_load_is_refused(bench: Bench) -> None:
    assert refused(await bench.api.client("author").post(REPLAY, json={"bundle": {}})) == (422, "bundle_malformed")
    broken = "rules: [{id: r, decision: maybe, reason: x}]"
    assert refused(await bench.replay(broken)) == (422, "policy_invalid")
    narrow = bench.built(ALLOW_ALL, version=2, scope="{tenants: [default], topics: [job.x]}")
    reply = await bench.api.client("author").post(REPLAY, json={"bundle": json.loads(narrow)})
    assert refused(reply) == (422, "bundle_reach")


async def test_one_replay_at_a_time(bench: Bench) -> None:
    with bench.api.deps.replays.turn():
        reply = await bench.replay()
    assert refused(reply) == (503, "overloaded")
    assert int(reply.headers["retry-after"]) >= 1
    assert (await bench.replay()).status_code == 200


async def test_a_replay_that_takes_too_long_ends_and_says_so(bench: Bench) -> None:
    await bench.api.submit()
    replays = Replays(RecordedDecisions(bench.api.scripts), seconds_max=0)
    done = await replays.run(Replay(policy(rule("let"))), DEFAULT, Wanted())
    assert (done.stopped, done.report.decisions) == (Stopped.TIME, 0)


async def test_others_have_their_turn_between_the_slices_of_a_replay() -> None:
    """A thousand records at once would not let go of the loop before their end."""
    slow = policy(*(rule(f"slow-{n}", "deny", when=f"job.topic == 'job.{n}'") for n in range(50)), rule("let"))
    replay, seen = Replay(slow), set[int]()

    async def others() -> None:
        while True:
            seen.add(replay.report().decisions)
            await asyncio.sleep(0)

    records = [Recorded(job(), Verdict.ALLOW, ("let",), NOW_MS)] * 300
    watch = asyncio.ensure_future(others())
    assert await Pace(time.monotonic() + 60).feed(replay, iter(records)) is None
    watch.cancel()
    assert replay.report().unchanged == 300
    assert len(seen) >= 10


async def test_a_candidate_is_read_beside_the_loop(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file takes a second, in which nobody else would be served."""
    threads: list[threading.Thread] = []

    def read(value: Any) -> bytes:
        threads.append(threading.current_thread())
        return canonical_bytes(value)

    monkeypatch.setattr(replay_route, "canonical_bytes", read)
    assert (await bench.replay()).status_code == 200
    assert threads
    assert threading.main_thread() not in threads


async def test_a_replay_ends_at_the_first_decision_that_takes_too_long() -> None:
    """While one is made nobody else is served."""
    replay = Replay(policy(rule("let")))
    records = [Recorded(job(), Verdict.ALLOW, ("let",), NOW_MS)] * 300
    pace = Pace(time.monotonic() + 60, decision_s_max=0.0)
    assert await pace.feed(replay, iter(records)) is Stopped.SLOW
    assert replay.report().decisions == 1


async def test_a_shadowed_candidate_is_compared_and_decides_nothing(bench: Bench) -> None:
    started = await bench.start(bench.signed(DENY_READS))
    assert started.status_code == 200, started.text
    assert (started.json()["name"], started.json()["version"]) == ("house", 1)

    async def replicas() -> Any:
        return [replica for item in await bench.shadowed() for replica in item["replicas"]]

    (replica,) = await eventually(replicas)
    assert (replica["state"], replica["version"], replica["code"]) == ("shadowed", 1, None)

    async def samples() -> Any:
        assert (await bench.api.submit(payload={"card": "4111"})).status_code == 202
        return (await bench.shadowed())[0]["samples"]

    (sample, *_) = await eventually(samples)
    assert (sample["tenant"], sample["topic"], sample["after"]) == ("default", "job.demo.read", "deny")
    assert sample["rules_after"] == ["deny-reads"]
    assert "4111" not in json.dumps(await bench.shadowed())
    assert (await bench.shadowed())[0]["counts"]["submit"]["tighter"] >= 1
    (told,) = await bench.shadowed("stranger")
    assert (told["counts"]["submit"]["tighter"] >= 1, told["samples"]) == (True, [])
    await admit_author(bench, "elsewhere", OTHER_TENANT)
    (told,) = await bench.shadowed("elsewhere")
    assert (told["counts"], told["samples"]) == ({}, [])


async def test_what_is_shadowed_is_not_among_the_published_bundles(bench: Bench) -> None:
    await bench.start(bench.signed(DENY_READS))
    listed = (await bench.api.client("author").get("/api/v1/policy/bundles")).json()["items"]
    assert [item["name"] for item in listed] == ["demo"]
    await bench.api.source.refresh()
    assert bench.api.source.status()["last_error"] is None


async def test_starting_and_stopping_are_in_the_audit_trail(bench: Bench) -> None:
    await bench.start(bench.signed(DENY_READS))
    assert (await bench.api.client("author").delete(f"{SHADOW}/house")).json() == {"name": "house"}
    assert await bench.shadowed() == []
    assert refused(await bench.api.client("author").delete(f"{SHADOW}/house")) == (404, "bundle_not_found")
    events = [event for event in await bench.api.deps.audit.read(DEFAULT, 0) if event.type.startswith("shadow.")]
    assert [event.type for event in events] == ["shadow.started", "shadow.stopped"]
    assert events[0].as_dict()["bundle"] == "house"
    assert (await bench.start(bench.signed(DENY_READS))).status_code == 200


async def test_only_what_a_kernel_would_accept_can_be_shadowed(bench: Bench) -> None:
    narrow = "{tenants: [elsewhere], topics: ['>']}"
    elsewhere = DENY_READS.replace("topics", "tenants: [elsewhere], topics")
    for data, name, expected in (
        (bench.built(DENY_READS), "house", (422, "bundle_threshold")),
        (bench.signed(DENY_READS), "other", (422, "bundle_name")),
        (bench.signed(DENY_READS, version=2, expires="2020-01-01T00:00:00Z"), "house", (422, "bundle_expired")),
        (bench.signed(elsewhere, version=3, scope=narrow), "house", (403, "bundle_tenant")),
        (bench.signed(ALLOW_ALL, name="demo", version=1), "demo", (409, "bundle_version_reused")),
        (b"{}", "house", (422, "bundle_malformed")),
    ):
        assert refused(await bench.start(data, name=name)) == expected
    assert await bench.shadowed() == []


async def test_only_a_few_candidates_of_an_author_are_shadowed_at_once(bench: Bench) -> None:
    for number in range(SHADOWS_PER_AUTHOR + 1):
        rules = f"rules: [{{id: r{number}, decision: deny, reason: x, match: {{topics: [job.x]}}}}]"
        reply = await bench.start(bench.signed(rules, name=f"extra{number}"), name=f"extra{number}")
    assert refused(reply) == (429, "limited")
    assert (await bench.start(bench.signed(DENY_READS, name="extra0", version=2), name="extra0")).status_code == 200


async def test_a_candidate_of_another_tenant_is_neither_stopped_nor_replaced(bench: Bench) -> None:
    await admit_author(bench, "elsewhere", OTHER_TENANT)
    rules = "rules: [{id: own, decision: deny, reason: x, match: {tenants: [%s], topics: [job.x]}}]"
    own = bench.signed(rules % "default", scope='{tenants: [default], topics: [">"]}')
    assert (await bench.start(own)).status_code == 200
    other = bench.signed(rules % OTHER_TENANT, scope=f'{{tenants: [{OTHER_TENANT}], topics: [">"]}}')
    assert refused(await bench.start(other, who="elsewhere")) == (403, "bundle_tenant")
    assert refused(await bench.api.client("elsewhere").delete(f"{SHADOW}/house")) == (403, "bundle_tenant")
    assert (await bench.api.client("author").delete(f"{SHADOW}/house")).status_code == 200
    assert (await bench.start(other, who="elsewhere")).status_code == 200
