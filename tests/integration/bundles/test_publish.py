"""Publishing into a real store without an API: two at once, the first of all, and what a release may do by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client as Nats

from holdgate.bundles import history
from holdgate.bundles.errors import BundleConflict, BundleOutdated, BundleRefused, BundleTestsFailed, BundleWidens
from holdgate.bundles.format import build_bundle, parse_bundle, sign_bundle
from holdgate.bundles.gone import Seen
from holdgate.bundles.history import Entry, file_of, log_of, newest_of_each
from holdgate.bundles.keys import load_signer
from holdgate.bundles.publish import Accept, check, publish
from holdgate.bundles.rollback import roll_back
from holdgate.bundles.root import Root
from holdgate.bundles.store import BundleStore, StoredBundle
from holdgate.kernel.clock import SystemClock
from holdgate.scheduler.up.provision import Provisioned, provision
from holdgate.scheduler.up.setup import prepare_over
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


EVERYTHING = 'rules:\n  - {id: all, decision: allow, reason: x, match: {topics: ["job.>"]}}\n'
NOTHING = "rules: []\n"


@dataclass(frozen=True)
class Revoked:
    """`all` allows everything; `house`, which denied reads, was signed by a key that `root` does not name any more."""

    store: BundleStore
    folder: Path
    root: Root

    @classmethod
    async def made(cls, store: BundleStore, folder: Path) -> Revoked:
        ceremony = Ceremony(authors=("author", "gone"))
        await publish(store, bundle(folder, EVERYTHING, name="all"), ceremony.root, NOW_MS, accept=Accept.WIDENING)
        denied = bundle(folder, DENY_READS, version=2, signers=("gone",))
        await publish(store, denied, ceremony.root, NOW_MS)
        return cls(store, folder, ceremony.next(authors=("author",)).root)

    async def widens(self, rules: str, name: str, kernels: Sequence[Seen]) -> bool:
        try:
            await publish(
                self.store, bundle(self.folder, rules, name=name, version=3), self.root, NOW_MS, kernels=kernels
            )
        except BundleWidens:
            return True
        return False


@pytest.mark.parametrize("kernels", [[], [Seen("house", 2)]], ids=["kernels say nothing", "kernels dropped it"])
async def test_after_a_revocation_the_successor_opens_what_kernels_closed_and_must_be_meant(
    store: BundleStore, tmp_path: Path, kernels: list[Seen]
) -> None:
    revoked = await Revoked.made(store, tmp_path)
    assert await revoked.widens(NOTHING, "house", kernels)
    checked = await check(store, bundle(tmp_path, NOTHING, version=4), revoked.root, NOW_MS, kernels=kernels)
    assert checked.left_out == {"house": "bundle_unknown_key"}
    successor = bundle(tmp_path, NOTHING, version=5)
    done = await publish(store, successor, revoked.root, NOW_MS, accept=Accept.WIDENING, kernels=kernels)
    assert done.accepted_widening
    assert not await revoked.widens(NOTHING, "other", [])  # the successor counts; nothing is in doubt any more


async def test_after_a_revocation_others_are_told_what_is_gone(store: BundleStore, tmp_path: Path) -> None:
    revoked = await Revoked.made(store, tmp_path)
    checked = await check(store, bundle(tmp_path, NOTHING, name="other"), revoked.root, NOW_MS)
    assert checked.left_out == {"house": "bundle_unknown_key"}


async def test_a_file_that_counts_and_does_not_hold_gives_way_to_the_version_that_kernels_go_on_by(
    store: BundleStore, tmp_path: Path
) -> None:
    first = await publish(store, bundle(tmp_path, DENY_READS), ROOT, NOW_MS)
    await store.put("house", bundle(tmp_path, "rules: 7\n", version=2), after_revision=first.revision)
    kernels = [Seen("house", 1, first.bundle.digest)]
    other = await publish(store, bundle(tmp_path, HOLD_WRITES, name="other"), ROOT, NOW_MS, accept=Accept.WIDENING)
    assert other.review.left_out == {"house": "policy_invalid"}
    wider = bundle(tmp_path, ALLOW_READS, version=3)
    with pytest.raises(BundleWidens):
        await publish(store, wider, ROOT, NOW_MS, kernels=kernels)
    repaired = await publish(store, bundle(tmp_path, DENY_READS, version=4), ROOT, NOW_MS, kernels=kernels)
    assert not repaired.review.diff.widens


async def test_a_file_that_does_not_fit_beside_the_others_keeps_nobody_from_publishing(
    store: BundleStore, tmp_path: Path
) -> None:
    await publish(store, bundle(tmp_path, DENY_READS), ROOT, NOW_MS)
    clash = bundle(tmp_path, DENY_READS, name="other")
    await store.put("other", clash, after_revision=None)
    done = await publish(store, bundle(tmp_path, NOTHING, name="third"), ROOT, NOW_MS)
    assert done.review.left_out == {"other": "bundle_set"}


JUNK = {
    "a manifest that is no bundle's": lambda file: file["manifest"].update(grace="0d"),
    "numbers without end": lambda file: file["manifest"].update(version=10**400),
    "nothing of one": lambda file: file.clear(),
}


@pytest.mark.parametrize("spoil", JUNK.values(), ids=JUNK.keys())
@pytest.mark.parametrize("is_removed", [False, True])
async def test_one_bad_file_keeps_nobody_from_publishing_and_is_listed_as_it_is(
    store: BundleStore, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], *, is_removed: bool
) -> None:
    document = json.loads(bundle(tmp_path, EVERYTHING, name="junk"))
    spoil(document)
    await store.put("junk", json.dumps(document, sort_keys=True, separators=(",", ":")).encode(), after_revision=None)
    if is_removed:
        await store.remove("junk")
    await publish(store, bundle(tmp_path, DENY_READS), ROOT, NOW_MS)
    (entry,) = await log_of(store, ROOT, "junk")
    assert entry.problem is not None
    assert entry.as_dict()["version"] is None
    listed = {entry.stored.name: entry.problem is None for entry in await newest_of_each(store, ROOT)}
    assert listed == {"house": True} | ({} if is_removed else {"junk": False})


async def test_what_is_not_understood_at_all_does_not_count(
    store: BundleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an exception somebody finds a file for."""
    read = history._entry_of

    def fails(stored: StoredBundle, root: Root) -> Entry:
        if stored.name == "junk":
            raise RecursionError
        return read(stored, root)

    monkeypatch.setattr(history, "_entry_of", fails)
    await store.put("junk", b"junk", after_revision=None)
    await publish(store, bundle(tmp_path, DENY_READS), ROOT, NOW_MS)
    (entry,) = await log_of(store, ROOT, "junk")
    assert entry.problem == "internal_error"


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
    nc = await nats.connect(nats_url)
    try:
        await prepare_over(nc, made)
    finally:
        await nc.close()


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
