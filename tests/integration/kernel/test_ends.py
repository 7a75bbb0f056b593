"""The end of a bundle is the end of its scope alone, at once, on every replica, until a higher version is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdgate.bundles.activate import BundleActivator
from holdgate.kernel.client import KernelClient
from holdgate.kernel.ids import Tenant
from holdgate.kernel.records import Decision, Phase, Verdict
from support.trust import ALLOW_READS, NOW_MS, bundle, job
from support.waiting import Eventually

from .conftest import Kernel, System

SCOPE = '{tenants: [acme], topics: ["job.pay.>"]}'
PAY = 'rules:\n  - {id: pay, decision: allow, reason: x, match: {tenants: [acme], topics: ["job.pay.>"]}}\n'
EXPIRES = "2027-02-01T00:00:00Z"
TO_EXPIRY_S = (1_801_440_000_000 - NOW_MS) / 1000
DAY_S = 86_400


def pay(tmp_path: Path, version: int = 1, *, expires: str = EXPIRES) -> bytes:
    """Of one team, for its own payments; its grace is a day."""
    return bundle(tmp_path, PAY, name="pay", version=version, scope=SCOPE, expires=expires, more="grace: 1d\n")


async def ask(client: KernelClient, topic: str, tenant: str = "default") -> Decision:
    return (await client.decide_fresh([job(topic, tenant=Tenant(tenant))], Phase.SIMULATE))[0]


def snapshot(kernel: Kernel) -> str | None:
    active = kernel.source.current()
    return None if active is None else active.snapshot


def dropped(kernel: Kernel) -> object:
    return kernel.source.status()["dropped"]


async def test_the_end_of_a_bundle_closes_its_scope_and_nothing_else_without_a_look_at_the_store(
    system: System, tmp_path: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    await system.put("pay", pay(tmp_path))
    kernel = await system.kernel()
    client = await system.client()
    assert (await ask(client, "job.pay.x", "acme")).verdict is Verdict.ALLOW

    async def held_up(_: BundleActivator) -> None:
        """As by a store that does not answer."""

    monkeypatch.setattr(BundleActivator, "refresh", held_up)
    system.clock.advance(TO_EXPIRY_S + DAY_S)

    async def others_go_on() -> bool:
        return (await ask(client, "job.read.x", "acme")).verdict is Verdict.ALLOW

    assert (await ask(client, "job.pay.x", "acme")).verdict is Verdict.DENY, "from the first moment"
    await eventually(others_go_on)
    decision = await ask(client, "job.pay.x", "acme")
    assert (decision.verdict, decision.deciding) == (Verdict.DENY, ("holdgate.dropped.pay",))
    monkeypatch.undo()
    for _ in range(3):
        await kernel.source.refresh()
    assert dropped(kernel) == [{"name": "pay", "version": 1, "code": "bundle_expired"}]
    assert [event.code for event in kernel.source.events(0) if event.kind != "accepted"] == ["bundle_expired"]
    assert kernel.source.status()["freshness"] == {"house": "fresh", "pay": "expired"}


async def test_a_higher_version_opens_the_scope_again(system: System, tmp_path: Path) -> None:
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    await system.put("pay", pay(tmp_path))
    kernel = await system.kernel()
    client = await system.client()
    system.clock.advance(TO_EXPIRY_S + DAY_S)
    await kernel.source.refresh()
    assert (await ask(client, "job.pay.x", "acme")).verdict is Verdict.DENY
    await system.put("pay", pay(tmp_path, 2, expires="2028-01-01T00:00:00Z"))
    await kernel.source.refresh()
    assert (await ask(client, "job.pay.x", "acme")).verdict is Verdict.ALLOW
    assert dropped(kernel) == []


async def test_kernels_agree_after_the_end_also_restarted_ones_and_one_with_an_empty_disk(
    system: System, tmp_path: Path
) -> None:
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    await system.put("pay", pay(tmp_path))
    running, restarted = await system.kernel("k1"), await system.kernel("k2")
    system.clock.advance(TO_EXPIRY_S + DAY_S)
    await running.source.refresh()
    await restarted.stop()
    restarted = await system.kernel("k2", with_store=False)
    fresh = await system.kernel("k3")
    assert len({snapshot(kernel) for kernel in (running, restarted, fresh)}) == 1
    assert snapshot(fresh) is not None
    for kernel in (running, restarted, fresh):
        assert dropped(kernel) == [{"name": "pay", "version": 1, "code": "bundle_expired"}]
        assert [event.code for event in kernel.source.events(0) if event.kind == "dropped"] == ["bundle_expired"]


async def test_a_kernel_with_an_empty_disk_decides_by_a_bundle_in_its_grace_as_the_others_do(
    system: System, tmp_path: Path
) -> None:
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    await system.put("pay", pay(tmp_path))
    running = await system.kernel("k1")
    system.clock.advance(TO_EXPIRY_S + 60)
    fresh = await system.kernel("k2")
    assert snapshot(running) == snapshot(fresh) is not None
    assert fresh.source.status()["freshness"] == {"house": "fresh", "pay": "grace"}


async def test_what_expired_replaces_nothing_in_its_grace(system: System, tmp_path: Path) -> None:
    await system.put("pay", pay(tmp_path, expires="2028-01-01T00:00:00Z"))
    kernel = await system.kernel("k1")
    before = snapshot(kernel)
    system.clock.advance(TO_EXPIRY_S + 60)
    await system.put("pay", pay(tmp_path, 2))
    await kernel.source.refresh()
    assert snapshot(kernel) == before
    assert [event.code for event in kernel.source.events(0) if event.kind == "refused"] == ["bundle_expired"]


async def test_the_end_of_the_root_denies_everything(system: System, tmp_path: Path) -> None:
    system.ceremony.expires = EXPIRES
    await system.put("house", bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    system.clock.advance(TO_EXPIRY_S)
    await kernel.source.refresh()
    assert (await ask(client, "job.read.x")).reason == "policy expired"


async def test_the_end_of_a_bundle_for_everybody_denies_everything(system: System, tmp_path: Path) -> None:
    await system.put("house", bundle(tmp_path, ALLOW_READS, expires=EXPIRES))
    await system.put("pay", pay(tmp_path, expires="2028-01-01T00:00:00Z"))
    kernel = await system.kernel()
    client = await system.client()
    system.clock.advance(TO_EXPIRY_S)
    await kernel.source.refresh()
    for topic, tenant in (("job.read.x", "default"), ("job.pay.x", "acme")):
        assert (await ask(client, topic, tenant)).deciding == ("holdgate.dropped.house",)
