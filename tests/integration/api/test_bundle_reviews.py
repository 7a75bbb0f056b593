"""Reviews in the API: one at a time, in a thread that nothing else waits for, whoever goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdgate.bundles import publish as publishing
from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.bundles.keys import generate, load_signer
from holdgate.bundles.root import Root
from holdgate.kernel.ids import Tenant
from holdgate.scheduler.api.bundles import Candidate
from holdgate.scheduler.api.problems import Problem
from holdgate.scheduler.cli import shelf
from holdgate.scheduler.cli.shelf import PublishedBundles
from support.api import ApiWorld, running_api
from support.waiting import eventually

RULES = 'rules:\n  - {id: closed, decision: deny, reason: closed, match: {topics: ["job.opened.>"]}}\n'


class Held:
    """Reviews that begin and do not end before they may; `most` ran at once, `names` are of their threads."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.running = self.most = 0
        self.names: list[str] = []
        self._review = publishing.review

    def review(self, *given: Any, **more: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        self.names.append(threading.current_thread().name)
        try:
            assert self.may_end.wait(30)
            return self._review(*given, **more)
        finally:
            self.running -= 1


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    made = Held()
    monkeypatch.setattr(publishing, "review", made.review)
    yield made
    made.may_end.set()


def built(folder: Path, rules: str, name: str = "house", version: int = 1) -> bytes:
    place = folder / f"{name}-{version}"
    place.mkdir()
    (place / "rules.yaml").write_text(rules)
    (place / "bundle.yaml").write_text(
        f'name: {name}\nversion: {version}\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n'
    )
    return build_bundle(place)


@pytest.fixture
def candidate(api: ApiWorld, tmp_path: Path) -> Candidate:
    author = load_signer(api.provisioned.home.key_file("author"))
    return Candidate("house", sign_bundle(built(tmp_path, RULES), author), Tenant("default"))


def bundles_of(api: ApiWorld) -> PublishedBundles:
    bundles = api.deps.bundles
    assert isinstance(bundles, PublishedBundles)
    return bundles


async def test_who_goes_away_leaves_a_review_that_no_other_runs_beside(
    api: ApiWorld, candidate: Candidate, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = bundles_of(api)
    away = asyncio.create_task(bundles.check(candidate))
    await eventually(lambda: held.running == 1)
    away.cancel()
    await asyncio.gather(away, return_exceptions=True)
    monkeypatch.setattr(shelf, "REVIEW_WAIT_S", 0.05)
    for _ in range(2):
        with pytest.raises(Problem) as refused:
            await bundles.check(candidate)
        assert refused.value.code == "overloaded"
    held.may_end.set()
    monkeypatch.undo()
    assert (await bundles.check(candidate))["name"] == "house"
    assert held.most == 1


async def test_while_a_review_takes_its_time_the_threads_of_all_others_are_free(
    api: ApiWorld, candidate: Candidate, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[str, bool]] = []
    bundles, require = bundles_of(api), shelf.require_own

    def told(brought: Candidate) -> None:
        looked.append((threading.current_thread().name, bundles._reviewing.locked()))
        require(brought)

    monkeypatch.setattr(shelf, "require_own", told)
    first = asyncio.create_task(bundles.check(candidate))
    await eventually(lambda: held.running == 1)
    others = [asyncio.create_task(bundles.check(candidate)) for _ in range(8)]
    await asyncio.to_thread(threading.current_thread)
    assert len(looked) == 1, "who waits for the turn has not been looked at"
    held.may_end.set()
    await asyncio.gather(first, *others)
    assert (len(looked), held.most) == (9, 1)
    assert all(name.startswith("review") for name in held.names)
    assert all(name.startswith("review") and is_locked for name, is_locked in looked)


async def test_a_file_in_the_store_that_is_of_no_bundle_keeps_nobody_from_publishing_or_reading(
    api: ApiWorld, candidate: Candidate
) -> None:
    bundles = bundles_of(api)
    junk = candidate.data.replace(b'"name":"house"', b'"name":"junk"').replace(b'"grace":null', b'"grace":"0d"')
    assert b'"0d"' in junk
    await bundles._store.put("junk", junk, after_revision=None)
    done = await bundles.publish(candidate, publisher="default/author", accept_widening=False)
    assert done["version"] == 1
    assert {row["name"]: row["problem"] is None for row in await bundles.listed()} == {
        "demo": True,
        "house": True,
        "junk": False,
    }
    (row,) = await bundles.log("junk")
    assert row["version"] is None


async def test_after_a_revocation_the_successor_must_be_meant_and_others_are_told_what_is_gone(
    nats_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: generate(tmp_path / f"{name}.key") for name in ("stays", "gone")}
    authors = [
        {"name": name, "public_key": key.public_key.hex(), "scope": {"tenants": ["*"], "topics": [">"]}}
        for name, key in keys.items()
    ]
    allowed = RULES.replace("id: closed, decision: deny", "id: open, decision: allow")
    async with running_api(nats_url, redis_url, tmp_path / "home", root={"authors": authors}) as api:
        bundles, client = bundles_of(api), api.client("author")

        async def ask(method: str, path: str, data: bytes, by: str) -> dict[str, Any]:
            url = f"/api/v1/policy/bundles/{path}"
            signed = sign_bundle(data, keys[by])
            reply = await client.request(method, url, content=signed, headers={"content-type": "application/json"})
            return dict(reply.json())

        await ask("PUT", "all?accept_widening=true", built(tmp_path, allowed, "all"), "stays")
        assert (await ask("PUT", "house", built(tmp_path, RULES), "gone"))["version"] == 1
        root = await bundles.root()

        async def without() -> Root:
            return root.model_copy(update={"authors": root.authors[:1]})

        monkeypatch.setattr(bundles, "root", without)
        successor = built(tmp_path, "rules: []\n", version=2)
        assert (await ask("PUT", "house", successor, "stays"))["code"] == "bundle_widening"
        other = await ask("POST", "other/check", built(tmp_path, "rules: []\n", "other"), "stays")
        assert other["left_out"]["house"] == "bundle_unknown_key"
        done = await ask("PUT", "house?accept_widening=true", successor, "stays")
        assert (done["version"], done["accepted_widening"]) == (2, True)


DETECTOR = """
detectors:
  - id: custom.x
    category: pii
    severity: low
    regex: 'PRJ-[0-9]{4}'
    max_len: 8
    topics: [job.opened.a]
    examples: {"true": ["PRJ-%{[0-9]{3}}x"], "false": ["PRJ"]}
"""


async def test_the_examples_of_a_detector_are_looked_for_by_the_scanner_itself(api: ApiWorld, tmp_path: Path) -> None:
    author = load_signer(api.provisioned.home.key_file("author"))
    data = sign_bundle(built(tmp_path, RULES + DETECTOR), author)
    checked = await bundles_of(api).check(Candidate("house", data, Tenant("default")))
    assert [item["rule"] for item in checked["findings"] if item["code"] == "detector-examples"] == ["custom.x"]
