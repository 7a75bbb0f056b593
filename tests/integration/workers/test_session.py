"""A worker against real NATS. The dispatcher's part is played here where the true one could not misbehave enough."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from holdgate.kernel import limits, subjects
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.records import Constraints
from holdgate.workers import Job, PermanentFailure, Worker, metrics, reports
from holdgate.workers.beats import Heart, Introduction
from holdgate.workers.execute import Executors
from holdgate.workers.leases import Leases
from holdgate.workers.settings import WorkerSettings
from support.handover import DISPATCHER, KERNEL, STRANGER, Handover, make_delivery, make_job
from support.state import API
from support.waiting import eventually

worker = Worker(concurrency=8)
ran: list[str] = []
gate = threading.Event()


@worker.job("job.test.echo", capabilities=["test"])
async def echo(job: Job) -> Any:
    ran.append(job.job_id)
    return job.payload


@worker.job("job.test.block")
async def block_loop(job: Job) -> str:
    """Blocks the worker's own loop, as a careless handler would."""
    ran.append(job.job_id)
    return "cancelled" if job.cancelled.wait(30) else "not told"


@worker.job("job.test.thread")
def in_thread(job: Job) -> str:
    job.progress(0.25)
    job.log("in a thread")
    gate.wait(10)
    return "done"


@worker.job("job.test.wait")
async def wait_for_cancel(job: Job) -> str:
    ran.append(job.job_id)
    await asyncio.Event().wait()
    return "never"


@worker.job("job.test.fail")
def fail(job: Job) -> None:
    raise PermanentFailure("no use in trying again")


@pytest.fixture
def settings(nats_url: str, tmp_path: Path) -> WorkerSettings:
    keys = tmp_path / "keys.json"
    keys.write_text(
        json.dumps({"kernel_keys": [KERNEL.public_key.hex()], "dispatcher_keys": [DISPATCHER.public_key.hex()]})
    )
    return worker.settings(nats_url=nats_url, kernel_keys_file=keys, stop_timeout_s=4)


@pytest.fixture
async def handover(nats_url: str) -> AsyncIterator[Handover]:
    started = await Handover.start(nats_url)
    yield started
    await started.stop()


@pytest.fixture
async def running(handover: Handover, settings: WorkerSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A worker at work in a thread of its own, so that a handler which blocks its loop does not block the test's."""
    monkeypatch.setattr(limits, "HEARTBEAT_S", 0.5)
    ran.clear()
    gate.clear()
    thread = WorkerThread(settings)
    thread.start()
    await handover.known_worker()
    yield
    gate.set()
    thread.stop()
    handover.release()
    await asyncio.to_thread(thread.join, 20)
    assert not thread.is_alive()
    assert thread.failure is None


class WorkerThread(threading.Thread):
    def __init__(self, settings: WorkerSettings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._stop_event = asyncio.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._loop.run_until_complete(worker.serve(self._settings, stop=self._stop_event))
        except BaseException as error:  # noqa: BLE001  the fixture raises it
            self.failure = error
        finally:
            self._loop.close()

    def stop(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop_event.set)


async def test_a_permitted_job_runs_and_its_result_is_in_the_stream(handover: Handover, running: None) -> None:
    job = make_job(payload={"n": 1})
    handover.give(job)
    result = await handover.result()
    assert (result["outcome"], result["value"], result["job_id"]) == ("succeeded", b'{"n":1}', job.job_id)
    assert result["headers"]["Holdgate-Outcome"] == "succeeded"
    assert result["headers"]["Nats-Msg-Id"] == f"{job.job_id}:1:{result['token'][:8]}"


FORGED: list[tuple[str, Callable[[str], dict[str, Any]]]] = [
    ("permit_signature", lambda w: make_delivery(make_job(), w, signer=STRANGER)),
    ("permit_other_worker", lambda _: make_delivery(make_job(), "somebody-else")),
    ("permit_expired", lambda w: make_delivery(make_job(), w, now_ms=1)),
    ("fail_open_refused", lambda w: make_delivery(make_job(), w, signer=DISPATCHER, fail_open=True)),
    ("job_hash_mismatch", lambda w: _altered(w, prompt="rm -rf /")),
    ("payload_mismatch", lambda w: _altered(w, payload=b'"other"')),
    ("no_handler", lambda w: make_delivery(make_job("job.other.topic"), w)),
    ("missing_capability", lambda w: make_delivery(make_job(requires=("gpu",)), w)),
]


def _altered(worker_id: str, **changes: Any) -> dict[str, Any]:
    delivery = make_delivery(make_job(payload="original"), worker_id)
    return {**delivery, "job": {**delivery["job"], **changes}}


@pytest.mark.parametrize(("code", "forge"), FORGED, ids=[code for code, _ in FORGED])
async def test_a_forged_delivery_is_refused_and_no_handler_runs(
    handover: Handover, running: None, code: str, forge: Callable[[str], dict[str, Any]]
) -> None:
    handover.hand_over(forge)
    result = await handover.result()
    assert (result["outcome"], result["code"], result["value"]) == ("refused", code, None)
    assert ran == []


async def test_a_worker_that_demands_signed_votes_refuses_a_release_without_them(
    handover: Handover, settings: WorkerSettings
) -> None:
    """The api said that somebody released it, and the kernel believed the api."""
    assert settings.kernel_keys_file is not None
    keys = json.loads(settings.kernel_keys_file.read_text())
    approver = {"actor": "dana", "public_key": API.public_key.hex()}
    settings.kernel_keys_file.write_text(json.dumps({**keys, "approver_keys": [approver]}))
    ran.clear()
    before = metrics.REFUSED.labels(code="votes_unsigned")._value.get()
    thread = WorkerThread(settings.model_copy(update={"worker_signed_votes": 1}))
    thread.start()
    await handover.known_worker()
    handover.give(make_job(), verdict="require_approval", approvers=("erin",))
    result = await handover.result()
    assert (result["outcome"], result["code"], ran) == ("refused", "votes_unsigned", [])
    assert metrics.REFUSED.labels(code="votes_unsigned")._value.get() == before + 1
    thread.stop()
    handover.release()
    await asyncio.to_thread(thread.join, 20)


async def test_a_worker_that_demands_more_votes_than_it_pinned_people_does_not_start(settings: WorkerSettings) -> None:
    with pytest.raises(InvalidInput, match="SIGNED_VOTES` is 1 and 0 approvers are pinned"):
        await worker.serve(settings.model_copy(update={"worker_signed_votes": 1}))


async def test_a_replayed_delivery_neither_runs_again_nor_ends_the_true_run(handover: Handover, running: None) -> None:
    job = make_job("job.test.thread")
    kept: list[dict[str, Any]] = []

    def once(worker_id: str) -> dict[str, Any]:
        kept.append(make_delivery(job, worker_id))
        return kept[0]

    handover.hand_over(once)
    await eventually(lambda: kept)
    handover.hand_over(lambda _worker: kept[0])
    handover.give(make_job(payload="after"))
    assert (await handover.result())["value"] == b'"after"'
    gate.set()
    result = await handover.result()
    assert (result["job_id"], result["outcome"], result["value"]) == (job.job_id, "succeeded", b'"done"')
    assert handover.results.empty()


async def test_a_handler_that_blocks_the_loop_keeps_its_lease_and_hears_of_its_cancel(
    handover: Handover, running: None
) -> None:
    job = make_job("job.test.block")
    handover.give(job)
    await eventually(lambda: ran)
    blocked_since = len(handover.beats)
    await eventually(lambda: _renewals(handover, job.job_id, blocked_since), 12)
    handover.cancelled.append(job.job_id)
    result = await handover.result()
    assert (result["outcome"], result["job_id"]) == ("cancelled", job.job_id)


async def test_a_control_message_cancels_a_coroutine_at_once(handover: Handover, running: None) -> None:
    job = make_job("job.test.wait")
    handover.give(job)
    await eventually(lambda: ran)
    await handover.tell({"cancel": job.job_id})
    result = await handover.result(3)
    assert (result["outcome"], result["code"], result["value"]) == ("cancelled", "cancelled", None)


async def test_a_lost_lease_stops_the_handler_and_reports_nothing(handover: Handover, running: None) -> None:
    job = make_job("job.test.wait")
    handover.give(job)
    await eventually(lambda: ran)
    handover.lost.append(job.job_id)
    handover.give(make_job(payload="after"))
    assert (await handover.result())["value"] == b'"after"'
    await eventually(lambda: handover.beats[-1]["leases"] == [], 12)
    assert handover.results.empty()


async def test_progress_and_leases_travel_with_heartbeats(handover: Handover, running: None) -> None:
    job = make_job("job.test.thread")
    handover.give(job)
    await eventually(lambda: _renewals(handover, job.job_id, 0), 12)
    assert _renewals(handover, job.job_id, 0)[-1]["progress"] == 0.25
    gate.set()
    result = await handover.result()
    assert result["logs"] == ["in a thread"]


async def test_a_job_is_stopped_at_the_time_limit_of_its_permit(handover: Handover, running: None) -> None:
    handover.give(make_job("job.test.wait"), constraints=Constraints(max_runtime_s=1))
    result = await handover.result()
    assert (result["outcome"], result["code"]) == ("timed_out", "max_runtime")


async def test_results_wait_for_the_log_and_arrive_once_it_is_back(handover: Handover, running: None) -> None:
    stream = handover.nc.jetstream()
    config = (await stream.stream_info(subjects.STREAM_RESULTS)).config
    await stream.delete_stream(subjects.STREAM_RESULTS)
    job = make_job(payload="kept")
    handover.give(job)
    await eventually(lambda: ran)
    await eventually(lambda: _renewals(handover, job.job_id, 0), 12)
    await stream.add_stream(config)
    await handover.watch_results()
    assert (await handover.result())["value"] == b'"kept"'


@pytest.mark.parametrize(("owner", "part"), [(Executors, "run"), (reports, "message_of")], ids=["run", "message"])
async def test_a_run_that_breaks_the_worker_itself_is_reported_and_its_lease_ends(
    handover: Handover, running: None, monkeypatch: pytest.MonkeyPatch, owner: object, part: str
) -> None:
    """Otherwise the job would be running for ever, kept alive by heartbeats of a worker that does not run it."""
    true = getattr(owner, part)
    calls: list[object] = []

    def break_once(*given: Any, **named: Any) -> Any:
        calls.append(part)
        if len(calls) == 1:
            raise RuntimeError("hunter2")
        return true(*given, **named)

    monkeypatch.setattr(owner, part, break_once)
    job = make_job(payload=1)
    handover.give(job)
    result = await handover.result()
    assert (result["job_id"], result["outcome"], result["code"]) == (job.job_id, "failed", "worker_fault")
    assert "hunter2" not in str(result)
    since = len(handover.beats)
    await eventually(lambda: len(handover.beats) > since + 1)
    assert handover.beats[-1]["leases"] == []


async def test_a_heartbeat_that_was_refused_is_tried_again_soon(handover: Handover, settings: WorkerSettings) -> None:
    """An error renews nothing: the next one must not wait for the interval, or the leases end."""
    handover.beat_error = "state_unavailable"
    heart = Heart(
        settings=settings,
        introduction=Introduction("w1", "default", ("job.test.*",), (), 1),
        leases=Leases(SystemClock()),
        busy=lambda: 0,
        interval_s=30,
    )
    await heart.start()
    try:
        await eventually(lambda: len(handover.beats) >= 2)
    finally:
        await heart.stop()


async def test_no_more_is_asked_for_than_slots_are_free(handover: Handover, running: None) -> None:
    for _ in range(20):
        handover.give(make_job("job.test.thread"))
    await eventually(lambda: sum(lease["progress"] is not None for lease in _last_leases(handover)) == 8, 12)
    assert len(_last_leases(handover)) == 8
    gate.set()
    for _ in range(20):
        assert (await handover.result())["outcome"] == "succeeded"


def _last_leases(handover: Handover) -> list[dict[str, Any]]:
    return handover.beats[-1]["leases"] if handover.beats else []


def _renewals(handover: Handover, job_id: str, since: int) -> list[dict[str, Any]]:
    return [lease for beat in handover.beats[since:] for lease in beat["leases"] if lease["job_id"] == job_id]
