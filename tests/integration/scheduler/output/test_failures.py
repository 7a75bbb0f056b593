"""The output gate when something fails or lies: sealed until it can be judged, one verdict, nothing by default."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack
import pytest
import structlog.testing
from prometheus_client import REGISTRY

from holdgate.kernel import limits, wire
from holdgate.kernel.canonical import canonical_bytes, digest_bytes
from holdgate.kernel.ids import LeaseToken
from holdgate.scan.output import Output
from holdgate.scheduler.errors import NotFound
from holdgate.scheduler.gates.output import tries
from holdgate.scheduler.gates.output.scanners import OutputScanners
from holdgate.scheduler.state.backlog import Picked
from holdgate.scheduler.state.results import FinishingClaim
from holdgate.scheduler.state.transitions import State
from holdgate.workers.artifacts import RunArtifact
from holdgate.workers.results import RunIdentity, RunOutcome, RunResult, message_of
from support.secrets import Secrets
from support.state import POOL, TENANT
from support.waiting import Eventually

from .conftest import Gate, with_scan
from .test_large import Counting

MADE = Secrets(11)
LARGE = ["an ordinary line of a long report"] * 4_000


def failures(reason: str) -> float:
    """The counter of outputs without a verdict."""
    return REGISTRY.get_sample_value("holdgate_output_policy_failures_total", {"reason": reason}) or 0.0


def sample(name: str, **labels: str) -> float:
    """A counter."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def message(picked: Picked, token: str) -> tuple[dict[str, str], bytes]:
    """A success as its worker writes it."""
    identity = RunIdentity(TENANT, picked.job.job_id, picked.attempt, token, "permit_1")
    result = RunResult(RunOutcome.SUCCEEDED, 1, 2, b"1")
    return message_of(identity, result, worker="w1", pool=POOL, bytes_max=limits.ENVELOPE_BYTES_MAX)


async def test_a_stale_token_changes_nothing(gate: Gate) -> None:
    """A worker whose lease went to another one cannot end the job; the message is counted and let go of.

    What it says costs no scan, and nothing of it is kept.
    """
    picked, _ = await gate.world.running()
    before = sample("holdgate_stale_messages_total", kind="result")
    file = RunArtifact("report.txt", "text/plain", b"forged")
    await gate.report(picked, "0" * 32, value="forged", artifacts=(file,))
    service = gate.service()
    counting = Counting(service)
    await gate.judge(service)
    assert counting.scans == []
    with pytest.raises(NotFound):
        await gate.store.get(digest_bytes(file.data))
    assert await gate.state(picked.job.job_id) is State.RUNNING
    assert await gate.result(picked.job.job_id) is None
    assert sample("holdgate_stale_messages_total", kind="result") == before + 1
    assert await gate.pending() == 0


async def test_an_attempt_of_yesterday_changes_nothing(gate: Gate) -> None:
    """Another attempt number than the running one."""
    picked, token = await gate.world.running()
    await gate.report(replace(picked, attempt=2), token, value="old")
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.RUNNING


async def test_a_job_of_another_tenant_cannot_be_ended(gate: Gate) -> None:
    """The tenant in the message is a claim; the state does not know the job there."""
    picked, token = await gate.world.running()
    identity = RunIdentity("other", picked.job.job_id, picked.attempt, token, "permit_1")
    headers, body = message_of(
        identity,
        RunResult(RunOutcome.SUCCEEDED, 1, 2, b"1"),
        worker="w1",
        pool=POOL,
        bytes_max=limits.ENVELOPE_BYTES_MAX,
    )
    await gate.publish(headers, body)
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.RUNNING


async def test_a_repeated_message_has_one_verdict(gate: Gate) -> None:
    """The same result three times: one event, one verdict."""
    picked, token = await gate.world.running()
    verdicts = sample("holdgate_output_policy_verdicts_total", verdict="allow")
    for _ in range(3):
        await gate.report(picked, token, value="done")
    service = gate.service()
    while await gate.pending():
        await service.run_once()
    assert sample("holdgate_output_policy_verdicts_total", verdict="allow") == verdicts + 1
    types = [event["type"] for event in await gate.world.jobs.timeline(TENANT, picked.job.job_id)]
    assert types.count("job.succeeded") == 1


async def test_a_gate_that_died_before_its_verdict_leaves_it_to_another(gate: Gate) -> None:
    """Scanned and decided, not stored, not acknowledged: the message comes again, and there is one verdict."""
    value = {"key": MADE.github()}
    # The first scan of a process reads the rules, and so may take a way of its own, in another task.
    await OutputScanners(gate.config.scan).inspect_small([Output(canonical_bytes(value))], [()])
    job_id, _ = await gate.ran(value)
    dying = gate.service()

    async def die(*_: object) -> None:
        raise SystemExit

    dying._end = die  # type: ignore[method-assign]  # the process ends here
    with pytest.raises(SystemExit):
        await gate.judge(dying)
    assert await gate.result(job_id) is None
    consumer = await gate.nc.jetstream().consumer_info("RESULTS", "output-gate")
    consumer.config.ack_wait = 0.2
    await gate.nc.jetstream().add_consumer("RESULTS", consumer.config)
    await gate.judge()
    assert await gate.state(job_id) is State.SUCCEEDED
    types = [event["type"] for event in await gate.world.jobs.timeline(TENANT, job_id)]
    assert types.count("job.succeeded") == 1


async def test_without_a_kernel_outputs_stay_sealed_until_it_is_back(gate: Gate, eventually: Eventually) -> None:
    """No verdict of its own: the job shows `finishing`, a metric says why."""
    await gate.kernel.stop()
    before = failures("kernel_unavailable")
    job_id, _ = await gate.ran({"n": 1})
    service = gate.service()
    await gate.judge(service)
    assert failures("kernel_unavailable") == before + 1
    view = await gate.world.jobs.require(TENANT, job_id)
    assert (view.state, view.waiting_reason) == (State.FINISHING, "kernel_unavailable")
    assert await gate.result(job_id) is None
    assert await gate.pending() == 1
    await gate.kernel.start()

    async def judged() -> bool:
        await service.run_once()
        return await gate.state(job_id) is State.SUCCEEDED

    await eventually(judged)
    assert (await gate.world.jobs.require(TENANT, job_id)).reason is None


async def test_a_scanner_that_dies_leaves_the_output_sealed_until_it_is_mended(gate: Gate) -> None:
    """The child has too little memory to start; small outputs are judged meanwhile."""
    before = failures("scanner_died")
    job_id, _ = await gate.ran({"report": LARGE})
    small, _ = await gate.ran({"n": 1})
    starved = gate.service(with_scan(gate.config, memory_bytes_max=1024))
    while await gate.state(small) is not State.SUCCEEDED or failures("scanner_died") == before:
        await starved.run_once()
    assert await gate.state(job_id) is State.FINISHING
    assert await gate.result(job_id) is None
    await starved.stop()
    mended = gate.service()
    while await gate.state(job_id) is not State.SUCCEEDED:
        await mended.run_once()
    assert await gate.pending() == 0


async def test_a_scan_that_hangs_is_ended_and_its_text_is_quarantined_in_the_end(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that never answers is killed; a text that does this every time counts as one that cannot be scanned."""
    monkeypatch.setattr(tries, "SLOW_TRIES", 3)
    service = gate.service()
    hanging = with_scan(gate.config, seconds=0.01, grace_s=0.01, start_s=0.05).scan
    service.scanners = service._inspecting._scanners = OutputScanners(hanging, argv=("sleep", "60"))
    before = failures("scan_timed_out")
    job_id, _ = await gate.ran({"report": LARGE})
    while await gate.state(job_id) is not State.QUARANTINED:
        await service.run_once()
        assert await gate.result(job_id) is None or await gate.state(job_id) is State.QUARANTINED
    assert failures("scan_timed_out") == before + 2
    item = await gate.world.quarantine.get(TENANT, job_id)
    assert item is not None
    assert item.verdict["findings"][0]["detector"] == "unscannable"


async def test_a_message_that_cannot_be_read_fails_its_attempt(gate: Gate) -> None:
    """The headers name the attempt and hold its token: the job does not wait for its lease to end."""
    picked, token = await gate.world.running(max_attempts=1)
    identity = RunIdentity(TENANT, picked.job.job_id, picked.attempt, token, "permit_1")
    headers, _ = message_of(
        identity, RunResult(RunOutcome.SUCCEEDED, 1, 2), worker="w1", pool=POOL, bytes_max=limits.ENVELOPE_BYTES_MAX
    )
    before = sample("holdgate_output_malformed_total")
    await gate.publish(headers, b"\xc1 not msgpack")
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.FAILED
    view = await gate.world.jobs.require(TENANT, picked.job.job_id)
    assert view.code == "malformed_result"
    assert sample("holdgate_output_malformed_total") == before + 1


async def test_a_message_of_a_newer_release_waits_for_a_gate_of_that_one(gate: Gate) -> None:
    """Its attempt did not fail: to judge it by its headers would throw a result away. A stale one does not wait."""
    picked, token = await gate.world.running(max_attempts=1)
    identity = RunIdentity(TENANT, picked.job.job_id, picked.attempt, token, "permit_1")
    headers, body = message_of(
        identity, RunResult(RunOutcome.SUCCEEDED, 1, 2), worker="w1", pool=POOL, bytes_max=limits.ENVELOPE_BYTES_MAX
    )
    newer = msgpack.packb({**msgpack.unpackb(body), "v": wire.VERSION + 1})
    await gate.publish(headers, newer)
    await gate.publish({**headers, "Nats-Msg-Id": "stale", "Holdgate-Token": "0" * 32}, newer)
    service = gate.service()
    while await gate.pending() > 1:  # a look takes what is there, one of the two or both
        await service.run_once()
    view = await gate.world.jobs.require(TENANT, picked.job.job_id)
    assert view.state is State.RUNNING  # what shows `finishing` is the dispatcher, by the headers
    assert await gate.pending() == 1


HOSTILE = {
    "empty": b"",
    "not msgpack": b"\xc1",
    "no map": b"\x01",
    "nothing in it": wire.pack({}),
    "a job id that is none": wire.pack({"tenant": "acme", "job_id": "job_1", "attempt": 1, "token": "0" * 32}),
    "a tenant with a brace": wire.pack({"tenant": "a}b", "job_id": "x", "attempt": 1, "token": "0" * 32}),
    "deep": b"\x91" * 100_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
async def test_a_message_that_names_no_job_is_counted_and_ended(gate: Gate, body: bytes) -> None:
    """Nothing can ever be done with it, and the gate goes on."""
    before = sample("holdgate_output_malformed_total")
    await gate.publish({}, body)
    job_id, _ = await gate.ran("fine")
    service = gate.service()
    while await gate.pending():
        await service.run_once()
    assert sample("holdgate_output_malformed_total") == before + 1
    assert await gate.state(job_id) is State.SUCCEEDED


@pytest.mark.parametrize(
    "change",
    [
        {"value": "text"},
        {"value": 1},
        {"logs": "text"},
        {"logs": [b"bytes"]},
        {"error": ["text"]},
        {"error": {"type": 1}},
        {"error": {"more": "x"}},
        {"attempt": True},
        {"attempt": -1},
        {"outcome": "done"},
        {"outcome": ["succeeded"]},
        {"token": "x"},
        {"started_ms": "now"},
    ],
    ids=str,
)
async def test_a_field_of_another_type_is_refused(gate: Gate, change: dict[str, object]) -> None:
    """Whatever the field, the job keeps running: the message is not of its shape and names nothing in its headers."""
    picked, token = await gate.world.running()
    identity = RunIdentity(TENANT, picked.job.job_id, picked.attempt, token, "permit_1")
    _, body = message_of(
        identity,
        RunResult(RunOutcome.SUCCEEDED, 1, 2, b"1"),
        worker="w1",
        pool=POOL,
        bytes_max=limits.ENVELOPE_BYTES_MAX,
    )
    await gate.publish({}, wire.pack({**wire.unpack(body), **change}))
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.RUNNING


async def test_headers_that_differ_from_the_body_cannot_keep_a_job_from_its_end(gate: Gate) -> None:
    """Marked as finishing by its headers, failed by its body: it fails, it does not hang."""
    picked, token = await gate.world.running(max_attempts=3)
    service = gate.service()
    await gate.kernel.stop()
    await gate.report(picked, token, value="x")
    await gate.judge(service)
    assert await gate.state(picked.job.job_id) is State.FINISHING
    await gate.kernel.start()
    await gate.report(picked, token, RunOutcome.FAILED, retryable=True)
    while await gate.pending():
        await service.run_once()
    assert await gate.state(picked.job.job_id) in (State.FAILED, State.SUCCEEDED)


async def test_headers_that_name_another_end_than_the_body_are_malformed(gate: Gate) -> None:
    """The dispatcher goes by the headers: it would wait for ever for the verdict on a job that has no message."""
    named, named_token = await gate.world.running(max_attempts=1)
    picked, token = await gate.world.running()
    before = sample("holdgate_output_malformed_total")
    headers, _ = message(named, named_token)
    _, body = message(picked, token)
    claim = FinishingClaim(named.job.job_id, named.attempt, LeaseToken(named_token))
    await gate.world.results.mark_finishing(TENANT, [claim], gate.world.now_ms)
    await gate.publish(headers, body)
    await gate.judge()
    assert sample("holdgate_output_malformed_total") == before + 1
    assert await gate.state(named.job.job_id) is State.FAILED
    assert await gate.state(picked.job.job_id) is State.RUNNING
    assert await gate.pending() == 0


async def test_a_job_that_becomes_finishing_while_it_is_judged_is_judged_again(gate: Gate) -> None:
    """Looked at as running, a retry seemed right; from `finishing` there is none. Let go of, it would stay there."""
    picked, token = await gate.world.running(max_attempts=3)
    await gate.report(picked, token, RunOutcome.FAILED, retryable=True)
    service = gate.service()
    finish, before = service._results.finish, failures("wrong_state")

    async def overtaken(*given: Any) -> Any:
        claim = FinishingClaim(picked.job.job_id, picked.attempt, LeaseToken(token))
        await gate.world.results.mark_finishing(TENANT, [claim], gate.world.now_ms)
        return await finish(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service._results, "finish", overtaken)
        await gate.judge(service)
    assert await gate.state(picked.job.job_id) is State.FINISHING
    assert failures("wrong_state") == before + 1
    while await gate.pending():
        await service.run_once()
    assert await gate.state(picked.job.job_id) is State.FAILED


async def test_the_gate_reads_on_after_whatever_went_wrong_in_reading(gate: Gate, eventually: Eventually) -> None:
    """A gate that is alive and reads nothing would seal every result without a word."""
    service = gate.service(replace(gate.config, pause_s=0.01))
    fetch = service._reader.fetch
    broken: list[int] = []

    async def break_twice() -> Any:
        if len(broken) < 2:
            broken.append(1)
            raise RuntimeError
        return await fetch()

    service._reader.fetch = break_twice  # type: ignore[method-assign]  # a fault that has no name yet
    await service.start()
    job_id, _ = await gate.ran("fine")

    async def judged() -> bool:
        return await gate.state(job_id) is State.SUCCEEDED

    await eventually(judged)
    assert len(broken) == 2


async def test_without_a_quarantine_key_the_output_is_dropped_and_not_shown(gate: Gate) -> None:
    """Sealing is not set up: quarantined all the same."""
    job_id, _ = await gate.ran({"key": MADE.pem()})
    await gate.judge(gate.service(quarantine=False))
    assert await gate.state(job_id) is State.QUARANTINED
    item = await gate.world.quarantine.get(TENANT, job_id)
    assert item is not None
    assert item.sealed is None
    assert item.verdict["sealed"] is False


async def test_a_batch_of_many_tenants_and_outcomes_is_judged_together(gate: Gate) -> None:
    """Sixty jobs, a third of them with a secret."""
    secret = MADE.github()
    ids = [(await gate.ran({"n": n, "s": secret if n % 3 == 0 else "x"}))[0] for n in range(60)]
    service = gate.service()
    while await gate.pending():
        await service.run_once()
    results = [await gate.result(job_id) for job_id in ids]
    assert [result.verdict["verdict"] for result in results if result] == ["redact", "allow", "allow"] * 20
    assert not any(secret.encode() in canonical_bytes(str(result)) for result in results)


async def test_a_fault_of_the_gate_says_where_it_is_and_nothing_of_an_output(gate: Gate) -> None:
    """Its text may hold what was looked at."""
    service = gate.service()
    try:
        raise RuntimeError("what a worker returned")
    except RuntimeError as error:
        with structlog.testing.capture_logs() as logs:
            service._on_failure("large-output", error)
    (entry,) = logs
    assert "test_failures.py" in entry["frames"][-1]
    assert "returned" not in str(logs)
