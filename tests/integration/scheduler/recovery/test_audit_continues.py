"""The audit archive after a loss of the state: numbers go on behind it; what is missing is declared, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats.aio.client import Client as Nats

from holdgate.kernel.canonical import parse_json
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.permits import Keyring, Signer
from holdgate.scheduler.audit.records import RESUMED, declares_gap
from holdgate.scheduler.audit.service import AuditConfig, AuditorService
from holdgate.scheduler.audit.verify import TenantReport, is_intact, verify_archive
from holdgate.scheduler.metrics import AUDIT_FAILURES
from holdgate.scheduler.recovery.service import Recovery
from holdgate.scheduler.state.audit import AuditTrail
from holdgate.scheduler.state.connection import Scripts, key
from holdgate.scheduler.state.transitions import State
from support.losing import Copy, Keeper
from support.state import TENANT

AUDITOR = Signer.from_seed(b"u" * 32)


class Clock:
    """The keeper's."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def now_ms(self) -> int:
        """What it says."""
        return self._keeper.now_ms


@pytest.fixture
async def keeper(nc: Nats, scripts: Scripts, streams: None) -> Keeper:
    """Nothing in it but what a first look leaves."""
    keeper = Keeper(scripts, SystemClock().now_ms(), nc=nc)
    await keeper.reconcile()
    return keeper


def auditor(keeper: Keeper, directory: Path) -> AuditorService:
    """Seals at once."""
    config = AuditConfig(seal_after_s=0, keep_events=1000)
    return AuditorService(keeper.scripts, directory, AUDITOR, clock=Clock(keeper), config=config)


def report(directory: Path) -> TenantReport:
    (only,) = [each for each in verify_archive(directory, Keyring([AUDITOR.public_key])) if each.tenant == TENANT]
    return only


def archived(directory: Path) -> list[dict[str, object]]:
    """Every event, in the order of the archive."""
    lines = [line for path in sorted((directory / TENANT).glob("*.jsonl")) for line in path.read_bytes().splitlines()]
    return [event for event in map(parse_json, lines) if isinstance(event, dict)]


async def test_events_that_nobody_archived_are_a_declared_gap(keeper: Keeper, tmp_path: Path) -> None:
    service = auditor(keeper, tmp_path)
    await keeper.let_in()
    first = await service.run_once()
    await keeper.ran(State.SUCCEEDED)
    last = await keeper.audit.last_seq(TENANT)
    await keeper.lose()
    await keeper.reconcile()
    keeper.pass_ms(1000)
    await service.run_once()
    found = report(tmp_path)
    assert (found.findings, found.declared_gaps) == ([], [(first + 1, last)])
    assert [event["seq"] for event in archived(tmp_path)][first] == last + 1
    await auditor(keeper, tmp_path).run_once()
    assert report(tmp_path).findings == [], "read back by the next auditor"


async def test_an_undeclared_gap_is_still_a_finding_and_stops_the_archive(keeper: Keeper, tmp_path: Path) -> None:
    service = auditor(keeper, tmp_path)
    await keeper.let_in()
    count = await service.run_once()
    await keeper.let_in()
    await keeper.scripts.command("XDEL", key(TENANT, "audit"), f"{count + 1}-0")
    keeper.pass_ms(1000)
    await service.run_once()
    assert len(archived(tmp_path)) == count
    found = report(tmp_path)
    assert (found.sealed_events, found.declared_gaps) == (count, [])


async def test_events_under_numbers_that_were_archived_get_new_ones_with_all_that_followed_in_order(
    keeper: Keeper, tmp_path: Path, redis_url: str
) -> None:
    """Set back under the archive, and written to before anybody noticed, and until somebody did something about it."""
    service, alarms = auditor(keeper, tmp_path), AUDIT_FAILURES.labels("audit_declared_gap")._value.get()
    await keeper.let_in()
    copy = Copy.of(redis_url)
    lost = await keeper.let_in()
    count = await service.run_once()
    copy.put_back()
    keeper.scripts._fleet.servings += 1  # it is asked over a new connection
    begun = await keeper.let_in()
    for _ in range(3):
        keeper.pass_ms(1000)
        await service.run_once()
        asked = await keeper.audit.set_back()
        if asked:
            await keeper.let_in()  # not seen by who asked
        for tenant, (last, first) in (*asked.items(), *asked.items()):  # two dispatchers, one after the other
            await keeper.audit.renumber(tenant, last, first, keeper.now_ms)
    found = report(tmp_path)
    events = archived(tmp_path)
    assert found.findings == []
    assert found.declared_gaps == [(count + 1, count + 2)], "numbers of events that came again"
    types = [event["type"] for event in events[count:]]
    assert types == ["audit.resumed", *["job.accepted", "job.queued"] * 2]
    assert events[count]["renumbered"] == 4
    assert [event.get("job_id") for event in events[count + 1 : count + 3]] == [begun.job_id] * 2
    assert lost.job_id in {event.get("job_id") for event in events}
    assert await AuditTrail(keeper.scripts).set_back() == {}
    assert AUDIT_FAILURES.labels("audit_declared_gap")._value.get() == alarms, "nothing is missing"


async def test_a_dispatcher_does_what_the_auditor_asks_for(keeper: Keeper, tmp_path: Path, redis_url: str) -> None:
    service, recovery = auditor(keeper, tmp_path), Recovery(keeper.parts)
    await keeper.let_in()
    recovery.start()
    await recovery.watch_once()
    copy = Copy.of(redis_url)
    await keeper.let_in()
    count = await service.run_once()
    copy.put_back()
    await service.run_once()
    assert count == 4
    assert await keeper.audit.set_back() == {TENANT: (4, 5)}
    await recovery.watch_once()
    keeper.pass_ms(1000)
    await service.run_once()
    found = report(tmp_path)
    assert is_intact([found])
    assert found.sealed_events > count


@pytest.mark.parametrize(
    "event", [None, {"seq": 9, "type": "job.held", "after": 8}, {"seq": 9, "type": RESUMED, "after": 3}]
)
def test_an_event_declares_only_what_is_right_before_it(event: object) -> None:
    """Any other would hide a gap of whatever length."""
    assert declares_gap({"seq": 9, "type": RESUMED, "after": 8})
    assert not declares_gap(event)
