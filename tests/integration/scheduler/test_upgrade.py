"""What earlier releases stored is read by this one, and their jobs go on: `tests/fixtures/<version>`."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import pytest

from holdgate.bundles.root import Pins
from holdgate.bundles.rootfile import load_root
from holdgate.bundles.shelf import RECORD, Shelf
from holdgate.kernel import wire
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ids import JobId, LeaseToken
from holdgate.kernel.permits import Keyring
from holdgate.kernel.records import Decision, Job
from holdgate.scheduler.audit.archive import TenantArchive
from holdgate.scheduler.audit.verify import is_intact, verify_archive
from holdgate.scheduler.dispatch.beats import Beat
from holdgate.scheduler.dispatch.offers import Ask
from holdgate.scheduler.gates.output.message import parse_result
from holdgate.scheduler.state.approvals import ApprovalStatus
from holdgate.scheduler.state.connection import connect_redis
from holdgate.scheduler.state.encoding import StoredVote, pack_vote, unpack_vote
from holdgate.scheduler.state.endings import Ending
from holdgate.scheduler.state.log import Envelope
from holdgate.scheduler.state.records import mark_records
from holdgate.scheduler.state.results import FinishRequest
from holdgate.scheduler.state.transitions import State
from support.record_fixtures import AUDITOR, FOLDER, load, raw
from support.state import POOL, TENANT, World, make_admission, make_decision, make_job
from support.trust import NOW_MS, Ceremony, signer

VERSIONS = sorted(path.name for path in FOLDER.iterdir())


@dataclass
class Earlier:
    """The state of an earlier release, under the stores of this one."""

    world: World
    jobs: dict[str, dict[str, Any]]

    def id_of(self, name: str) -> JobId:
        return JobId(self.jobs[name]["job_id"])

    async def state(self, name: str) -> State:
        return (await self.world.jobs.require(TENANT, self.id_of(name))).state

    async def finish(self, name: str) -> None:
        """The verdict on its attempt, as this release's gate gives it."""
        ran = self.jobs[name]
        request = FinishRequest(
            job_id=self.id_of(name),
            attempt=ran["attempt"],
            token=LeaseToken(ran["token"]),
            to_state=State.SUCCEEDED,
            verdict={"verdict": "allow", "findings": []},
        )
        await self.world.results.finish(TENANT, [request], self.world.now_ms)


@pytest.fixture(params=VERSIONS)
async def earlier(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Earlier]:
    document = json.loads((FOLDER / request.param / "state.json").read_text())
    load(redis_url, document["keys"])
    scripts = await connect_redis(redis_url)
    yield Earlier(World(scripts, document["now_ms"]), document["jobs"])
    await scripts.close()


async def test_each_job_stands_where_it_stood(earlier: Earlier) -> None:
    """And a process of this release takes the store as it is."""
    await mark_records(earlier.world.scripts)
    assert {name: str(await earlier.state(name)) for name in earlier.jobs} == {name: name for name in earlier.jobs}
    for name in earlier.jobs:
        assert await earlier.world.jobs.decisions(TENANT, earlier.id_of(name))
        assert await earlier.world.jobs.timeline(TENANT, earlier.id_of(name))


async def test_what_ran_ends_under_its_old_lease(earlier: Earlier) -> None:
    """Also what waited for its verdict."""
    for name in ("running", "finishing"):
        await earlier.finish(name)
        assert await earlier.state(name) is State.SUCCEEDED
    result = await earlier.world.jobs.result(TENANT, earlier.id_of("succeeded"))
    assert result is not None
    assert result.value == b'{"done":true}'


async def test_what_waited_is_picked_started_and_ends(earlier: Earlier) -> None:
    """Queued by the earlier release, run by this one."""
    [picked] = await earlier.world.pick(10)
    assert picked.job.job_id == earlier.id_of("queued")
    _, token = await earlier.world.start(picked)
    request = earlier.world.finish_request(picked, token, State.SUCCEEDED)
    await earlier.world.results.finish(TENANT, [request], earlier.world.now_ms)
    assert await earlier.state("queued") is State.SUCCEEDED


async def test_what_is_scheduled_comes_when_its_time_has_come(earlier: Earlier) -> None:
    """Not before."""
    assert not await earlier.world.backlog.promote_due(TENANT, earlier.world.now_ms, 10)
    earlier.world.pass_ms(61_000)
    await earlier.world.backlog.promote_due(TENANT, earlier.world.now_ms, 10)
    assert await earlier.state("scheduled") is State.QUEUED


async def test_what_was_held_is_released_by_a_vote(earlier: Earlier) -> None:
    """Bound to the hash that the earlier release computed."""
    view = await earlier.world.jobs.require(TENANT, earlier.id_of("held"))
    assert (await earlier.world.vote(view.job)).status is ApprovalStatus.RELEASED
    assert await earlier.state("held") is State.QUEUED
    assert earlier.id_of("held") in {picked.job.job_id for picked in await earlier.world.pick(10)}


async def test_what_was_sealed_is_there_to_be_opened(earlier: Earlier) -> None:
    """To the byte."""
    item = await earlier.world.quarantine.require(TENANT, earlier.id_of("quarantined"))
    assert item.sealed == b"a box"


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_of_an_earlier_release_are_read(version: str) -> None:
    """What lies in a stream when the first process of this release starts, and what an older worker sends."""
    messages = json.loads((FOLDER / version / "messages.json").read_text())
    envelope = Envelope.unpack(raw(messages["JOBS"]))
    assert (envelope.job.tenant, envelope.state) == (TENANT, State.ACCEPTED)
    assert envelope.job.job_hash() == envelope.decision.job_hash
    sent = messages["RESULTS"]
    result = parse_result(f"hg.result.{POOL}.w1", raw(sent["body"]), sent["headers"])
    assert (result.output.value, result.attempt) == (b'{"done":true}', 1)
    states = {Ending.unpack(raw(item)).state for item in messages["ENDED"]}
    assert states == {State.SUCCEEDED, State.QUARANTINED}


@pytest.mark.parametrize("version", VERSIONS)
def test_an_archive_of_an_earlier_release_is_verified_and_continued(version: str, tmp_path: Path) -> None:
    """By its own keys; the open segment is sealed by this release."""
    shutil.copytree(FOLDER / version / "audit", tmp_path / "audit")
    keys = Keyring([signer(AUDITOR).public_key])
    assert is_intact(verify_archive(tmp_path / "audit", keys, {}))
    archive = TenantArchive(tmp_path / "audit", TENANT)
    assert archive.open_count > 0
    assert archive.seal(signer(AUDITOR), NOW_MS) is not None
    reports = verify_archive(tmp_path / "audit", keys, {})
    assert is_intact(reports)
    assert [(report.segments, report.unsealed_events) for report in reports] == [(2, 0)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_kernel_takes_up_the_directory_and_root_of_an_earlier_release(version: str, tmp_path: Path) -> None:
    """And keeps what it remembers in its own form."""
    root = load_root(FOLDER / version / "root.json", Pins.parse(str(Ceremony().pins)), NOW_MS)
    shutil.copytree(FOLDER / version / "kernel", tmp_path / "kernel")
    shelf = Shelf(tmp_path / "kernel")
    versions = shelf.versions()
    assert versions.root is not None
    assert versions.root.digest == root.digest
    bundles = {name: shelf.bundle(name, floor.digest) or b"" for name, floor in versions.bundles.items()}
    assert bundles["demo"].startswith(b"{")
    shelf.keep(versions, bundles)
    assert json.loads((tmp_path / "kernel" / "versions.json").read_text())["v"] == RECORD


def added(data: bytes) -> bytes:
    """`data` as a later release of the same version might write it."""
    return msgpack.packb({**msgpack.unpackb(data), "added": {"by": "a later release"}})  # type: ignore[no-any-return]


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_that_a_later_release_added_are_passed_over(version: str) -> None:
    """An old gate reads results of a new worker, an old dispatcher votes and ends of new processes."""
    messages = json.loads((FOLDER / version / "messages.json").read_text())
    sent = messages["RESULTS"]
    assert parse_result(f"hg.result.{POOL}.w1", added(raw(sent["body"])), sent["headers"]).attempt == 1
    assert Envelope.unpack(added(raw(messages["JOBS"]))).job.tenant == TENANT
    assert Ending.unpack(added(raw(messages["ENDED"][0]))).tenant == TENANT
    vote = StoredVote(
        "ada", ("r",), approve=True, reason="x", cast_ms=1, own_key=False, signed=make_admission(make_job(1))
    )
    assert unpack_vote(added(pack_vote(vote))) == vote
    me = {"worker": "w1", "pool": POOL, "topics": ["job.>"], "capabilities": [], "added": 1}
    assert Ask.from_message(f"hg.ask.{POOL}.w1", wire.pack({**me, "n": 1, "wait_ms": 0})).n == 1
    assert Beat.from_message(f"hg.beat.{POOL}.w1", wire.pack({**me, "capacity": 1, "busy": 0}), 1).view.pool == POOL


def test_a_key_of_a_job_or_a_decision_that_is_not_known_is_refused() -> None:
    """It may be a bound: to pass over it would be to run what was not allowed."""
    job = make_job(1)
    decision = make_decision(job)
    for kind, record in ((Job, job.as_dict()), (Decision, decision.as_dict())):
        with pytest.raises(InvalidInput):
            kind.from_dict({**record, "added": 1})
