"""The auditor between a real stream and real files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from holdgate.kernel.permits import Keyring, Signer
from holdgate.scheduler import metrics
from holdgate.scheduler.audit.errors import ArchiveInUse
from holdgate.scheduler.audit.service import AuditConfig, AuditorService
from holdgate.scheduler.audit.verify import TenantReport, is_intact, verify_archive
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts, connect_redis, key
from support.state import TENANT, World
from support.waiting import Eventually

AUDITOR = Signer.from_seed(b"u" * 32)


@pytest.fixture
async def scripts(redis_url: str) -> AsyncIterator[Scripts]:
    """The scripts over one connection to this test's database."""
    connected = await connect_redis(redis_url)
    yield connected
    await connected.close()


@pytest.fixture
def world(scripts: Scripts) -> World:
    """The state, with a clock."""
    return World(scripts)


class Clock:
    """The world's clock."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        """What the world says."""
        return self._world.now_ms


def auditor(world: World, directory: Path, **changes: int) -> AuditorService:
    config = AuditConfig(seal_after_s=60, keep_events=changes.get("keep_events", 0), interval_s=0.01)
    return AuditorService(world.scripts, directory, AUDITOR, clock=Clock(world), config=config)


def report(directory: Path) -> TenantReport:
    reports = verify_archive(directory, Keyring([AUDITOR.public_key]))
    assert is_intact(reports), reports
    (only,) = reports
    return only


async def test_events_are_archived_sealed_by_age_and_only_then_trimmed(world: World, tmp_path: Path) -> None:
    service = auditor(world, tmp_path)
    for _ in range(3):
        await world.queued()
    count = await AuditTrail(world.scripts).last_seq(TENANT)
    assert await service.run_once() == count
    assert (report(tmp_path).sealed_events, await _in_stream(world)) == (0, count)
    world.pass_ms(61_000)
    assert await service.run_once() == 0
    assert (report(tmp_path).sealed_events, await _in_stream(world)) == (count, 0)


async def test_of_a_young_tenant_everything_stays_and_nothing_fails(world: World, tmp_path: Path) -> None:
    service = auditor(world, tmp_path, keep_events=AuditConfig().keep_events)
    failures = metrics.AUDIT_FAILURES.labels("state_unavailable")._value.get() + _os_errors()
    await world.queued()
    count = await service.run_once()
    world.pass_ms(61_000)
    await service.run_once()
    assert (report(tmp_path).sealed_events, await _in_stream(world)) == (count, count)
    assert metrics.AUDIT_FAILURES.labels("state_unavailable")._value.get() + _os_errors() == failures


def _os_errors() -> float:
    return metrics.AUDIT_FAILURES.labels("os_error")._value.get()


async def test_the_newest_events_stay_to_be_queried(world: World, tmp_path: Path) -> None:
    service = auditor(world, tmp_path, keep_events=4)
    for _ in range(5):
        await world.queued()
    await service.run_once()
    world.pass_ms(61_000)
    await service.run_once()
    assert await _in_stream(world) == 4


async def test_an_auditor_started_again_has_neither_a_gap_nor_a_repeat(world: World, tmp_path: Path) -> None:
    for _ in range(4):
        await world.queued()
        await auditor(world, tmp_path).run_once()
        world.pass_ms(31_000)
    last = auditor(world, tmp_path)
    await last.run_once()
    world.pass_ms(61_000)
    await last.run_once()
    assert report(tmp_path).sealed_events == await AuditTrail(world.scripts).last_seq(TENANT)


async def test_a_gap_in_the_stream_is_loud_and_is_not_sealed_over(world: World, tmp_path: Path) -> None:
    await world.queued()
    await auditor(world, tmp_path).run_once()
    await world.queued()
    await world.queued()
    await world.scripts.command("XDEL", key(TENANT, "audit"), "3-0")
    before = metrics.AUDIT_FAILURES.labels("audit_gap")._value.get()
    world.pass_ms(61_000)
    service = auditor(world, tmp_path)
    await service.run_once()
    assert metrics.AUDIT_FAILURES.labels("audit_gap")._value.get() > before
    assert report(tmp_path).unsealed_events == 2
    assert await _in_stream(world) > 0


async def test_two_auditors_do_not_write_to_one_directory(world: World, tmp_path: Path) -> None:
    first, second = auditor(world, tmp_path), auditor(world, tmp_path)
    await first.start()
    with pytest.raises(ArchiveInUse):
        await second.start()
    await first.stop()
    await second.start()
    await second.stop()


async def test_a_running_auditor_follows_the_stream(world: World, tmp_path: Path, eventually: Eventually) -> None:
    service = auditor(world, tmp_path)
    await service.start()
    await world.queued()
    count = await AuditTrail(world.scripts).last_seq(TENANT)
    await eventually(lambda: tmp_path.joinpath(TENANT).exists() and report(tmp_path).unsealed_events == count)
    await service.stop()


async def _in_stream(world: World) -> int:
    return int(await world.scripts.command("XLEN", key(TENANT, "audit")))
