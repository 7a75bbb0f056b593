"""Time, and a store that stands still: what expires is told ahead, and neither brings back what is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from holdgate.bundles.kept import KEEP_TIME_MS
from holdgate.bundles.root import Root
from holdgate.bundles.stamp import FROZEN_AFTER_S, Stamp, StampedBundle, make_stamp
from holdgate.bundles.stampstore import StampStore
from holdgate.kernel.client import KernelClient
from holdgate.kernel.errors import KernelUnavailable
from holdgate.kernel.limits import CLOCK_SKEW_S
from holdgate.kernel.records import Decision, Phase, Verdict
from holdgate.kernel.subjects import BUCKET_POLICY, BUCKET_STAMP
from holdgate.scheduler.api.stamping import Stamping
from support.buckets import emptied
from support.trust import ALLOW_READS, HOLD_WRITES, NOW_MS, bundle, job, signer
from support.waiting import Eventually

from .conftest import Kernel, System

DAY_S = 86_400


async def ask(client: KernelClient) -> Decision:
    return (await client.decide_fresh([job()], Phase.SIMULATE))[0]


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def stamp_state(kernel: Kernel) -> str:
    stamp = kernel.source.status()["stamp"]
    assert isinstance(stamp, dict)
    return str(stamp["state"])


def stamping(system: System) -> Stamping:
    async def root() -> Root:
        return system.ceremony.root

    return Stamping(system.store, StampStore(system.nc), signer("api"), system.clock, root)


# Time -----------------------------------------------------------------------------------------------------------------


async def test_expiry_is_told_ahead_and_a_grace_decides_on(system: System, tmp_path: Path) -> None:
    data = bundle(tmp_path, ALLOW_READS, expires="2027-02-01T00:00:00Z", more="grace: 7d\n")
    await system.publish(data)
    kernel = await system.kernel()
    client = await system.client()
    left_s = (1_801_440_000_000 - NOW_MS) // 1000
    for wait_s, state in ((0, "fresh"), (left_s - 13 * DAY_S, "expires_soon"), (13 * DAY_S + 60, "grace")):
        system.clock.advance(wait_s)
        await kernel.source.refresh()
        assert kernel.source.status()["freshness"] == {"house": state}
        assert gauge("holdgate_policy_freshness", state=state) >= 1  # type: ignore[operator]
        assert (await ask(client)).verdict is Verdict.ALLOW, state
    system.clock.advance(7 * DAY_S)
    await kernel.source.refresh()
    assert kernel.source.status()["freshness"] == {"house": "expired"}
    assert gauge("holdgate_policy_freshness", state="expired") >= 1  # type: ignore[operator]
    assert (await ask(client)).reason == "no valid policy bundle"


async def test_a_clock_turned_back_does_not_bring_an_expired_bundle_back_to_life(
    system: System, tmp_path: Path
) -> None:
    await system.publish(bundle(tmp_path, HOLD_WRITES, name="writes"))
    await system.publish(bundle(tmp_path, ALLOW_READS, expires="2027-02-01T00:00:00Z"))
    await system.kernel()
    client = await system.client()
    system.clock.advance(30 * DAY_S)
    assert (await ask(client)).verdict is Verdict.DENY
    system.clock.advance(-29 * DAY_S)
    with pytest.raises(KernelUnavailable, match="the clock went back"):
        await ask(client)


async def test_a_clock_turned_back_while_the_kernel_was_down_decides_nothing(
    system: System, tmp_path: Path, eventually: Eventually
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    system.clock.advance(KEEP_TIME_MS / 1000 + 1)
    await kernel.source.refresh()
    await kernel.stop()
    system.clock.advance(-KEEP_TIME_MS / 1000)
    kernel = await system.kernel(with_store=False)
    client = await system.client()
    with pytest.raises(KernelUnavailable):
        await ask(client)
    assert kernel.source.status()["clock"] == "back"
    assert gauge("holdgate_policy_clock_back") == 1
    system.clock.advance(KEEP_TIME_MS / 1000)
    await kernel.source.refresh()
    await eventually(lambda: client.snapshot is not None, why="it answers again")
    assert (await ask(client)).verdict is Verdict.ALLOW
    assert kernel.source.status()["clock"] == "ok"


async def test_clocks_that_differ_by_no_more_than_the_skew_are_one(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    await kernel.stop()
    system.clock.advance(-CLOCK_SKEW_S)
    await system.kernel()
    assert (await ask(await system.client())).verdict is Verdict.ALLOW


async def test_a_bundle_that_is_not_valid_yet_is_taken_when_its_time_comes(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    later = 'valid_from: "2027-02-01T00:00:00Z"\n'
    await system.put("house", bundle(tmp_path, HOLD_WRITES, version=2, more=later))
    await kernel.source.refresh()
    await system.put("other", b"{")  # a reason to look at everything again
    await kernel.source.refresh()
    problem = kernel.source.status()["last_error"]
    assert isinstance(problem, dict)
    assert problem["code"] == "bundle_truncated"
    assert [event.code for event in kernel.source.events(0)].count("bundle_not_yet") == 1
    system.clock.advance((1_801_440_000_000 - NOW_MS) / 1000)
    await kernel.source.refresh()
    active = kernel.source.current()
    assert active is not None
    assert active.bundles[0].version == 2


# The stamp ------------------------------------------------------------------------------------------------------------


async def test_a_store_that_stands_still_is_noticed(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    client = await system.client()
    assert stamp_state(kernel) == "unstamped"
    await stamping(system).run_once()
    await kernel.source.refresh()
    assert stamp_state(kernel) == "fresh"
    system.clock.advance(FROZEN_AFTER_S + 1)
    await kernel.source.refresh()
    assert stamp_state(kernel) == "frozen"
    assert gauge("holdgate_policy_store_frozen") == 1
    assert (await ask(client)).verdict is Verdict.ALLOW, "it warns and decides nothing"
    await stamping(system).run_once()
    await kernel.source.refresh()
    assert stamp_state(kernel) == "fresh"
    assert gauge("holdgate_policy_store_frozen") == 0


async def test_a_frozen_store_is_noticed_by_a_kernel_that_was_restarted_too(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await stamping(system).run_once()
    kernel = await system.kernel()
    system.clock.advance(KEEP_TIME_MS / 1000 + 1)
    await kernel.source.refresh()
    await kernel.stop()
    await emptied(system.nc, BUCKET_STAMP)
    kernel = await system.kernel()
    assert stamp_state(kernel) == "frozen"


async def test_a_published_bundle_that_the_store_keeps_back_is_noticed(system: System, tmp_path: Path) -> None:
    old, new = bundle(tmp_path, ALLOW_READS), bundle(tmp_path, HOLD_WRITES, version=2)
    await system.put("house", new)
    await stamping(system).run_once()
    await system.put("house", old)
    kernel = await system.kernel()
    assert stamp_state(kernel) == "withheld"
    assert gauge("holdgate_policy_store_withheld") == 1
    await system.put("house", new)
    await kernel.source.refresh()
    assert stamp_state(kernel) == "fresh"


async def test_what_is_published_after_the_stamp_is_not_taken_for_kept_back(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await stamping(system).run_once()
    await system.publish(bundle(tmp_path, HOLD_WRITES, version=2))
    kernel = await system.kernel()
    assert stamp_state(kernel) == "fresh"


async def test_a_store_that_was_emptied_is_noticed(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    kernel = await system.kernel()
    await emptied(system.nc, BUCKET_POLICY)
    for name in ("other", "more"):
        await system.put(name, b"{")
    await stamping(system).run_once()
    await kernel.source.refresh()
    assert stamp_state(kernel) == "withheld"
    assert (await ask(await system.client())).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("by", "ahead_s", "problem"),
    [("author", 0, "stamp_refused"), ("mallory", 0, "stamp_refused"), ("api", CLOCK_SKEW_S + 1, "stamp_ahead")],
)
async def test_a_stamp_of_nobody_who_may_or_of_the_future_counts_for_nothing(
    system: System, tmp_path: Path, by: str, ahead_s: int, problem: str
) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    missing = {"absent": StampedBundle(version=1, digest="sha256:" + "0" * 64)}
    forged = make_stamp(Stamp(time_ms=system.clock.now_ms() + ahead_s * 1000, bundles=missing), signer(by))
    await StampStore(system.nc).put(forged)
    kernel = await system.kernel()
    assert stamp_state(kernel) == "unstamped"
    stamp = kernel.source.status()["stamp"]
    assert isinstance(stamp, dict)
    assert stamp["problem"] == problem


async def test_an_old_stamp_put_back_does_not_make_a_frozen_store_fresh(system: System, tmp_path: Path) -> None:
    await system.publish(bundle(tmp_path, ALLOW_READS))
    await stamping(system).run_once()
    stamps = StampStore(system.nc)
    old = await stamps.get()
    assert old is not None
    system.clock.advance(60)
    await stamping(system).run_once()
    kernel = await system.kernel()
    await stamps.put(old)
    system.clock.advance(FROZEN_AFTER_S + 1)
    await kernel.source.refresh()
    assert stamp_state(kernel) == "frozen"


async def test_an_old_stamp_put_back_does_not_hide_what_the_store_keeps_back(system: System, tmp_path: Path) -> None:
    old = bundle(tmp_path, ALLOW_READS)
    await system.put("house", old)
    await stamping(system).run_once()
    stamps = StampStore(system.nc)
    old_stamp = await stamps.get()
    assert old_stamp is not None
    system.clock.advance(1)
    await system.put("house", bundle(tmp_path, HOLD_WRITES, version=2))
    await stamping(system).run_once()
    await system.put("house", old)
    kernel = await system.kernel()
    assert stamp_state(kernel) == "withheld"
    await stamps.put(old_stamp)
    await kernel.source.refresh()
    assert stamp_state(kernel) == "withheld"
