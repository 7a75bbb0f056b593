"""Publishing into a real store without an API: two at once, the first of all, and what a release may do by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nats.aio.client import Client as Nats

from holdgate.bundles.errors import BundleConflict, BundleOutdated, BundleRefused, BundleTestsFailed, BundleWidens
from holdgate.bundles.format import build_bundle, parse_bundle, sign_bundle
from holdgate.bundles.history import file_of, log_of, newest_of_each
from holdgate.bundles.keys import load_signer
from holdgate.bundles.publish import Accept, check, publish
from holdgate.bundles.rollback import roll_back
from holdgate.bundles.store import BundleStore
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.setup import prepare
from support.trust import ALLOW_READS, HOLD_WRITES, NOW_MS, Ceremony, bundle

ROOT = Ceremony().root
DENY_READS = """
rules:
  - {id: deny-reads, decision: deny, reason: closed, match: {topics: ["job.read.>"]}}
"""


@pytest.fixture
async def store(nc: Nats) -> BundleStore:
    made = BundleStore(nc)
    await made.ensure()
    return made


async def test_of_two_authors_who_publish_at_once_exactly_one_wins(store: BundleStore, tmp_path: Path) -> None:
    rivals = [
        bundle(tmp_path, rules, version=version) for version, rules in enumerate((DENY_READS, HOLD_WRITES), start=1)
    ]
    results = await asyncio.gather(
        *(publish(store, data, ROOT, NOW_MS, accept=Accept.WIDENING) for data in rivals), return_exceptions=True
    )
    lost = [result for result in results if isinstance(result, BaseException)]
    assert len(lost) == 1
    assert isinstance(lost[0], BundleConflict | BundleOutdated)
    assert len(await log_of(store, ROOT, "house")) == 1


async def test_two_authors_of_different_bundles_at_once_are_one_conflict(store: BundleStore, tmp_path: Path) -> None:
    """Each was compared with a set without the other; together they might not even compile."""
    rivals = [bundle(tmp_path, DENY_READS, name=name) for name in ("one", "two")]
    results = await asyncio.gather(*(publish(store, data, ROOT, NOW_MS) for data in rivals), return_exceptions=True)
    assert [type(result) for result in results if isinstance(result, BaseException)] == [BundleConflict]
    (entry,) = await newest_of_each(store, ROOT)
    assert entry.problem is None


async def test_the_first_of_all_may_be_accepted_as_such_and_no_later_one(store: BundleStore, tmp_path: Path) -> None:
    with pytest.raises(BundleWidens):
        await publish(store, bundle(tmp_path, ALLOW_READS), ROOT, NOW_MS)
    done = await publish(store, bundle(tmp_path, ALLOW_READS), ROOT, NOW_MS, accept=Accept.FIRST, publisher="nats:op")
    assert done.accepted_widening
    with pytest.raises(BundleWidens):
        await publish(store, bundle(tmp_path, HOLD_WRITES, name="more"), ROOT, NOW_MS, accept=Accept.FIRST)
    (entry,) = await log_of(store, ROOT, "house")
    assert (entry.stored.note.publisher, entry.stored.note.accepted_widening) == ("nats:op", True)


async def test_a_check_writes_nothing(store: BundleStore, tmp_path: Path) -> None:
    assert (await check(store, bundle(tmp_path, ALLOW_READS), ROOT, NOW_MS)).diff.widens
    assert await store.get("house") is None


async def test_of_two_files_of_one_version_the_one_that_counts_is_handed_out(
    store: BundleStore, tmp_path: Path
) -> None:
    good = bundle(tmp_path, ALLOW_READS)
    first = await store.put("house", good, after_revision=None)
    await store.put("house", bundle(tmp_path, HOLD_WRITES, signers=[]), after_revision=first)
    entry, data = await file_of(store, ROOT, "house", 1)
    assert (data, entry.problem) == (good, None)


def newer_starter(made: Provisioned, folder: Path, rules: str, tests: str = "") -> Provisioned:
    """As a newer release would bring it."""
    folder.mkdir()
    (folder / "rules.yaml").write_text(rules)
    (folder / "tests.yaml").write_text(tests)
    more = "tests: [tests.yaml]\n" if tests else ""
    (folder / "bundle.yaml").write_text(
        f'name: demo\nversion: 1000\nexpires: "2040-01-01T00:00:00Z"\nrules: [rules.yaml]\n{more}'
    )
    signed = sign_bundle(build_bundle(folder), load_signer(made.home.key_file("author")))
    return replace(made, starter=signed)


async def prepared(nats_url: str, made: Provisioned) -> None:
    parts = urlsplit(nats_url)
    await prepare(nats_url, (parts.username or "operator", parts.password or ""), made)


async def versions(store: BundleStore) -> list[tuple[int, str | None]]:
    return [(entry.version, entry.problem) for entry in await newest_of_each(store, Ceremony().root)]


async def test_a_newer_release_widens_no_running_system_by_itself(nats_url: str, nc: Nats, tmp_path: Path) -> None:
    made = provision(tmp_path / "home", SystemClock())
    await prepared(nats_url, made)
    before = await versions(BundleStore(nc))
    assert len(before) == 1
    wider = 'rules:\n  - {id: wide, decision: allow, reason: all, match: {topics: ["job.>"]}}\n'
    await prepared(nats_url, newer_starter(made, tmp_path / "wider", wider))
    assert await versions(BundleStore(nc)) == before
    same = roll_back(parse_bundle(made.starter), version=1000, expires="2040-01-01T00:00:00Z")
    author = load_signer(made.home.key_file("author"))
    await prepared(nats_url, replace(made, starter=sign_bundle(same, author)))
    assert [version for version, _ in await versions(BundleStore(nc))] == [1000]


async def test_a_release_whose_starter_fails_its_own_tests_says_so(nats_url: str, tmp_path: Path) -> None:
    made = provision(tmp_path / "home", SystemClock())
    fails = "cases:\n  - {name: x, job: {topic: job.a}, expect: {verdict: allow}}\n"
    broken = newer_starter(made, tmp_path / "broken", DENY_READS, fails)
    with pytest.raises(BundleTestsFailed):
        await prepared(nats_url, broken)
    with pytest.raises(BundleRefused):
        await prepared(nats_url, replace(made, starter=build_bundle(tmp_path / "broken")))
