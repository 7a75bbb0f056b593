"""What fails while an output is scanned: it stays sealed or is quarantined, the others go on, and it is told why."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from prometheus_client import REGISTRY

from holdgate.kernel import subjects, wire
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.ids import JobId
from holdgate.scan.engine import Engine
from holdgate.scan.errors import EngineFailed, ScanTimedOut
from holdgate.scan.findings import Category, Finding, Severity
from holdgate.scan.scanner import Scanner
from holdgate.scheduler.gates.output import tries
from holdgate.scheduler.gates.output.tries import POISON_TRIES
from holdgate.scheduler.state.transitions import State
from holdgate.scheduler.up.provision import provision
from support.secrets import Secrets
from support.state import TENANT
from support.waiting import Eventually

from .conftest import Gate, with_scan
from .test_large import Counting

MADE = Secrets(41)
LARGE = ["an ordinary line of a long report"] * 4_000


def sample(name: str, **labels: str) -> float:
    """A counter or a gauge."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def events(gate: Gate, job_id: JobId, kind: str) -> list[dict[str, Any]]:
    """The events of one kind in a job's timeline."""
    return [event for event in await gate.world.jobs.timeline(TENANT, job_id) if event["type"] == kind]


async def ended(gate: Gate, job_id: JobId) -> bool:
    """Whether its verdict is stored."""
    return await gate.state(job_id) in (State.SUCCEEDED, State.QUARANTINED)


async def test_a_scanner_killed_at_its_work_keeps_nobody_waiting_and_its_output_is_judged(
    gate: Gate, eventually: Eventually
) -> None:
    """The child stands still in the middle: small outputs pass meanwhile. Killed, it is replaced."""
    service = gate.service()
    first, _ = await gate.ran({"report": LARGE})
    while not await ended(gate, first):
        await service.run_once()
    (child,) = service.scanners._children
    os.kill(child._process.pid, signal.SIGSTOP)
    died = sample("holdgate_output_policy_failures_total", reason="scanner_died")
    large, _ = await gate.ran({"report": [*LARGE, MADE.github()]})
    small, _ = await gate.ran({"n": 1})
    await service.start()
    await eventually(lambda: not service.scanners._idle and service._held._held)

    async def small_ended() -> bool:
        return await ended(gate, small)

    await eventually(small_ended)
    assert await gate.state(large) is not State.SUCCEEDED
    os.kill(child._process.pid, signal.SIGKILL)

    async def large_ended() -> bool:
        return await ended(gate, large)

    await eventually(large_ended)
    assert sample("holdgate_output_policy_failures_total", reason="scanner_died") == died + 1
    (sealed,) = await events(gate, large, "output.sealed")
    assert sealed["reason"] == "scanner_died"
    (told,) = await events(gate, large, "job.succeeded")
    assert told["output"]["verdict"] == "redact"


async def test_a_scan_beyond_its_time_leaves_the_output_sealed_and_in_the_end_quarantines_it(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metric and audit event name the reason."""

    async def slow(*_: object) -> None:
        raise ScanTimedOut

    monkeypatch.setattr(tries, "SLOW_TRIES", 2)
    service = gate.service()
    monkeypatch.setattr(service.scanners, "inspect", slow)
    before = sample("holdgate_output_unscannable_total", reason="scan_timed_out")
    job_id, _ = await gate.ran({"report": LARGE})
    while not await ended(gate, job_id):
        await service.run_once()
    assert await gate.state(job_id) is State.QUARANTINED
    assert sample("holdgate_output_unscannable_total", reason="scan_timed_out") == before + 1
    assert [event["reason"] for event in await events(gate, job_id, "output.sealed")] == ["scan_timed_out"]
    (told,) = await events(gate, job_id, "job.quarantined")
    assert told["unscannable"] == ["scan_timed_out"]


async def test_a_scan_that_used_up_its_time_by_itself_is_not_begun_again(gate: Gate) -> None:
    """The child ends it; whoever sends such texts keeps it for one time, not for five."""
    service = gate.service(with_scan(gate.config, seconds=0.000001))
    job_id, _ = await gate.ran({"report": LARGE})
    await service.run_once()
    assert await gate.state(job_id) is State.QUARANTINED
    assert await events(gate, job_id, "output.sealed") == []
    (told,) = await events(gate, job_id, "job.quarantined")
    assert told["unscannable"] == ["scan_too_long"]


@pytest.mark.parametrize("bound", ["here_seconds", "batch_seconds"])
async def test_a_small_output_that_takes_long_is_a_childs_and_the_batch_goes_on(gate: Gate, bound: str) -> None:
    """Bytes say little about what a text costs: what is beyond its time, or the batch's, waits with the large ones."""
    service = gate.service(with_scan(gate.config, **{bound: 0.0}))
    counting = Counting(service)
    job_id, _ = await gate.ran({"token": MADE.github()})
    while not await ended(gate, job_id):
        await service.run_once()
    result = await gate.result(job_id)
    assert result is not None
    assert result.verdict["verdict"] == "redact"
    assert counting.scans == [job_id]
    assert len(service.scanners._children) == (1 if bound == "here_seconds" else 0)
    assert await events(gate, job_id, "output.sealed") == []


async def test_an_engine_that_answers_nothing_seals_all_outputs_until_it_works_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is tried: what nobody has looked at is neither clean nor anybody's to release."""

    class Silent:
        """A set of patterns that is out of memory says this."""

        def Match(self, _: bytes) -> list[int]:  # noqa: N802  the name that RE2 gives it
            return []

    service = gate.service()
    made = Engine.__init__

    def silenced(self: Engine, *given: Any, **named: Any) -> None:
        made(self, *given, **named)
        self._set = Silent()

    monkeypatch.setattr(Engine, "__init__", silenced)
    before = sample("holdgate_output_policy_failures_total", reason="scan_engine_failed")
    job_id, _ = await gate.ran({"n": 1})
    for _ in range(POISON_TRIES + 1):
        await gate.judge(service)
        assert await gate.state(job_id) is State.FINISHING
    assert sample("holdgate_output_policy_failures_total", reason="scan_engine_failed") == before + POISON_TRIES + 1
    assert sample("holdgate_output_scanner_failing") == 1
    assert [event["reason"] for event in await events(gate, job_id, "output.sealed")] == ["scan_engine_failed"]
    await service.stop()
    monkeypatch.undo()
    await gate.judge(gate.service())
    assert await gate.state(job_id) is State.SUCCEEDED
    assert sample("holdgate_output_scanner_failing") == 0


async def test_a_text_for_which_alone_the_engine_does_not_answer_is_quarantined_in_the_end(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever finds such a text has a job that never ends."""
    scan = Scanner.scan_value

    def fails(self: Scanner, value: Any) -> list[Finding]:
        if "odd" in str(value):
            raise EngineFailed
        return scan(self, value)

    monkeypatch.setattr(Scanner, "scan_value", fails)
    service = gate.service()
    job_id, _ = await gate.ran({"text": "odd"})
    for _ in range(POISON_TRIES - 1):
        await gate.judge(service)
        assert await gate.state(job_id) is State.FINISHING
    await gate.judge(service)
    assert await gate.state(job_id) is State.QUARANTINED


async def test_a_gate_whose_engine_does_not_work_does_not_say_that_it_is_ready(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> list[int]:
        raise EngineFailed

    monkeypatch.setattr(Engine, "fired", fails)
    service = gate.service()
    with pytest.raises(EngineFailed):
        await service.start()
    assert sample("holdgate_output_scanner_failing") == 1


async def test_a_finding_that_cannot_be_located_seals_its_output_and_no_other(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the scanner's with one text: the others of the batch have their verdicts, this one is quarantined."""
    scan = Scanner.scan_value

    def lost(self: Scanner, value: Any) -> list[Finding]:
        found = scan(self, value)
        if "odd" in str(value):
            found.append(Finding("odd", Category.SECRET, Severity.HIGH, 0, 4, "/value/nowhere", "value"))
        return found

    monkeypatch.setattr(Scanner, "scan_value", lost)
    odd, _ = await gate.ran({"odd": 1})
    other, _ = await gate.ran({"n": 1})
    service = gate.service()
    while not await ended(gate, odd):
        await service.run_once()
    assert await gate.state(odd) is State.QUARANTINED
    (first,) = await events(gate, other, "job.succeeded")
    (last,) = await events(gate, odd, "job.quarantined")
    assert first["seq"] < last["seq"]
    assert last["unscannable"] == ["scan_fault"]


def wrapped(text: str, times: int) -> str:
    """`text` in base64, over and over."""
    data = text.encode()
    for _ in range(times):
        data = base64.b64encode(data)
    return data.decode()


HOSTILE: dict[str, bytes] = {
    "deep": b"[" * 200_000,
    "no json": b"{",
    "twice the same key": b'{"a":1,"a":2}',
    "invalid utf-8": b'{"a":"\xff\xfe"}',
    "half a surrogate": b'{"a":"\\ud800"}',
    "two encodings": '{"a":"é"}'.encode("latin-1"),
    "an endless number": b"1" * 500_000,
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
async def test_a_hostile_value_is_quarantined_and_the_next_is_judged(gate: Gate, value: bytes) -> None:
    """Whatever the bytes: sealed as they came, with the reason; the gate goes on."""
    hostile, _ = await gate.ran(value)
    after, _ = await gate.ran({"n": 1})
    service = gate.service()
    while not (await ended(gate, hostile) and await ended(gate, after)):
        await service.run_once()
    assert [await gate.state(job_id) for job_id in (hostile, after)] == [State.QUARANTINED, State.SUCCEEDED]
    (told,) = await events(gate, hostile, "job.quarantined")
    assert told["unscannable"]


@pytest.mark.parametrize("times", [1, 3, 9])
async def test_text_wrapped_over_and_over_ends_within_its_budget(gate: Gate, times: int) -> None:
    """Down to the depth that is looked at the secret is found; below it the gate goes on."""
    job_id, _ = await gate.ran({"note": wrapped(f"cloned with {MADE.github()}", times)})
    service = gate.service()
    while not await ended(gate, job_id):
        await service.run_once()
    result = await gate.result(job_id)
    assert result is not None
    if times <= 3:
        assert result.verdict["findings_total"] >= 1


async def test_a_gate_killed_between_scan_and_verdict_leaves_one_verdict(
    gate: Gate, eventually: Eventually, nats_url: str, redis_url: str, tmp_path: Path
) -> None:
    """The process dies once it has scanned and asked; another judges the message again, and once."""
    await shorten_ack(gate)
    await gate.kernel.stop()
    asked: asyncio.Event = asyncio.Event()

    async def hear(_: Msg) -> None:
        asked.set()

    async def answer(message: Msg) -> None:
        await message.respond(wire.pack(gate.kernel._detectors(message.data)))

    listening = [
        await gate.nc.subscribe(subjects.KERNEL_OUTPUT, cb=hear),
        await gate.nc.subscribe(subjects.KERNEL_DETECTORS, cb=answer),
    ]
    job_id, _ = await gate.ran({"token": MADE.github()})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "holdgate.scheduler.cli", "output-gate", env=environment(tmp_path, nats_url, redis_url)
    )
    try:
        await asyncio.wait_for(asked.wait(), 30)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert await gate.result(job_id) is None
    for each in listening:
        await each.unsubscribe()
    await gate.kernel.start()
    service = gate.service()

    async def judged() -> bool:
        await service.run_once()
        return await ended(gate, job_id)

    await eventually(judged)
    assert len(await events(gate, job_id, "job.succeeded")) == 1
    assert await gate.pending() == 0


async def shorten_ack(gate: Gate) -> None:
    """What nobody acknowledges comes again at once."""
    consumer = await gate.nc.jetstream().consumer_info("RESULTS", "output-gate")
    consumer.config.ack_wait = 0.3
    await gate.nc.jetstream().add_consumer("RESULTS", consumer.config)


def environment(folder: Path, nats_url: str, redis_url: str) -> dict[str, str]:
    """Settings of a gate of its own."""
    made = provision(folder / "home", SystemClock())
    settings = {
        "NATS_URL": nats_url,
        "REDIS_URL": redis_url,
        "ROOT_FILE": str(made.home.root_file),
        "ROOT_PINS": made.root_pins,
        "FINGERPRINT_KEY_FILE": str(made.home.password_file("fingerprint")),
        "DURABILITY": "relaxed",
    }
    return {**os.environ, **{f"HOLDGATE_{name}": value for name, value in settings.items()}}
