"""Each verdict of the output gate, from a worker's message to what an agent may read."""

from __future__ import annotations

import base64

import pytest
from nacl.public import PrivateKey

from holdgate.kernel import subjects
from holdgate.kernel.canonical import parse_json
from holdgate.kernel.clock import SystemClock
from holdgate.kernel.errors import Forged
from holdgate.kernel.limits import INLINE_BYTES_MAX
from holdgate.scheduler.dispatch.result_watch import ResultWatch
from holdgate.scheduler.gates.retry import BASE_MS
from holdgate.scheduler.gates.sealing import content_of, open_box
from holdgate.scheduler.state.connection import key
from holdgate.scheduler.state.pull import PullReader
from holdgate.scheduler.state.restoring import Restoring
from holdgate.scheduler.state.transitions import State
from holdgate.workers.results import RunError, RunOutcome
from support.secrets import Secrets
from support.state import TENANT
from support.waiting import eventually

from .conftest import PLATFORM_SECRET, Gate

MADE = Secrets(7)


async def test_nothing_is_readable_before_the_verdict_and_a_clean_output_after_it(gate: Gate) -> None:
    """allow: the value as it was, byte by byte."""
    job_id, _ = await gate.ran({"rows": 3, "text": "all good"}, logs=("started", "done"))
    assert await gate.result(job_id) is None
    await gate.judge()
    result = await gate.result(job_id)
    assert result is not None
    assert (result.value, result.logs) == (b'{"rows":3,"text":"all good"}', ("started", "done"))
    assert result.verdict["verdict"] == "allow"
    assert await gate.state(job_id) is State.SUCCEEDED
    assert await gate.pending() == 0


async def test_a_secret_is_replaced_and_the_rest_stays(gate: Gate) -> None:
    """redact: in the value, in a key, in a log line, with one tag for one value."""
    secret = MADE.github()
    value = {"token": secret, "n": 1, f"key {secret}": "x", "list": ["a", f"see {secret}!"]}
    job_id, _ = await gate.ran(value, logs=("plain", f"using {secret}"))
    await gate.judge()
    result = await gate.result(job_id)
    assert result is not None
    assert result.value is not None
    shown = parse_json(result.value)
    assert isinstance(shown, dict)
    tag = shown["token"]
    assert isinstance(tag, str)
    assert tag.startswith("[redacted:secret:")
    assert shown == {"token": tag, "n": 1, f"key {tag}": "x", "list": ["a", f"see {tag}!"]}
    assert result.logs == ("plain", f"using {tag}")
    assert result.verdict["verdict"] == "redact"
    assert secret not in repr(result)
    finding = next(item for item in result.verdict["findings"] if item["path"] == "/value/token")
    assert (finding["detector"], finding["category"], finding["verdict"]) == ("github-token", "secret", "redact")
    assert tag == f"[redacted:secret:{finding['fingerprint']}]"


async def test_a_private_key_is_sealed_and_only_the_private_key_opens_it(gate: Gate) -> None:
    """quarantine: nothing readable, the whole output in the box."""
    pem = MADE.pem()
    job_id, _ = await gate.ran({"file": pem}, logs=("read the key",))
    await gate.judge()
    assert await gate.state(job_id) is State.QUARANTINED
    result = await gate.result(job_id)
    assert result is None or (result.value is None and result.logs == ())
    sealed = await gate.box(job_id)
    assert pem[40:80].encode() not in sealed
    opened = content_of(open_box(sealed, gate.private_key))
    assert opened["output"]["logs"] == ["read the key"]
    assert parse_json(opened["output"]["value"]) == {"file": pem}
    with pytest.raises(Forged):
        open_box(sealed, PrivateKey.generate())


@pytest.mark.parametrize("encode", [bytes, base64.b64encode, lambda secret: secret.hex().encode()])
async def test_a_secret_of_the_platform_is_quarantined_in_any_form(gate: Gate, encode) -> None:  # type: ignore[no-untyped-def]
    """Known secrets are matched exactly."""
    job_id, _ = await gate.ran({"env": f"X{encode(PLATFORM_SECRET).decode()}"})
    await gate.judge()
    assert await gate.state(job_id) is State.QUARANTINED


async def test_a_failure_is_redacted_too(gate: Gate) -> None:
    """An exception's text is output: a secret in its trace is not readable in the failed job."""
    secret = MADE.stripe()
    picked, token = await gate.world.running(max_attempts=1)
    error = RunError(
        "ValueError", f"bad key {secret}", f"Traceback\n  charge({secret!r})\nValueError: bad key {secret}"
    )
    await gate.report(picked, token, RunOutcome.FAILED, error=error, code="handler_failed", logs=(f"try {secret}",))
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.FAILED
    result = await gate.result(picked.job.job_id)
    assert result is not None
    assert result.error is not None
    assert result.error["type"] == "ValueError"
    assert "[redacted:secret:" in result.error["trace"]
    assert secret not in repr(result)
    assert secret not in repr(await gate.world.jobs.timeline(TENANT, picked.job.job_id))


async def test_a_failure_with_a_private_key_in_it_fails_without_its_text(gate: Gate) -> None:
    """The job still ends as it ended; its texts are withheld."""
    picked, token = await gate.world.running(max_attempts=1)
    await gate.report(picked, token, RunOutcome.FAILED, error=RunError("KeyError", MADE.pem(), ""), logs=("x",))
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.FAILED
    result = await gate.result(picked.job.job_id)
    assert result is not None
    assert result.logs == ()
    assert "PRIVATE" not in repr(result)


async def test_a_failed_attempt_is_tried_again_while_attempts_are_left(gate: Gate) -> None:
    """failed, retryable → queued; the last one → failed."""
    picked, token = await gate.world.running(max_attempts=2)
    await gate.report(picked, token, RunOutcome.FAILED, retryable=True, error=RunError("E", "x"), code="handler_failed")
    service = gate.service()
    await gate.judge(service)
    assert await gate.state(picked.job.job_id) is State.QUEUED
    gate.world.pass_ms(600_000)
    await gate.world.backlog.promote_due(TENANT, gate.world.now_ms)
    [again] = await gate.world.pick()
    assert again.attempt == 2
    _, token = await gate.world.start(again)
    await gate.report(again, token, RunOutcome.FAILED, retryable=True, error=RunError("E", "x"), code="handler_failed")
    await gate.judge(service)
    assert await gate.state(picked.job.job_id) is State.FAILED


async def test_attempts_that_a_loss_left_out_make_nobody_wait_longer(gate: Gate) -> None:
    """The wait grows with the attempts that were made, not with their numbers."""
    job_id = await gate.world.queued(max_attempts=3)
    await Restoring(gate.world.scripts).skip_attempts(TENANT, [job_id])
    [picked] = await gate.world.pick()
    assert picked.attempt == 4
    _, token = await gate.world.start(picked)
    await gate.report(picked, token, RunOutcome.FAILED, retryable=True, code="handler_failed")
    await gate.judge(gate.service(chance=b"\xff"))
    due_ms = float(await gate.world.scripts.command("ZSCORE", key(TENANT, "due"), job_id))
    assert due_ms - SystemClock().now_ms() < BASE_MS


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (RunOutcome.TIMED_OUT, State.TIMED_OUT),
        (RunOutcome.REFUSED, State.FAILED),
        (RunOutcome.CANCELLED, State.FAILED),
        (RunOutcome.OVERSIZE, State.QUARANTINED),
    ],
)
async def test_an_outcome_ends_in_its_state(gate: Gate, outcome: RunOutcome, state: State) -> None:
    """With no attempts left, and nobody having cancelled."""
    picked, token = await gate.world.running(max_attempts=1)
    await gate.report(picked, token, outcome)
    await gate.judge()
    assert await gate.state(picked.job.job_id) is state


async def test_a_cancelled_run_is_cancelled(gate: Gate) -> None:
    """Somebody asked for it while it ran."""
    picked, token = await gate.world.running(max_attempts=3)
    await gate.world.jobs.cancel(TENANT, picked.job.job_id, by="ada", reason="no", now_ms=gate.world.now_ms)
    await gate.report(picked, token, RunOutcome.CANCELLED)
    await gate.judge()
    assert await gate.state(picked.job.job_id) is State.CANCELLED


async def test_a_rule_of_a_bundle_decides_for_its_topics(gate: Gate) -> None:
    """E-mail addresses are let through by default and redacted where a rule says so."""
    service = gate.service()
    plain, _ = await gate.ran({"to": "ada@lovelace.org"})
    await gate.judge(service)
    mail, _ = await gate.ran({"to": "ada@lovelace.org"}, topic="job.mail.send")
    await gate.judge(service)
    let_through, redacted = await gate.result(plain), await gate.result(mail)
    assert let_through is not None
    assert let_through.value == b'{"to":"ada@lovelace.org"}'
    assert redacted is not None
    assert redacted.value is not None
    assert b"lovelace" not in redacted.value
    assert redacted.verdict["rules"] == ["emails-of-mail-jobs"]


async def test_a_large_output_is_scanned_in_a_child_and_stored_under_its_digest(gate: Gate) -> None:
    """Larger than what travels inline, with one secret in its middle."""
    secret = MADE.github()
    lines = [f"line {number} of an ordinary report" for number in range(12_000)]
    lines[7_000] = f"deploy with {secret}"
    job_id, _ = await gate.ran({"report": lines})
    await gate.judge()
    result = await gate.result(job_id)
    assert result is not None
    assert result.value is None
    assert result.ref is not None
    stored = await gate.store.get(result.ref)  # type: ignore[arg-type]
    assert len(stored) > INLINE_BYTES_MAX
    assert secret.encode() not in stored
    assert stored.count(b"[redacted:secret:") == 1


async def test_an_output_that_is_not_json_is_quarantined(gate: Gate) -> None:
    """Unscannable: a worker that is not ours wrote it."""
    job_id, _ = await gate.ran(b'{"a":1,"a":2}')
    await gate.judge()
    assert await gate.state(job_id) is State.QUARANTINED
    item = await gate.world.quarantine.get(TENANT, job_id)
    assert item is not None
    assert item.verdict["findings"][0]["detector"] == "unscannable"


async def test_what_a_hostile_worker_writes_as_code_is_not_readable(gate: Gate) -> None:
    """A code of another shape is dropped."""
    picked, token = await gate.world.running(max_attempts=1)
    await gate.report(picked, token, RunOutcome.FAILED, code="Bearer " + MADE.jwt())
    await gate.judge()
    view = await gate.world.jobs.require(TENANT, picked.job.job_id)
    assert "Bearer" not in repr(view)


async def test_a_judged_result_does_not_lie_on_in_the_stream(gate: Gate) -> None:
    """Once both readers of the stream let go of it, it is gone, sealed or not."""
    job_id, _ = await gate.ran({"file": MADE.pem()})
    watch = ResultWatch(
        PullReader(gate.nc, subjects.STREAM_RESULTS, subjects.CONSUMER_RESULT_WATCH),
        results=gate.world.results,
        clock=SystemClock(),
    )
    await watch.run_once()
    await watch.stop()
    assert await gate.state(job_id) is State.FINISHING
    await gate.judge()
    assert await gate.state(job_id) is State.QUARANTINED

    async def is_empty() -> bool:
        info = await gate.nc.jetstream().stream_info(subjects.STREAM_RESULTS)
        return info.state.messages == 0

    await eventually(is_empty)
