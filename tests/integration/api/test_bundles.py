"""Publishing over HTTP: a real API, a real kernel beside it, and what each attempt leaves in log and audit trail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdgate.bundles.format import build_bundle, parse_bundle, sign_bundle
from holdgate.bundles.keys import generate, load_signer
from holdgate.kernel.ids import Tenant
from holdgate.kernel.permits import Signer
from holdgate.kernel.subjects import BUCKET_POLICY
from holdgate.scheduler.cli import shelf
from support.api import ApiWorld, running_api
from support.buckets import emptied
from support.waiting import eventually

JSON = {"content-type": "application/json"}
READS = '  - {id: read-all, decision: allow, reason: reading, match: {topics: ["job.demo.read"]}}\n'
OPEN = '  - {id: open, decision: allow, reason: open, match: {topics: ["job.opened.>"]}}\n'
CLOSED = '  - {id: closed, decision: deny, reason: closed, match: {topics: ["job.opened.>"]}}\n'
PASSES = "cases:\n  - {name: reads, job: {topic: job.demo.read}, expect: {verdict: allow}}\n"
FAILS = "cases:\n  - {name: reads, job: {topic: job.demo.read}, expect: {verdict: deny}}\n"


@dataclass(frozen=True)
class Bench:
    """Makes bundles of the name `house`, signed by this system's author."""

    api: ApiWorld
    folder: Path

    def built(self, version: int, rules: str = READS, *, tests: str | None = None, tenants: str = '["*"]') -> bytes:
        place = self.folder / f"v{version}-{len(list(self.folder.iterdir()))}"
        place.mkdir()
        (place / "rules.yaml").write_text(f"rules:\n{rules}")
        more = "" if tests is None else "tests: [tests.yaml]\n"
        if tests is not None:
            (place / "tests.yaml").write_text(tests)
        (place / "bundle.yaml").write_text(
            f"name: house\nversion: {version}\nscope: {{tenants: {tenants}, topics: ['>']}}\n"
            f'expires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n{more}'
        )
        return build_bundle(place)

    def signed(self, version: int, rules: str = READS, **more: Any) -> bytes:
        return sign_bundle(self.built(version, rules, **more), self.author)

    @property
    def author(self) -> Signer:
        return load_signer(self.api.provisioned.home.key_file("author"))

    async def put(
        self, data: bytes, *, who: str = "author", name: str = "house", accept: bool = False
    ) -> httpx.Response:
        query = {"accept_widening": "true"} if accept else {}
        path = f"/api/v1/policy/bundles/{name}"
        return await self.api.client(who).put(path, content=data, headers=JSON, params=query)

    async def get(self, path: str, who: str = "author") -> httpx.Response:
        return await self.api.client(who).get(f"/api/v1/policy/bundles{path}")

    async def events(self) -> list[dict[str, Any]]:
        """Audit events about bundles, oldest first."""
        found = await self.api.deps.audit.read(Tenant("default"), 0)
        return [event.as_dict() for event in found if event.type.startswith("bundle.")]


@pytest.fixture
def bench(api: ApiWorld, tmp_path: Path) -> Bench:
    folder = tmp_path / "drafts"
    folder.mkdir()
    return Bench(api, folder)


def refused(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, str(reply.json()["code"])


async def test_a_published_bundle_is_what_the_kernel_decides_by(bench: Bench) -> None:
    before = await bench.api.submit(topic="job.opened.now")
    assert before.status_code == 403
    done = await bench.put(bench.signed(1, OPEN), accept=True)
    assert done.status_code == 200, done.text
    shown = done.json()
    assert (shown["name"], shown["version"], shown["widens"], shown["accepted_widening"]) == ("house", 1, True, True)
    assert [(item["key"], item["author"]) for item in shown["signers"]] == [(bench.author.name, "author")]

    async def is_allowed() -> bool:
        return (await bench.api.submit(topic="job.opened.now")).status_code == 202

    await eventually(is_allowed)


async def test_a_bundle_whose_own_tests_fail_is_refused_with_the_cases(bench: Bench) -> None:
    reply = await bench.put(bench.signed(1, tests=FAILS), accept=True)
    assert refused(reply) == (422, "bundle_tests")
    assert "reads" in reply.json()["errors"][0]["detail"]
    assert refused(await bench.get("/house")) == (404, "bundle_not_found")
    assert (await bench.put(bench.signed(1, tests=PASSES), accept=True)).json()["tests"] == 1


async def test_what_allows_more_is_refused_until_it_is_meant(bench: Bench) -> None:
    assert (await bench.put(bench.signed(1, READS), accept=True)).status_code == 200
    wider = bench.signed(2, READS + OPEN)
    reply = await bench.put(wider)
    assert refused(reply) == (409, "bundle_widening")
    assert [item["field"] for item in reply.json()["errors"]] == ["house.open"]
    assert "accept_widening=true" in reply.json()["detail"]
    assert (await bench.put(wider, accept=True)).json()["accepted_widening"] is True


async def test_what_only_forbids_more_needs_no_word_and_leaves_none(bench: Bench) -> None:
    done = await bench.put(bench.signed(1, CLOSED))
    assert done.status_code == 200, done.text
    assert (done.json()["widens"], done.json()["accepted_widening"]) == (False, False)
    assert (await bench.put(bench.signed(2, CLOSED), accept=True)).json()["accepted_widening"] is False


async def test_forged_and_misplaced_bundles_are_refused_each_by_its_code(bench: Bench, tmp_path: Path) -> None:
    good = bench.signed(1)
    stranger = sign_bundle(bench.built(1), generate(tmp_path / "stranger.key"))
    altered = good.replace(b'"version":1', b'"version":9')
    attempts = [
        (bench.built(1), "house", (422, "bundle_threshold")),
        (stranger, "house", (422, "bundle_unknown_key")),
        (altered, "house", (422, "bundle_signature")),
        (good, "other", (422, "bundle_name")),
        (b'{"a":1}', "house", (422, "bundle_malformed")),
        (b'{"a": 1}', "house", (422, "bundle_not_canonical")),
        (bench.signed(1, tenants="[elsewhere]"), "house", (403, "bundle_tenant")),
    ]
    for data, name, expected in attempts:
        assert refused(await bench.put(data, name=name, accept=True)) == expected
    assert refused(await bench.get("/house")) == (404, "bundle_not_found")
    said = [event["code"] for event in await bench.events() if event["type"] == "bundle.refused"]
    assert said == [code for _, _, (_, code) in attempts]


async def test_only_authors_publish_and_check(bench: Bench) -> None:
    data = bench.signed(1)
    for who in ("agent", "approver", "operator", "auditor"):
        assert refused(await bench.put(data, who=who)) == (403, "forbidden")
        reply = await bench.api.client(who).post("/api/v1/policy/bundles/house/check", content=data, headers=JSON)
        assert refused(reply) == (403, "forbidden")
    assert refused(await bench.get("/demo/versions/1/file", "agent")) == (403, "forbidden")
    assert await bench.events() == []


async def test_a_version_that_does_not_rise_is_a_conflict(bench: Bench) -> None:
    good = bench.signed(3, CLOSED)
    assert (await bench.put(good)).status_code == 200
    assert refused(await bench.put(good)) == (409, "bundle_version")
    assert refused(await bench.put(bench.signed(2, CLOSED))) == (409, "bundle_version")
    other = bench.signed(3, CLOSED.replace("closed,", "shut,"))
    assert refused(await bench.put(other)) == (409, "bundle_version_reused")


async def test_of_two_authors_who_publish_at_once_exactly_one_wins(bench: Bench) -> None:
    assert (await bench.put(bench.signed(1, CLOSED))).status_code == 200
    rivals = [bench.signed(2, CLOSED.replace("closed,", f"{word},")) for word in ("mine", "theirs")]
    replies = await asyncio.gather(*(bench.put(data) for data in rivals))
    assert sorted(reply.status_code for reply in replies) == [200, 409]
    (loser,) = (reply for reply in replies if reply.status_code == 409)
    assert loser.json()["code"] in {"bundle_conflict", "bundle_version_reused"}
    rows = (await bench.get("/house/versions")).json()["items"]
    assert [row["version"] for row in rows] == [2, 1]


async def test_two_authors_at_two_replicas_of_the_api_are_told_of_the_conflict(bench: Bench) -> None:
    """Each replica has a turn of its own, so both have looked before either writes."""
    store = bench.api.deps.bundles._store  # type: ignore[attr-defined]  whose write is held
    put, gate, waiting = store.put, asyncio.Event(), []

    async def held(*given: Any, **more: Any) -> int:
        waiting.append(None)
        await gate.wait()
        return int(await put(*given, **more))

    store.put = held
    slow = asyncio.create_task(bench.put(bench.signed(1, CLOSED)))
    await eventually(lambda: waiting)
    await put("house", bench.signed(1, CLOSED.replace("closed,", "theirs,")), after_revision=None)
    gate.set()
    assert refused(await slow) == (409, "bundle_conflict")
    assert [event["type"] for event in await bench.events()] == ["bundle.received", "bundle.refused"]


async def test_a_bundle_of_another_name_that_was_published_meanwhile_is_a_conflict_too(bench: Bench) -> None:
    """What was reviewed beside one set is not published beside another."""
    store = bench.api.deps.bundles._store  # type: ignore[attr-defined]  a write between look and write
    look = store.revisions

    async def overtaken() -> dict[str, int]:
        seen = await look()
        await store.put("another", b"anything", after_revision=None)
        store.revisions = look
        return dict(seen)

    store.revisions = overtaken
    assert refused(await bench.put(bench.signed(1, CLOSED))) == (409, "bundle_conflict")
    assert (await bench.put(bench.signed(1, CLOSED))).status_code == 200


async def test_the_log_says_who_when_signed_by_whom_and_what_was_accepted(bench: Bench) -> None:
    await bench.put(bench.signed(1, OPEN), accept=True)
    await bench.put(bench.signed(2, CLOSED))
    rows = (await bench.get("/house/versions", "auditor")).json()["items"]
    assert [(row["version"], row["accepted_widening"], row["publisher"]) for row in rows] == [
        (2, False, "default/author"),
        (1, True, "default/author"),
    ]
    assert all(row["signers"] == [{"key": bench.author.name, "author": "author"}] for row in rows)
    assert all(row["problem"] is None and row["published_at"] > "2020" for row in rows)
    pages = (await bench.get("/house/versions?limit=1")).json()
    older = (await bench.get(f"/house/versions?limit=1&cursor={pages['next_cursor']}")).json()
    assert [pages["items"], older["items"], older["next_cursor"]] == [rows[:1], rows[1:], None]


async def test_a_file_comes_back_as_it_was_published(bench: Bench) -> None:
    first = bench.signed(1, OPEN)
    await bench.put(first, accept=True)
    await bench.put(bench.signed(2, CLOSED))
    for who in ("author", "auditor", "operator", "admin"):
        reply = await bench.get("/house/versions/1/file", who)
        assert (reply.status_code, reply.content) == (200, first)
    for path in (
        "/house/versions/7/file",
        "/house/versions/0/file",
        "/none/versions/1/file",
        "/none",
        "/none/versions",
    ):
        assert refused(await bench.get(path)) == (404, "bundle_not_found")


async def test_a_check_tells_everything_and_publishes_nothing(bench: Bench) -> None:
    data = bench.signed(1, READS + OPEN, tests=FAILS)
    reply = await bench.api.client("author").post("/api/v1/policy/bundles/house/check", content=data, headers=JSON)
    shown = reply.json()
    assert (reply.status_code, shown["publishable"], shown["widens"]) == (200, False, True)
    assert [item["code"] for item in shown["objections"]] == ["bundle_tests", "bundle_widening"]
    assert (shown["tests"]["failed"], shown["digest"]) == (1, parse_bundle(data).digest)
    assert refused(await bench.get("/house")) == (404, "bundle_not_found")
    assert await bench.events() == []


async def test_an_older_version_that_comes_back_is_told_as_a_rollback(bench: Bench) -> None:
    await bench.put(bench.signed(1, OPEN), accept=True)
    await bench.put(bench.signed(2, CLOSED))
    done = await bench.put(bench.signed(3, OPEN), accept=True)
    assert done.json()["restores"] == 1
    again = (await bench.put(bench.signed(4, OPEN))).json()
    assert (again["restores"], again["renews"]) == (None, 3)
    rows = (await bench.get("/house/versions")).json()["items"]
    assert [row["renews"] for row in rows] == [3, None, None, None]
    assert [(row["version"], row["restores"]) for row in rows] == [(4, None), (3, 1), (2, None), (1, None)]
    kinds = [event["type"] for event in await bench.events() if event["type"] != "bundle.received"]
    assert kinds == ["bundle.published", "bundle.published", "bundle.rolled_back", "bundle.published"]


async def test_the_audit_trail_says_who_published_what(bench: Bench) -> None:
    data = bench.signed(1, OPEN)
    assert refused(await bench.put(data)) == (409, "bundle_widening")
    await bench.put(data, accept=True)
    received, refusal, _, published = await bench.events()
    assert (received["type"], received["actor"], received["bundle"]) == ("bundle.received", "author", "house")
    assert (refusal["type"], refusal["code"]) == ("bundle.refused", "bundle_widening")
    assert refusal["file_digest"] == published["file_digest"] == received["file_digest"]
    assert (published["type"], published["version"], published["accepted_widening"]) == ("bundle.published", 1, True)
    assert published["signers"] == [{"key": bench.author.name, "author": "author"}]


async def test_nothing_is_published_that_cannot_be_recorded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from holdgate.scheduler.errors import StateUnavailable

    async def away(*_: Any) -> int:
        raise StateUnavailable

    monkeypatch.setattr(type(bench.api.deps.audit), "append", away)
    assert refused(await bench.put(bench.signed(1, CLOSED))) == (503, "state_unavailable")
    assert refused(await bench.get("/house")) == (404, "bundle_not_found")


async def test_what_somebody_put_into_the_store_is_shown_as_not_counting_and_keeps_nobody_from_publishing(
    bench: Bench,
) -> None:
    await bench.put(bench.signed(1, CLOSED))
    store = bench.api.deps.bundles._store  # type: ignore[attr-defined]  as somebody with NATS credentials
    held = await store.get("house")
    await store.put("house", b"garbage", after_revision=held.revision)
    await store.put("noise", bench.built(1), after_revision=None)
    assert (await bench.get("/house")).json()["problem"] == "bundle_malformed"
    listed = (await bench.get("")).json()["items"]
    assert {row["name"]: row["problem"] for row in listed} == {
        "demo": None,
        "house": "bundle_malformed",
        "noise": "bundle_name",
    }
    assert refused(await bench.put(bench.signed(1, CLOSED))) == (409, "bundle_version")
    assert refused(await bench.put(bench.signed(2, OPEN))) == (409, "bundle_widening")
    assert (await bench.put(bench.signed(2, CLOSED))).status_code == 200


async def test_an_older_file_that_somebody_put_back_does_not_lower_the_version(bench: Bench) -> None:
    first = bench.signed(1, OPEN)
    await bench.put(first, accept=True)
    await bench.put(bench.signed(5, CLOSED))
    store = bench.api.deps.bundles._store  # type: ignore[attr-defined]  as somebody with NATS credentials
    held = await store.get("house")
    await store.put("house", first, after_revision=held.revision)
    assert refused(await bench.put(bench.signed(2, OPEN), accept=True)) == (409, "bundle_version")
    assert refused(await bench.put(bench.signed(6, OPEN))) == (409, "bundle_widening")


async def test_one_review_at_a_time_and_who_waits_too_long_is_told_to_come_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "REVIEW_WAIT_S", 0.05)
    turn = bench.api.deps.bundles._reviewing  # type: ignore[attr-defined]  a review that takes long
    async with turn:
        reply = await bench.put(bench.signed(1, CLOSED))
    assert refused(reply) == (503, "overloaded")
    assert int(reply.headers["retry-after"]) > 0
    assert (await bench.put(bench.signed(1, CLOSED))).status_code == 200


async def test_a_root_of_the_api_that_does_not_hold_is_no_fault_of_the_author(bench: Bench) -> None:
    bench.api.settings.root_file.write_text("{}")
    for reply in (await bench.put(bench.signed(1, CLOSED)), await bench.get(""), await bench.get("/demo/versions")):
        assert refused(reply) == (503, "unavailable")


async def test_a_parameter_that_is_no_flag_is_refused(bench: Bench) -> None:
    reply = await bench.api.client("author").put(
        "/api/v1/policy/bundles/house?accept_widening=yes", content=bench.signed(1), headers=JSON
    )
    assert refused(reply) == (422, "invalid_input")


async def test_snapshots_say_what_each_replica_decides_by_and_whether_they_agree(bench: Bench) -> None:
    shown = (await bench.api.client("agent").get("/api/v1/policy/snapshots")).json()
    (replica,) = shown["items"]
    (info,) = replica["bundles"]
    assert shown["agreed"] is True
    assert (info["name"], info["signers"]) == ("demo", [bench.author.name])
    assert (replica["signers"], replica["freshness"], replica["dropped"]) == (
        [bench.author.name],
        {"demo": "fresh"},
        [],
    )
    assert (replica["last_error"], replica["last_success"] is not None) == (None, True)
    assert (replica["revision"], replica["age_s"] >= 0) == (1, True)
    assert replica["source"]["store"] == "ok"
    await bench.api.deps.bundles._store.put("noise", b"noise", after_revision=None)  # type: ignore[attr-defined]

    async def says_why() -> bool:
        (told,) = (await bench.api.client("agent").get("/api/v1/policy/snapshots")).json()["items"]
        return bool(told["last_error"] and told["last_error"]["bundle"] == "noise" and told["revision"] == 2)

    await eventually(says_why, why="the kernel says what it refused")


async def test_in_a_store_that_was_emptied_nothing_is_published_below_what_kernels_decide_by(bench: Bench) -> None:
    """The kernel would refuse it; an author who is told that it was published would believe that it counts."""
    closed = bench.signed(5, CLOSED)
    assert (await bench.put(closed)).status_code == 200
    await eventually(lambda: "house" in bench.api.source._set.bundles, why="in force")  # type: ignore[union-attr]
    await emptied(bench.api.nc, BUCKET_POLICY)
    assert refused(await bench.put(bench.signed(2, CLOSED))) == (409, "bundle_version")
    assert refused(await bench.put(bench.signed(6, OPEN), accept=True)) == (409, "bundle_store_behind")
    assert (await bench.put(closed)).status_code == 200  # the very file that kernels have
    demo = bench.api.provisioned.starter
    assert (await bench.put(demo, name="demo", accept=True)).status_code == 200
    assert refused(await bench.put(bench.signed(6, OPEN))) == (409, "bundle_widening")
    assert (await bench.put(bench.signed(6, OPEN), accept=True)).status_code == 200


async def test_one_signature_is_too_few_where_the_root_wants_two(nats_url: str, redis_url: str, tmp_path: Path) -> None:
    second = generate(tmp_path / "second.key")
    first = generate(tmp_path / "first.key")
    authors = [
        {"name": name, "public_key": key.public_key.hex(), "scope": {"tenants": ["*"], "topics": [">"]}}
        for name, key in (("first", first), ("second", second))
    ]
    changes = {"authors": authors, "threshold": 2}
    async with running_api(nats_url, redis_url, tmp_path / "home", root=changes) as api:
        (tmp_path / "drafts").mkdir()
        bench = Bench(api, tmp_path / "drafts")
        once = sign_bundle(bench.built(1, CLOSED), first)
        assert refused(await bench.put(once)) == (422, "bundle_threshold")
        done = await bench.put(sign_bundle(once, second))
        assert done.status_code == 200, done.text
        assert sorted(item["author"] for item in done.json()["signers"]) == ["first", "second"]
