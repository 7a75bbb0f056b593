"""Bundles on their way into a kernel: over a real store, from disk, and what is refused on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from holdgate.bundles.activate import BundleActivator
from holdgate.bundles.errors import (
    BundleConflict,
    BundleOutdated,
    BundleOutOfScope,
    BundleUnsigned,
    RootRefused,
    ShelfUnusable,
)
from holdgate.bundles.format import build_bundle
from holdgate.bundles.root import Scope
from holdgate.kernel.client import KernelClient
from holdgate.kernel.records import Decision, Phase, Verdict
from holdgate.kernel.subjects import BUCKET_POLICY
from support.buckets import emptied
from support.trust import ALLOW_READS, HOLD_WRITES, Ceremony, bundle, job, signed
from support.waiting import Eventually

from .conftest import Kernel, System

DENY_READS = """
rules:
  - {id: deny-reads, decision: deny, reason: closed, match: {topics: ["job.read.>"]}}
"""


async def put(system: System, name: str, data: bytes) -> None:
    """Write to the store as somebody who checks nothing."""
    held = await system.store.get(name)
    await system.store.put(name, data, after_revision=None if held is None else held.revision)


def last_error(kernel: Kernel) -> str | None:
    problem = kernel.source.status()["last_error"]
    return str(problem["code"]) if isinstance(problem, dict) else None


async def ask(client: KernelClient) -> Decision:
    return (await client.decide_fresh([job()], Phase.SIMULATE))[0]


async def test_a_published_bundle_is_swapped_in_announced_and_drops_caches(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.kernel()
    client = await system.client()
    heard: list[str] = []
    await eventually(lambda: client.snapshot is not None)
    client.on_snapshot(lambda info: heard.append(info.snapshot))
    assert (await client.decide(job())).verdict is Verdict.ALLOW
    assert (await client.decide(job())).verdict is Verdict.ALLOW
    await system.publish(bundle(tmp_path, DENY_READS, version=2))
    await eventually(lambda: heard)
    decision = await client.decide(job())
    assert [decision.snapshot] == heard
    assert decision.verdict is Verdict.DENY


async def test_bundles_of_other_names_are_one_policy(system: System, tmp_path: Path, eventually: Eventually) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await system.publish(bundle(tmp_path, HOLD_WRITES, name="writes"))
    kernel = await system.kernel()
    active = kernel.source.current()
    assert active is not None
    assert [info.name for info in active.bundles] == ["house", "writes"]
    await put(system, "closed", bundle(tmp_path, DENY_READS, name="closed"))
    client = await system.client()

    async def is_denied() -> bool:
        return (await ask(client)).verdict is Verdict.DENY

    await eventually(is_denied)


async def test_a_hostile_publish_changes_nothing_that_is_decided(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    good = bundle(tmp_path, ALLOW_READS, version=5)
    await system.publish(good)
    kernel = await system.kernel()
    client = await system.client()
    before = await ask(client)
    altered = bytearray(bundle(tmp_path, DENY_READS, version=6))
    altered[len(altered) // 2] ^= 1
    hostile = {
        "bundle_truncated": b"{",
        "bundle_unknown_key": bundle(tmp_path, DENY_READS, version=7, signers=["mallory"]),
        "bundle_version": bundle(tmp_path, DENY_READS, version=4),
        "bundle_expired": bundle(tmp_path, DENY_READS, version=8, expires="2020-01-01T00:00:00Z"),
        "policy_invalid": bundle(tmp_path, "rules: [{id: x}]", version=9),
    }
    for code, data in hostile.items():
        await put(system, "house", data)
        await eventually(lambda code=code: last_error(kernel) == code, why=code)
        assert (await ask(client)).snapshot == before.snapshot, code
    await put(system, "house", bytes(altered))
    await put(system, "other", bundle(tmp_path, DENY_READS, name="third"))
    await eventually(lambda: last_error(kernel) == "bundle_name")
    await put(system, "twin", bundle(tmp_path, ALLOW_READS, name="twin"))
    await eventually(lambda: last_error(kernel) == "bundle_set", why="the same rule id in two bundles")
    decision = await ask(client)
    assert (decision.verdict, decision.snapshot) == (Verdict.ALLOW, before.snapshot)
    await system.store.put("house", bundle(tmp_path, DENY_READS, version=10), after_revision=await newest(system))
    await eventually(lambda: last_error(kernel) is None)
    assert (await ask(client)).verdict is Verdict.DENY


async def newest(system: System) -> int:
    held = await system.store.get("house")
    return 0 if held is None else held.revision


async def test_a_kernel_starts_with_what_it_knew_when_there_is_no_store(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    before = await ask(client)
    await kernel.stop()
    await system.kernel(with_store=False)
    after = await ask(client)
    assert (after.verdict, after.snapshot) == (Verdict.ALLOW, before.snapshot)


async def test_a_store_that_was_rolled_back_is_refused_after_a_restart(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS, version=1))
    await system.publish(bundle(tmp_path, DENY_READS, version=2))
    kernel = await system.kernel()
    await kernel.stop()
    await put(system, "house", bundle(tmp_path, ALLOW_READS, version=1))
    kernel = await system.kernel()
    client = await system.client()
    assert last_error(kernel) == "bundle_version"
    assert (await ask(client)).verdict is Verdict.DENY


async def test_an_emptied_store_changes_nothing(system: System, tmp_path: Path, eventually: Eventually) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    await emptied(system.nc, BUCKET_POLICY)
    await kernel.source.refresh()
    client = await system.client()
    assert (await ask(client)).verdict is Verdict.ALLOW


async def test_a_bundle_that_is_gone_from_disk_closes_its_scope_until_the_store_has_it(
    system: System, tmp_path: Path
) -> None:
    """Deciding under the rest of the set alone could allow what the missing bundle denied."""
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await put(system, "closed", bundle(tmp_path, DENY_READS, name="closed"))
    kernel = await system.kernel()
    await kernel.stop()
    next((tmp_path / "k1" / "bundles").glob("closed.*.json")).unlink()
    kernel = await system.kernel(with_store=False)
    client = await system.client()
    decision = await ask(client)
    assert (decision.verdict, decision.deciding) == (Verdict.DENY, ("holdgate.dropped.closed",))
    dropped = kernel.source.status()["dropped"]
    assert dropped == [{"name": "closed", "version": 1, "code": "bundle_missing"}]
    await kernel.stop()
    await system.kernel()
    assert (await ask(client)).reason == "closed"


async def test_a_kernel_directory_of_an_older_release_starts(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    await kernel.stop()
    files = tmp_path / "k1" / "bundles"
    next(files.glob("house.*.json")).rename(files / "house.json")
    kernel = await system.kernel(with_store=False)
    assert (await ask(await system.client())).verdict is Verdict.ALLOW
    await kernel.stop()
    (files / "house.json").write_bytes(bundle(tmp_path, DENY_READS, version=2))
    kernel = await system.kernel(with_store=False)
    assert kernel.source.current() is None, "half written by that release: never in force"


async def test_a_root_that_the_pinned_keys_did_not_sign_starts_no_kernel(system: System) -> None:
    system.ceremony.root_keys = ("mallory",)
    pins = system.ceremony.pins
    system.ceremony.root_keys = ("root",)
    assert pins != system.ceremony.pins
    (system.directory / "root.json").write_bytes(system.ceremony.signed_root())
    source = BundleActivator(
        root=system.directory / "root.json", pins=pins, directory=system.directory / "k", clock=system.clock
    )
    with pytest.raises(RootRefused):
        await source.start()


async def test_an_older_root_than_the_one_seen_starts_no_kernel(system: System, tmp_path: Path) -> None:
    system.ceremony.version = 3
    kernel = await system.kernel()
    await kernel.stop()
    system.ceremony.version = 2
    with pytest.raises(RootRefused, match="not above 3"):
        await system.kernel()


async def test_damaged_versions_start_no_kernel(system: System, tmp_path: Path) -> None:
    """Starting anew would let an old bundle come back."""
    kernel = await system.kernel()
    await kernel.stop()
    (tmp_path / "k1" / "versions.json").write_bytes(b"{}")
    with pytest.raises(ShelfUnusable, match="damaged"):
        await system.kernel()


async def test_of_two_authors_who_publish_at_once_one_is_told(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    versions = [bundle(tmp_path, ALLOW_READS, version=2), bundle(tmp_path / ".", DENY_READS, version=3)]
    results = await asyncio.gather(*map(system.publish, versions), return_exceptions=True)
    assert sum(isinstance(result, BundleConflict | BundleOutdated) for result in results) <= 1
    assert sum(result is None for result in results) >= 1
    revision = await newest(system)
    await system.store.put("house", versions[1], after_revision=revision)
    with pytest.raises(BundleConflict):
        await system.store.put("house", versions[0], after_revision=revision)


async def test_publishing_checks_what_the_kernel_checks(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS, version=2))
    with pytest.raises(BundleOutdated):
        await system.publish(bundle(tmp_path, DENY_READS, version=2))
    with pytest.raises(BundleUnsigned):
        await system.publish(build_bundle(tmp_path / "house-2"))


async def test_a_new_root_is_taken_without_a_restart_and_revokes(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    """A bundle whose author is revoked is missing; everything is denied until somebody signs it who may."""
    system.ceremony.authors = ("author", "second")
    data = bundle(tmp_path, ALLOW_READS)
    await system.publish(data)
    kernel = await system.kernel()
    client = await system.client()
    system.ceremony = system.ceremony.next(authors=("second",))
    (tmp_path / "root.json").write_bytes(system.ceremony.signed_root())
    await kernel.source.refresh()
    decision = await ask(client)
    assert (decision.verdict, decision.reason) == (Verdict.DENY, "no valid policy bundle")
    assert kernel.source.status()["missing"] == ["house"]
    await system.store.put("house", signed(data, ["second"]), after_revision=await newest(system))
    await eventually(lambda: kernel.source.status()["missing"] == [])
    assert (await ask(client)).verdict is Verdict.ALLOW


async def test_a_root_that_does_not_hold_changes_nothing(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    (tmp_path / "root.json").write_bytes(Ceremony(version=9, root_keys=("mallory",)).signed_root())
    await kernel.source.refresh()
    assert last_error(kernel) == "root_threshold"
    assert (await ask(client)).verdict is Verdict.ALLOW


async def test_a_new_root_counts_at_once_also_while_the_disk_is_full(system: System, tmp_path: Path) -> None:
    """A stolen key that the root does not name any more must not go on ruling for as long as a disk is full."""
    system.ceremony.authors = ("author", "second")
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    older = (tmp_path / "root.json").read_bytes()
    in_the_way = tmp_path / "k1" / "versions.new"
    in_the_way.mkdir()
    system.ceremony = system.ceremony.next(authors=("second",))
    (tmp_path / "root.json").write_bytes(system.ceremony.signed_root())
    for _ in range(5):
        await kernel.source.refresh()
    assert (await ask(client)).reason == "no valid policy bundle"
    assert last_error(kernel) == "shelf_unusable"
    assert [event.code for event in kernel.source.events(0)].count("shelf_unusable") == 1, "told once"
    (tmp_path / "root.json").write_bytes(older)
    await kernel.source.refresh()
    assert last_error(kernel) in ("root_version", "shelf_unusable")
    assert kernel.source.trust is not None
    assert kernel.source.trust.root_version == 2, "nothing leads back, though it is not on disk yet"
    in_the_way.rmdir()
    await kernel.source.refresh()
    await kernel.stop()
    (tmp_path / "root.json").write_bytes(older)
    source = BundleActivator(
        root=tmp_path / "root.json", pins=system.ceremony.pins, directory=tmp_path / "k1", clock=system.clock
    )
    with pytest.raises(RootRefused, match="not above 2"):
        await source.start()


async def test_a_root_that_goes_on_not_to_hold_is_told_once(system: System) -> None:
    kernel = await system.kernel()
    (system.directory / "root.json").unlink()
    for _ in range(5):
        await kernel.source.refresh()
    assert len(kernel.source.events(0)) == 1
    (system.directory / "root.json").write_bytes(b"{}")
    for _ in range(5):
        await kernel.source.refresh()
    assert [event.code for event in kernel.source.events(0)][1:] == ["root_malformed"]


async def test_a_disk_that_goes_on_to_be_full_is_told_once(system: System, tmp_path: Path) -> None:
    kernel = await system.kernel()
    in_the_way = tmp_path / "k1" / "versions.new"
    in_the_way.mkdir()
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    for _ in range(5):
        await kernel.source.refresh()
    assert [event.code for event in kernel.source.events(0)] == ["shelf_unusable"]
    assert kernel.source.current() is None
    in_the_way.rmdir()
    await kernel.source.refresh()
    assert kernel.source.current() is not None
    assert last_error(kernel) is None


async def test_who_may_rule_over_less_cannot_take_the_name_of_a_bundle(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    system.ceremony.authors = ("author", "team")
    system.ceremony.scopes = {"team": Scope(tenants=["default"], topics=["job.other"])}
    await system.publish(bundle(tmp_path, DENY_READS))
    kernel = await system.kernel()
    client = await system.client()
    rules = "rules: [{id: r, decision: allow, reason: x, match: {tenants: [default], topics: [job.other]}}]"
    scope = "{tenants: [default], topics: [job.other]}"
    taken = bundle(tmp_path, rules, version=2, signers=["team"], scope=scope)
    with pytest.raises(BundleOutOfScope):
        await system.publish(taken)
    await put(system, "house", taken)
    await eventually(lambda: last_error(kernel) == "bundle_scope")
    assert (await ask(client)).reason == "closed"
